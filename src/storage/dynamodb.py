"""The DynamoDB client, and what its errors mean."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

from domain.errors import StoreError, StoreRequestError, StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ATTEMPT_SECONDS = 4.0  # for the attempt of `storage.reader`, before boto3's
_CLIENT_SECONDS = 8.0  # two attempts: each 1 s to connect, 3 s to read
SECONDS_TO_ANSWER = 3.0  # for all encodings that shortening the largest page can need
SECONDS_PER_CALL = ATTEMPT_SECONDS + _CLIENT_SECONDS + SECONDS_TO_ANSWER

# Every other error, including the client's own, means that the store is unavailable.
_ERRORS: dict[str, type[StoreError]] = {
    "ParamValidationError": StoreRequestError,
    "SerializationException": StoreRequestError,
    "ValidationException": StoreRequestError,
}


def client() -> "DynamoDBClient":
    """A new client, with the region and credentials of the environment.

    Its timeout bounds each wait for data, not their sum. Only the function's timeout ends an
    answer that trickles in.
    """
    import boto3  # slow to import, and needed only if `Reader` fails
    from botocore.config import Config

    for name in ("boto3", "botocore", "urllib3"):  # at DEBUG they log headers and bodies
        logging.getLogger(name).setLevel(logging.INFO)

    config = Config(
        connect_timeout=1,
        read_timeout=3,
        # `storage.reader` has already made an attempt.
        retries={"mode": "standard", "total_max_attempts": 2},
        tcp_keepalive=True,
        user_agent="conversations",  # else botocore builds one for each request
    )
    made = boto3.client("dynamodb", config=config)
    made.meta.events.register("before-parse.dynamodb", _refuse_corrupt)
    return made


def _refuse_corrupt(response_dict: dict[str, Any], **_: object) -> None:
    """Have botocore retry an answer whose checksum is wrong, which it does not check itself."""
    checksum = response_dict["headers"].get("x-amz-crc32")
    if checksum is not None and checksum != str(crc32(response_dict["body"])):
        response_dict |= {"status_code": 500, "body": b'{"__type": "RequestTimeout"}'}


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn every exception of a call to DynamoDB into a `StoreError`."""
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
