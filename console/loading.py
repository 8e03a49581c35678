"""Loads files of conversations into the table in batches, and reports the results."""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from console.errors import INTERRUPTED, explain
from console.extended_json import MalformedValueError, plain
from console.files import UnreadableFileError, opened
from console.progress import Progressing, Stop
from console.records import Record, read
from console.rejects import Rejects
from console.writer import Summary, Write, Writer
from domain.caller import WORKSPACE_ID, require_id
from domain.conversation import Conversation, Customer
from domain.errors import ConversationTooLargeError, StoreError
from storage.items import Item, pack

if TYPE_CHECKING:
    from console.options import Tables

_SHOWN_REASONS = 3
# What differs between rejects for the same reason: the place, an id, a size.
_VARIABLE = re.compile(
    r"(?<=The conversation ).+(?= takes)|(?<= takes )[\d,]+"
    r"|(?<= line )\d+|(?<= column )\d+|(?<=\[)\d+(?=\])|(?<=; and )\d+(?= more$)"
)
_GO_ON = "Run the same command again to continue."
_WITH_WORKSPACE = {"workspaceId", "conversation"}  # the names of a line of `export --all`
_NAMES = frozenset(known.alias or name for name, known in Conversation.model_fields.items())
_CUSTOMER_NAMES = frozenset(Customer.model_fields)


class UnloadableError(ValueError):
    """The record cannot be loaded as a conversation."""


class UnaddressedError(UnloadableError):
    """The record does not name the workspace that it goes to."""


class NoWorkspaceError(Exception):
    """The file names no workspace, nor does the operator."""


class StrictError(Exception):
    """A record was rejected under `--strict`."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Loads files.

    Attributes:
        workspace_id: where to; `None` if each record names its workspace.
        write: stores the items; `None` stores nothing.
        literal: take names such as `$oid` literally.
        strict: stop at the first rejected record.
    """

    workspace_id: str | None
    write: Write | None
    literal: bool
    strict: bool

    def load_file(self, summary: Summary, stop: Stop) -> None:
        """Load the summary's file, or standard input, and keep the summary up to date.

        Raises:
            KeyboardInterrupt: the operator interrupts. Writes that have begun are finished.
            NoWorkspaceError: neither `workspace_id` nor the first record does.
            OSError: the file or the rejects file cannot be opened, read or written.
            StoreError: DynamoDB fails. The summary counts only confirmed writes.
            StrictError: a record was rejected.
            UnreadableFileError: the rest of the file cannot be read; what came before is loaded.
        """
        with (
            opened(summary.file) as (stream, position),
            Progressing(summary.name, summary.size, "record") as progress,
            Rejects(Path(summary.name)) as rejects,
            Writer(self.write, summary) as writer,
        ):
            knows_workspace = self.workspace_id is not None
            for record in stop.between(read(stream)):
                try:
                    writer.add(self._item(record, summary.left_out))
                    knows_workspace = True
                except UnloadableError as error:
                    if isinstance(error, UnaddressedError) and not knows_workspace:
                        raise NoWorkspaceError(f"Line {record.line} {error}.") from None
                    rejects.add(record, str(error))
                    summary.rejected, summary.rejects = summary.rejected + 1, rejects.path
                    summary.reasons[_VARIABLE.sub("…", str(error))] += 1
                    if self.strict:
                        raise StrictError(f"line {record.line}: {error}") from None
                progress.update(summary.records, position())

    def _item(self, record: Record, left_out: Counter[str]) -> Item:
        if record.value is None:
            raise UnloadableError(record.error)
        try:
            workspace_id, value = self._addressed(record.value)
            value = value if self.literal else plain(value)
            conversation = Conversation.model_validate(value)
            item = pack(workspace_id, conversation)
        except ValidationError as error:
            raise UnloadableError(_reasons(error)) from None
        except (ConversationTooLargeError, MalformedValueError) as error:
            raise UnloadableError(str(error)) from None
        left_out.update(name for name in value if name not in _NAMES)
        customer = (name for name in value["customer"] if name not in _CUSTOMER_NAMES)
        left_out.update(f"customer.{name}" for name in customer)
        return item

    def _addressed(self, value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """The workspace that the record goes to, and the conversation in it."""
        if value.keys() != _WITH_WORKSPACE:
            if self.workspace_id is None:
                raise UnaddressedError("names no workspace")
            return self.workspace_id, value
        named, conversation = value["workspaceId"], value["conversation"]
        if self.workspace_id not in (None, named):
            raise UnloadableError("it belongs to a different workspace from the one in --workspace")
        if not isinstance(conversation, dict):
            raise UnloadableError("conversation is not a JSON object")
        try:
            return require_id(named, WORKSPACE_ID), conversation
        except (TypeError, ValueError):
            raise UnloadableError("workspaceId is malformed") from None


def _reasons(error: ValidationError) -> str:
    """The error of each field, without its value."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    reasons = [
        f"{_path(detail['loc'])} {_words(detail['type'], detail['msg'])}" for detail in details
    ]
    more = len(reasons) - _SHOWN_REASONS
    return "; ".join(reasons[:_SHOWN_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _path(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".") or "the record"


def _words(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing"
    if kind == "model_type":  # whose message names a class
        return "should be an object"
    return re.sub(r"^(Value error, |(Input|String) (?=should))", "", message)


def load(
    files: Sequence[Path], loader: Loader, tables: "Tables", tell: Callable[[Summary], object]
) -> int:
    """Load the files, one after another, and report on each.

    Returns:
        The exit code: 0; 1 if a record was rejected, or a file is damaged or empty; 2 if a file
        cannot be opened or names no workspace, or DynamoDB refuses; 130 if the operator interrupts.
        After 2 and 130, the files that follow are not touched.
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
            except NoWorkspaceError as error:
                hint = "Use --workspace ID, or correct that line."
                summary.problem, code = f"{error} {hint}", 2
            except StrictError as error:
                summary.problem = f"Stopped because of --strict, at {error}"
            except StoreError as error:
                message, hint = explain(error, tables)
                summary.problem, code = f"{message} {hint[:1].upper()}{hint[1:]} {_GO_ON}", 2
            except OSError as error:
                summary.problem, code = f"{error.filename or path}: {error.strerror}.", 2
            except KeyboardInterrupt:
                summary.problem, code = f"Interrupted. {_GO_ON}", INTERRUPTED
            summary.seconds = round(time.monotonic() - start, 1)
            code = code or int(bool(summary.rejected or summary.problem))
            tell(summary)
            if code > 1 or (loader.strict and code):
                break
    return code
