"""The table of API keys: one item per key, found by the key's hash."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from domain.api_key import ApiKey
from domain.errors import MalformedApiKeyError, StoreUnavailableError
from domain.timestamp import to_instant
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class ApiKeyTable:
    """Issued keys. Every method raises `StoreError` when DynamoDB fails."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def find(self, key_hash: str, *, consistent: bool = False) -> ApiKey | None:
        """The key with this hash, whether active or not; `None` if none was issued.

        Args:
            consistent: sees every write that ended before, for twice the price.

        Raises:
            MalformedApiKeyError: its item is malformed.
        """
        with store_errors():
            request = find_request(self._name, key_hash, consistent=consistent)
            answer = self._client.get_item(**request)
        # Without it, an answer cut off on the way would look like that of an unknown key.
        if "ConsumedCapacity" not in answer:
            raise StoreUnavailableError("IncompleteAnswer")
        if "Item" not in answer:
            return None
        key = _read(answer["Item"])
        if key.key_hash != key_hash:  # never one user's key for another's
            raise MalformedApiKeyError(key_hash)
        return key

    def put(self, key: ApiKey) -> None:
        """Stores the key, in place of one with the same hash."""
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
        """Every issued key, in no order; in place of a malformed one, its error."""
        with store_errors():
            for page in self._client.get_paginator("scan").paginate(
                TableName=self._name, ConsistentRead=True
            ):
                for item in page["Items"]:
                    try:
                        yield _read(item)
                    except MalformedApiKeyError as error:
                        yield error

    def revoke(self, key_hash: str, at: str) -> None:
        """Ends the key at an instant; one that is revoked already keeps its own."""
        self._update(key_hash, "SET revokedAt = if_not_exists(revokedAt, :value)", {"S": at})

    def expire(self, key_hash: str, at: str) -> None:
        """Gives the key another instant to expire at."""
        self._update(key_hash, "SET expiresAt = :value", {"S": at})

    def grant(self, key_hash: str, workspace_ids: frozenset[str]) -> None:
        """Adds workspaces to those that the key grants."""
        self._update(key_hash, "ADD workspaceIds :value", {"SS": sorted(workspace_ids)})

    def delete(self, key_hash: str) -> None:
        """Forgets the key."""
        with store_errors():
            self._client.delete_item(TableName=self._name, Key={"keyHash": {"S": key_hash}})

    def _update(self, key_hash: str, change: str, value: "AttributeValueTypeDef") -> None:
        # One attribute at a time, so that no two operators undo each other's change.
        with store_errors():
            self._client.update_item(
                TableName=self._name,
                Key={"keyHash": {"S": key_hash}},
                UpdateExpression=change,
                ConditionExpression="attribute_exists(keyHash)",
                ExpressionAttributeValues={":value": value},
            )


def find_request(table: str, key_hash: str, *, consistent: bool = False) -> dict[str, Any]:
    """The arguments of GetItem for the key with this hash."""
    return {
        "TableName": table,
        "Key": {"keyHash": {"S": key_hash}},
        "ConsistentRead": consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }


def _read(item: "Mapping[str, AttributeValueTypeDef]") -> ApiKey:
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
        key.caller()  # which checks the identifiers
    except (AttributeError, KeyError, TypeError, ValueError):
        raise MalformedApiKeyError(item["keyHash"]["S"]) from None
    return key


def _instant(item: "Mapping[str, AttributeValueTypeDef]", name: str) -> str | None:
    return to_instant(item[name]["S"]) if name in item else None
