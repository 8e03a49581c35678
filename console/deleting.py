"""Removes conversations and tombstones, after showing how many and asking."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import typer

from console.errors import INTERRUPTED, NOTHING_MATCHED, counted, fail, warn
from console.options import Tables
from console.scan import scan
from console.tables.aws import THREADS
from console.terminal import show, tell
from domain.errors import UnreadableConversationError
from domain.timestamp import to_instant
from storage.items import STATES, Item

_AT_ONCE = 1000  # tombstones that wait for a thread
UNNOTICED = "clients that sync will not notice, and will keep their copies."


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

    def find_at(self, items: Sequence[Item]) -> list[Item]:
        """What is stored at the keys of these items."""
        found: list[Item] = []
        for item in {item.key: item for item in items}.values():
            if stored := self.tables.conversations.state(item):
                found.append(stored)
            else:
                warn(f"there is no item {json.dumps(item.key)}.")
        return found

    def find(self, workspace: str, user: str, *, purge: bool, tombstones: bool) -> list[Item]:
        """The user's items in the workspace that `purge` and `tombstones` select."""
        return [
            item
            for item in self.tables.conversations.states(workspace, user)
            if item.is_deleted == tombstones or (purge and not tombstones)
        ]

    def remove(self, items: Sequence[Item], whose: str, *, purge: bool, tombstones: bool) -> None:
        """Bury or purge items.

        Args:
            whose: describes them.
        """
        table = self.tables.conversations
        tell(f"{_counted(items)} {whose}{_period(items)}", err=True)
        if items:
            if purge:
                warn(UNNOTICED)
            self.confirm()
        if purge and not tombstones:
            table.purge(items)
        else:
            _each(table.purge_tombstone if purge else table.delete, items)
        kept, gone = _count(items)
        text = f"{'Purged' if purge else 'Deleted'} {_counted(items)}."
        self.report(text, {"conversations": kept, "tombstones": gone})

    def purge_all_tombstones(self) -> None:
        """Remove the tombstones of all users in all workspaces."""
        found = (item for item in scan(self.tables, STATES, self.read_units) if item.is_deleted)
        warn(
            "this removes all tombstones: clients that have not synced a deletion yet must list "
            "everything again."
        )
        self.confirm()
        count = 0
        while batch := [*islice(found, _AT_ONCE)]:
            _each(self.tables.conversations.purge_tombstone, batch)
            count += len(batch)
        self.report(f"Purged {counted(count, 'tombstone')}.", {"tombstones": count})

    def confirm(self) -> None:
        """Ask. Ends the command unless the operator agrees."""
        try:
            if self.yes or typer.confirm("Delete them for good?", err=True):
                return
        except typer.Abort as abort:
            tell(err=True)
            if isinstance(abort.__context__, KeyboardInterrupt):
                raise typer.Exit(INTERRUPTED) from None
            fail("Nobody confirmed, so nothing was deleted.", "use --yes to skip the question.")
        tell("Nothing was deleted.", err=True)
        raise typer.Exit(1)

    def report(self, text: str, counts: dict[str, int], *, complete: bool = True) -> None:
        """Print what was done, and end the command unless that is complete and not nothing."""
        show(json.dumps(counts) if self.as_json else text)
        if self.tables.malformed_keys:  # only an erasure reads keys
            fail(
                "A malformed API key may be the user's.",
                "see docs/operate.md, “A malformed key”.",
                1,
            )
        if not complete:
            raise typer.Exit(1)
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
            tell(f"{item.id}, created {item.created_at}{state}", err=True)
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


def _period(items: Sequence[Item]) -> str:
    if not items:
        return ""
    return f", created from {items[0].created_at[:10]} to {items[-1].created_at[:10]}"
