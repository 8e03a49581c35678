"""Erases a user: API keys, and every item in every workspace."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from console.deleting import UNNOTICED, Deleter
from console.errors import counted, explain, show_error, warn
from console.options import item_argument
from console.scan import scan
from console.tables.conversations import BATCH_ITEMS
from console.tables.reading import has_ids
from console.terminal import tell
from domain.api_key import ApiKey
from domain.errors import StoreError
from storage.items import STATES, Item

_PATIENCE_SECONDS = 1.0  # after a failure: DynamoDB has failed for five minutes, or it refuses


def erase(deleter: Deleter, user: str) -> None:
    """Remove everything of a user in every workspace, without leaving tombstones.

    What cannot be removed does not keep the rest. It is named at the end, and the exit code is 1.
    """
    erasure = _Erasure(deleter, user)
    keys = [key for key in deleter.tables.issued_keys() if key.user_id == user]
    items = erasure.scan()
    for key in keys:
        tell(f"API key {key.key_id}, workspaces {', '.join(sorted(key.workspace_ids))}", err=True)
    for workspace, count in sorted(Counter(item.workspace_id for item in items).items()):
        tell(f"{counted(count, 'item')} in workspace {workspace}", err=True)
    if keys or items:
        warn(UNNOTICED)
        deleter.confirm()
    erasure.remove_keys(keys)  # first, so that nobody can read the rest any more
    erasure.remove_items(items)
    erasure.show_what_is_left()
    counts = {"keys": erasure.removed_keys, "items": erasure.removed_items}
    what = f"{counted(counts['keys'], 'API key')} and {counted(counts['items'], 'item')}"
    complete = not (erasure.left or erasure.unclear)
    deleter.report(f"Erased {what} of user {user}.", counts, complete=complete)


@dataclass
class _Erasure:
    """Removes what it can, and keeps account.

    Attributes:
        left: what could not be removed, each with the error.
        unclear: items whose malformed keys do not say whether they are the user's.
    """

    deleter: Deleter
    user: str
    removed_keys: int = 0
    removed_items: int = 0
    left: dict[str, StoreError] = field(default_factory=dict)
    unclear: list[Item] = field(default_factory=list)

    def scan(self) -> list[Item]:
        """The user's items in the table. Notes the unclear ones."""
        items: list[Item] = []
        self.unclear = []
        for item in scan(self.deleter.tables, STATES, self.deleter.read_units):
            if item.user_id == self.user:
                items.append(item)
            elif self.user in item.partition_key.split("#") and not has_ids(item):
                self.unclear.append(item)
        return items

    def remove_keys(self, keys: Sequence[ApiKey]) -> None:
        for key in keys:
            try:
                self.deleter.tables.api_keys.delete(key.key_hash)
                self.removed_keys += 1
            except StoreError as error:
                self.left[f"API key {key.key_id}"] = error

    def remove_items(self, items: Sequence[Item]) -> None:
        """Remove items by their literal keys, and scan again until none is left to be tried."""
        while items:
            for start in range(0, len(items), BATCH_ITEMS):
                self._remove_batch(items[start : start + BATCH_ITEMS])
            try:
                items = [item for item in self.scan() if item_argument(item) not in self.left]
            except StoreError as error:
                self.left["what may have been written meanwhile"] = error
                return

    def _remove_batch(self, items: Sequence[Item]) -> None:
        """Remove items in one request; if that fails, one by one."""
        if self._purge(items, _PATIENCE_SECONDS if self.left else None) is None:
            return
        for item in items:
            if error := self._purge([item], _PATIENCE_SECONDS):
                self.left[item_argument(item)] = error

    def _purge(self, items: Sequence[Item], patience: float | None) -> StoreError | None:
        try:
            self.deleter.tables.conversations.purge(items, patience)
        except StoreError as error:
            return error
        self.removed_items += len(items)
        return None

    def show_what_is_left(self) -> None:
        for name, error in self.left.items():
            show_error(f"Not removed: {name} ({error.reason}).")
        for error in {error.reason: error for error in self.left.values()}.values():
            show_error(*explain(error, self.deleter.tables))
        for item in self.unclear:
            show_error(
                f"An item with a malformed key may be the user's: {item_argument(item)}",
                "if it is, use this option of: conversations delete --purge",
            )
