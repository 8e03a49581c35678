"""Which conversations, in which order: `ConversationQuery`, as DynamoDB is asked it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NewType

from domain.caller import WORKSPACE_ID, Caller, require_id
from domain.conversation import Messages

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryInputTypeDef

INDEX = "by-updated"

Sort = Literal["-createdAt", "createdAt", "-updatedAt", "updatedAt"]
Partition = NewType("Partition", str)
Position = tuple[str, ...]
"""Where a page ends: its last conversation's values of `ConversationQuery.key_names`."""


def partition_of(caller: Caller, workspace_id: str) -> Partition:
    """The partition that a caller may read in a workspace.

    Raises:
        WorkspaceNotFoundError: the caller has no grant for the workspace.
    """
    caller.require_grant(workspace_id)
    return partition_key(workspace_id, caller.user_id)


def partition_key(workspace_id: str, user_id: str) -> Partition:
    """The partition key of a user's conversations in a workspace.

    Raises:
        ValueError: an identifier is malformed, and could forge another's key.
    """
    return Partition(f"{require_id(workspace_id, WORKSPACE_ID)}#{require_id(user_id)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationQuery:
    """Which conversations of a partition, and in which order.

    Attributes:
        limit: how many to return at most; all if `None`.
        after: the position after which to begin; the start if `None`.
        created_at, updated_at: from the first instant on, before the second; `None` is no bound.
    """

    sort: Sort = "-createdAt"
    limit: int | None = None
    after: Position | None = None
    agent_id: str | None = None
    pathway_id: str | None = None
    created_at: tuple[str | None, str | None] = (None, None)
    updated_at: tuple[str | None, str | None] = (None, None)
    messages: Messages = "all"

    @property
    def by_updated(self) -> bool:
        """Whether the order is that of the index."""
        return self.sort in ("-updatedAt", "updatedAt")

    @property
    def key_names(self) -> tuple[str, ...]:
        """The attributes that make a position: the index's sort key, then the table's."""
        return ("updatedKey", "sk") if self.by_updated else ("sk",)

    @property
    def bounds(self) -> tuple[str | None, str | None]:
        """The bounds of a position's first value."""
        return self.updated_at if self.by_updated else self.created_at

    def request(self, table: str, partition: Partition) -> "QueryInputTypeDef":
        """The arguments of the first DynamoDB Query for it."""
        values = {":pk": str(partition)}
        created = _between("sk", self.created_at, values)
        updated = _between("updatedKey", self.updated_at, values)
        # DynamoDB refuses a filter on the key of what it reads, and a condition on another's.
        condition, *filters = (updated, created) if self.by_updated else (created, updated)
        for name, value in (("agentId", self.agent_id), ("pathwayId", self.pathway_id)):
            if value is not None:
                values[f":{name}"] = value
                filters.append(f"{name} = :{name}")
        request: QueryInputTypeDef = {
            "TableName": table,
            "KeyConditionExpression": " AND ".join(filter(None, ("pk = :pk", condition))),
            "ExpressionAttributeValues": {name: {"S": value} for name, value in values.items()},
            "ProjectionExpression": ", ".join(("document", "pk", *self.key_names)),
            "ScanIndexForward": not self.sort.startswith("-"),
        }
        if self.by_updated:
            request["IndexName"] = INDEX
        if any(filters):
            request["FilterExpression"] = " AND ".join(filter(None, filters))
        if self.limit is not None:
            request["Limit"] = self.limit + 1  # the one more tells whether a page follows
        if self.after is not None:
            names = ("pk", *self.key_names)
            start = zip(names, (partition, *self.after), strict=True)
            request["ExclusiveStartKey"] = {name: {"S": value} for name, value in start}
        return request


def _between(key: str, bounds: tuple[str | None, str | None], values: dict[str, str]) -> str:
    """The condition that `key` is within the bounds, whose values it adds to `values`."""
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
