"""The DynamoDB client, and what its errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

from domain.errors import StoreError, StoreRequestError, StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ATTEMPT_SECONDS = 4.0  # for the attempt before the client's: `storage.reader`
_CLIENT_SECONDS = 8.0  # two attempts of 1 + 3 s, or fewer and the pause between them
SECONDS_TO_ANSWER = 3.0  # for the largest page, encoded as often as it may be
SECONDS_PER_CALL = ATTEMPT_SECONDS + _CLIENT_SECONDS + SECONDS_TO_ANSWER

# What is not named here, a client's own errors included, is the store being unavailable.
_ERRORS: dict[str, type[StoreError]] = {
    "ParamValidationError": StoreRequestError,
    "SerializationException": StoreRequestError,
    "ValidationException": StoreRequestError,
}


def client() -> "DynamoDBClient":
    """A new client of the region and credentials in the environment.

    It bounds each wait for a piece of an answer, not all of them together: an answer that keeps
    dripping in is ended by the function's own timeout.
    """
    import boto3  # takes longer to import than all else, and a read that succeeds needs none
    from botocore.config import Config

    config = Config(
        connect_timeout=1,
        read_timeout=3,
        # Reads have had an attempt before: `storage.reader`.
        retries={"mode": "standard", "total_max_attempts": 2},
        tcp_keepalive=True,
        user_agent="conversations",  # else botocore puts one together for every request
    )
    made = boto3.Session().client("dynamodb", config=config)
    made.meta.events.register("before-parse.dynamodb", _refuse_corrupt)
    return made


def _refuse_corrupt(response_dict: dict[str, Any], **_: object) -> None:
    """Has an answer retried that was changed on its way, which botocore would take as it is."""
    checksum = response_dict["headers"].get("x-amz-crc32")
    if checksum is not None and checksum != str(crc32(response_dict["body"])):
        response_dict |= {"status_code": 500, "body": b'{"__type": "RequestTimeout"}'}


@contextmanager
def store_errors() -> Iterator[None]:
    """Around one call of the client: raises what it raises as a `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # botocore's parsers raise all kinds of errors on garbage
        from botocore.exceptions import ClientError

        reason = type(error).__name__
        if isinstance(error, ClientError):
            reason = error.response["Error"]["Code"]
        raise _ERRORS.get(reason, StoreUnavailableError)(reason) from error
