"""The table of API keys: one item per key, found by the key's hash."""

from typing import TYPE_CHECKING

from domain.api_key import ApiKey
from domain.errors import MalformedApiKeyError, StoreUnavailableError
from storage import items
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


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
            request = items.key_request(self._name, key_hash, consistent=consistent)
            answer = self._client.get_item(**request)
        # Without this check, a truncated answer would look like an unknown key.
        if "ConsumedCapacity" not in answer:
            raise StoreUnavailableError("IncompleteAnswer")
        if "Item" not in answer:
            return None
        key = items.unpack_api_key(answer["Item"])
        if key.key_hash != key_hash:  # else the caller would read as another user
            raise MalformedApiKeyError(key_hash)
        return key
