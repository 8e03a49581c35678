"""The DynamoDB client, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from domain.errors import StoreError, StoreRequestError, StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
)
# Three attempts of 1 + 3 s, or less where back-off takes their place; and 1 s to answer.
SECONDS_PER_CALL = 13.0

# What is not named here, a client's own errors included, is the store being unavailable.
_ERRORS: dict[str, type[StoreError]] = {
    "ParamValidationError": StoreRequestError,
    "SerializationException": StoreRequestError,
    "ValidationException": StoreRequestError,
}


def client() -> "DynamoDBClient":
    """A new client of the region and credentials in the environment, with bounded patience."""
    return boto3.client("dynamodb", config=_CONFIG)


@contextmanager
def store_errors() -> Iterator[None]:
    """Around one call of the client: raises what it raises as a `StoreError`."""
    try:
        yield
    except Exception as error:  # botocore's parsers raise all kinds of errors on garbage
        reason = type(error).__name__
        if isinstance(error, ClientError):
            reason = error.response["Error"]["Code"]
        raise _ERRORS.get(reason, StoreUnavailableError)(reason) from error
