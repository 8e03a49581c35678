"""The layout of both tables. Only this file names keys, attributes and the index."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, NewType

from domain.api_key import ApiKey
from domain.caller import WORKSPACE_ID, Caller, require_id
from domain.errors import (
    ConversationTooLargeError,
    MalformedApiKeyError,
    UnreadableConversationError,
)
from domain.timestamp import spell, to_instant

if TYPE_CHECKING:  # the authorizer loads this file too, and needs nothing of these
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        QueryInputTypeDef,
        ScanInputTypeDef,
    )

    from domain.conversation import Conversation
    from domain.query import ConversationQuery, Position, Range

    Attributes = Mapping[str, AttributeValueTypeDef]

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
    table: str, partition: Partition, query: "ConversationQuery", after: "Position | None" = None
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


def _key_names(query: "ConversationQuery") -> tuple[str, ...]:
    """The attributes of the key in use: the partition key, then those of a position."""
    return ("pk", "updatedKey", "sk") if query.by_updated else ("pk", "sk")


def _within(key: str, bounds: "Range", values: dict[str, str]) -> str:
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


def position_size(query: "ConversationQuery") -> int:
    """The number of values in a position of the query."""
    return len(_key_names(query)) - 1


@dataclass(frozen=True, slots=True)
class Item:
    """An item of the table of conversations: a conversation, a tombstone, or neither.

    Nothing is checked before it is asked for, so an item with malformed keys can be represented.

    Attributes:
        attributes: as DynamoDB returns and takes them.
    """

    attributes: "Attributes"

    @property
    def partition_key(self) -> str:
        return self.attributes["pk"]["S"]

    @property
    def sort_key(self) -> str:
        return self.attributes["sk"]["S"]

    @property
    def key(self) -> tuple[str, str]:
        """The values of its primary key."""
        return self.partition_key, self.sort_key

    @property
    def primary_key(self) -> "dict[str, AttributeValueTypeDef]":
        """The attributes of its primary key."""
        return {name: self.attributes[name] for name in ("pk", "sk")}

    @property
    def workspace_id(self) -> str:
        return self.partition_key.partition("#")[0]

    @property
    def user_id(self) -> str:
        return self.partition_key.partition("#")[2]

    @property
    def created_at(self) -> str:
        """The instant in its sort key."""
        return self.sort_key.partition("#")[0]

    @property
    def id(self) -> str:
        """The conversation's `_id`."""
        return self.sort_key.partition("#")[2]

    @property
    def updated_key(self) -> str:
        """Is greater for a newer state; "" if it has none, and so counts as the oldest."""
        return self.attributes.get("updatedKey", {"S": ""})["S"]

    @property
    def is_deleted(self) -> bool:
        """Whether it is a tombstone. Needs the attributes `STATES` only."""
        return "deletedAt" in self.attributes

    @property
    def document(self) -> bytes | str:
        """Its document: a zstd frame, or plain JSON.

        Raises:
            UnreadableConversationError: it has none.
        """
        if self.is_deleted:
            raise self.unreadable("it has deletedAt but is not a tombstone")
        match self.attributes.get("document"):
            case {"B": bytes() as stored} | {"S": str() as stored}:
                return stored
        raise self.unreadable("it has no document")

    def unreadable(self, reason: str) -> UnreadableConversationError:
        """The error that names this item."""
        return UnreadableConversationError(self.key, reason)

    def position(self, query: "ConversationQuery") -> "Position":
        """Its position in the query's order.

        Raises:
            KeyError, TypeError: it lacks a key of this order, or one is not a string.
        """
        values = [self.attributes[name]["S"] for name in _key_names(query)]
        if not all(isinstance(value, str) for value in values):
            raise TypeError
        return tuple(values[1:])

    def tombstone(self) -> bytes | None:
        """Its JSON for clients if it is a tombstone, otherwise `None`."""
        match self.attributes:
            case {"document": _}:
                return None
            case {
                "deletedAt": {"S": str() as at},
                "expiresAt": _,
                "updatedKey": {"S": str() as updated},
            }:
                try:
                    if to_instant(at) == at and updated.startswith(at):
                        id_ = encode_basestring(self.id)
                        return f'{{"_id":{id_},"updatedAt":"{at}","deletedAt":"{at}"}}'.encode()
                except ValueError:
                    pass
        return None

    def buried(self, now: float) -> "Item":
        """The tombstone that replaces this conversation. Needs the attributes `STATES` only.

        Args:
            now: the time of deletion, in seconds since the epoch.

        Raises:
            UnreadableConversationError: its `updatedKey` is malformed, or the last instant.
        """
        deleted_at = spell(datetime.fromtimestamp(now, UTC))
        if self.updated_key >= f"{deleted_at}#{self.id}":  # it must be newer than what it replaces
            try:
                updated_at = datetime.fromisoformat(to_instant(self.updated_key[:24]))
                deleted_at = spell(updated_at + timedelta(milliseconds=1))
            except (OverflowError, ValueError):
                reason = "its updatedKey is malformed, or so late that no tombstone can be newer"
                raise self.unreadable(reason) from None
        kept = ("pk", "sk", "agentId", "pathwayId")
        return Item(
            {
                **{name: self.attributes[name] for name in kept if name in self.attributes},
                "deletedAt": {"S": deleted_at},
                "updatedKey": {"S": f"{deleted_at}#{self.id}"},
                "expiresAt": {"N": str(int(now) + TOMBSTONE_DAYS * 86_400)},
            }
        )


def item_at(partition_key: str, sort_key: str) -> Item:
    """An item that has these keys, whatever they hold, and nothing else."""
    return Item({"pk": {"S": partition_key}, "sk": {"S": sort_key}})


def pack(workspace_id: str, conversation: "Conversation") -> Item:
    """The item that stores the conversation.

    Raises:
        ConversationTooLargeError: it would exceed 400 KB.
        ValueError: the workspace id is malformed, or a text is not valid Unicode.
    """
    from storage import document

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
    return Item({"document": {"B": frame}, **{name: {"S": text} for name, text in texts.items()}})


def condition_values(item: Item) -> "dict[str, AttributeValueTypeDef]":
    """The values that `IS_NEWER` and `IS_NEWER_AND_THERE` need when this item is written."""
    return {":updatedKey": {"S": item.updated_key}}


def key_request(table: str, key_hash: str, *, consistent: bool = False) -> dict[str, Any]:
    """The arguments of GetItem for the API key with this hash."""
    return {
        "TableName": table,
        "Key": api_key_key(key_hash),
        "ConsistentRead": consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }


def api_key_key(key_hash: str) -> "dict[str, AttributeValueTypeDef]":
    """The attributes of the primary key of an API key's item."""
    return {"keyHash": {"S": key_hash}}


def pack_api_key(key: ApiKey) -> "Attributes":
    """The item that stores an API key."""
    texts = {
        "keyHash": key.key_hash,
        "keyId": key.key_id,
        "userId": key.user_id,
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "revokedAt": key.revoked_at,
    }
    item: dict[str, AttributeValueTypeDef] = {
        name: {"S": text} for name, text in texts.items() if text is not None
    }
    return item | {"workspaceIds": {"SS": sorted(key.workspace_ids)}}


def unpack_api_key(item: "Attributes") -> ApiKey:
    """The API key in an item.

    Raises:
        MalformedApiKeyError: the item is malformed.
    """
    try:
        key = ApiKey(
            key_hash=item["keyHash"]["S"],
            key_id=item["keyId"]["S"],
            user_id=item["userId"]["S"],
            workspace_ids=frozenset(item["workspaceIds"]["SS"]),
            created_at=item["createdAt"]["S"],
            expires_at=_instant(item, "expiresAt"),
            revoked_at=_instant(item, "revokedAt"),
        )
        key.caller()  # raises if an identifier is malformed
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedApiKeyError(item["keyHash"]["S"]) from None
    return key


# How an API key changes: one attribute at a time, so that two operators cannot undo each other's
# changes.
API_KEY_EXISTS = "attribute_exists(keyHash)"
REVOKE = "SET revokedAt = if_not_exists(revokedAt, :value)"
EXPIRE = "SET expiresAt = :value"
GRANT = "ADD workspaceIds :value"
UNGRANT = "DELETE workspaceIds :value"
KEEPS_A_GRANT = "size(workspaceIds) > :count"


def _instant(item: "Attributes", name: str) -> str | None:
    return to_instant(item[name]["S"]) if name in item else None
