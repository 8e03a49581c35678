"""Removes conversations, tombstones and API keys, after showing how many and asking."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import typer

from domain.errors import UnreadableConversationError
from domain.timestamp import to_instant
from ops.console.errors import INTERRUPTED, NOTHING_MATCHED, counted, fail, warn
from ops.console.options import Tables
from ops.console.scan import scan
from ops.tables.aws import THREADS
from storage.items import STATES, Item

_AT_ONCE = 1000  # tombstones that wait for a thread
_UNNOTICED = "clients that sync will not notice, and will keep their copies."


@dataclass(frozen=True, kw_only=True)
class Deleter:
    """Shows what will be deleted, asks, and deletes it.

    Ends the command with exit code 3 if nothing matched.

    Attributes:
        read_units: the most that a scan uses per second.
        yes: do not ask.
        as_json: print the counts as JSON.
    """

    tables: Tables
    read_units: int
    yes: bool
    as_json: bool

    def find(self, workspace: str, user: str, *, purge: bool, tombstones: bool) -> list[Item]:
        """The user's items in the workspace that `purge` and `tombstones` select."""
        return [
            item
            for item in self.tables.conversations.states(workspace, user)
            if item.is_deleted == tombstones or (purge and not tombstones)
        ]

    def remove(
        self, workspace: str, user: str, items: Sequence[Item], *, purge: bool, tombstones: bool
    ) -> None:
        """Bury or purge a user's items in a workspace."""
        table = self.tables.conversations
        typer.echo(_intention(workspace, user, items), err=True)
        if items:
            if purge:
                warn(_UNNOTICED)
            self._confirm()
        if purge and not tombstones:
            table.purge(items)
        else:
            _each(table.purge_tombstone if purge else table.delete, items)
        kept, gone = _count(items)
        text = f"{'Purged' if purge else 'Deleted'} {_counted(items)}."
        self._report(text, {"conversations": kept, "tombstones": gone})

    def erase(self, user: str) -> None:
        """Remove everything of a user in every workspace, without leaving tombstones."""
        table = self.tables.conversations
        keys = [key for key in self.tables.issued_keys() if key.user_id == user]
        found = scan(self.tables, STATES, self.read_units)
        counts = Counter(item.workspace_id for item in found if item.user_id == user)
        for key in keys:
            workspaces = ", ".join(sorted(key.workspace_ids))
            typer.echo(f"API key {key.key_id}, workspaces {workspaces}", err=True)
        for workspace, count in sorted(counts.items()):
            typer.echo(f"{counted(count, 'item')} in workspace {workspace}", err=True)
        if keys or counts:
            warn(_UNNOTICED)
            self._confirm()
        for key in keys:  # first, so that nobody can read the rest any more
            self.tables.api_keys.delete(key.key_hash)
        removed = 0
        for workspace in counts:
            # Repeat, to remove what is written meanwhile.
            while items := list(table.states(workspace, user)):
                table.purge(items)
                removed += len(items)
        what = f"{counted(len(keys), 'API key')} and {counted(removed, 'item')}"
        self._report(f"Erased {what} of user {user}.", {"keys": len(keys), "items": removed})

    def purge_all_tombstones(self) -> None:
        """Remove the tombstones of all users in all workspaces."""
        found = (item for item in scan(self.tables, STATES, self.read_units) if item.is_deleted)
        warn(
            "this removes all tombstones: clients that have not synced a deletion yet must list "
            "everything again."
        )
        self._confirm()
        count = 0
        while batch := [*islice(found, _AT_ONCE)]:
            _each(self.tables.conversations.purge_tombstone, batch)
            count += len(batch)
        self._report(f"Purged {counted(count, 'tombstone')}.", {"tombstones": count})

    def _confirm(self) -> None:
        try:
            if self.yes or typer.confirm("Delete them for good?", err=True):
                return
        except typer.Abort as abort:
            typer.echo(err=True)
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            fail("Nobody confirmed, so nothing was deleted.", "use --yes to skip the question.")
        typer.echo("Nothing was deleted.", err=True)
        raise typer.Exit(1)

    def _report(self, text: str, counts: dict[str, int]) -> None:
        print(json.dumps(counts) if self.as_json else text)
        if self.tables.malformed_keys:  # only `erase` reads keys
            fail(
                "A malformed API key may be the user's.",
                "see docs/operate.md, “A malformed key”.",
                1,
            )
        if not any(counts.values()):
            raise typer.Exit(NOTHING_MATCHED)


def _each(remove: Callable[[Item], None], items: Iterable[Item]) -> None:
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(remove, items):
                pass
    except UnreadableConversationError as error:
        fail(str(error), "remove it with --purge.")


def versions(
    items: Sequence[Item], ids: Sequence[str], created_at: str, *, all_versions: bool, purge: bool
) -> list[Item]:
    """The items with these ids. Ends the command if it is unclear which are meant."""
    found = [item for item in items if item.id in ids]
    for absent in set(ids).difference(item.id for item in found):
        warn(f"there is no conversation {absent}.")
    counts = Counter(item.id for item in found)
    several = [item for item in found if counts[item.id] > 1]
    if created_at and not (len(ids) == 1 and not all_versions):
        fail("--created-at needs exactly one --id, and cannot be combined with --all-versions.")
    if created_at and several and not purge:
        fail(
            "A tombstone would make sync clients drop the other conversation with this id too.",
            "add --purge, which leaves no tombstone.",
        )
    if created_at:
        try:
            start = f"{to_instant(created_at)}#"
        except ValueError:
            fail("--created-at is not a timestamp.", "use 2024-12-01T08:45:00Z, for example.")
        return [item for item in found if item.sort_key.startswith(start)]
    if several and not all_versions:
        for item in several:
            state = ", deleted" if item.is_deleted else ""
            typer.echo(f"{item.id}, created {item.created_at}{state}", err=True)
        fail("Which of them?", "use --created-at TIME with --purge, or --all-versions.")
    return found


def _count(items: Sequence[Item]) -> tuple[int, int]:
    """How many items are conversations, and how many are tombstones."""
    tombstones = sum(item.is_deleted for item in items)
    return len(items) - tombstones, tombstones


def _counted(items: Sequence[Item]) -> str:
    conversations, tombstones = _count(items)
    nouns = [counted(conversations, "conversation")] if conversations or not tombstones else []
    return " and ".join(nouns + ([counted(tombstones, "tombstone")] if tombstones else []))


def _intention(workspace: str, user: str, items: Sequence[Item]) -> str:
    text = f"{_counted(items)} of user {user} in workspace {workspace}"
    if items:
        text += f", created from {items[0].created_at[:10]} to {items[-1].created_at[:10]}"
    return text
