"""The authorizer: looks up an API key, and allows its caller or denies the request."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from domain import api_key
from domain.caller import Caller
from domain.errors import MalformedApiKeyError, StoreError
from domain.timestamp import now
from handlers.telemetry import fell_back, logger, stack_of
from handlers.warm_up import read_once
from storage.api_keys import ApiKeyTable
from storage.items import key_request
from storage.reader import reader

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@cache
def table() -> ApiKeyTable:
    """The table of API keys; its client is kept for the life of the instance."""
    return ApiKeyTable(reader(fell_back), os.environ["API_KEYS_TABLE"])


@logger.inject_lambda_context(
    correlation_id_path="requestContext.requestId", clear_state=True, log_event=False
)
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, Any]:
    """Answer API Gateway's REQUEST authorizer event with an IAM policy, and the caller as context.

    Raises:
        StoreError: DynamoDB fails; API Gateway then answers with AUTHORIZER_FAILURE.
    """
    try:
        caller = identify(event["headers"])
    except StoreError as error:
        fields: dict[str, Any] = {
            "reason": error.reason,
            "error": type(error).__name__,
            "stack": stack_of(error),
        }
        if isinstance(error, MalformedApiKeyError):
            fields["item_key"] = error.hash_start
        logger.error("failed", **fields)
        raise
    logger.info("authorized" if caller else "denied", key_id=caller and caller.key_id)
    # API Gateway caches the policy for the key, so it must cover every method of the API.
    api_and_stage = "/".join(event["methodArn"].split("/")[:2])
    return {
        "principalId": caller.user_id if caller else "unknown",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow" if caller else "Deny",
                    "Resource": f"{api_and_stage}/*",
                }
            ],
        },
        "context": caller.to_context() if caller else {},
    }


def identify(headers: Mapping[str, str] | None) -> Caller | None:
    """The caller whom the `x-api-key` header identifies.

    `None` if its key is missing, malformed, unknown, expired or revoked.
    """
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    key = lowered.get("x-api-key", "")
    if not api_key.is_well_formed(key):
        return None
    found = table().find(api_key.hash_of(key))
    return found.caller() if found and found.is_active(now()) else None


read_once("GetItem", lambda: key_request(os.environ["API_KEYS_TABLE"], "none"))
