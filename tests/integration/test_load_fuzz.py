"""Files of conversations, damaged at random: nothing is lost in silence.

`make fuzz N=100000` reads that many. A failing round names its number; SEED=… starts with it.
"""

import gzip
import json
import os
import re
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from console import records
from console.cli import app
from console.files import UnreadableFileError, opened
from tests.support.api import conversation
from tests.support.budget import examples

ROUNDS = int(os.environ.get("FUZZ_FILES", examples(2000)))
SEED = int(os.environ.get("SEED", "0"))
MARK = "\ufeff".encode()
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f]")
TOKENS = [
    *(b"{", b"}", b"[", b"]", b'"', b"\\", b",", b":", b"-", b"1", b"e", b"/", b"'", b"#"),
    *(b"\n", b"\n\n", b"\r\n", b"\r", b"\t", b" ", b"\f", b"\v", b"\0", b"\x01", b"\x1e", b"\x1f"),
    *(MARK, MARK[:1], b"\xff", b"\xff\xfe", b"\xe9", b"\xa0", b"\x85", b"\xed\xa0\x80", b"\x80"),
    *(rb"\ud800", rb"\udc00", rb"\ud83d\ude00", rb"\u12", rb"\x", b"\xe2\x80\xa8", b"\xf0\x9f"),
    *(b"NaN", b"-Infinity", b"1e400", b"9" * 5000, b"null", b"true", b'"x"', b"{}", b"[{}]"),
    *(b"# line 3: x\n", b"\n# line 3: x\n", b'ISODate("x")', b"},{", b"}\n{", b"][", b"]\n["),
    *(b"[" * 300, b'{"a":' * 300, b"[" * 3000, b'{"$numberLong": "1_0"}', b'{"$date": "x"}'),
]


def whole_file(random: Random) -> bytes:
    """Some conversations, in one of the layouts."""
    values: list[Any] = [
        conversation(id=str(number), agentId=random.choice(["a", "é", "\ud800", "\U0001f600"]))
        for number in range(random.randint(0, 5))
    ]
    indent = random.choice([None, 1, "\t"])
    texts = [json.dumps(v, indent=indent, ensure_ascii=v["agentId"] != "é") for v in values]
    layout = random.choice(["\n{}", "{}", ", {}", "# line 5: x\n{}", "\ufeff{}\r\n\n"])
    text = "\n".join(layout.format(text) for text in texts)
    if random.random() < 0.4:
        text = f"[{','.join(texts)}]"
    return text.encode()


def damaged(content: bytes, random: Random) -> bytes:
    """The content with a few changes."""
    for _ in range(random.choice([0, 1, 1, 2, 3, 8])):
        first, second = sorted(random.choices(range(len(content) + 1), k=2))
        second = random.choice([second, min(first + random.randrange(9), len(content))])
        part = content[first:second]
        match random.randrange(7):
            case 0:
                part = b""
            case 1:
                part *= 2
            case 2:
                part = part[::-1]
            case 3:
                part = whole_file(random)
            case _:
                part = random.choice(TOKENS)
        content = content[:first] + part + content[second:]
    if random.random() < 0.02:
        encoding = random.choice(["utf-16", "utf-16-be", "utf-32-le", "utf-32", "latin-1"])
        content = content.decode("utf-8", "ignore").encode(encoding, "ignore")
    return content


# The reference: simple, slow, and all in memory.


def skip(content: bytes, at: int, space: bytes) -> int:
    """Where the next byte is that is neither space nor part of a byte order mark."""
    while True:
        if content.startswith(MARK, at):
            at += len(MARK)
        elif content[at : at + 1] and content[at] in space:
            at += 1
        else:
            return at


SPACE = b" \t\n\v\f\r"


def stripped(text: bytes) -> bytes:
    return text[skip(text, 0, SPACE) :].rstrip()


def parse(text: bytes) -> Any:
    """What the standard library reads, with U+FFFD for lone surrogates; raises ValueError."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0) if isinstance(value, dict | list) else 0

    try:
        value = json.loads(text.decode(), parse_constant=refuse)
        if depth(value) > 200:
            raise ValueError
    except RecursionError:
        raise ValueError from None
    return json.loads(re.sub("[\ud800-\udfff]", "\ufffd", json.dumps(value, ensure_ascii=False)))


SCALAR = re.compile(
    rb'"(?:[^"\\]|\\.)*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|NaN|-?Infinity',
    re.DOTALL,
)
STRING_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|"|[\[\]{}]', re.DOTALL)


def end_of_value(content: bytes, at: int) -> int:
    """Where the value ends that begins here, or -1: there is none."""
    if content[at : at + 1] not in (b"{", b"["):
        found = SCALAR.match(content, at)
        return found.end() if found else -1
    level = 0
    for token in STRING_OR_BRACKET.finditer(content, at):
        level += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if token[0] == b'"':
            return -1
        if level == 0:
            break
    else:
        return -1
    try:  # NaN, control characters and bytes that are not UTF-8 hide no end; all else does
        text = content[at : token.end()].decode("latin-1")
        json.JSONDecoder(strict=False, parse_int=str).decode(text)
    except (ValueError, RecursionError):
        return -1
    return token.end()


def spanning(content: bytes) -> tuple[list[bytes], bool]:
    """The records of arrays and of objects, and whether damage ends them."""
    at, is_array, texts = 0, False, list[bytes]()
    while (at := skip(content, at, b" \t\n\v\f\r,")) < len(content):
        if content[at : at + 1] == (b"]" if is_array else b"["):
            at, is_array = at + 1, not is_array
            continue
        end = end_of_value(content, at)
        if end < 0:
            return texts, True
        texts.append(content[at:end])
        at = end
    return texts, is_array


def lines(content: bytes) -> list[bytes]:
    """The records of a file of lines, or of a rejects file."""
    all_lines, content = content.split(b"\n"), content[skip(content, 0, SPACE) :]
    if content.startswith(b"# line "):
        all_lines = re.split(rb"^# line .*$", content, flags=re.MULTILINE)
    return [text for text in map(stripped, all_lines) if text]


def check(content: bytes, found: list[records.Record], problem: str) -> None:
    """Compare with the reference: all is there, up to what the problem names."""
    texts = [record.text for record in found]
    if problem.startswith(("it is not UTF-8", "it is UTF-16", "it is a JSON text sequence")):
        assert not found
        assert re.search(rb"[\0-\x08\x0e-\x1f]|\xff\xfe|\xfe\xff", content[:99])
    elif problem.startswith("it is not text from line"):
        assert texts == lines(content)[: len(texts)]
        binary = [bool(CONTROL.search(text)) for text in content.split(b"\n")]
        assert any(map(all, pairwise(binary)))
    else:
        possible = [spanning(content)]
        if not stripped(content).startswith(b"["):
            possible.append((lines(content), False))
        assert (texts, bool(problem)) in possible
    for record in found:
        try:
            value = parse(record.text)
        except ValueError:
            value = None
        assert record.value == (value if isinstance(value, dict) else None)
        assert bool(record.error) == (record.value is None)
        assert record.text in content


def read_file(path: Path) -> tuple[list[records.Record], str]:
    found = list[records.Record]()
    try:
        with opened(path) as (stream, _):
            found.extend(records.read(stream))
    except UnreadableFileError as error:
        return found, str(error)
    return found, ""


def check_packed(path: Path, content: bytes, random: Random) -> None:
    """The same in gzip, whole, cut off, damaged or with something after it."""
    whole, problem = read_file(path)
    member = gzip.compress(content[:99], mtime=0)
    packed = member + gzip.compress(content[99:], mtime=0)
    rest = random.choice([b"", b"\0", b"\n", b"x", b"{}", b"\x1f\x8b"])
    path.write_bytes(packed + rest)
    found, packed_problem = read_file(path)
    assert found == whole
    assert bool(packed_problem) == bool(problem or rest.strip(b"\0"))
    at = random.randrange(len(packed))
    path.write_bytes(packed[:at])
    assert read_file(path)[1] or at in (0, len(member))  # which is whole gzip, too
    path.write_bytes(packed[:at] + random.randbytes(1) + packed[at + 1 :])
    found, packed_problem = read_file(path)
    assert packed_problem or found == whole


@pytest.mark.parametrize("part", range(10))
def test_no_file_brings_load_down_and_nothing_is_lost_in_silence(
    part: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.json"
    rejects = Path(f"{path}.rejects")
    for number in range(SEED + part, SEED + ROUNDS, 10):
        random = Random(number)
        monkeypatch.setattr(records, "_CHUNK", random.choice([1, 2, 7, 64, 999, 1_000_000]))
        content = damaged(whole_file(random), random)
        path.write_bytes(content)
        try:
            found, problem = read_file(path)
            check(content, found, problem)
            result = CliRunner().invoke(
                app, ["load", str(path), "--dry-run", "--json", "--workspace", "demo"]
            )
            assert isinstance(result.exception, SystemExit | None)
            (summary,) = json.loads(result.stdout)["files"]
            assert summary["loaded"] + summary["rejected"] == summary["records"] == len(found)
            assert bool(problem) == ("cannot be read" in (summary["problem"] or ""))
            assert result.exit_code == int(bool(summary["problem"] or summary["rejected"]))
            assert summary["rejected"] >= sum(record.value is None for record in found)
            assert rejects.exists() == bool(summary["rejected"])
            check_packed(path, content, random)
        except BaseException as error:
            error.add_note(f"in round {number}, of the file {content!r}")
            raise
        rejects.unlink(missing_ok=True)
