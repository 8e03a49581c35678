"""Loads files of conversations into the table, many at a time, and says what became of each."""

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError

from domain.caller import WORKSPACE_ID, require_id
from domain.conversation import Conversation, Customer
from domain.errors import ConversationTooLargeError, StoreError
from ops.console.errors import explain
from ops.console.extended_json import MalformedValueError, plain
from ops.console.progress import Progressing, Stop
from ops.console.records import (
    STDIN,
    Record,
    UnreadableFileError,
    opened,
    read,
)
from ops.console.rejects import Rejects
from ops.tables.aws import THREADS
from ops.tables.conversations import BATCH_ITEMS, Written
from storage import layout

if TYPE_CHECKING:
    from ops.console.options import Tables
    from storage.layout import Item

Write = Callable[[Sequence["Item"]], Written]
"""Stores items of different keys, unless something newer is there."""

_BATCH_BYTES = 1_000_000  # with what waits for a thread, 24 MB of items at most
_WAITING_BATCHES = THREADS + 8
_SHOWN_REASONS = 3
_VARIABLE = re.compile(r"(?<=The conversation ).+(?= takes)|\d[\d,]*")  # in a reject's reason
_GO_ON = "The same command goes on from here."
_WITH_WORKSPACE = {"workspaceId", "conversation"}  # the names of a line of `export --all`
_NAMES = frozenset(known.alias or name for name, known in Conversation.model_fields.items())
_CUSTOMER_NAMES = frozenset(Customer.model_fields)


class UnloadableError(ValueError):
    """The record cannot be loaded as a conversation."""


class StrictError(Exception):
    """A record was rejected, and none may be."""


@dataclass
class Summary:
    """What became of a file's records.

    Attributes:
        late: how many of those loaded are older than what sync clients look at again.
        skipped: of which the same or a newer state was stored already.
        deleted: which have been deleted since.
        rejects: the file that holds the rejected ones; `None` if there are none.
        reasons: how often each reason of a reject occurred, whatever its numbers and ids were.
        left_out: how often each field was left out that conversations do not have.
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


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Loads files.

    Attributes:
        workspace_id: where to; `None` if each record names its workspace.
        write: stores the items; `None` stores nothing.
        literal: names such as `$oid` have no meaning.
        strict: stops at the first record that is rejected.
    """

    workspace_id: str | None
    write: Write | None
    literal: bool
    strict: bool

    def load_file(self, summary: Summary, stop: Stop) -> None:
        """Load the summary's file, or standard input, and keep the summary up to date.

        Raises:
            KeyboardInterrupt: the operator interrupts. Writes that have begun are finished.
            OSError: the file or the rejects file cannot be opened, read or written.
            StoreError: DynamoDB refuses; what it has not confirmed is not in the summary.
            StrictError: a record was rejected.
            UnreadableFileError: the rest of the file cannot be read; what came before is loaded.
        """
        with (
            opened(summary.file) as (stream, position),
            Progressing(summary.name, summary.size, "record") as progress,
            Rejects(Path(summary.name)) as rejects,
            _Writer(self.write, summary) as writer,
        ):
            for record in stop.between(read(stream)):
                try:
                    writer.add(self._item(record, summary.left_out))
                except UnloadableError as error:
                    rejects.add(record, str(error))
                    summary.rejected, summary.rejects = summary.rejected + 1, rejects.path
                    summary.reasons[_VARIABLE.sub("…", str(error))] += 1
                    if self.strict:
                        raise StrictError(f"line {record.line}: {error}") from None
                progress.update(summary.records, position())

    def _item(self, record: Record, left_out: Counter[str]) -> "Item":
        if record.value is None:
            raise UnloadableError(record.error)
        try:
            workspace_id, value = self._addressed(record.value, record.line)
            value = value if self.literal else plain(value)
            conversation = Conversation.model_validate(value)
            item = layout.pack(workspace_id, conversation)
        except ValidationError as error:
            raise UnloadableError(_reasons(error)) from None
        except (ConversationTooLargeError, MalformedValueError) as error:
            raise UnloadableError(str(error)) from None
        left_out.update(name for name in value if name not in _NAMES)
        customer = (name for name in value["customer"] if name not in _CUSTOMER_NAMES)
        left_out.update(f"customer.{name}" for name in customer)
        return item

    def _addressed(self, value: dict[str, Any], line: int) -> tuple[str, dict[str, Any]]:
        """The workspace that the record goes to, and the conversation in it."""
        if value.keys() != _WITH_WORKSPACE:
            if self.workspace_id is None:
                raise UnreadableFileError(f"line {line} names no workspace. Say --workspace ID")
            return self.workspace_id, value
        named, conversation = value["workspaceId"], value["conversation"]
        if self.workspace_id not in (None, named):
            raise UnloadableError("it is of another workspace than --workspace")
        if not isinstance(conversation, dict):
            raise UnloadableError("conversation is no JSON object")
        try:
            return require_id(named, WORKSPACE_ID), conversation
        except (TypeError, ValueError):
            raise UnloadableError("workspaceId is malformed") from None


def _reasons(error: ValidationError) -> str:
    """What is wrong with each field, without its value."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    reasons = [
        f"{_path(detail['loc'])} {_words(detail['type'], detail['msg'])}" for detail in details
    ]
    more = len(reasons) - _SHOWN_REASONS
    return "; ".join(reasons[:_SHOWN_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _words(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing"
    return message.removeprefix("Value error, ").replace("Input should", "should", 1)


class _Writer:
    """Writes items in batches, by many threads. The end of its `with` block waits for them.

    Two items of one key are never under way at once, so that the later one meets the earlier.
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
            # After Ctrl-C nothing is tried again: what DynamoDB throttles now stays undone.
            with suppress(StoreError) if kind else nullcontext():
                self._finish_all()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def add(self, item: "Item") -> None:
        if not self._write:
            self._summary.loaded += 1
            return
        key = layout.key_values(item)
        if key in self._keys:
            self._finish_all()
        self._batch[key] = item
        self._keys.add(key)
        self._bytes += layout.stored_bytes(item)
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


def load(
    files: Sequence[Path], loader: Loader, tables: "Tables", tell: Callable[[Summary], object]
) -> int:
    """Load the files, one after another, and tell of each.

    Returns:
        The exit code: 0; 1 if a record was rejected, or a file is damaged or empty; 2 if a file
        cannot be opened or DynamoDB refuses; 130 if the operator interrupts. After 2 and 130, the
        files that follow are not touched.
    """
    code = 0
    listener = Stop(tables.stop)
    with listener.listening():
        for path in files:
            summary, start = Summary(path), time.monotonic()
            try:
                loader.load_file(summary, listener)
                if not summary.records:
                    summary.problem = "It holds no records."
            except UnreadableFileError as error:
                what = "The rest" if summary.records else "It"
                summary.problem = f"{what} cannot be read: {error}."
            except StrictError as error:
                summary.problem = f"Stopped, as --strict asks, at {error}"
            except StoreError as error:
                message, hint = explain(error, tables)
                summary.problem, code = f"{message} {hint.capitalize()} {_GO_ON}", 2
            except OSError as error:
                summary.problem, code = f"{error.filename or path}: {error.strerror}.", 2
            except KeyboardInterrupt:
                summary.problem, code = f"Interrupted. {_GO_ON}", 130
            summary.seconds = round(time.monotonic() - start, 1)
            code = code or int(bool(summary.rejected or summary.problem))
            tell(summary)
            if code > 1 or (loader.strict and code):
                break
    return code
