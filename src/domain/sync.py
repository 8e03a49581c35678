"""Sync in rounds: each lists what has changed since shortly before the last one began."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from domain.timestamp import spell, to_instant

# How late DynamoDB's index, a writer or its clock may be without a change being missed.
_OVERLAP = timedelta(seconds=60)
# Tombstones live for 90 days. A round that began before this many have passed since the round
# before it has seen all of them.
_DAYS = 89
_FIRST_INSTANT = "0001-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Round:
    """A round of a client's sync.

    Attributes:
        lower: the instant from which on it lists; "" for a first round, which lists everything.
        day: when the round before it began, in UTC, such as `2024-12-01`; of a first round, when
            it began itself. From it the age of the client's copy is counted.
        start: the instant of its first request.

    Raises:
        ValueError: an attribute is malformed.
    """

    lower: str
    day: str
    start: str

    def __post_init__(self) -> None:
        for instant in (self.start, self.lower or self.start):
            if to_instant(instant) != instant:
                raise ValueError
        if date.fromisoformat(self.day).isoformat() != self.day:
            raise ValueError

    @classmethod
    def first(cls, now: str) -> "Round":
        """The round that fills a copy. `now` is an instant (`domain.timestamp.now`)."""
        return cls("", _earlier(now)[:10], now)

    def following(self, newest: str | None) -> tuple[str, str]:
        """The `lower` and `day` of the next round.

        Args:
            newest: the `updatedKey` of the last item that this round has listed, if any. One that
                begins with no instant, by another writer, counts as the start of this round.
        """
        lower = self.lower
        if newest is not None:
            lower = max(lower, _earlier(min(self.start, _instant_of(newest) or self.start)))
        return lower, _earlier(self.start)[:10]

    def is_expired(self, now: str) -> bool:
        """Whether tombstones may be gone that the client's copy has not seen."""
        return date.fromisoformat(now[:10]) - date.fromisoformat(self.day) >= timedelta(days=_DAYS)


def _earlier(instant: str) -> str:
    try:
        return spell(datetime.fromisoformat(instant).astimezone(UTC) - _OVERLAP)
    except OverflowError:
        return _FIRST_INSTANT


def _instant_of(updated_key: str) -> str | None:
    text = updated_key[:24]
    try:
        return text if to_instant(text) == text else None
    except ValueError:
        return None
