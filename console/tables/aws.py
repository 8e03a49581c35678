"""Access to AWS for an operator: clients, stack outputs, and retries for minutes."""

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
from botocore.loaders import Loader
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
    """A client that `THREADS` threads may share, with longer timeouts than a function's.

    Args:
        profile, region: `None` means those of the AWS configuration.
        attempts: how many times botocore tries a call.

    Raises:
        StoreError: no region is known, or the profile does not exist.
    """
    config = Config(
        connect_timeout=5,
        # A tombstone is dated before the call, and must be stored within sync's overlap, a minute.
        read_timeout=15,
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
        StoreError: the stack does not exist, or AWS refuses access.
    """
    with store_errors():
        session = boto3.Session(profile_name=profile, region_name=region)
        (found,) = session.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


def aws_domains() -> tuple[str, ...]:
    """The domains of AWS's services in all its partitions, each after a dot."""
    partitions = Loader().load_data("partitions")["partitions"]
    names = ("dnsSuffix", "dualStackDnsSuffix")
    return tuple(f".{partition['outputs'][name]}" for partition in partitions for name in names)


def endpoint() -> tuple[str, str] | None:
    """The environment variable that sets the address of DynamoDB, and the address."""
    for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"):
        if address := os.environ.get(name):
            return name, address
    return None


def place_of(profile: str | None, region: str | None) -> str:
    """The region that a client uses, and the account, if AWS returns it."""
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
    """Return what the call returns. Retry transient errors, with ever longer pauses.

    Args:
        stop: set it to give up waiting; its `wait` does the pauses.
        seconds: how long to retry; `None` means five minutes.
        clock: the time in seconds.
        uniform: returns a random number between two others.

    Raises:
        StoreError: the error of the last attempt.
    """
    end = clock() + (seconds or _PATIENCE_SECONDS)
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return call()
        except StoreError as error:
            if not is_transient(error) or clock() > end:
                raise
            # Random, so that calls that were throttled together are not retried together.
            if stop.wait(pause * uniform(0.5, 1)):
                raise
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def is_transient(error: StoreError) -> bool:
    """Whether a retry may help: throttling, or a fault of AWS or the network."""
    cause = error.__cause__
    if isinstance(cause, exceptions.ClientError):
        status = cause.response["ResponseMetadata"]["HTTPStatusCode"]
        return error.reason in _TRANSIENT_CODES or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return cause is None or isinstance(cause, _TRANSIENT_ERRORS)
