"""The table of conversations, for those who load, export and delete many at once."""

from collections.abc import Callable, Iterator, Sequence
from threading import Event
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from domain.errors import StoreError, StoreUnavailableError, UnreadableConversationError
from ops.tables.aws import is_transient, patiently
from storage import layout
from storage.dynamodb import store_errors
from storage.layout import Partition, partition_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        BatchGetItemOutputTypeDef,
        KeysAndAttributesTypeDef,
        QueryOutputTypeDef,
        ScanOutputTypeDef,
        WriteRequestOutputTypeDef,
        WriteRequestTypeDef,
    )

    from storage.layout import Item

    _Answer = QueryOutputTypeDef | ScanOutputTypeDef

_Key = tuple[str, str]
_Start = dict[str, Any]  # where the next page begins: `ExclusiveStartKey`

# AWS limit of BatchWriteItem: 25 items, and 16 MB, which as many items cannot exceed.
BATCH_ITEMS = 25
_REACH_SECONDS = 10
_PAUSE_SECONDS = 0.05  # before the rest of a batch that DynamoDB took a part of


class StoredConversations:
    """Stored conversations, to read and to write many at once, by many threads.

    Waits and tries again while DynamoDB throttles or cannot be reached. The client should make
    one attempt of each call, since the pauses are made here. Every method raises `StoreError`
    when DynamoDB refuses, when it has taken nothing for five minutes, or when a method would have
    to wait after `stop` is set.
    """

    def __init__(
        self, client: "DynamoDBClient", name: str, stop: Event, *, partiql: bool = True
    ) -> None:
        """Names the table.

        Args:
            partiql: whether to try PartiQL's INSERT, which moto's server does not know.
        """
        self._client = client
        self._name = name
        self._stop = stop
        self._can_insert = partiql

    def check(self) -> None:
        """Raise `StoreError` if the table does not exist, is another one, or cannot be reached."""

        def read() -> None:
            with store_errors():
                self._client.get_item(TableName=self._name, Key=layout.NO_KEY)

        patiently(read, self._stop, _REACH_SECONDS)

    def put_newer(self, items: "Sequence[Item]") -> int:
        """Store those items of which neither the same nor a newer state is stored.

        Args:
            items: up to `BATCH_ITEMS`, of different keys.

        Returns:
            How many it stored.
        """
        left = self._insert(items)
        stored = self._stored_states([item for item, tried in left if not tried])
        newer = sum(
            self._put_newer(item, tried=tried)
            for item, tried in left
            if tried or stored.get(layout.key_values(item), "") < layout.updated_key(item)
        )
        return len(items) - len(left) + newer

    def _insert(self, items: "Sequence[Item]") -> "list[tuple[Item, bool]]":
        """Store those items at whose key nothing is stored, as far as one request does it.

        BatchWriteItem knows no conditions, but an INSERT of PartiQL is one. It takes a tenth of
        the CPU of as many PutItem.

        Returns:
            The items that are left, and whether they may have been stored all the same.
        """
        if not self._can_insert:
            return [(item, False) for item in items]
        names = list(items[0])
        values = ", ".join(f"'{name}': ?" for name in names)
        statement = f'INSERT INTO "{self._name}" VALUE {{{values}}}'
        try:
            with store_errors():
                answers = self._client.batch_execute_statement(
                    Statements=[
                        {"Statement": statement, "Parameters": [item[name] for name in names]}
                        for item in items
                    ]
                ).get("Responses", [{"Error": {}}] * len(items))
        except StoreError as error:
            self._can_insert = may_be_stored = is_transient(error)
            return [(item, may_be_stored) for item in items]
        errors = [answer.get("Error") for answer in answers]
        return [
            (item, error.get("Code") != "DuplicateItem")
            for item, error in zip(items, errors, strict=True)
            if error is not None
        ]

    def _stored_states(self, items: "Sequence[Item]") -> dict[_Key, str]:
        """The `updatedKey` of what is stored at each item's key, as far as one read tells."""
        if not items:
            return {}
        keys: KeysAndAttributesTypeDef = {
            "Keys": [layout.primary_key(item) for item in items],
            "ProjectionExpression": layout.STATES,
            "ConsistentRead": True,
        }

        def read() -> "BatchGetItemOutputTypeDef":
            with store_errors():
                return self._client.batch_get_item(RequestItems={self._name: keys})

        answer = patiently(read, self._stop)
        stored = answer.get("Responses", {}).get(self._name, [])
        return {layout.key_values(item): layout.updated_key(item) for item in stored}

    def _put_newer(self, item: "Item", *, tried: bool) -> bool:
        """Store the item, unless the same or a newer one is stored; whether it is stored by us.

        Args:
            tried: an earlier request, whose answer was lost, may have stored it.
        """

        def put() -> bool:
            nonlocal tried
            again, tried = tried, True
            try:
                with store_errors():
                    self._client.put_item(
                        TableName=self._name,
                        Item=item,
                        ConditionExpression=layout.IS_NEWER,
                        ExpressionAttributeValues={":updatedKey": {"S": layout.updated_key(item)}},
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
            except StoreError as error:
                if error.reason != "ConditionalCheckFailedException":
                    raise
                cause = error.__cause__
                return (
                    again and isinstance(cause, ClientError) and cause.response.get("Item") == item
                )
            return True

        return patiently(put, self._stop)

    def put(self, items: "Sequence[Item]") -> int:
        """Store up to `BATCH_ITEMS` items of different keys, whatever is stored. Return how many.

        An older state replaces a newer one.
        """
        self._write([{"PutRequest": {"Item": item}} for item in items])
        return len(items)

    def delete(self, keys: "Sequence[Item]") -> None:
        """Delete the items with these keys, of any number."""
        for start in range(0, len(keys), BATCH_ITEMS):
            batch = keys[start : start + BATCH_ITEMS]
            self._write([{"DeleteRequest": {"Key": key}} for key in batch])

    def _write(self, requests: "Sequence[WriteRequestTypeDef]") -> None:
        left: Sequence[WriteRequestTypeDef | WriteRequestOutputTypeDef] = requests

        def write() -> "Sequence[WriteRequestOutputTypeDef]":
            with store_errors():
                answer = self._client.batch_write_item(RequestItems={self._name: left})
            if "UnprocessedItems" not in answer:  # an answer cut off on the way raises nothing
                raise StoreUnavailableError("IncompleteAnswer")
            unprocessed = answer["UnprocessedItems"].get(self._name, [])
            if len(unprocessed) == len(left):
                raise StoreUnavailableError("UnprocessedItems")
            return unprocessed

        while left := patiently(write, self._stop):
            self._stop.wait(_PAUSE_SECONDS)

    def keys(self, workspace_id: str, user_id: str) -> "Iterator[Item]":
        """The keys of a user's conversations in a workspace, oldest first.

        Raises:
            ValueError: an identifier is malformed.
        """
        return self._query(partition_key(workspace_id, user_id), layout.KEYS)

    def documents(
        self, workspace_id: str, user_id: str | None = None
    ) -> Iterator[bytes | UnreadableConversationError]:
        """The canonical JSON of each conversation of a user, or of all users, in a workspace.

        In place of one that is damaged comes its error.

        Raises:
            ValueError: an identifier is malformed.
        """
        if user_id is None:
            scan = layout.of_workspace(self._name, workspace_id)
            items = self._items(lambda start: self._client.scan(**{**scan, **start}))
        else:
            items = self._query(partition_key(workspace_id, user_id), layout.DOCUMENTS)
        for item in items:
            try:
                yield layout.unpack(layout.key_values(item)[0], item)
            except UnreadableConversationError as error:
                yield error

    def _query(self, partition: Partition, attributes: str) -> "Iterator[Item]":
        query = layout.of_partition(self._name, partition, attributes)
        return self._items(lambda start: self._client.query(**{**query, **start}))

    def _items(self, read: Callable[["_Start"], "_Answer"]) -> "Iterator[Item]":
        """The items of all pages."""
        start: _Start = {}

        def page() -> "_Answer":
            with store_errors():
                answer = read(start)
            if "Items" not in answer:  # an answer cut off on the way raises nothing
                raise StoreUnavailableError("IncompleteAnswer")
            return answer

        while True:
            answer = patiently(page, self._stop)
            yield from answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}
