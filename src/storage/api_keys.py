"""The table of API keys: one item per key, found by the key's hash."""

from typing import TYPE_CHECKING

from domain.api_key import ApiKey
from domain.errors import StoreUnavailableError
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef


class ApiKeyTable:
    """Issued keys. Every method raises `StoreError` when DynamoDB fails."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def find(self, key_hash: str) -> ApiKey | None:
        """The key with this hash, whether active or not; `None` if none was issued."""
        with store_errors():
            answer = self._client.get_item(
                TableName=self._name,
                Key={"keyHash": {"S": key_hash}},
                ReturnConsumedCapacity="TOTAL",
            )
        # Without it, an answer cut off on the way would look like that of an unknown key.
        if "ConsumedCapacity" not in answer:
            raise StoreUnavailableError("IncompleteAnswer")
        item = answer.get("Item")
        if item is None:
            return None
        try:
            return ApiKey(
                key_hash=item["keyHash"]["S"],
                key_id=item["keyId"]["S"],
                user_id=item["userId"]["S"],
                workspace_ids=frozenset(item["workspaceIds"]["SS"]),
                created_at=item["createdAt"]["S"],
                expires_at=item.get("expiresAt", {}).get("S"),
                revoked_at=item.get("revokedAt", {}).get("S"),
            )
        except (AttributeError, KeyError, TypeError):
            raise StoreUnavailableError("MalformedApiKey") from None

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
