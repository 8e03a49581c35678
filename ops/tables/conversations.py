"""What the operator's console does to the tables: many conversations at once, with patience."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from botocore import exceptions
from botocore.parsers import ResponseParserError

from domain.errors import StoreError, StoreUnavailableError, UnreadableConversationError
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

_T = TypeVar("_T")
_Start = dict[str, Any]  # where the next page begins: `ExclusiveStartKey`

BATCH = 25  # AWS limit of BatchWriteItem: 25 items, and 16 MB, which as many items cannot exceed
_PATIENCE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 10.0
_PASSING_CODES = frozenset(
    {
        *("LimitExceededException", "ProvisionedThroughputExceededException"),
        *("RequestLimitExceeded", "ThrottlingException", "TransactionConflictException"),
    }
)
_PASSING_ERRORS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    ResponseParserError,
)


class Bulk:
    """The table of conversations, for an operator: waits until DynamoDB takes what it throttles.

    Its client makes one attempt of each call, since the pauses between them are made here.
    Every method raises `StoreError` when DynamoDB refuses, when it has taken nothing for five
    minutes, or when it has to wait after `stop` is set.
    """

    def __init__(
        self, client: "DynamoDBClient", name: str, stop: Event, *, has_partiql: bool = True
    ) -> None:
        """Prepare; nothing is read.

        Args:
            has_partiql: whether PartiQL works there; the embedded DynamoDB fails loudly at it.
        """
        self._client = client
        self._name = name
        self._stop = stop
        self._can_insert = has_partiql

    def check(self) -> None:
        """Reads nothing: raises if the table is not there, not the right one, or out of reach."""

        def read() -> None:
            with store_errors():
                self._client.get_item(TableName=self._name, Key=layout.NO_KEY)

        self._patiently(read, seconds=10)

    def put_newer(self, items: "Sequence[Item]") -> int:
        """Stores up to `BATCH` items of different keys, unless the same or a newer one is stored.

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
        """Stores those items at whose key nothing is stored, as far as one request does it.

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
            self._can_insert = passes = _passes(error)
            return [(item, passes) for item in items]
        errors = [answer.get("Error") for answer in answers]
        return [
            (item, error.get("Code") != "DuplicateItem")
            for item, error in zip(items, errors, strict=True)
            if error is not None
        ]

    def _stored_states(self, items: "Sequence[Item]") -> dict[tuple[str, str], str]:
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

        found = self._patiently(read).get("Responses", {}).get(self._name, [])
        return {layout.key_values(item): layout.updated_key(item) for item in found}

    def _put_newer(self, item: "Item", *, tried: bool) -> bool:
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
                # What an earlier try stored, whose answer was lost, is stored by us.
                cause = error.__cause__
                return (
                    again
                    and isinstance(cause, exceptions.ClientError)
                    and cause.response.get("Item") == item
                )
            return True

        return self._patiently(put)

    def put(self, items: "Sequence[Item]") -> int:
        """Stores up to `BATCH` items of different keys, whatever is stored. Returns how many."""
        self._write([{"PutRequest": {"Item": item}} for item in items])
        return len(items)

    def delete(self, keys: "Sequence[Item]") -> None:
        """Deletes the items with these keys."""
        for start in range(0, len(keys), BATCH):
            batch = keys[start : start + BATCH]
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

        while left := self._patiently(write):
            self._stop.wait(_FIRST_PAUSE_SECONDS)

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
        start: _Start = {}

        def page() -> "_Answer":
            with store_errors():
                answer = read(start)
            if "Items" not in answer:  # an answer cut off on the way raises nothing
                raise StoreUnavailableError("IncompleteAnswer")
            return answer

        while True:
            answer = self._patiently(page)
            yield from answer["Items"]
            if not (last := answer.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}

    def _patiently(self, call: Callable[[], _T], seconds: float | None = None) -> _T:
        """What the call returns, made again after longer and longer pauses while it may succeed."""
        end = time.monotonic() + (seconds or _PATIENCE_SECONDS)
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call()
            except StoreError as error:
                if not _passes(error) or time.monotonic() > end:
                    raise
                # Random, so that what was throttled together does not come again together.
                if self._stop.wait(pause * random.uniform(0.5, 1)):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _passes(error: StoreError) -> bool:
    """Whether the error may go by itself: throttling, a fault of AWS, or of the way to it."""
    cause = error.__cause__
    if isinstance(cause, exceptions.ClientError):
        status = cause.response["ResponseMetadata"]["HTTPStatusCode"]
        return error.reason in _PASSING_CODES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return cause is None or isinstance(cause, _PASSING_ERRORS)
