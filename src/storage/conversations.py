"""The table of conversations: one partition per workspace and user."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.conversation import Conversation, keep_messages
from domain.errors import (
    ConversationTooLargeError,
    StoreUnavailableError,
    UnreadableConversationError,
)
from domain.timestamp import to_instant
from storage import document
from storage.dynamodb import SECONDS_PER_CALL, SECONDS_TO_ANSWER, store_errors
from storage.query import ConversationQuery, Partition, Position, partition_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, QueryOutputTypeDef

    Item = Mapping[str, AttributeValueTypeDef]

MAX_ITEM_BYTES = 400 * 1024  # AWS limit: names and values of all attributes


@dataclass(slots=True)
class Page:
    """Conversations in order, as canonical JSON, each with its position.

    Attributes:
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
    """Stored conversations. Every method raises `StoreError` when DynamoDB fails."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def query(
        self,
        partition: Partition,
        query: ConversationQuery,
        *,
        max_bytes: int,
        seconds_left: Callable[[], float],
    ) -> Page:
        """The conversations that `query` asks for.

        The page is cut short, and its `next` tells where, when it would exceed `max_bytes` of
        JSON, or when less time is left than another request to DynamoDB may take, or than the
        answer to the client. It holds at least one conversation if DynamoDB returns one first.

        Raises:
            StoreUnavailableError: an answer is incomplete, or about another partition.
            UnreadableConversationError: a stored conversation is damaged.
        """
        page = Page()
        size = 0
        request = query.request(self._name, partition)
        while True:
            with store_errors():
                answer = self._client.query(**request)
            items, last = _check(answer, partition, query)
            page.reads += 1
            for item in items:
                if len(page.documents) == query.limit:
                    return page.first(query.limit)
                if page.documents and seconds_left() < SECONDS_TO_ANSWER:
                    return page.first(len(page.documents))
                text = keep_messages(read_item(partition, item), query.messages)
                size += len(text)
                if size > max_bytes and page.documents:
                    return page.first(len(page.documents))
                page.documents.append(text)
                page.positions.append(_position(item, query))
            if last is None:
                return page
            if seconds_left() < SECONDS_PER_CALL:
                page.next = _position(last, query)
                return page
            request["ExclusiveStartKey"] = last
            if query.limit is not None:
                missing = query.limit + 1 - len(page.documents)
                # A filter that lets few pass is worth larger reads; DynamoDB ends them at 1 MB.
                rare = 2 * request["Limit"] if "FilterExpression" in request else 0
                request["Limit"] = max(missing, min(rare, 100_000))


def _check(
    answer: "QueryOutputTypeDef", partition: Partition, query: ConversationQuery
) -> "tuple[Sequence[Item], Item | None]":
    """The items of an answer, and its `LastEvaluatedKey`, `None` if nothing follows.

    An answer cut off on the way raises nothing by itself; one to another request can arrive on a
    connection that was out of step.

    Raises:
        StoreUnavailableError: the answer is incomplete, or about another partition.
    """
    try:
        items = answer["Items"]
        ends = [answer["LastEvaluatedKey"]] if "LastEvaluatedKey" in answer else []
        keys = [*items, *ends]
        values = [key[name]["S"] for key in keys for name in ("pk", *query.key_names)]
    except (KeyError, TypeError):
        raise StoreUnavailableError("IncompleteAnswer") from None
    if not isinstance(items, list) or not all(isinstance(value, str) for value in values):
        raise StoreUnavailableError("IncompleteAnswer")
    if any(key["pk"]["S"] != partition for key in keys):
        raise StoreUnavailableError("ForeignAnswer")
    return items, ends[0] if ends else None


def _position(item: "Item", query: ConversationQuery) -> Position:
    return tuple(item[name]["S"] for name in query.key_names)


def read_item(partition: Partition, item: "Item") -> bytes:
    """The canonical JSON of the conversation in an item of the partition.

    Raises:
        UnreadableConversationError: it is damaged.
    """
    key = item["sk"]["S"]
    try:
        match item.get("document"):
            case {"B": bytes() as stored} | {"S": str() as stored}:
                ids = key.partition("#")[2], partition.partition("#")[2]
                return document.decode(stored, *ids)
            case _:
                raise ValueError("it has no document")
    except ValueError as error:
        raise UnreadableConversationError((partition, key), str(error)) from None


def to_item(workspace_id: str, conversation: Conversation) -> "Item":
    """The item that stores the conversation.

    Raises:
        ConversationTooLargeError: it would exceed 400 KB.
        ValueError: the workspace id is malformed, or a text is not valid Unicode.
    """
    texts = {
        "pk": partition_key(workspace_id, conversation.user_id),
        "sk": f"{to_instant(conversation.created_at)}#{conversation.id}",
        "updatedKey": f"{to_instant(conversation.updated_at)}#{conversation.id}",
        "agentId": conversation.agent_id,
        "pathwayId": conversation.pathway_id,
    }
    frame = document.encode(conversation)
    size = len("document") + len(frame)
    size += sum(len(name) + len(text.encode()) for name, text in texts.items())
    if size > MAX_ITEM_BYTES:
        raise ConversationTooLargeError(
            f"The conversation {conversation.id} takes {size:,} bytes in the table; "
            f"DynamoDB takes at most {MAX_ITEM_BYTES:,}."
        )
    return {"document": {"B": frame}, **{name: {"S": text} for name, text in texts.items()}}
