"""How many reads a page takes, whatever lies between its conversations."""

from bisect import bisect_right
from itertools import repeat
from typing import Any

import pytest

from dev.local.demo import USER
from domain.conversation import Conversation
from domain.query import ConversationQuery
from storage import items
from storage.conversations import ConversationTable, Page
from storage.items import Item, Partition
from tests.support.api import conversation

HERE = Partition(f"demo#{USER}")
CONVERSATION = items.pack("demo", Conversation.model_validate(conversation()))
TOMBSTONE = CONVERSATION.buried(now=1_733_043_600)
A_MEGABYTE = 1_048_576  # AWS limit of a Query's answer
PLENTY = 2**40


def item(number: int, kind: str) -> dict[str, Any]:
    """A conversation, "c", or a tombstone, "t", each at its place in the order of numbers."""
    id_ = f"{number:024}"
    sort_key = {"S": f"2024-12-01T08:45:00.000Z#{id_}"}
    if kind == "t":
        return {**TOMBSTONE.attributes, "sk": sort_key}
    packed = items.pack("demo", Conversation.model_validate(conversation(id=id_)))
    return {**packed.attributes, "sk": sort_key}


def size_of(item: dict[str, Any]) -> int:
    return sum(len(name) + len(*value.values()) for name, value in item.items())


SIZES = {kind: size_of(item(0, kind)) for kind in "ct"}


class Query:
    """DynamoDB's Query of one partition in ascending order, with its two ends: Limit and 1 MB.

    Attributes:
        units: the read units that it would cost, eventually consistent.
    """

    def __init__(self, kinds: str) -> None:
        self.items = [item(number, kind) for number, kind in enumerate(kinds)]
        self.keys = [item["sk"]["S"] for item in self.items]
        self.sizes = [SIZES[kind] for kind in kinds]
        self.units = 0.0
        self.read = 0

    def query(self, *, Limit: int = PLENTY, **request: Any) -> Any:  # noqa: N803 - DynamoDB's name
        start = request.get("ExclusiveStartKey")
        begin = end = bisect_right(self.keys, start["sk"]["S"]) if start else 0
        size = 0
        while end < len(self.items) and end - begin < Limit and size < A_MEGABYTE:
            size += self.sizes[end]
            end += 1
        self.units += -(-size // 4096) / 2
        self.read += end - begin
        found = self.items[begin:end]
        answer: dict[str, Any] = {"Items": found, "Count": len(found), "ScannedCount": len(found)}
        if end - begin == Limit or size >= A_MEGABYTE:
            answer["LastEvaluatedKey"] = Item(found[-1]).primary_key
        return answer


def page_of(store: Query, limit: int | None, after: Any = None, seconds: Any = None) -> Page:
    client: Any = store
    query = ConversationQuery(sort="createdAt", limit=limit)
    return ConversationTable(client, "table").query(
        HERE, query, after, max_bytes=PLENTY, seconds_left=(seconds or repeat(28.0)).__next__
    )


@pytest.mark.parametrize(
    ("kinds", "limit", "count", "reads"),
    [
        (("t" * 99 + "c") * 1001, 1000, 1000, 40),
        ("t" * 10_000 + "c", 1, 1, 15),
        ("c" + "t" * 10_000 + "c", 1, 1, 1),
        ("t" * 10_000, 1000, 0, 15),
        ("c" * 999 + "t" * 10_000 + "cc", 1000, 1000, 20),  # at the end, few are missing
        ("c" * 1000 + "t" * 10_000 + "c", 1000, 1000, 1),
        ("tc" * 2000, 1000, 1000, 4),
        ("c" * 1001, 1000, 1000, 1),
    ],
)
def test_tombstones_shorten_no_page_and_cost_few_reads(
    kinds: str, limit: int, count: int, reads: int
) -> None:
    page = page_of(Query(kinds), limit)
    assert len(page.documents) == count
    assert (page.next is not None) == (kinds.count("c") > count)
    assert page.reads <= reads


def test_a_list_of_10_000_tombstones_and_a_conversation_arrives() -> None:
    page = page_of(Query("t" * 10_000 + "c"), None)
    assert (len(page.documents), page.next, page.reads) == (1, None, 3)


def test_no_page_reads_tombstones_that_the_page_before_has_read() -> None:
    store = Query("c" + "t" * 10_000 + "c" + "t" * 5_000)
    first = page_of(store, 1)
    second = page_of(store, 1, first.next)
    third = page_of(store, 1, second.next)
    assert [len(page.documents) for page in (first, second, third)] == [1, 1, 0]
    assert third.next is None
    assert store.read == len(store.items)


def test_a_full_page_reads_on_for_nothing() -> None:
    store = Query("c" + "t" * 100_000)
    page = page_of(store, 1)
    assert (len(page.documents), page.reads, store.read) == (1, 1, 2)
    assert page.next == (store.keys[1],)
    following = page_of(store, 1, page.next)
    assert (following.documents, following.next) == ([], None)


def test_a_full_page_whose_last_read_was_the_last_has_no_next() -> None:
    assert page_of(Query("c"), 1).next is None
    assert page_of(Query("ccc"), 3).next is None
    assert page_of(Query("cccc"), 3).next is not None
    assert page_of(Query("c" * 4 + "t"), 4).next is not None  # the read ends with the tombstone


def test_a_page_that_time_ends_among_tombstones_goes_on_after_the_last_that_was_read() -> None:
    store = Query("t" * 10_000 + "c")
    first = page_of(store, 1, seconds=iter([28.0, 28.0, 1.0]))
    assert (first.documents, first.reads) == ([], 3)
    assert first.next == (store.keys[2 + 4 + 8 - 1],)
    pages = 1
    while first.next and not first.documents:  # even with time for one read only
        first = page_of(store, 1000, first.next, seconds=repeat(1.0))
        pages += 1
    assert len(first.documents) == 1
    assert pages < 15
