"""Writes records in batches, from many threads, and keeps a summary of each file."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from console.files import STDIN
from console.tables.aws import THREADS
from console.tables.conversations import BATCH_ITEMS, Written
from domain.errors import StoreError
from storage.items import Item

Write = Callable[[Sequence[Item]], Written]
"""Stores items with different keys: `put_newer`, or `put` for `--overwrite`."""

_BATCH_BYTES = 1_000_000  # up to 24 batches are in progress or queued: about 24 MB
_WAITING_BATCHES = THREADS + 8


@dataclass
class Summary:
    """What became of a file's records.

    Attributes:
        late: how many of those loaded are too old for sync clients to notice.
        skipped: how many were stored already, in the same or a newer state.
        deleted: how many have been deleted since.
        rejects: the file that holds the rejected ones; `None` if there are none.
        reasons: the number of rejects for each reason, with its numbers and ids masked.
        left_out: how often each unknown field was dropped.
        problem: why the rest of the file could not be read or stored; empty if it could.
    """

    file: Path
    loaded: int = 0
    late: int = 0
    skipped: int = 0
    deleted: int = 0
    rejected: int = 0
    rejects: Path | None = None
    reasons: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    problem: str = ""
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The file's name as the operator reads it."""
        return "stdin" if self.file == STDIN else str(self.file)

    @property
    def size(self) -> int:
        """The file's size in bytes; 0 if it has none."""
        return 0 if self.file == STDIN else self.file.stat().st_size

    @property
    def records(self) -> int:
        """How many records have been dealt with."""
        return self.loaded + self.skipped + self.deleted + self.rejected


class Writer:
    """Writes items in batches, by many threads. The end of its `with` block waits for them.

    Two items with the same key are never written at the same time, so that the later one is
    compared with the earlier.
    """

    def __init__(self, write: Write | None, summary: Summary) -> None:
        self._write = write
        self._summary = summary
        self._batch: dict[tuple[str, str], Item] = {}
        self._bytes = 0
        self._waiting: deque[tuple[Future[Written], set[tuple[str, str]]]] = deque()
        self._keys: set[tuple[str, str]] = set()
        self._pool = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None
    ) -> None:
        if kind and issubclass(kind, StoreError):
            self._pool.shutdown(cancel_futures=True)
            return
        try:
            # After Ctrl-C nothing is tried again: what DynamoDB throttles now is not written.
            with suppress(StoreError) if kind is KeyboardInterrupt else nullcontext():
                self._finish_all()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, item: Item) -> None:
        if not self._write:
            self._summary.loaded += 1
            return
        key = item.key
        if key in self._keys:
            self._finish_all()
        self._batch[key] = item
        self._keys.add(key)
        self._bytes += len(item.document)
        if len(self._batch) == BATCH_ITEMS or self._bytes > _BATCH_BYTES:
            self._begin(self._write)

    def _begin(self, write: Write) -> None:
        self._waiting.append((self._pool.submit(write, [*self._batch.values()]), {*self._batch}))
        self._batch, self._bytes = {}, 0
        if len(self._waiting) > _WAITING_BATCHES:
            self._finish()

    def _finish(self) -> None:
        future, keys = self._waiting.popleft()
        written = future.result()
        self._summary.loaded += written.stored
        self._summary.late += written.late
        self._summary.deleted += written.deleted
        self._summary.skipped += len(keys) - written.stored - written.deleted
        self._keys -= keys

    def _finish_all(self) -> None:
        if self._batch and self._write:
            self._begin(self._write)
        while self._waiting:
            self._finish()
