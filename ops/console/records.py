"""Files of records: JSON lines or an array, pretty or not, Extended JSON or plain, gzip or not."""

import gzip
import json
import re
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from io import BufferedIOBase, BufferedReader, BytesIO, RawIOBase
from itertools import chain
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from bson import Binary, Decimal128, ObjectId
from bson.errors import BSONError
from bson.json_util import JSONOptions, object_hook
from pydantic_core import from_json

STDIN = Path("-")
MAX_RECORD_BYTES = 16 * 1024 * 1024  # what a conversation's 3 MB can grow to in Extended JSON
REASON = b"# line "  # begins the line that a rejects file has above each record
_CHUNK = _HEAD = 1024 * 1024
_OPTIONS = JSONOptions(tz_aware=True)

# White space, strings, numbers and literals: what stands between two brackets of a JSON value.
_BETWEEN_BRACKETS = re.compile(
    rb'(?:[\s,:]++|"(?:[^"\\\x00-\x1f]++|\\.)*+"|true|false|null|-?[0-9][0-9.eE+-]*+)*+'
)
_BETWEEN_RECORDS = re.compile(rb"[\s,\[\]]*+")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}


class UnreadableFileError(Exception):
    """The file, or the rest of it, is not text that could hold records."""


class MalformedValueError(ValueError):
    """A value of Extended JSON is malformed, or has no counterpart in JSON."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file.

    Attributes:
        line: the number of its first line.
        text: as the file has it; empty if it is longer than `MAX_RECORD_BYTES`.
        value: the object that it holds; `None` if it holds none.
        error: why it holds none.
    """

    line: int
    text: bytes
    value: dict[str, Any] | None
    error: str = ""


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedIOBase, Callable[[], int]]]:
    """The file's bytes, unpacked if need be, and a function that tells how many are read so far.

    Raises:
        UnreadableFileError: it is cut off or damaged (gzip).
    """
    with nullcontext(_stdin()) if path == STDIN else path.open("rb", buffering=0) as file:
        buffered = BufferedReader(file, _CHUNK)
        stream: BufferedIOBase = buffered
        if buffered.peek(2).startswith(b"\x1f\x8b"):
            stream = gzip.GzipFile(fileobj=buffered)
        try:
            yield stream, file.tell if file.seekable() else lambda: 0
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise UnreadableFileError("its gzip data is damaged or cut off") from None


def _stdin() -> RawIOBase:
    """Standard input unbuffered, so that a line is there when it comes."""
    return cast("RawIOBase", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def read(stream: BufferedIOBase) -> Iterator[Record]:
    """The records of a file, one at a time, damaged ones included.

    Each line is a record, in an array or not, unless the first two show that records span lines
    or share one. Then brackets tell where a record ends, and after a damaged one the layout of
    the first tells where the next begins; in a rejects file, the next reason does.

    Raises:
        UnreadableFileError: it is no UTF-8 text.
    """
    head = _head(stream)
    if re.match(rb"\xff\xfe|\xfe\xff|[^\n]{0,7}[\x00-\x08\x0e-\x1f]", head):
        raise UnreadableFileError(
            "it is no UTF-8 text. Take what mongoexport writes; mongodump's needs bsondump first"
        )
    lines = chain(BytesIO(head), _lines(stream))
    if head.startswith(REASON):
        return _each(_between_reasons(lines))
    filled = [line for line in BytesIO(head) if _bare(line)]
    if (
        not filled
        or not _bare(filled[0]).startswith(b"{")
        or any(_parsed(0, _bare(line)).value for line in filled)
    ):
        return _each(enumerate(lines, 1))
    chunks = chain([head], iter(partial(stream.read1, _CHUNK), b""))
    if len(filled) > 1:
        indent = filled[0][: -len(filled[0].lstrip())]
        return _by_brackets(chunks, re.compile(rb"\n%s(?=\{)" % indent))
    return _by_brackets(chunks, re.compile(rb"[,}\n]\s*(?=%s)" % _beginning(head)))


def _head(stream: BufferedIOBase) -> bytes:
    """The first two lines that are not empty and those between, if they are not too long."""
    head = b""
    filled = 0
    while filled < 2 and len(head) < _HEAD:  # noqa: PLR2004 - two
        line = stream.readline(_HEAD)
        if not line:
            break
        filled += bool(_bare(line)) and line.endswith(b"\n")
        head += line
    return head.removeprefix(b"\xef\xbb\xbf")


def _lines(stream: BufferedIOBase) -> Iterator[bytes]:
    """The lines; of one that is too long, just enough to show it."""
    while line := stream.readline(MAX_RECORD_BYTES + 1):
        yield line
        while len(line) > MAX_RECORD_BYTES and not line.endswith(b"\n"):
            line = stream.readline(_CHUNK)


def _bare(line: bytes) -> bytes:
    """A line without what joins records in an array."""
    return line.strip().lstrip(b"[, \t").rstrip(b"], \t")


def _beginning(head: bytes) -> bytes:
    """A pattern of how records begin that share a line: with the first one's first two names."""
    start = head.index(b"{")
    record = _parsed(0, head[start : _end(head, start) or start])
    names = [re.escape(json.dumps(name).encode()) for name in record.value or ("_id",)]
    value = rb'(?:"[^"]*"|\{[^{}]*\}|[^,"{}]*)'
    return rb"\{\s*" + (rb"\s*:\s*%s,\s*" % value).join(names[:2])


def _between_reasons(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """What stands below each reason of a rejects file, with the number of its first line."""
    start, text = 1, b""
    for number, line in enumerate(lines, 1):
        if line.startswith(REASON):
            yield start, text
            start, text = number + 1, b""
        elif len(text) <= MAX_RECORD_BYTES:
            text += line
    yield start, text


def _each(texts: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    """The record that each text holds, or the several."""
    for number, line in texts:
        if not (text := _bare(line)):
            continue
        record = _parsed(number, text)
        if record.value is None and (parts := _split(text)):
            yield from (_parsed(number, part) for part in parts)
        else:
            yield record


def _split(text: bytes) -> list[bytes]:
    """The objects that follow one another; none if something else is there, too."""
    parts, at = [], 0
    while at < len(text):
        end = _end(text, at)
        if text[at] != ord("{") or not end:
            return []
        parts.append(text[at:end])
        at = _end_of(_BETWEEN_RECORDS, text, end)
    return parts


def _by_brackets(chunks: Iterator[bytes], next_record: re.Pattern[bytes]) -> Iterator[Record]:
    buffer, at, line = next(chunks), 0, 1
    while True:
        buffer, at, start = _through(chunks, buffer, at, _start)
        if start is None:
            return
        line += buffer.count(b"\n", at, start)
        buffer, at, end = _through(chunks, buffer, start, _end)
        if not end:  # damaged, or cut off
            search = partial(_search, next_record)
            buffer, at, end = _through(chunks, buffer, at, search)
        text = buffer[at : end or len(buffer)]
        yield _parsed(line, text.rstrip(b",\t\r\n "))
        line += text.count(b"\n")
        at += len(text)


def _through(
    chunks: Iterator[bytes], buffer: bytes, at: int, find: Callable[[bytes, int], int | None]
) -> tuple[bytes, int, int | None]:
    """Reads on until `find` tells a place, or there is no more to be read."""
    while (end := find(buffer, at)) is None and len(buffer) - at <= MAX_RECORD_BYTES:
        chunk = next(chunks, b"")
        if not chunk:
            break
        buffer, at = buffer[at:] + chunk, 0
    return buffer, at, end


def _start(buffer: bytes, at: int) -> int | None:
    """Where the next record begins."""
    start = _end_of(_BETWEEN_RECORDS, buffer, at)
    return None if start == len(buffer) else start


def _search(next_record: re.Pattern[bytes], buffer: bytes, at: int) -> int | None:
    match = next_record.search(buffer, at + 1)
    return match.end() if match else None


def _end(buffer: bytes, at: int) -> int | None:
    """Where the value at `at` ends: 0 if it is damaged, `None` if the buffer ends before."""
    closing = bytearray()
    while at < len(buffer):
        match buffer[at]:
            case bracket if bracket in _CLOSING:
                closing.append(_CLOSING[bracket])
            case bracket if closing and bracket == closing[-1]:
                closing.pop()
                if not closing:
                    return at + 1
            case char if not closing or _is_damaged(buffer, at, char):
                return 0
            case _:
                return None
        at = _end_of(_BETWEEN_BRACKETS, buffer, at + 1)
    return None


def _is_damaged(buffer: bytes, at: int, char: int) -> bool:
    """Whether what stands here between brackets is no JSON, whatever comes after the buffer."""
    if char == ord('"'):
        return buffer.find(b"\n", at) >= 0  # no string goes on in the next line
    return len(buffer) - at >= len("false")


def _end_of(pattern: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _parsed(line: int, text: bytes) -> Record:
    if len(text) > MAX_RECORD_BYTES:
        return Record(line, b"", None, f"it is longer than {MAX_RECORD_BYTES:,} bytes")
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Record(line, text, None, f"no JSON: {_in_file(str(error), line)}")
    if not isinstance(value, dict):
        return Record(line, text, None, "no JSON object")
    return Record(line, text, value)


def _in_file(error: str, line: int) -> str:
    """A parser's words, with the line of the file for that of the record."""
    return re.sub(r"\bline (\d+)", lambda match: f"line {line + int(match[1]) - 1}", error)


def plain(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Extended JSON v2, canonical or relaxed, as the JSON that the API speaks.

    ObjectIds and UUIDs become their usual text, dates RFC 3339 with milliseconds in UTC, numbers
    numbers, decimals text with all their digits, binary data base64.

    Raises:
        MalformedValueError: a value is malformed, or of a type that JSON has nothing for.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {
        name: plain(item) if isinstance(item, dict | list) else item for name, item in value.items()
    }
    kind = next(iter(converted), "")
    return _json_of(kind, converted) if kind.startswith("$") else converted


def _json_of(kind: str, value: dict[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - one per type
    try:
        match object_hook(value, _OPTIONS):
            case datetime() as moment:
                return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"
            case float() | str() as same:
                return same
            case int() as number:  # Int64 is one
                return int(number)
            case ObjectId() | UUID() | Decimal128() as named:
                return str(named)
            case Binary(subtype=4) as uuid:
                return str(uuid.as_uuid())
            case bytes() as data:
                return b64encode(data).decode()
            case dict() as unknown:
                return unknown
    except (ArithmeticError, AttributeError, BSONError, LookupError, TypeError, ValueError):
        raise MalformedValueError(f"a {kind} is malformed") from None
    raise MalformedValueError(f"a {kind} has no counterpart in JSON")
