"""Records in a stream: JSON lines, arrays, or objects that span lines."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BufferedIOBase
from itertools import chain, count
from json import JSONDecodeError, JSONDecoder
from typing import Any, cast

from pydantic_core import from_json

from console.files import UnreadableFileError
from storage.document import without_lone_surrogates

MAX_RECORD_BYTES = 16 * 1024 * 1024  # what a conversation's 3 MB can grow to in Extended JSON
REASON = b"# line "  # begins the line that a rejects file has above each record
_CHUNK = 1024 * 1024

_BINARY = re.compile(rb"[^\n]{0,7}[\x00-\x08\x0e-\x1f]")
# A byte order mark, or two characters as UTF-16 or UTF-32 spells ASCII (the second may be cut off).
_WIDE = re.compile(
    rb"\xff\xfe|(\0\0)?\xfe\xff"
    rb"|\0{1,3}(\n|[\t\r -~]\0{1,3}[\t\n\r -~])|[\t\r -~]\0{1,3}([\t\r -~]\0|\n|$)"
)
_SEQUENCE = b"\x1e"

_MARK = b"\xef\xbb\xbf"  # byte order mark; concatenated files have some within
_BEFORE = re.compile(rb"(?:[ \t\n\v\f\r]++|\xef\xbb\xbf)*+")
_GAP = re.compile("(?:[ \t\n\v\f\r,]++|\xef\xbb\xbf)*+")  # as Latin-1, between two records
_PAIR = 12  # characters of an escaped surrogate pair: no literal, and no exponent's sign, has more
# Finds where a value ends, and only that. So it keeps neither objects nor numbers, which can be
# large, and control characters in a string are left to the parser.
_DECODER = JSONDecoder(
    object_pairs_hook=len, parse_int=len, parse_float=len, parse_constant=len, strict=False
)

_POSITION = re.compile(r" at line (\d+) column (\d+)$")
_SHELL = re.compile(
    rb"(?:new )?(?:BinData|Binary|Code|DBRef|Date|Decimal128|Double|HexData|ISODate|Int32|Long"
    rb"|MaxKey|MinKey|Number(?:Decimal|Double|Int|Long)|ObjectId|RegExp|Timestamp|UUID)\b"
)


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


def read(stream: BufferedIOBase) -> Iterator[Record]:
    """The records of a file, one at a time, damaged ones included.

    A file that begins with `[` is an array. If the first line is only the start of an object, the
    file has objects that span lines. In a rejects file, the text below each reason is a record. In
    any other file, each line is a record.

    Raises:
        UnreadableFileError: it is not UTF-8 text; or an array, or an object that spans lines, is
            too long or damaged, so that nothing tells where the next record begins.
    """
    number, offset, first = _start(stream)
    if _WIDE.match(first):
        raise UnreadableFileError(
            "it is UTF-16 or UTF-32, not UTF-8. Convert it, for instance with iconv"
        )
    if first.startswith(b"["):
        return _Spanning(stream, first, number, offset).records()
    if not first.endswith(b"\n"):
        first += stream.readline(MAX_RECORD_BYTES + 1 - len(first))
    if first.startswith(_SEQUENCE):
        raise UnreadableFileError(
            "it is a JSON text sequence (RFC 7464). Remove the byte 1E before each record, for "
            "instance with tr -d '\\036'"
        )
    if _BINARY.match(first):
        raise UnreadableFileError(
            "it is not UTF-8 text. Use mongoexport, or convert mongodump's output with bsondump"
        )
    head = [first]
    if _is_beginning(first):
        head.append(stream.readline(MAX_RECORD_BYTES + 1))
        if head[1] and not _stripped(head[1]).startswith(b"{"):
            return _Spanning(stream, b"".join(head), number, offset).records()
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
        if text := _stripped(text):
            yield _parsed(line, text)


def _stripped(text: bytes) -> bytes:
    """The text without space around it and byte order marks before it."""
    return text[_before(text) :].rstrip()


def _before(text: bytes) -> int:
    return cast("re.Match[bytes]", _BEFORE.match(text)).end()


def _start(stream: BufferedIOBase) -> tuple[int, int, bytes]:
    """Skip blank lines and byte order marks.

    Returns:
        The line number of what follows, the count of bytes before it, and its line, which is cut
        after `_CHUNK` bytes.
    """
    number, offset = 1, 0
    while line := stream.readline(_CHUNK):
        first = _stripped(line)
        while first and _MARK.startswith(first) and not line.endswith(b"\n"):  # a mark that is cut
            if not (more := stream.readline(len(_MARK) - len(first))):
                break
            line += more
            first = _stripped(line)
        if first:
            before = _before(line)
            return number, offset + before, line[before:]
        number += line.endswith(b"\n")
        offset += len(line)
    return number, offset, b""


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


class _Spanning:
    """The records of arrays, and of objects that follow one another, in a stream.

    Holds a part of the stream as Latin-1, which has a character for each byte. If the part ends
    within a value, at least as much again is read: so no byte is scanned much more than twice.
    """

    def __init__(self, stream: BufferedIOBase, head: bytes, line: int, offset: int) -> None:
        """The head has been read from the stream; line and offset say where it begins."""
        self._stream = stream
        self._text = head.decode("latin-1")
        self._at = 0
        self._is_last = False  # nothing is left in the stream
        self._line = line
        self._offset = offset

    def records(self) -> Iterator[Record]:
        """Each record.

        Raises:
            UnreadableFileError: nothing tells where the next one begins.
        """
        is_array = False
        for number in count(1):
            while (character := self._next()) == ("]" if is_array else "["):
                is_array = not is_array
                self._take(self._at + 1)
            if not character and not is_array:
                return
            line, end = self._line, self._end(number)
            yield _parsed(line, self._take(end).encode("latin-1"))

    def _next(self) -> str:
        """Skip what separates values, and return the character after it: none at the end."""
        while True:
            self._take(cast("re.Match[str]", _GAP.match(self._text, self._at)).end())
            if self._is_last or len(self._text) - self._at >= len(_MARK):
                return self._text[self._at : self._at + 1]
            self._read_on()

    def _end(self, number: int) -> int:
        """Where the value that begins here ends. It is the record with this number."""
        while True:
            try:
                _, end = _DECODER.raw_decode(self._text, self._at)
                is_cut = end > len(self._text) - _PAIR and self._text[self._at] not in "{["
            except JSONDecodeError as error:
                end = 0
                is_unterminated = error.msg.startswith("Unterminated string")
                is_cut = is_unterminated or error.pos >= len(self._text) - _PAIR
            except RecursionError:
                end, is_cut = 0, False
            size = (end or len(self._text)) - self._at
            if size > MAX_RECORD_BYTES and (end or is_cut):
                raise self._damage(number, size)
            if self._is_last or not is_cut:
                if end:
                    return end
                raise self._damage(number, MAX_RECORD_BYTES)
            self._read_on()

    def _damage(self, number: int, size: int) -> UnreadableFileError:
        """The error that the parser finds in the next `size` bytes."""
        rest = self._text[self._at : self._at + size].encode("latin-1")
        return UnreadableFileError(
            f"record {number} (line {self._line}, byte {self._offset:,}) is damaged: "
            + _parsed(self._line, rest).error
        )

    def _take(self, end: int) -> str:
        taken = self._text[self._at : end]
        self._line += taken.count("\n")
        self._offset += len(taken)
        self._at = end
        return taken

    def _read_on(self) -> None:
        held = self._text[self._at :]
        more = self._stream.read(max(_CHUNK, len(held)))
        self._is_last = not more
        self._text, self._at = held + more.decode("latin-1"), 0


def _parsed(line: int, text: bytes) -> Record:
    if len(text) > MAX_RECORD_BYTES:
        return Record(line, b"", None, f"it is longer than {MAX_RECORD_BYTES:,} bytes")
    try:
        value = _value(text)
    except ValueError as error:
        return Record(line, text, None, _reason(str(error), text, line))
    if not isinstance(value, dict):
        return Record(line, text, None, "not a JSON object")
    return Record(line, text, value)


def _value(text: bytes) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        replaced = without_lone_surrogates(text.decode("latin-1")).encode("latin-1")
        return from_json(replaced, allow_inf_nan=False)


def _reason(error: str, text: bytes, line: int) -> str:
    """The parser's message, with the line number in the file instead of that in the record."""
    found = _POSITION.search(error)
    if not found:
        return f"not JSON: {error}"
    row, column = int(found[1]), int(found[2])
    message, where = error[: found.start()], f"line {line + row - 1} column {column}"
    if message == "invalid unicode code point":
        return f"not UTF-8, perhaps Latin-1 or Windows-1252, at {where}"
    at = text.split(b"\n", row)[row - 1]
    # The parser says where a value begins, or for an n, which could be null, what follows it.
    if shell := _SHELL.match(at, max(0, column - 1 - (message == "expected ident"))):
        return f"not JSON but mongo shell syntax ({shell[0].decode()}) at {where}; use mongoexport"
    return f"not JSON: {message} at {where}"
