"""Files of records: JSON lines or an array, pretty or not, gzip or not."""

import gzip
import re
import sys
import zlib
from codecs import BOM_UTF8, getincrementaldecoder
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from decimal import Context, localcontext
from functools import partial
from io import BufferedIOBase, BufferedReader, RawIOBase
from itertools import chain
from json import JSONDecoder
from pathlib import Path
from typing import Any, cast

import ijson
from pydantic_core import from_json

STDIN = Path("-")
MAX_RECORD_BYTES = 16 * 1024 * 1024  # what a conversation's 3 MB can grow to in Extended JSON
REASON = b"# line "  # begins the line that a rejects file has above each record
_CHUNK = 1024 * 1024

_BINARY = re.compile(rb"\xff\xfe|\xfe\xff|[^\n]{0,7}[\x00-\x08\x0e-\x1f]")
_GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)
# ijson's C code crashes at over 4,300 digits. It only has to find where records end: cut numbers.
_LONG_NUMBER = re.compile(rb"([0-9]{20})[0-9]{80,}")
_GAP = re.compile(r"[\s,]*+")  # between two records
_LEVELS = {"start_map": 1, "start_array": 1, "end_map": -1, "end_array": -1}
_MAX_NESTING = 500  # pydantic's parser takes 200, and Python's about 1,000


class UnreadableFileError(Exception):
    """The file, or the rest of it, is not text that could hold records."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a file.

    Attributes:
        line: the number of its first line.
        text: its bytes in the file; empty if longer than `MAX_RECORD_BYTES`.
        value: the parsed object; `None` if there is none.
        error: why there is none.
    """

    line: int
    text: bytes
    value: dict[str, Any] | None
    error: str = ""


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedIOBase, Callable[[], int]]]:
    """The file's bytes, unpacked if necessary, and a function that counts the bytes read so far.

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
        except _GZIP_ERRORS:
            raise UnreadableFileError("its gzip data is damaged or cut off") from None


def _stdin() -> RawIOBase:
    """Standard input, unbuffered, so that each line is available at once."""
    return cast("RawIOBase", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


def read(stream: BufferedIOBase) -> Iterator[Record]:
    """The records of a file, one at a time, damaged ones included.

    A file that begins with `[` is an array. If the first line is only the start of an object, the
    file has objects that span lines. In a rejects file, the text below each reason is a record. In
    any other file, each line is a record.

    Raises:
        UnreadableFileError: it is not UTF-8 text; or an array, or an object that spans lines, is
            damaged or too long, so that nothing tells where the next record begins.
    """
    number, offset, first = _start(stream)
    if first.lstrip().startswith(b"["):
        before, bracket, rest = first.partition(b"[")
        return _spanning(chain([rest], _chunks(stream)), bracket, number, offset + len(before) + 1)
    if not first.endswith(b"\n"):
        first += stream.readline(MAX_RECORD_BYTES + 1 - len(first))
    if _BINARY.match(first):
        raise UnreadableFileError(
            "it is not UTF-8 text. Use mongoexport, or convert mongodump's output with bsondump"
        )
    head = [first]
    if _is_beginning(first):
        head.append(stream.readline(MAX_RECORD_BYTES + 1))
        if head[1] and not head[1].lstrip().startswith(b"{"):
            return _spanning(chain(head, _chunks(stream)), b"", number, offset)
    texts: Iterable[tuple[int, bytes]] = enumerate(_lines(head, stream), number)
    if first.startswith(REASON):
        texts = _below_reasons(texts)
    return _text_only(texts)


def _text_only(texts: Iterable[tuple[int, bytes]]) -> Iterator[Record]:
    """Parse each text as a record. Raises `UnreadableFileError` at two binary lines in a row."""
    binary = -1
    for line, text in texts:
        if _BINARY.match(text):
            if line == binary + 1:
                raise UnreadableFileError(f"it is not text from line {binary} on")
            binary = line
        if text := text.strip():
            yield _parsed(line, text)


def _start(stream: BufferedIOBase) -> tuple[int, int, bytes]:
    """The number of the first line that is not blank, the count of bytes before it, and its start.

    The count includes a byte order mark.
    """
    line = stream.readline(_CHUNK)
    first = line.removeprefix(BOM_UTF8)
    number, offset = 1, len(line) - len(first)
    while first.isspace():
        number += first.endswith(b"\n")
        offset += len(first)
        first = stream.readline(_CHUNK)
    return number, offset, first


def _is_beginning(line: bytes) -> bool:
    """Whether the line is the beginning of an object that may go on in the next line."""
    error = _parsed(0, line).error
    return "EOF" in error and "string" not in error  # a string cannot continue on the next line


def _lines(head: list[bytes], stream: BufferedIOBase) -> Iterator[bytes]:
    """The lines of head and stream. One that is too long is cut to one byte over the limit."""
    for line in chain(head, iter(partial(stream.readline, MAX_RECORD_BYTES + 1), b"")):
        yield line
        rest = line[MAX_RECORD_BYTES:]
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(_CHUNK)


def _below_reasons(lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """The text below each reason of a rejects file, with the number of its first line."""
    start, texts, size = 1, list[bytes](), 0
    for number, line in lines:
        if line.startswith(REASON):
            yield start, b"".join(texts)
            start, texts, size = number + 1, [], 0
        elif size <= MAX_RECORD_BYTES:
            texts.append(line)
            size += len(line)
    yield start, b"".join(texts)


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    """The rest of the stream in full chunks: ijson rescans a string for each piece of it."""
    pieces, size = list[bytes](), 0
    try:
        while piece := stream.read1(_CHUNK):
            pieces.append(piece)
            size += len(piece)
            if size >= _CHUNK:
                yield b"".join(pieces)
                pieces, size = [], 0
    except _GZIP_ERRORS:
        yield b"".join(pieces)
        raise
    yield b"".join(pieces)


def _spanning(chunks: Iterable[bytes], bracket: bytes, line: int, offset: int) -> Iterator[Record]:
    """The records of an array, after its bracket, or of objects that follow one another.

    ijson tells how many records a chunk completes, and `raw_decode` where each of them ends. This
    gives the original text of each record, which is then parsed like a line. `line` and `offset`
    say where the chunks begin in the file.
    """
    completed: list[str] = []
    collector = _collect(completed, depth=len(bracket))
    next(collector)
    parser = ijson.basic_parse_coro(collector, multiple_values=not bracket)
    if bracket:
        parser.send(bracket)
    decode = getincrementaldecoder("utf-8")("surrogateescape").decode
    texts, size, number = list[str](), 0, 1
    for chunk in chain(filter(None, chunks), [b""]):
        is_valid = _feed(parser, chunk)
        texts.append(decode(chunk))
        size += len(chunk)
        if is_valid and not completed and size <= MAX_RECORD_BYTES:
            continue
        text, at = "".join(texts), 0
        for start, end in _spans(text, len(completed)):
            line += text.count("\n", at, start)
            yield _parsed(line, _encoded(text[start:end]))
            line += text.count("\n", start, end)
            at = end
        number += len(completed)
        completed.clear()
        texts, rest = [text[at:]], _encoded(text[at:])
        offset, size = offset + size - len(rest), len(rest)
        if not is_valid or size > MAX_RECORD_BYTES:
            raise UnreadableFileError(
                f"record {number} (line {line}, byte {offset:,}) is damaged: "
                + _parsed(line, rest.lstrip(b",")).error
            )


def _collect(completed: list[str], depth: int) -> Generator[None, tuple[str, object], None]:
    """Collect the ijson events that complete a value at `depth`.

    Raises:
        ValueError: values are nested too deeply for Python's parsers.
    """
    level = 0
    while True:
        name, _ = yield
        level += _LEVELS.get(name, 0)
        if level > depth + _MAX_NESTING:
            raise ValueError
        if level == depth and name != "start_array":
            completed.append(name)


def _feed(parser: Generator[None, bytes, None], chunk: bytes) -> bool:
    """Whether the text is valid so far, or as a whole if the chunk is empty."""
    try:
        with localcontext(Context(traps=[])):  # else 1e9999999999999999999 raises
            if chunk:
                parser.send(_LONG_NUMBER.sub(rb"\1", chunk))
            else:
                parser.close()
    except (ijson.JSONError, ValueError):
        return False
    return True


def _spans(text: str, count: int) -> Iterator[tuple[int, int]]:
    """The start and end of each value at the beginning of the text."""
    decoder, end = JSONDecoder(parse_int=str), 0
    for _ in range(count):
        start = cast("re.Match[str]", _GAP.match(text, end)).end()
        _, end = decoder.raw_decode(text, start)
        yield start, end


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _parsed(line: int, text: bytes) -> Record:
    if len(text) > MAX_RECORD_BYTES:
        return Record(line, b"", None, f"it is longer than {MAX_RECORD_BYTES:,} bytes")
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Record(line, text, None, f"not JSON: {_in_file(str(error), line)}")
    if not isinstance(value, dict):
        return Record(line, text, None, "not a JSON object")
    return Record(line, text, value)


def _in_file(error: str, line: int) -> str:
    """A parser's message, with the line number in the file instead of that in the record."""
    return re.sub(r"\bline (\d+)", lambda match: f"line {line + int(match[1]) - 1}", error)
