"""Writes and deletes conversations in batches, for operators."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from console.tables.aws import is_transient
from console.tables.reading import ReadConversations
from domain.errors import StoreError, StoreUnavailableError
from domain.timestamp import spell
from storage.dynamodb import store_errors
from storage.items import (
    IS_NEWER,
    IS_NEWER_AND_THERE,
    IS_TOMBSTONE,
    STATES,
    Item,
    condition_values,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import (
        BatchGetItemOutputTypeDef,
        KeysAndAttributesTypeDef,
        WriteRequestOutputTypeDef,
        WriteRequestTypeDef,
    )

_Key = tuple[str, str]

# AWS limits BatchWriteItem to 25 items and to 16 MB, which 25 items cannot exceed.
BATCH_ITEMS = 25
SYNC_OVERLAP_SECONDS = 60  # sync clients look back this far: docs/reference/contract.md
_PAUSE_SECONDS = 0.05  # before sending what DynamoDB left of a batch


class Written(NamedTuple):
    """The result of storing items.

    Attributes:
        late: the number stored that are too old for sync clients to notice.
        deleted: the number not stored because the same or a newer tombstone is there.
    """

    stored: int
    late: int
    deleted: int = 0


class StoredConversations(ReadConversations):
    """Stored conversations, to read, write and delete in batches."""

    def put_newer(self, items: Sequence[Item]) -> Written:
        """Store each item unless the same or a newer state is stored.

        Args:
            items: up to `BATCH_ITEMS`, of different keys.
        """
        left = self._insert(items)
        states = self._stored_states([item for item, tried in left if not tried])
        skipped, deleted = set(), 0
        for item, tried in left:
            key = item.key
            stored = states.get(key)
            if stored is None or stored.updated_key < item.updated_key:
                stored = self._put_newer(item, tried=tried)
            if stored is not None:
                skipped.add(key)
                deleted += stored.is_deleted
        written = [item for item in items if item.key not in skipped]
        return self._written(written, deleted)

    def _written(self, items: Sequence[Item], deleted: int = 0) -> Written:
        unseen = spell(datetime.fromtimestamp(self._clock() - SYNC_OVERLAP_SECONDS, UTC))
        late = sum(item.updated_key < unseen for item in items)
        return Written(len(items), late, deleted)

    def _insert(self, items: Sequence[Item]) -> list[tuple[Item, bool]]:
        """Store the items whose keys are free, in one request.

        BatchWriteItem has no conditions, but PartiQL's INSERT implies one. INSERT uses a tenth
        of the CPU of the same number of PutItem calls.

        Returns:
            The other items, each with a flag: it may have been stored after all.
        """
        if not self._can_insert:
            return [(item, False) for item in items]
        names = list(items[0].attributes)
        values = ", ".join(f"'{name}': ?" for name in names)
        statement = f'INSERT INTO "{self._name}" VALUE {{{values}}}'
        try:
            with store_errors():
                answers = self._client.batch_execute_statement(
                    Statements=[
                        {
                            "Statement": statement,
                            "Parameters": [item.attributes[name] for name in names],
                        }
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

    def _stored_states(self, items: Sequence[Item]) -> dict[_Key, Item]:
        """The stored states at the items' keys, without documents.

        Those that DynamoDB leaves unprocessed are missing.
        """
        if not items:
            return {}
        keys: KeysAndAttributesTypeDef = {
            "Keys": [item.primary_key for item in items],
            "ProjectionExpression": STATES,
            "ConsistentRead": True,
        }

        def read() -> "BatchGetItemOutputTypeDef":
            with store_errors():
                return self._client.batch_get_item(RequestItems={self._name: keys})

        answer = self._patiently(read)
        stored = answer.get("Responses", {}).get(self._name, [])
        return {item.key: item for item in map(Item, stored)}

    def _put_newer(self, item: Item, *, tried: bool) -> Item | None:
        """Store the item, unless the same or a newer one is stored; return that one.

        Args:
            tried: an earlier request, whose answer was lost, may have stored it.
        """

        def put() -> Item | None:
            nonlocal tried
            again, tried = tried, True
            try:
                with store_errors():
                    self._client.put_item(
                        TableName=self._name,
                        Item=item.attributes,
                        ConditionExpression=IS_NEWER,
                        ExpressionAttributeValues=condition_values(item),
                        ReturnValuesOnConditionCheckFailure="ALL_OLD",
                    )
            except StoreError as error:
                if error.reason != "ConditionalCheckFailedException":
                    raise
                cause = error.__cause__
                answer: Any = cause.response if isinstance(cause, ClientError) else {}
                stored = Item(answer.get("Item", {}))
                return None if again and stored == item else stored
            return None

        return self._patiently(put)

    def put(self, items: Sequence[Item]) -> Written:
        """Store up to `BATCH_ITEMS` items of different keys unconditionally.

        An older state may replace a newer one.
        """
        self._write([{"PutRequest": {"Item": item.attributes}} for item in items])
        return self._written(items)

    def delete(self, item: Item) -> None:
        """Replace the conversation at an item's key, if there is one, with a tombstone.

        Raises:
            UnreadableConversationError: no tombstone can be newer than it; `purge` removes it.
        """
        self._patiently(lambda: self._delete(item))

    def _delete(self, item: Item) -> None:
        stored = self._state(item)
        if stored is None or stored.is_deleted:
            return
        tombstone = stored.buried(self._clock())  # dated now, after any wait
        try:
            with store_errors():
                self._client.put_item(
                    TableName=self._name,
                    Item=tombstone.attributes,
                    ConditionExpression=IS_NEWER_AND_THERE,
                    ExpressionAttributeValues=condition_values(tombstone),
                )
        except StoreError as error:
            if error.reason != "ConditionalCheckFailedException":
                raise
            raise StoreUnavailableError("ChangedMeanwhile") from None  # read it again

    def purge(self, items: Sequence[Item], seconds: float | None = None) -> None:
        """Remove any number of items, without leaving tombstones.

        Args:
            seconds: how long to retry; `None` means five minutes.
        """
        keys = [item.primary_key for item in items]
        for start in range(0, len(keys), BATCH_ITEMS):
            batch = keys[start : start + BATCH_ITEMS]
            self._write([{"DeleteRequest": {"Key": key}} for key in batch], seconds)

    def purge_tombstone(self, item: Item) -> None:
        """Remove the item at a key, unless it has become a conversation again."""

        def remove() -> None:
            try:
                with store_errors():
                    self._client.delete_item(
                        TableName=self._name,
                        Key=item.primary_key,
                        ConditionExpression=IS_TOMBSTONE,
                    )
            except StoreError as error:
                if error.reason != "ConditionalCheckFailedException":
                    raise

        self._patiently(remove)

    def _write(
        self, requests: "Sequence[WriteRequestTypeDef]", seconds: float | None = None
    ) -> None:
        left: Sequence[WriteRequestTypeDef | WriteRequestOutputTypeDef] = requests

        def write() -> "Sequence[WriteRequestOutputTypeDef]":
            with store_errors():
                answer = self._client.batch_write_item(RequestItems={self._name: left})
            if "UnprocessedItems" not in answer:  # botocore does not report a truncated response
                raise StoreUnavailableError("IncompleteAnswer")
            unprocessed = answer["UnprocessedItems"].get(self._name, [])
            if len(unprocessed) == len(left):
                raise StoreUnavailableError("UnprocessedItems")
            return unprocessed

        while left := self._patiently(write, seconds):
            self._stop.wait(_PAUSE_SECONDS)
