"""The table of API keys: one item per key, found by the key's hash."""

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
    """Looks up issued keys."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def find(self, key_hash: str, *, consistent: bool = False) -> ApiKey | None:
        """The key with this hash, whether active or not; `None` if none was issued.

        Args:
            consistent: do a strongly consistent read, at twice the price.

        Raises:
            MalformedApiKeyError: its item is malformed.
            StoreError: DynamoDB fails.
        """
        with store_errors():
            request = find_request(self._name, key_hash, consistent=consistent)
            answer = self._client.get_item(**request)
        # Without this check, a truncated answer would look like an unknown key.
        if "ConsumedCapacity" not in answer:
            raise StoreUnavailableError("IncompleteAnswer")
        if "Item" not in answer:
            return None
        key = read_item(answer["Item"])
        if key.key_hash != key_hash:  # else the caller would read as another user
            raise MalformedApiKeyError(key_hash)
        return key


def find_request(table: str, key_hash: str, *, consistent: bool = False) -> dict[str, Any]:
    """The arguments of GetItem for the key with this hash."""
    return {
        "TableName": table,
        "Key": {"keyHash": {"S": key_hash}},
        "ConsistentRead": consistent,
        "ReturnConsumedCapacity": "TOTAL",
    }


def read_item(item: "Mapping[str, AttributeValueTypeDef]") -> ApiKey:
    """The key in an item.

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


def _instant(item: "Mapping[str, AttributeValueTypeDef]", name: str) -> str | None:
    return to_instant(item[name]["S"]) if name in item else None
