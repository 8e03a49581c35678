"""The layout of the table of conversations. Only this file names its keys, attributes and index."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, NewType

from domain.caller import WORKSPACE_ID, Caller, require_id
from domain.conversation import Conversation
from domain.errors import ConversationTooLargeError, UnreadableConversationError
from domain.query import ConversationQuery, Position, Range
from domain.timestamp import spell, to_instant
from storage import document

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        QueryInputTypeDef,
        ScanInputTypeDef,
    )

    Item = Mapping[str, AttributeValueTypeDef]

INDEX = "by-updated"
MAX_ITEM_BYTES = 400 * 1024  # AWS limit: names and values of all attributes
# Also true if the item is missing, or has no `updatedKey` and so counts as the oldest.
IS_NEWER = "attribute_not_exists(updatedKey) OR updatedKey < :updatedKey"
IS_NEWER_AND_THERE = f"attribute_exists(pk) AND ({IS_NEWER})"
IS_TOMBSTONE = "attribute_exists(deletedAt) AND attribute_not_exists(document)"
STATES = "pk, sk, updatedKey, deletedAt, agentId, pathwayId"
DOCUMENTS = "pk, sk, updatedKey, document, deletedAt, expiresAt"
TOMBSTONE_DAYS = 90
# A key that no item has, for a read that must find nothing.
NO_KEY: "dict[str, AttributeValueTypeDef]" = {"pk": {"S": "-"}, "sk": {"S": "-"}}

Partition = NewType("Partition", str)


def partition_of(caller: Caller, workspace_id: str) -> Partition:
    """The partition that a caller may read in a workspace.

    Raises:
        RequestError: `workspace_not_found`: the caller has no grant for the workspace.
    """
    caller.require_grant(workspace_id)
    return partition_key(workspace_id, caller.user_id)


def partition_key(workspace_id: str, user_id: str) -> Partition:
    """The partition key of a user's conversations in a workspace.

    Raises:
        ValueError: an identifier is malformed, and could forge the key of another partition.
    """
    return Partition(f"{require_id(workspace_id, WORKSPACE_ID)}#{require_id(user_id)}")


def request(
    table: str, partition: Partition, query: ConversationQuery, after: Position | None = None
) -> "QueryInputTypeDef":
    """The arguments of the first DynamoDB Query for `query`, after a position."""
    values = {":pk": str(partition)}
    created = _within("sk", query.created_at, values)
    updated = _within("updatedKey", query.updated_at, values)
    # DynamoDB: a range on the sort key of the table or index that is read must be in the key
    # condition, and any other range in the filter.
    condition, *filters = (updated, created) if query.by_updated else (created, updated)
    for name, value in (("agentId", query.agent_id), ("pathwayId", query.pathway_id)):
        if value is not None:
            values[f":{name}"] = value
            filters.append(f"{name} = :{name}")
    arguments: QueryInputTypeDef = {
        "TableName": table,
        "KeyConditionExpression": " AND ".join(filter(None, ("pk = :pk", condition))),
        "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
        "ProjectionExpression": DOCUMENTS,
        "ScanIndexForward": not query.sort.startswith("-"),
    }
    if query.by_updated:
        arguments["IndexName"] = INDEX
    if any(filters):
        arguments["FilterExpression"] = " AND ".join(filter(None, filters))
    if query.limit is not None:
        arguments["Limit"] = query.limit + 1  # the extra item tells whether a page follows
    if after is not None:
        start = zip(_key_names(query), (partition, *after), strict=True)
        arguments["ExclusiveStartKey"] = {name: {"S": value} for name, value in start}
    return arguments


def of_partition(table: str, partition: Partition, attributes: str) -> "QueryInputTypeDef":
    """The arguments of a Query for everything in a partition, oldest first."""
    return {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": partition}},
        "ProjectionExpression": attributes,
    }


def of_table(table: str, attributes: str, workspace_id: str | None = None) -> "ScanInputTypeDef":
    """The arguments of a Scan for everything in the table, or in one workspace.

    Raises:
        ValueError: the identifier is malformed.
    """
    arguments: ScanInputTypeDef = {
        "TableName": table,
        "ConsistentRead": True,
        "ProjectionExpression": attributes,
        "ReturnConsumedCapacity": "TOTAL",
    }
    if workspace_id is not None:
        prefix = f"{require_id(workspace_id, WORKSPACE_ID)}#"
        arguments["FilterExpression"] = "begins_with(pk, :prefix)"
        arguments["ExpressionAttributeValues"] = {":prefix": {"S": prefix}}
    return arguments


def _key_names(query: ConversationQuery) -> tuple[str, ...]:
    """The attributes of the key in use: the partition key, then those of a position."""
    return ("pk", "updatedKey", "sk") if query.by_updated else ("pk", "sk")


def _within(key: str, bounds: Range, values: dict[str, str]) -> str:
    """The condition that `key` is within the bounds. Adds the bounds to `values`."""
    ge, lt = bounds
    if ge is not None:
        values[f":{key}Ge"] = ge
    if lt is not None:
        values[f":{key}Lt"] = lt
    if ge is not None and lt is not None:
        # DynamoDB takes one condition per key. BETWEEN includes its upper bound, which no key
        # equals: a `#` and an id follow the instant.
        return f"{key} BETWEEN :{key}Ge AND :{key}Lt"
    if ge is not None:
        return f"{key} >= :{key}Ge"
    return f"{key} < :{key}Lt" if lt is not None else ""


def position_size(query: ConversationQuery) -> int:
    """The number of values in a position of the query."""
    return len(_key_names(query)) - 1


def key_of(item: "Item", query: ConversationQuery) -> tuple[str, Position]:
    """The partition of an item, and its position in the query's order.

    Raises:
        KeyError, TypeError: the item lacks one of these keys, or one is not a string.
    """
    partition, *position = (item[name]["S"] for name in _key_names(query))
    if not all(isinstance(value, str) for value in (partition, *position)):
        raise TypeError
    return partition, tuple(position)


def primary_key(item: "Item") -> "dict[str, AttributeValueTypeDef]":
    """The attributes of an item's primary key."""
    return {name: item[name] for name in ("pk", "sk")}


def key_values(item: "Item") -> tuple[str, str]:
    """The values of an item's primary key: partition key and sort key."""
    return item["pk"]["S"], item["sk"]["S"]


def id_of(sort_key: str) -> str:
    """The id of the conversation with this sort key."""
    return sort_key.partition("#")[2]


def updated_key(item: "Item") -> str:
    """The item's `updatedKey`, which is greater for a newer state; "" if it has none."""
    return item.get("updatedKey", {"S": ""})["S"]


def condition_values(item: "Item") -> "dict[str, AttributeValueTypeDef]":
    """The values that `IS_NEWER` and `IS_NEWER_AND_THERE` need when this item is written."""
    return {":updatedKey": {"S": updated_key(item)}}


def is_deleted(item: "Item") -> bool:
    """Whether an item read with the attributes `STATES` is a tombstone."""
    return "deletedAt" in item


def stored_bytes(item: "Item") -> int:
    """The size of a packed item's document."""
    return len(item["document"]["B"])


def pack(workspace_id: str, conversation: Conversation) -> "Item":
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


def unpack(partition: str, item: "Item") -> bytes:
    """The canonical JSON of the conversation in an item of the partition.

    Raises:
        UnreadableConversationError: it is damaged.
    """
    sort_key = item["sk"]["S"]
    try:
        if "deletedAt" in item:
            raise ValueError("it has deletedAt but is not a tombstone")
        match item.get("document"):
            case {"B": bytes() as stored} | {"S": str() as stored}:
                return document.decode(stored, id_of(sort_key), partition.partition("#")[2])
            case _:
                raise ValueError("it has no document")
    except ValueError as error:
        raise UnreadableConversationError((partition, sort_key), str(error)) from None


def tombstone(item: "Item") -> bytes | None:
    """A tombstone as JSON for clients; `None` if the item is not a tombstone."""
    match item:
        case {"document": _}:
            return None
        case {"deletedAt": {"S": str() as at}, "expiresAt": _, "updatedKey": {"S": str() as key}}:
            try:
                if to_instant(at) == at and key.startswith(at):
                    id_ = encode_basestring(id_of(item["sk"]["S"]))
                    return f'{{"_id":{id_},"updatedAt":"{at}","deletedAt":"{at}"}}'.encode()
            except ValueError:
                pass
    return None


def bury(item: "Item", now: float) -> "dict[str, AttributeValueTypeDef]":
    """The tombstone that replaces a conversation's item.

    Args:
        item: the item, read with the attributes `STATES`.
        now: the time of deletion, in seconds since the epoch.

    Raises:
        UnreadableConversationError: its `updatedKey` is malformed, or the last possible instant.
    """
    sort_key = item["sk"]["S"]
    deleted_at, stored = spell(datetime.fromtimestamp(now, UTC)), updated_key(item)
    if stored >= f"{deleted_at}#{id_of(sort_key)}":  # it must be newer than what it replaces
        try:
            updated_at = datetime.fromisoformat(to_instant(stored[:24]))
            deleted_at = spell(updated_at + timedelta(milliseconds=1))
        except (OverflowError, ValueError):
            reason = "its updatedKey is malformed, or so late that no tombstone can be newer"
            raise UnreadableConversationError(key_values(item), reason) from None
    kept = ("pk", "sk", "agentId", "pathwayId")
    return {
        **{name: item[name] for name in kept if name in item},
        "deletedAt": {"S": deleted_at},
        "updatedKey": {"S": f"{deleted_at}#{id_of(sort_key)}"},
        "expiresAt": {"N": str(int(now) + TOMBSTONE_DAYS * 86_400)},
    }
