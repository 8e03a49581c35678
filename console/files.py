"""Opens files, gzip or not, and standard input."""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BufferedIOBase, BufferedReader, RawIOBase
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STDIN = Path("-")
_BUFFER = 1024 * 1024
_GZIP_ERRORS = (EOFError, gzip.BadGzipFile, zlib.error)


class UnreadableFileError(Exception):
    """The file, or the rest of it, is not text that could hold records."""


class _Unpacked(RawIOBase):
    """What gzip data holds. Damage ends it.

    Attributes:
        damage: what ended it; empty if that was its end.
    """

    def __init__(self, packed: BufferedIOBase) -> None:
        self.damage = ""
        self._file = gzip.GzipFile(fileobj=packed)
        self._is_begun = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer)
        try:
            piece = b"" if self.damage else self._file.read1(len(view))
        except _GZIP_ERRORS as error:
            is_other = self._is_begun and str(error).startswith("Not a gzipped file")
            self.damage = (
                "other bytes follow its gzip data"
                if is_other
                else "its gzip data is damaged or cut off"
            )
            return 0
        self._is_begun = True
        view[: len(piece)] = piece
        return len(piece)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BufferedIOBase, Callable[[], int]]]:
    """The file's bytes, unpacked if necessary, and a function that counts the bytes read so far.

    Raises:
        UnreadableFileError: after everything that can be unpacked: the rest of it is damaged, cut
            off, or no gzip.
    """
    with nullcontext(_stdin()) if path == STDIN else path.open("rb", buffering=0) as file:
        buffered = BufferedReader(file, _BUFFER)
        position = file.tell if file.seekable() else lambda: 0
        if not buffered.peek(2).startswith(b"\x1f\x8b"):
            yield buffered, position
            return
        unpacked = _Unpacked(buffered)
        try:
            yield BufferedReader(unpacked, _BUFFER), position
        except UnreadableFileError:
            if not unpacked.damage:
                raise
        if unpacked.damage:
            raise UnreadableFileError(unpacked.damage)


def _stdin() -> RawIOBase:
    """Standard input, unbuffered, so that each line is available at once."""
    return cast("RawIOBase", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
