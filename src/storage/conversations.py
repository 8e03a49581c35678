"""The table of conversations, read page by page: one partition per workspace and user."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from domain.contact import comparable_email, comparable_phone
from domain.errors import StoreUnavailableError
from domain.query import ConversationQuery, Position
from storage import document, items
from storage.dynamodb import SECONDS_PER_CALL, SECONDS_TO_ANSWER, store_errors
from storage.items import Item, Partition

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import QueryOutputTypeDef

_MAX_LIMIT = 100_000  # items per read; DynamoDB stops at 1 MB anyway


@dataclass(slots=True)
class Page:
    """Conversations in order, as canonical JSON.

    Attributes:
        positions: of each conversation.
        next: the position after which the next page does begin; `None` if nothing follows.
        reads: the number of DynamoDB requests that it took.
    """

    documents: list[bytes] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    next: Position | None = None
    reads: int = 0

    def first(self, count: int) -> "Page":
        """The first `count` conversations (1 or more), with `next` set, because more follow."""
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
        """The conversations that `query` asks for, starting after a position.

        The page ends early, with `next` set, when it would exceed `max_bytes` of JSON, or when
        too little time is left for another request to DynamoDB or for answering the client. It may
        then be empty, but `next` is after at least one item that DynamoDB has returned.

        Args:
            seconds_left: returns how long the function may still run.

        Raises:
            StoreError: DynamoDB fails, or its answer is incomplete or from another partition.
            UnreadableConversationError: a stored conversation is damaged.
        """
        page = Page()
        size = 0
        examined: Position | None = None
        for item, position in self._read(page, partition, query, after, seconds_left):
            tombstone = item.tombstone()
            if tombstone is not None and query.deleted == "exclude":
                examined = position
                continue
            is_full = len(page.documents) == query.limit
            is_late = examined is not None and seconds_left() < SECONDS_TO_ANSWER
            if is_late or (is_full and not query.of_customer):
                page.next = examined
                return page
            text = tombstone or document.read(item)
            if not query.of_customer or _is_of_customer(text, query):
                text = tombstone or document.keep_messages(text, query.messages)
                size += len(text)
                if is_full or (size > max_bytes and page.documents):
                    page.next = examined
                    return page
                page.documents.append(text)
                page.positions.append(position)
            examined = position
        return page

    def _read(
        self,
        page: Page,
        partition: Partition,
        query: ConversationQuery,
        after: Position | None,
        seconds_left: Callable[[], float],
    ) -> Iterator[tuple[Item, Position]]:
        """The items in order, each with its position, read after read.

        Ends when nothing follows, when the page is full, or when there is no time for another
        read. Keeps `page.next` at the end of the last read: that is where the next page begins.
        """
        request = items.request(self._name, partition, query, after)
        read = 0
        while True:
            before = len(page.documents)
            with store_errors():
                answer = self._client.query(**request)
            found, page.next = _checked(answer, partition, query)
            page.reads += 1
            yield from found
            listed = len(page.documents)
            if page.next is None or listed == query.limit or seconds_left() < SECONDS_PER_CALL:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
            if query.limit is not None:
                read += answer.get("ScannedCount", len(found))
                # Estimate how many items hold the missing conversations, by the share listed so
                # far. If the last read listed nothing, read twice as many.
                expected = ceil((query.limit + 1 - listed) * read / listed) if listed else 0
                doubled = 2 * request["Limit"] if listed == before else 0
                request["Limit"] = min(max(expected, doubled), _MAX_LIMIT)


def _is_of_customer(text: bytes, query: ConversationQuery) -> bool:
    """Whether a conversation's customer has the address and number that the query names."""
    customer = document.customer_of(text)
    return query.customer_email in (None, comparable_email(customer.get("email", ""))) and (
        query.customer_phone in (None, comparable_phone(customer.get("phone", "")))
    )


def _checked(
    answer: "QueryOutputTypeDef", partition: Partition, query: ConversationQuery
) -> tuple[list[tuple[Item, Position]], Position | None]:
    """The items of an answer with their positions, and the last position if more follows.

    boto3 does not notice a truncated answer, and no client notices one that belongs to another
    request on the same connection.

    Raises:
        StoreUnavailableError: the answer is incomplete, or from another partition.
    """
    try:
        if not isinstance(answer["Items"], list):
            raise TypeError
        found = [Item(attributes) for attributes in answer["Items"]]
        positions = [item.position(query) for item in found]
        ends = [Item(answer["LastEvaluatedKey"])] if "LastEvaluatedKey" in answer else []
        end = ends[0].position(query) if ends else None
        if {item.partition_key for item in found + ends} - {partition}:
            raise StoreUnavailableError("ForeignAnswer")
    except (KeyError, TypeError):
        raise StoreUnavailableError("IncompleteAnswer") from None
    return list(zip(found, positions, strict=True)), end
