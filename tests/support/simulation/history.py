"""The model: what the contract says of lists, keys and copies, given all that was in the store."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from tests.support.simulation.dynamodb import (
    Item,
    Key,
    Version,
    VirtualDynamoDB,
    millisecond_of,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Question = Mapping[str, str]
"""Query parameters."""
OVERLAP = 60_000  # milliseconds; sync clients look back so far
DAY = 24 * 60 * 60_000


def agrees(item: Item | None, question: Question) -> bool:
    """Whether a state of a conversation is among those that are asked for."""
    if item is None or ("deletedAt" in item and question.get("deleted") != "include"):
        return False
    for name in ("agentId", "pathwayId"):
        if name in question and item[name]["S"] != question[name]:
            return False
    for name, key in (("createdAt", "sk"), ("updatedAt", "updatedKey")):
        at = item[key]["S"][:24]
        if not question.get(f"{name}Ge", "") <= at < question.get(f"{name}Lt", "~"):
            return False
    return True


def shown(item: Item, messages: str = "all") -> str:
    """What a client sees of a state, as JSON."""
    if "document" not in item:
        at = item["deletedAt"]["S"]
        return json.dumps({"_id": item["sk"]["S"][25:], "updatedAt": at, "deletedAt": at})
    document = item["document"]
    seen = json.loads(_text(document["B"]) if "B" in document else document["S"])
    if messages != "all":
        seen["messages"] = seen["messages"][-1:] if messages == "last" else []
    return json.dumps(seen)


@lru_cache(10_000)
def _text(frame: bytes) -> bytes:
    return zstd.decompress(frame)


def changed(question: Question, change: tuple[str, str]) -> Question:
    """The question with another value of a parameter, or without it where it has that value."""
    name, value = change
    if question.get(name) == value:
        return {other: question[other] for other in question if other != name}
    return {**question, name: value}


def meaning(question: Question) -> Question:
    """The question with its defaults, and without what may change from page to page."""
    defaults = {"sort": "-createdAt", "deleted": "exclude"}
    return {name: v for name, v in {**defaults, **question}.items() if name != "messages"}


@dataclass
class Issued:
    """A key as the model knows it: since when it has had which grants, and when it ends."""

    user: str
    grants: list[tuple[int, frozenset[str]]]
    end: float = math.inf

    def held(self, since: int, until: int) -> list[frozenset[str]]:
        """All grants that it had at some time between two milliseconds."""
        ends = [*(begin for begin, _ in self.grants[1:]), math.inf]
        held = [
            granted
            for (begin, granted), end in zip(self.grants, ends, strict=True)
            if begin <= until and since < min(end, self.end)
        ]
        return held + [frozenset()] * (self.end <= until)


@dataclass
class Walk:
    """The pages of one question, as far as they have been read.

    Attributes:
        began: the millisecond before the first of them was asked for.
        seen: the sort keys of the items in them.
        last: the position of the last one.
        pages: how many have been read.
    """

    partition: str
    question: Question
    began: int
    seen: set[str] = field(default_factory=set)
    last: Key = ()
    pages: int = 0

    def take(self, store: VirtualDynamoDB, listed: list[Any], asked: int, *, more: bool) -> None:
        """Check a page of the walk that was asked for at some millisecond, and arrived now.

        Args:
            more: whether it says that another one follows.
        """
        question = self.question
        backwards = question.get("sort", "-createdAt").startswith("-")
        states = dict(self._states(store, asked))
        places = {
            shown(item, question.get("messages", "all")): self._place(item)
            for versions in states.values()
            for item in versions
            if item is not None and agrees(item, question)
        }
        page = []
        for conversation in listed:
            text = json.dumps(conversation)
            assert text in places, f"nobody stored this, or not there, or not then: {text}"
            page.append(places[text])
        ordered = [*([self.last] if self.last else []), *page]
        expected = sorted(set(ordered), reverse=backwards)
        assert ordered == expected, f"out of order, or twice: {ordered}"
        inside = [*page, *([] if more else [() if backwards else ("~",)])]
        if not self.pages:
            inside.insert(0, ("~",) if backwards else ())
        if len(inside) > 1:
            start, end = min(inside), max(inside)
            for versions in states.values():
                there = {self._place(item) for item in versions if item is not None}
                if len(there) == 1 and all(agrees(item, question) for item in versions):
                    (place,) = there
                    assert place in page or not start < place < end, f"{place} is left out"
        self.pages += 1
        self.last = page[-1] if page else self.last
        self.seen.update(place[-1] for place in page)
        if not more:
            self._end(store)

    def _end(self, store: VirtualDynamoDB) -> None:
        """Check that all that was there throughout the walk has been seen."""
        question = self.question
        if question.get("sort") == "-updatedAt" and self.began < store.clock:
            return  # what changes meanwhile comes before the pages that are still to be read
        if question.get("sort") == "updatedAt" and "updatedAtLt" in question:
            return  # what changes meanwhile leaves the range
        for key, versions in self._states(store, self.began):
            places = [self._place(item) for item in versions if item is not None]
            goes_back = self._in_index and places != sorted(places)  # purged, and written late
            if all(agrees(item, question) for item in versions) and not goes_back:
                assert key[1] in self.seen, f"{key[1]} was there throughout, and was never listed"

    def _states(
        self, store: VirtualDynamoDB, since: int
    ) -> Iterator[tuple[Key, list[Item | None]]]:
        """For each key of the partition, what was there from a millisecond on until now."""
        in_index = self._in_index
        for key, versions in store.history.items():
            if key[0] == self.partition:
                yield key, states(versions, since, store.clock, in_index=in_index)

    @property
    def _in_index(self) -> bool:
        return "updatedAt" in self.question.get("sort", "")

    def _place(self, item: Item) -> Key:
        names = ("updatedKey", "sk") if self._in_index else ("sk",)
        return tuple(item[name]["S"] for name in names)


def states(
    versions: list[Version], since: int, until: int, *, in_index: bool = False
) -> list[Item | None]:
    """What has been at a key between two milliseconds, `None` for nothing."""
    found: list[Item | None] = []
    begins: list[int] = [version.shown if in_index else version.written for version in versions]
    if not begins or begins[0] > since:
        found.append(None)
    ends = [*begins[1:], until + 1][: len(begins)]
    for version, begin, end in zip(versions, begins, ends, strict=True):
        if begin <= until and end > since and end > begin:
            found.append(version.item)
    return found


def live(store: VirtualDynamoDB, partition: str) -> dict[str, Any]:
    """The conversations of a partition by id, as a client sees them."""
    found = (store.at(key) for key in store.history if key[0] == partition)
    texts = [shown(item) for item in found if item and "deletedAt" not in item]
    return {conversation["_id"]: conversation for conversation in map(json.loads, texts)}


def is_unheard_of(versions: Sequence[Version], since: int) -> bool:
    """Whether something happened at a key that sync clients can see in a whole list only.

    Args:
        since: the millisecond at which the last whole list began.
    """
    for before, version in zip([None, *versions], versions, strict=False):
        if version.shown <= since:
            continue
        if version.item is None:
            expired = (
                before is not None
                and before.item is not None
                and "deletedAt" in before.item
                and version.written - before.shown > 80 * DAY
            )
            if not expired:
                return True
        elif version.shown - millisecond_of(version.item["updatedKey"]["S"][:24]) > OVERLAP:
            return True
    return False
