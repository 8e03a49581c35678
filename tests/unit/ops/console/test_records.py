"""Files of all layouts → records, damaged ones included."""

import gzip
import io
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.console import records
from ops.console.records import UnreadableFileError, opened, read
from tests.support.strategies import json_values

FIRST = {
    "_id": "1",
    "m": [{"_id": "x", "t": 'a}{"]\\'}, {"_id": "y"}],
    "s": "é\u2028 # line 3: x\n",
}
SECOND = {"_id": "2", "m": [], "n": {"a": [1.5, -2e3, True, None]}}
THIRD = {"_id": "3", "m": [[]], "s": "[{"}
ALL: list[dict[str, Any]] = [FIRST, SECOND, THIRD]
LINES = ("lines", "raw lines")
LAYOUTS: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda values: "".join(json.dumps(value) + "\n" for value in values),
    "raw lines": lambda values: "\r\n".join(json.dumps(v, ensure_ascii=False) for v in values),
    "array": lambda values: json.dumps(values, separators=(",", ":")),
    "array in lines": lambda values: "[" + ",\n".join(map(json.dumps, values)) + "]\n",
    "array around lines": lambda values: "[\n" + "\n,".join(map(json.dumps, values)) + "\n]",
    "pretty": lambda values: "\n".join(json.dumps(value, indent="\t") for value in values),
    "pretty array": lambda values: json.dumps(values, indent=2),
    "mongoexport's pretty array": lambda values: (
        "[" + ",\n".join(json.dumps(value, indent="\t") for value in values) + "]\n"
    ),
}


def values_of(content: str | bytes) -> list[Any]:
    return [record.value for record in read_all(content)]


def read_all(content: str | bytes) -> list[records.Record]:
    return list(read(io.BytesIO(content.encode() if isinstance(content, str) else content)))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_every_layout_is_read(layout: Callable[[list[Any]], str], count: int) -> None:
    values = (ALL * count)[:count]
    assert values_of(layout(values)) == values
    assert values_of("\ufeff" + layout(values)) == values
    assert values_of("\n \n" + layout(values)) == values


@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.lists(
        st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, min_size=1), max_size=4
    ),
)
def test_whatever_json_holds_is_read_in_every_layout(layout: str, values: list[Any]) -> None:
    assert values_of(LAYOUTS[layout](values)) == values


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_record_may_begin_and_end_anywhere_in_a_chunk(
    layout: Callable[[list[Any]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1, 2, 3, 7, 61):
        monkeypatch.setattr(records, "_CHUNK", size)
        assert values_of(layout(ALL)) == ALL


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_line_numbers_are_those_of_the_file(layout: Callable[[list[Any]], str]) -> None:
    text = "\n" + layout(ALL * 3)
    numbers = [record.line for record in read_all(text)]
    starts = [text[:place].count("\n") + 1 for place in _places(text)]
    assert numbers == starts


def _places(text: str) -> list[int]:
    places, at = [], 0
    for value in ALL * 3:
        at = text.index(f'"{value["_id"]}"', at)
        places.append(text.rindex("{", 0, at))
    return places


DAMAGES: list[Callable[[str], str]] = [
    lambda text: text[:-1],
    lambda text: text.replace('"_id": "2"', '"_id": "2').replace('"_id":"2"', '"_id":"2'),
    lambda text: text.replace("null", "nul"),
    lambda text: text.replace("null", "NaN"),
    lambda text: text.replace("[]", "[}"),
    lambda text: text.replace("[]", "[\x00]"),
    lambda text: text.replace("true", "true,,"),
    lambda text: text[: len(text) // 2],
]


@pytest.mark.parametrize("layout", LINES)
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_damaged_line_is_one_reject(
    layout: str, damage: Callable[[str], str], count: int
) -> None:
    line = LAYOUTS[layout]([SECOND]).strip()
    whole = LAYOUTS[layout]([*[SECOND] * count, FIRST, SECOND, THIRD])
    found = read_all(whole.replace(line, damage(line)))
    assert [record.value for record in found] == [*[None] * count, FIRST, None, THIRD]
    rejects = [record for record in found if record.value is None]
    assert {record.text.decode() for record in rejects} == {damage(line)}
    assert all(record.error.startswith("not JSON: ") for record in rejects)


@pytest.mark.parametrize("layout", sorted({*LAYOUTS} - {*LINES}))
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_array_is_read_up_to_its_first_damage_and_says_where(
    layout: str, damage: Callable[[str], str]
) -> None:
    whole = LAYOUTS[layout]([FIRST, SECOND, THIRD])
    start = whole.rindex("{", 0, whole.index('"2"'))
    end = whole.rindex("}", 0, whole.rindex("{", 0, whole.index('"3"'))) + 1
    records_read = read(io.BytesIO((whole[:start] + damage(whole[start:end])).encode()))
    assert next(records_read).value == FIRST
    with pytest.raises(UnreadableFileError, match=r"^record 2 \(line ") as caught:
        next(records_read)
    said = re.search(r"\(line (\d+), byte ([\d,]+)\) is damaged: not JSON: ", str(caught.value))
    assert said
    assert whole[:start].count("\n") - 1 <= int(said[1]) - 1 <= whole[:start].count("\n")
    offset = int(said[2].replace(",", ""))
    assert whole.encode()[offset:].lstrip(b", \n").startswith(whole[start:end].encode())


@pytest.mark.parametrize("layout", LINES)
def test_lines_cut_off_keep_what_came_before(layout: str) -> None:
    *before, last = read_all(LAYOUTS[layout](ALL).rstrip()[:-2])
    assert [record.value for record in before] == [FIRST, SECOND]
    assert (last.value, last.error[:13]) == (None, "not JSON: EOF")


def test_a_file_that_begins_with_damage_is_read_on() -> None:
    for start in ('{"_id": "0", "s": "', "hello", "{", "}", '"', '{"_id": [', "{},"):
        found = read_all(start + "\n" + LAYOUTS["lines"](ALL))
        assert [record.value for record in found if record.value] == ALL, start
        assert found[0].value is None


def test_a_line_too_long_to_be_a_record_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 5000)
    monkeypatch.setattr(records, "_CHUNK", 1000)
    long = {"_id": "9", "m": [], "s": "x" * 12_000}
    for name, layout in LAYOUTS.items():
        text = layout([FIRST, long, THIRD])
        if name in LINES:
            first, too_long, third = read_all(text)
            assert (first.value, third.value, too_long.text) == (FIRST, THIRD, b"")
            assert "longer than 5,000 bytes" in too_long.error
        else:
            with pytest.raises(UnreadableFileError, match=r"record 2 .*longer than 5,000 bytes"):
                read_all(text)


def test_a_second_line_longer_than_a_chunk_is_one_record() -> None:
    long = {"_id": "2", "s": "x" * 3_000_000}
    for first in (FIRST, {"_id": "1", "s": "x" * 3_000_000}):
        assert values_of(LAYOUTS["lines"]([first, long, THIRD])) == [first, long, THIRD]
    assert values_of("hello\n" + LAYOUTS["lines"]([long])) == [None, long]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_and_text_are_those_of_a_json_parser(layout: str) -> None:
    spelled = ("0.1", "1e5", "-0.0", "-0", "1", "1.0", "5e-324", "123456789012345678901234567890")
    text = LAYOUTS[layout]([{"n": f"<{number}>"} for number in spelled])
    for number in spelled:
        text = text.replace(f'"<{number}>"', number)
    expected = [repr({"n": json.loads(number)}) for number in spelled]
    assert [repr(value) for value in values_of(text)] == expected
    lone = LAYOUTS[layout]([FIRST, {"s": "?"}, THIRD]).replace("?", "\\ud800")
    assert values_of(lone) == [FIRST, None, THIRD]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "number", ["9" * 5000, "9" * 2_000_000, "1e99999999999999999999", "-1E-99999999999999999999"]
)
def test_a_number_too_large_for_python_costs_at_most_its_record(layout: str, number: str) -> None:
    text = LAYOUTS[layout]([FIRST, {"n": "<>"}, THIRD]).replace('"<>"', number)
    first, _, third = values_of(text)  # within a second: ijson would take minutes for its digits
    assert (first, third) == (FIRST, THIRD)


@pytest.mark.parametrize("start", ["[", "{\n", '[{"a":'])
@pytest.mark.parametrize("nested", ["[", '{"a":'])
def test_deep_nesting_is_damage(start: str, nested: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"record 1 .* not JSON"):
        read_all(start + ('"a":' if start == "{\n" else "") + nested * 300_000)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "blank lines": lambda size: b"\n" * size,
    "blank lines between": lambda size: b'{"a": 1}\n' + b"\n" * size + b'{"a": 2}\n',
    "blank lines in an array": lambda size: b'[{"a": 1},' + b"\n" * size + b'{"a": 2}]',
    "pretty records": lambda size: b'{\n"a":1\n}\n' * (size // 20),
    "open objects": lambda size: b"{\n" * (size // 10),
    "damaged lines": lambda size: b'{"a": [1, \n' * (size // 20),
    "long records": lambda size: (
        b"[%s]" % b",".join([b'{"a": "%s"}' % (b"x" * 1_000_000)] * (size // 100_000))
    ),
    "reasons": lambda size: b"# line 1: x\n\n" * (size // 10),
    "a record below a reason": lambda size: b"# line 1: x\n" + b"{\n" * (size // 10),
}


class Pipe(io.BytesIO):
    """Gives no more at a time than a pipe does."""

    def read1(self, size: int | None = -1, /) -> bytes:
        return super().read1(min(size or 0, 65_536))


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_four_times_the_file_takes_four_times_the_time(content: Callable[[int], bytes]) -> None:
    small, larger = (min(_seconds(content(size)) for _ in range(3)) for size in (60_000, 240_000))
    assert larger < 9 * max(small, 0.01)  # 4 is linear, 16 quadratic


def _seconds(content: bytes) -> float:
    start = time.process_time()
    with suppress(UnreadableFileError):
        for _ in read(Pipe(content)):
            pass
    return time.process_time() - start


def test_what_is_no_utf_8_text_is_refused_as_a_whole() -> None:
    bson = b"\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00"
    for content in ('{"_id": "1"}\n'.encode("utf-16"), bson, b"PK\x03\x04\x14\x00"):
        with pytest.raises(UnreadableFileError, match="UTF-8"):
            read_all(content)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    text = LAYOUTS["lines"](ALL).encode()
    path = tmp_path / "plainly.json"
    for content in (text, gzip.compress(text), gzip.compress(text[:40]) + gzip.compress(text[40:])):
        path.write_bytes(content)
        with opened(path) as (stream, position):
            assert [record.value for record in read(stream)] == ALL
            assert position() == len(content)


def test_gzip_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    whole = gzip.compress(LAYOUTS["lines"](ALL * 20).encode())
    for content in (whole[:-9], whole[:60], whole[:50] + b"??" + whole[52:]):
        path.write_bytes(content)
        with pytest.raises(UnreadableFileError, match="gzip"), opened(path) as (stream, _):
            list(read(stream))
