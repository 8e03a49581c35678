"""Reads and writes the table of API keys, for operators."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from domain.api_key import ApiKey
from domain.errors import MalformedApiKeyError
from storage.api_keys import ApiKeyTable, read_item
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class IssuedKeys(ApiKeyTable):
    """Issued keys. Every method raises `StoreError` if DynamoDB fails."""

    def put(self, key: ApiKey) -> None:
        """Store the key; replace one with the same hash."""
        item: dict[str, AttributeValueTypeDef] = {
            "keyHash": {"S": key.key_hash},
            "keyId": {"S": key.key_id},
            "userId": {"S": key.user_id},
            "workspaceIds": {"SS": sorted(key.workspace_ids)},
            "createdAt": {"S": key.created_at},
        }
        if key.expires_at is not None:
            item["expiresAt"] = {"S": key.expires_at}
        if key.revoked_at is not None:
            item["revokedAt"] = {"S": key.revoked_at}
        with store_errors():
            self._client.put_item(TableName=self._name, Item=item)

    def all(self) -> Iterator[ApiKey | MalformedApiKeyError]:
        """Every issued key, in no order; an error instead of each malformed one."""
        with store_errors():
            for page in self._client.get_paginator("scan").paginate(
                TableName=self._name, ConsistentRead=True
            ):
                for item in page["Items"]:
                    try:
                        yield read_item(item)
                    except MalformedApiKeyError as error:
                        yield error

    def revoke(self, key_hash: str, at: str) -> None:
        """End the key at an instant. A key that is already revoked keeps its earlier end."""
        change = "SET revokedAt = if_not_exists(revokedAt, :value)"
        self._update(key_hash, change, value={"S": at})

    def expire(self, key_hash: str, at: str) -> None:
        """Set the instant at which the key expires."""
        self._update(key_hash, "SET expiresAt = :value", value={"S": at})

    def grant(self, key_hash: str, workspace_ids: frozenset[str]) -> None:
        """Add workspaces to those that the key grants."""
        self._update(key_hash, "ADD workspaceIds :value", value={"SS": sorted(workspace_ids)})

    def ungrant(self, key_hash: str, workspace_ids: frozenset[str]) -> None:
        """Remove workspaces from those that the key grants. At least one must be left."""
        self._update(
            key_hash,
            "DELETE workspaceIds :value",
            "size(workspaceIds) > :count",
            value={"SS": sorted(workspace_ids)},
            count={"N": str(len(workspace_ids))},
        )

    def delete(self, key_hash: str) -> None:
        """Delete the key's item, if there is one."""
        with store_errors():
            self._client.delete_item(TableName=self._name, Key={"keyHash": {"S": key_hash}})

    def _update(
        self,
        key_hash: str,
        change: str,
        condition: str = "attribute_exists(keyHash)",
        **values: "AttributeValueTypeDef",
    ) -> None:
        # One attribute at a time, so that two operators cannot undo each other's changes.
        with store_errors():
            self._client.update_item(
                TableName=self._name,
                Key={"keyHash": {"S": key_hash}},
                UpdateExpression=change,
                ConditionExpression=condition,
                ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
            )
