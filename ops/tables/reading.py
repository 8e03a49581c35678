"""The table of conversations, for those who export it, search it, and delete from it."""

import random
import time
from collections.abc import Callable, Iterator
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from domain.errors import StoreUnavailableError, UnreadableConversationError
from ops.tables.aws import patiently
from storage import layout
from storage.dynamodb import store_errors
from storage.layout import Partition, partition_key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        DescribeTableOutputTypeDef,
        QueryOutputTypeDef,
        ScanOutputTypeDef,
    )

    from storage.layout import Item

    _Answer = QueryOutputTypeDef | ScanOutputTypeDef

_T = TypeVar("_T")
_Start = dict[str, Any]  # where the next page begins: `ExclusiveStartKey`
_REACH_SECONDS = 10


class ReadConversations:
    """Stored conversations, to read many at once, by many threads.

    Waits and tries again while DynamoDB throttles or cannot be reached. The client should make
    one attempt of each call, since the pauses are made here. Every method raises `StoreError`
    when DynamoDB refuses, when it has answered nothing for five minutes, or when a method would
    have to wait after `stop` is set.
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
        """Names the table.

        Args:
            stop: its `wait` makes the pauses.
            partiql: whether to try PartiQL's INSERT, which moto's server does not know.
            clock: the time in seconds since the epoch.
            uniform: a random number between two others.
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
        """Raise `StoreError` if the table does not exist, is another one, or cannot be reached."""

        def read() -> None:
            with store_errors():
                self._client.get_item(TableName=self._name, Key=layout.NO_KEY)

        self._patiently(read, _REACH_SECONDS)

    def size(self) -> tuple[int, int]:
        """About how many items the table holds, and bytes. DynamoDB counts every six hours."""

        def describe() -> "DescribeTableOutputTypeDef":
            with store_errors():
                return self._client.describe_table(TableName=self._name)

        table = self._patiently(describe)["Table"]
        return table["ItemCount"], table["TableSizeBytes"]

    def is_empty(self) -> bool:
        """Whether the table holds nothing at all."""
        scan: Any = {**layout.of_table(self._name, layout.STATES), "Limit": 1}
        return not next(self._pages(lambda start: self._client.scan(**{**scan, **start})))

    def scan(self) -> "Iterator[list[Item]]":
        """All items of the table, their documents left out, in pages and no order."""
        scan = layout.of_table(self._name, layout.STATES)
        return self._pages(lambda start: self._client.scan(**{**scan, **start}))

    def states(self, workspace_id: str, user_id: str) -> "Iterator[Item]":
        """A user's conversations and tombstones in a workspace, without documents, oldest first.

        Raises:
            ValueError: an identifier is malformed.
        """
        return self._query(partition_key(workspace_id, user_id), layout.STATES)

    def documents(
        self, workspace_id: str, user_id: str | None = None
    ) -> Iterator[bytes | UnreadableConversationError]:
        """The canonical JSON of each conversation of a user, or of all users, in a workspace.

        Tombstones are left out. In place of one that is damaged comes its error.

        Raises:
            ValueError: an identifier is malformed.
        """
        if user_id is None:
            scan = layout.of_workspace(self._name, workspace_id)
            pages = self._pages(lambda start: self._client.scan(**{**scan, **start}))
            items: Iterator[Item] = chain.from_iterable(pages)
        else:
            items = self._query(partition_key(workspace_id, user_id), layout.DOCUMENTS)
        for item in items:
            if layout.tombstone(item):
                continue
            try:
                yield layout.unpack(layout.key_values(item)[0], item)
            except UnreadableConversationError as error:
                yield error

    def _query(self, partition: Partition, attributes: str) -> "Iterator[Item]":
        query = layout.of_partition(self._name, partition, attributes)
        pages = self._pages(lambda start: self._client.query(**{**query, **start}))
        return chain.from_iterable(pages)

    def _pages(self, read: Callable[["_Start"], "_Answer"]) -> "Iterator[list[Item]]":
        start: _Start = {}

        def page() -> "_Answer":
            with store_errors():
                answer = read(start)
            if "Items" not in answer:  # an answer cut off on the way raises nothing
                raise StoreUnavailableError("IncompleteAnswer")
            return answer

        while True:
            answer = self._patiently(page)
            yield [*answer["Items"]]
            if not (last := answer.get("LastEvaluatedKey")):
                return
            start = {"ExclusiveStartKey": last}
