"""Reads and writes the table of API keys, for operators."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from domain.api_key import ApiKey
from domain.errors import MalformedApiKeyError
from storage import items
from storage.api_keys import ApiKeyTable
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class IssuedKeys(ApiKeyTable):
    """Issued keys. Every method raises `StoreError` if DynamoDB fails."""

    def put(self, key: ApiKey) -> None:
        """Store the key; replace one with the same hash."""
        with store_errors():
            self._client.put_item(TableName=self._name, Item=items.pack_api_key(key))

    def all(self) -> Iterator[ApiKey | MalformedApiKeyError]:
        """Every issued key, in no order; an error instead of each malformed one."""
        with store_errors():
            for page in self._client.get_paginator("scan").paginate(
                TableName=self._name, ConsistentRead=True
            ):
                for item in page["Items"]:
                    try:
                        yield items.unpack_api_key(item)
                    except MalformedApiKeyError as error:
                        yield error

    def revoke(self, key_hash: str, at: str) -> None:
        """End the key at an instant. A key that is already revoked keeps its earlier end."""
        self._update(key_hash, items.REVOKE, value={"S": at})

    def expire(self, key_hash: str, at: str) -> None:
        """Set the instant at which the key expires."""
        self._update(key_hash, items.EXPIRE, value={"S": at})

    def grant(self, key_hash: str, workspace_ids: frozenset[str]) -> None:
        """Add workspaces to those that the key grants."""
        self._update(key_hash, items.GRANT, value={"SS": sorted(workspace_ids)})

    def ungrant(self, key_hash: str, workspace_ids: frozenset[str]) -> None:
        """Remove workspaces from those that the key grants. At least one must be left."""
        self._update(
            key_hash,
            items.UNGRANT,
            items.KEEPS_A_GRANT,
            value={"SS": sorted(workspace_ids)},
            count={"N": str(len(workspace_ids))},
        )

    def delete(self, key_hash: str) -> None:
        """Delete the key's item, if there is one."""
        with store_errors():
            self._client.delete_item(TableName=self._name, Key=items.api_key_key(key_hash))

    def _update(
        self,
        key_hash: str,
        change: str,
        condition: str = items.API_KEY_EXISTS,
        **values: "AttributeValueTypeDef",
    ) -> None:
        with store_errors():
            self._client.update_item(
                TableName=self._name,
                Key=items.api_key_key(key_hash),
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
            )
