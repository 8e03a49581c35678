"""The table of conversations: one partition per workspace and user, read page after page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from domain.errors import StoreUnavailableError
from domain.query import ConversationQuery, Position
from storage import document, layout
from storage.dynamodb import SECONDS_PER_CALL, SECONDS_TO_ANSWER, store_errors
from storage.layout import Partition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import QueryOutputTypeDef

    from storage.layout import Item

_MAX_LIMIT = 100_000  # items of a read; DynamoDB ends it at 1 MB


@dataclass(slots=True)
class Page:
    """Conversations in order, as canonical JSON.

    Attributes:
        positions: for each, the position after which to look for the one that follows.
        next: the position after which the next page begins; `None` if nothing follows.
        reads: how many requests DynamoDB answered for it.
    """

    documents: list[bytes] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    next: Position | None = None
    reads: int = 0

    def first(self, count: int) -> "Page":
        """The page cut to its first conversations, at least one, because another follows."""
        positions = self.positions[:count]
        return Page(self.documents[:count], positions, positions[-1], self.reads)


class ConversationTable:
    """Stored conversations."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def query(
        self,
        partition: Partition,
        query: ConversationQuery,
        after: Position | None = None,
        *,
        max_bytes: int,
        seconds_left: Callable[[], float],
    ) -> Page:
        """The conversations that `query` asks for, from a position on.

        The page is cut short, and its `next` tells where, when it would exceed `max_bytes` of
        JSON, or when less time is left than another request to DynamoDB may take, or than the
        answer to the client. It holds at least one conversation if DynamoDB returns one first.

        Raises:
            StoreError: DynamoDB fails, or an answer is incomplete or about another partition.
            UnreadableConversationError: a stored conversation is damaged.
        """
        page = Page()
        size = read = 0
        request = layout.request(self._name, partition, query, after)
        while True:
            with store_errors():
                answer = self._client.query(**request)
            items, last = _checked(answer, partition, query)
            page.reads += 1
            read += answer.get("ScannedCount", len(items))
            before = len(page.documents)
            for item, position in items:
                deleted = layout.tombstone(item)
                if deleted is not None and query.deleted == "exclude":
                    if page.positions:
                        page.positions[-1] = position  # the next page need not read it again
                    continue
                if len(page.documents) == query.limit:
                    return page.first(query.limit)
                if page.documents and seconds_left() < SECONDS_TO_ANSWER:
                    return page.first(len(page.documents))
                text = deleted or document.keep_messages(
                    layout.unpack(partition, item), query.messages
                )
                size += len(text)
                if size > max_bytes and page.documents:
                    return page.first(len(page.documents))
                page.documents.append(text)
                page.positions.append(position)
            if last is None:
                return page
            if seconds_left() < SECONDS_PER_CALL:
                page.next = last
                return page
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            if query.limit is not None:
                listed = len(page.documents)
                # So many should hold what is missing. A read that found nothing doubles the next.
                expected = ceil((query.limit + 1 - listed) * read / listed) if listed else 0
                doubled = 2 * request["Limit"] if listed == before else 0
                request["Limit"] = min(max(expected, doubled), _MAX_LIMIT)


def _checked(
    answer: "QueryOutputTypeDef", partition: Partition, query: ConversationQuery
) -> "tuple[list[tuple[Item, Position]], Position | None]":
    """The items of an answer with their positions, and where it ends if more follows.

    An answer cut off on the way raises nothing by itself; one to another request can arrive on a
    connection that was out of step.

    Raises:
        StoreUnavailableError: the answer is incomplete, or about another partition.
    """
    try:
        keyed = [(item, layout.key_of(item, query)) for item in _list(answer["Items"])]
        last = None
        if "LastEvaluatedKey" in answer:
            last = layout.key_of(answer["LastEvaluatedKey"], query)
    except (KeyError, TypeError):
        raise StoreUnavailableError("IncompleteAnswer") from None
    if {partition, *(key[0] for _, key in keyed), *(last[:1] if last else ())} != {partition}:
        raise StoreUnavailableError("ForeignAnswer")
    return [(item, key[1]) for item, key in keyed], last[1] if last else None


def _list(items: object) -> "list[Item]":
    if not isinstance(items, list):
        raise TypeError
    return items
