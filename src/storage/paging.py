"""Where a page begins, and what its `Link` header continues with: lists, and rounds of sync."""

from dataclasses import replace

from domain.errors import RequestError
from domain.query import ConversationQuery, Position
from domain.sync import Round
from storage import cursor
from storage.conversations import Page
from storage.items import Partition


class Listing:
    """A list, page by page.

    Attributes:
        query: what to read.
        after: the position after which the page begins; `None` for the first.

    Raises:
        RequestError: `invalid_cursor`.
    """

    def __init__(self, partition: Partition, query: ConversationQuery) -> None:
        self.query = query
        self.after = cursor.position_of(partition, query)
        self._partition = partition

    def following(self, page: Page) -> tuple[str, str] | None:
        """The relation and cursor of the `Link` header; `None` if nothing follows the page."""
        if page.next is None:
            return None
        return "next", cursor.encode(page.next, self._partition, self.query)


class SyncRound:
    """A round of sync, page by page. What follows it is the next round.

    Attributes: as of `Listing`.

    Args:
        place: stands for the table; no cursor made in one place is valid in another.
        now: the instant of the request.

    Raises:
        RequestError: `invalid_cursor`. `sync_expired`: the cursor was made in another place, or so
            long ago that a deletion could be missed.
    """

    def __init__(
        self, partition: Partition, query: ConversationQuery, *, place: str, now: str
    ) -> None:
        self._partition, self._asked, self._place = partition, query, place
        self._round, self.after = self._resume(now)
        self.query = replace(query, updated_at_ge=self._round.lower or None)

    def _resume(self, now: str) -> tuple[Round, Position | None]:
        if self._asked.cursor is None:
            return Round.first(now), None
        after = None
        try:
            match cursor.texts_of(self._partition, self._asked):
                case place, lower, day:
                    current = Round(lower, day, start=now)
                case place, lower, day, start, updated_key, sort_key if lower <= updated_key:
                    current, after = Round(lower, day, start), (updated_key, sort_key)
                case _:
                    raise RequestError("invalid_cursor")
        except ValueError:
            raise RequestError("invalid_cursor") from None
        if place != self._place or current.is_expired(now):
            raise RequestError("sync_expired")
        return current, after

    def following(self, page: Page) -> tuple[str, str]:
        """The relation and cursor of the `Link` header."""
        current = self._round
        if page.next is not None:
            relation = "next"
            texts = (self._place, current.lower, current.day, current.start, *page.next)
        else:
            relation = "monitor"
            last = page.positions[-1] if page.positions else self.after
            texts = (self._place, *current.following(last[0] if last else None))
        return relation, cursor.encode(texts, self._partition, self._asked)
