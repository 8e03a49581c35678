"""The way to AWS for an operator: clients, stack outputs, and retries that last minutes."""

import os
import random
import time
from collections.abc import Callable
from http import HTTPStatus
from threading import Event
from typing import TYPE_CHECKING, TypeVar

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.parsers import ResponseParserError

from domain.errors import StoreError
from storage.dynamodb import store_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_T = TypeVar("_T")

THREADS = 16
_PATIENCE_SECONDS = 300.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 10.0
_TRANSIENT_CODES = frozenset(
    {
        *("LimitExceededException", "ProvisionedThroughputExceededException"),
        *("RequestLimitExceeded", "ThrottlingException", "TransactionConflictException"),
    }
)
_TRANSIENT_ERRORS = (
    exceptions.ConnectionError,
    exceptions.HTTPClientError,
    ResponseParserError,
)


def client(profile: str | None, region: str | None, *, attempts: int = 4) -> "DynamoDBClient":
    """A client with longer timeouts than a function's, which `THREADS` threads may share.

    Args:
        profile, region: those of the AWS configuration if `None`.
        attempts: how often botocore tries a call.

    Raises:
        StoreError: no region is known, or the profile does not exist.
    """
    config = Config(
        connect_timeout=5,
        read_timeout=15,  # a tombstone is stamped before, and the sync overlap is a minute
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=THREADS,
        tcp_keepalive=True,
    )
    with store_errors():
        session = boto3.Session(profile_name=profile, region_name=region)
        return session.client("dynamodb", config=config)


def stack_outputs(stack: str, profile: str | None, region: str | None) -> dict[str, str]:
    """The outputs of a CloudFormation stack by name.

    Raises:
        StoreError: there is no such stack, or AWS refuses to tell.
    """
    with store_errors():
        session = boto3.Session(profile_name=profile, region_name=region)
        (found,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


def endpoint() -> tuple[str, str] | None:
    """The environment variable that leads boto3's DynamoDB client elsewhere, and the address."""
    for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"):
        if address := os.environ.get(name):
            return name, address
    return None


def place_of(profile: str | None, region: str | None) -> str:
    """The account, as far as AWS tells it, and the region that a client asks."""
    session = boto3.Session(profile_name=profile, region_name=region)
    config = Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1})
    place = f"region {session.region_name}"
    try:
        account = session.client("sts", config=config).get_caller_identity()["Account"]
    except (exceptions.BotoCoreError, exceptions.ClientError):
        return place
    return f"account {account}, {place}"


def patiently(
    call: Callable[[], _T],
    stop: Event,
    seconds: float | None = None,
    *,
    clock: Callable[[], float] = time.time,
    uniform: Callable[[float, float], float] = random.uniform,
) -> _T:
    """What the call returns. It is repeated after longer and longer pauses while it may succeed.

    Args:
        stop: set when nobody wants to wait any more; its `wait` makes the pauses.
        seconds: how long to go on; five minutes if `None`.
        clock: the time in seconds.
        uniform: a random number between two others.

    Raises:
        StoreError: that of the last try.
    """
    end = clock() + (seconds or _PATIENCE_SECONDS)
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except StoreError as error:
            if not is_transient(error) or clock() > end:
                raise
            # Random, so that what was throttled together does not come again together.
            if stop.wait(pause * uniform(0.5, 1)):
                raise
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_transient(error: StoreError) -> bool:
    """Whether the error may go away by itself: throttling, a fault of AWS or of the network."""
    cause = error.__cause__
    if isinstance(cause, exceptions.ClientError):
        status = cause.response["ResponseMetadata"]["HTTPStatusCode"]
        return error.reason in _TRANSIENT_CODES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return cause is None or isinstance(cause, _TRANSIENT_ERRORS)
