"""Reads the table of conversations, for operators."""

import random
import time
from collections.abc import Callable, Iterator
from math import ceil
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from console.tables.aws import patiently
from domain.caller import WORKSPACE_ID, require_id
from domain.errors import StoreUnavailableError, UnreadableConversationError
from storage import document, items
from storage.dynamodb import store_errors
from storage.items import Item, partition_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        DescribeTableOutputTypeDef,
        QueryOutputTypeDef,
        ScanOutputTypeDef,
    )

_Answer = TypeVar("_Answer", "QueryOutputTypeDef", "ScanOutputTypeDef")
_T = TypeVar("_T")
_Start = dict[str, Any]  # where the next page begins: `ExclusiveStartKey`
_REACH_SECONDS = 10
_UNIT_BYTES = 4096  # AWS: a consistent read of 4 KB


class ReadConversations:
    """Stored conversations, to read in batches, from several threads.

    Retries while DynamoDB throttles or cannot be reached. The client should make only one attempt
    per call, because the pauses are made here. Every method raises `StoreError` if DynamoDB
    refuses, if it keeps failing for five minutes (`check`: ten seconds), or if a method would have
    to wait after `stop` is set.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        name: str,
        stop: Event,
        *,
        partiql: bool = True,
        clock: Callable[[], float] = time.time,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """Use the table with this name.

        Args:
            stop: its `wait` does the pauses.
            partiql: whether to try PartiQL's INSERT, which moto's server does not know.
            clock: the time in seconds since the epoch.
            uniform: returns a random number between two others.
        """
        self._client = client
        self._name = name
        self._stop = stop
        self._can_insert = partiql
        self._clock = clock
        self._uniform = uniform

    def _patiently(self, call: Callable[[], _T], seconds: float | None = None) -> _T:
        return patiently(call, self._stop, seconds, clock=self._clock, uniform=self._uniform)

    def check(self) -> None:
        """Raise `StoreError` if the table is missing, has another layout, or cannot be reached."""

        def read() -> None:
            with store_errors():
                self._client.get_item(TableName=self._name, Key=items.NO_KEY)

        self._patiently(read, _REACH_SECONDS)

    def scan_cost(self) -> tuple[int, int]:
        """The approximate items and read units of a scan. DynamoDB counts every six hours."""

        def describe() -> "DescribeTableOutputTypeDef":
            with store_errors():
                return self._client.describe_table(TableName=self._name)

        table = self._patiently(describe)["Table"]
        return table["ItemCount"], max(1, ceil(table["TableSizeBytes"] / _UNIT_BYTES))

    def is_empty(self) -> bool:
        """Whether the table is empty."""
        scan: Any = {**items.of_table(self._name, items.STATES), "Limit": 1}
        first = next(self._pages(lambda start: self._client.scan(**{**scan, **start})))
        return not first["Items"]

    def scan(
        self, attributes: str, read_units: int, workspace_id: str | None = None
    ) -> "Iterator[ScanOutputTypeDef]":
        """The pages of all items of the table, or of a workspace, in no order.

        Args:
            attributes: those to read, as `storage.items` names them.
            read_units: the most to use per second.

        Raises:
            ValueError: the identifier is malformed.
        """
        scan = items.of_table(self._name, attributes, workspace_id)
        due = self._clock()
        for page in self._pages(lambda start: self._client.scan(**{**scan, **start})):
            yield page
            due += page["ConsumedCapacity"]["CapacityUnits"] / read_units
            self._stop.wait(max(0, due - self._clock()))

    def query(
        self, workspace_id: str, user_id: str, attributes: str
    ) -> "Iterator[QueryOutputTypeDef]":
        """The pages of a user's conversations and tombstones in a workspace, oldest first.

        Raises:
            ValueError: an identifier is malformed.
        """
        query = items.of_partition(self._name, partition_key(workspace_id, user_id), attributes)
        return self._pages(lambda start: self._client.query(**{**query, **start}))

    def states(self, workspace_id: str, user_id: str) -> Iterator[Item]:
        """The items of `query`, without documents."""
        for page in self.query(workspace_id, user_id, items.STATES):
            yield from map(Item, page["Items"])

    def state(self, item: Item) -> Item | None:
        """What is stored at the item's key, without a document; `None` if nothing is."""
        return self._patiently(lambda: self._state(item))

    def _state(self, item: Item) -> Item | None:
        with store_errors():
            answer = self._client.get_item(
                TableName=self._name,
                Key=item.primary_key,
                ProjectionExpression=items.STATES,
                ConsistentRead=True,
                ReturnConsumedCapacity="TOTAL",
            )
        if "ConsumedCapacity" not in answer:  # truncated: the item may exist
            raise StoreUnavailableError("IncompleteAnswer")
        return Item(answer["Item"]) if "Item" in answer else None

    def _pages(self, read: Callable[["_Start"], "_Answer"]) -> "Iterator[_Answer]":
        start: _Start = {}

        def page() -> "_Answer":
            with store_errors():
                answer = read(start)
            if "Items" not in answer:  # botocore does not report a truncated response
                raise StoreUnavailableError("IncompleteAnswer")
            return answer

        while True:
            answer = self._patiently(page)
            yield answer
            if not (last := answer.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}


def document_of(item: Item) -> bytes | UnreadableConversationError | None:
    """The canonical JSON in an item; the error if it is damaged; `None` for a tombstone."""
    if item.tombstone():
        return None
    try:
        return document.read(item)
    except UnreadableConversationError as error:
        return error


def contents_of(item: Item) -> bytes | UnreadableConversationError | None:
    """As `document_of`, but also reads a document whose item has malformed keys."""
    if has_ids(item):
        return document_of(item)
    if item.tombstone():
        return None
    try:
        return document.content(item.document)
    except UnreadableConversationError as error:
        return error
    except ValueError as error:
        return item.unreadable(str(error))


def has_ids(item: Item) -> bool:
    """Whether the item's keys hold valid ids of a workspace, a user and a conversation."""
    try:
        require_id(item.workspace_id, WORKSPACE_ID)
        require_id(item.user_id)
        require_id(item.id)
    except ValueError:
        return False
    return True
