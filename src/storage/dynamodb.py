"""The DynamoDB client, and what its errors mean."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from zlib import crc32

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from domain.errors import StoreError, StoreRequestError, StoreUnavailableError

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

P = ParamSpec("P")
T = TypeVar("T")

_CONFIG = Config(
    connect_timeout=1,
    read_timeout=3,
    # Reads have had an attempt before: `storage.shortcut`.
    retries={"mode": "standard", "total_max_attempts": 2},
    tcp_keepalive=True,
    user_agent="conversations",  # else botocore puts one together for every request
)
_CLIENT_SECONDS = 8.0  # two attempts of 1 + 3 s, or fewer and the pause between them
SECONDS_TO_ANSWER = 3.0  # for the largest page, encoded as often as it may be
# Those of the shortcut's attempt, 4 s; the client's; and those to answer.
SECONDS_PER_CALL = 4.0 + _CLIENT_SECONDS + SECONDS_TO_ANSWER

# What is not named here, a client's own errors included, is the store being unavailable.
_ERRORS: dict[str, type[StoreError]] = {
    "ParamValidationError": StoreRequestError,
    "SerializationException": StoreRequestError,
    "ValidationException": StoreRequestError,
}


def client() -> "DynamoDBClient":
    """A new client of the region and credentials in the environment, with bounded patience."""
    # Not boto3's: loading that adds a fifth to the start of a function, and makes the same client.
    session = botocore.session.get_session()
    made = session.create_client("dynamodb", config=_CONFIG)
    made.meta.events.register("before-parse.dynamodb", _refuse_corrupt)
    return cast("DynamoDBClient", made)


def _refuse_corrupt(response_dict: dict[str, Any], **_: object) -> None:
    """Has an answer retried that was changed on its way, which botocore would take as it is."""
    checksum = response_dict["headers"].get("x-amz-crc32")
    if checksum is not None and checksum != str(crc32(response_dict["body"])):
        response_dict |= {"status_code": 500, "body": b'{"__type": "RequestTimeout"}'}


def ask(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call of the client returns, within bounded time.

    botocore bounds each read from the connection, but not all of them together: an answer that
    drips in would take for ever.

    Raises:
        StoreError: DynamoDB fails, or the time is over.
    """
    with store_errors():
        return within(_CLIENT_SECONDS, call, *args, **kwargs)


def within(seconds: float, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What a call returns or raises, in a thread of its own, which is left to itself in the end.

    Raises:
        TimeoutError: it takes longer than `seconds`.
    """
    answers: SimpleQueue[tuple[T, None] | tuple[None, Exception]] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((call(*args, **kwargs), None))
        except Exception as error:  # noqa: BLE001 - raised again below
            answers.put((None, error))

    Thread(target=run, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return cast("T", answer)


@contextmanager
def store_errors() -> Iterator[None]:
    """Around one call of the client: raises what it raises as a `StoreError`."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:  # botocore's parsers raise all kinds of errors on garbage
        reason = "TooSlow" if isinstance(error, TimeoutError) else type(error).__name__
        if isinstance(error, ClientError):
            reason = error.response["Error"]["Code"]
        raise _ERRORS.get(reason, StoreUnavailableError)(reason) from error
