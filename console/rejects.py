"""The file, next to a source file, for records that could not be loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import IO, Self

from console.records import REASON, Record


class Rejects:
    """A rejects file, created with the first record.

    It has each record unchanged, below a line with the reason, which `records.read` skips. Only
    its owner may read it. An existing rejects file is never touched, because someone may have
    corrected it by hand.

    Attributes:
        path: the file; `None` while nothing is rejected.
    """

    def __init__(self, source: Path) -> None:
        self.path: Path | None = None
        self._source = source
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            with self._named():
                self._file.close()

    def add(self, record: Record, reason: str) -> None:
        """Append the record below its reason.

        Raises:
            OSError: the file cannot be created or written.
        """
        if not self._file:
            self._file = self._create()
        text = b"%s%d: %s\n" % (REASON, record.line, " ".join(reason.split()).encode())
        if record.text:
            indent = b" " if record.text.startswith(REASON) else b""  # else it would read as one
            text += indent + record.text + b"\n"
        with self._named():
            self._file.write(text)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Add the file's name to an error of writing, which has none."""
        try:
            yield
        except OSError as error:
            said = f"{error.strerror}; some rejected records are missing"
            raise OSError(error.errno, said, str(self.path)) from None

    def _create(self) -> IO[bytes]:
        for number in count(1):
            suffix = ".rejects" if number == 1 else f".rejects-{number}"
            path = self._source.with_name(self._source.name + suffix)
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            self.path = path
            return os.fdopen(descriptor, "wb")
        raise AssertionError
