"""The file, next to a source file, for records that could not be loaded."""

import os
from itertools import count
from pathlib import Path
from typing import IO, Self

from ops.console.records import REASON, Record


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
            self._file.close()

    def add(self, record: Record, reason: str) -> None:
        """Append the record below its reason.

        Raises:
            OSError: the file cannot be created or written.
        """
        if not self._file:
            self._file = self._create()
        self._file.write(b"%s%d: %s\n" % (REASON, record.line, " ".join(reason.split()).encode()))
        if record.text:
            indent = b" " if record.text.startswith(REASON) else b""  # else it would read as one
            self._file.write(indent + record.text + b"\n")

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
