"""Injects a fault between the handlers and DynamoDB, in a separate process."""

import atexit
import json
import multiprocessing
import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import httpx

from storage.reader import _ONLY_FOR_BOTO3
from tests.support.api import Api, Context
from tests.support.emulators import microburst
from tests.support.tables import forget_clients

FAULTS: dict[str, dict[str, Any]] = {
    "throttling": {"error": {"code": "ProvisionedThroughputExceededException"}},
    "status 500": {"error": {"code": "InternalServerError", "status": 500}},
    "status 503": {"error": {"code": "ServiceUnavailable", "status": 503}},
    "access denied": {"error": {"code": "AccessDeniedException"}},
    "request rejected as invalid": {"error": {"code": "ValidationException"}},
    "1 s late, under the timeout": {"latency": 1000},
    "5 s late, over the timeout": {"latency": 5000},
    "connection reset": {"reset": True},
    "body cut off, connection lost": {"response": {"abort_frac": 0.5}},
    "body cut off, its length adjusted": {"response": {"truncate_frac": 0.5}},
    "no body": {"response": {"truncate_bytes": 0}},
    "16 bytes corrupt": {"response": {"corrupt_bytes": 16}},
    "a slow drip, 4 KB a second": {"response": {"bandwidth_kbps": 4}},
}
PLACES = ("first page", "middle page", "last page", "API key")
DURATIONS = {"once": {"times": 1}, "persistently": {}}
FUNCTION_SECONDS, AUTHORIZER_SECONDS = 28, 20  # the timeouts in template.yaml
WORKSPACE = "large"


class Cell(NamedTuple):
    """A fault, how long it lasts, and where."""

    fault: str
    duration: str
    place: str


@dataclass(frozen=True)
class Seen:
    """What came of it."""

    status: int
    body: bytes
    headers: dict[str, str]
    reason: str
    seconds: float
    fired: int


class DecliningContext(Context):
    """As Lambda's: the time that is left gets less."""

    def __init__(self) -> None:
        super().__init__()
        self._ends = time.monotonic() + FUNCTION_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int(1000 * (self._ends - time.monotonic())))


_resources = ExitStack()
_proxy: str
_starts: list[str | None]
_key: str


def begin(upstream: str, starts: list[str | None], key: str) -> None:
    """Prepare the process: a proxy, and handlers that connect through it.

    Args:
        starts: the sort key at which each page begins; `None` for the first.
        key: an API key that is stored.
    """
    global _proxy, _starts, _key  # noqa: PLW0603 - of this process
    _proxy = _resources.enter_context(microburst(upstream))
    atexit.register(_resources.close)
    _starts, _key = starts, key
    for name in _ONLY_FOR_BOTO3:
        os.environ.pop(name, None)
    os.environ |= {"AWS_ENDPOINT_URL_DYNAMODB": _proxy, "POWERTOOLS_LOG_LEVEL": "CRITICAL"}
    for _ in range(20):  # the emulators' own start is no fault
        if _list()[0] == _authorize()[0] == 200:
            return
    raise RuntimeError("the list cannot be read without a fault either")


def see(cell: Cell) -> Seen:
    """What the handlers answer with the fault between them and DynamoDB."""
    rule = {"service": "dynamodb", **FAULTS[cell.fault], **DURATIONS[cell.duration]}
    if cell.place == "API key":
        rule |= {"operation": "GetItem"}
    else:
        page = {"first page": 0, "middle page": len(_starts) // 2, "last page": -1}[cell.place]
        start = _starts[page]
        here = f"ExclusiveStartKey.sk.S == '{start}'" if start else "ExclusiveStartKey == null"
        rule |= {"operation": "Query", "body": here}
    with httpx.Client(base_url=_proxy, timeout=60, trust_env=False) as control:
        control.post("/_microburst/rules", json=[rule]).raise_for_status()
        control.delete("/_microburst/fired").raise_for_status()
        begun = time.monotonic()
        seen = _until_the_timeout(cell)
        seconds = time.monotonic() - begun
        fired = len(control.get("/_microburst/fired").json())
    return Seen(*seen, seconds, fired)


ENDED = "the function's timeout"


def _until_the_timeout(cell: Cell) -> tuple[int, bytes, dict[str, str], str]:
    """The handler's answer, or API Gateway's 503 where Lambda would end the function before."""
    call, seconds = (
        (_authorize, AUTHORIZER_SECONDS) if cell.place == "API key" else (_list, FUNCTION_SECONDS)
    )
    if "drip" not in cell.fault:  # the others end by themselves, which the test asserts
        return call()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(call()), daemon=True)
    process.start()
    answer = receiver.recv() if receiver.poll(seconds) else (503, b"", {}, ENDED)
    process.kill()
    process.join()
    return cast("tuple[int, bytes, dict[str, str], str]", answer)


def _list() -> tuple[int, bytes, dict[str, str], str]:
    from handlers.telemetry import logger

    forget_clients()  # a client whose retries nobody has used up
    reasons: list[str] = []
    logger.error = lambda *_, **fields: reasons.append(fields.get("reason", fields["error"]))  # type: ignore[method-assign]
    answer = Api(workspaces=WORKSPACE).get(WORKSPACE, context=DecliningContext())
    return answer.status, answer.body, dict(answer.headers), "".join(reasons)


def _authorize() -> tuple[int, bytes, dict[str, str], str]:
    """The authorizer's answer as a status: 200 where it allows, 401 where it denies."""
    from domain.errors import StoreError
    from handlers import authorize

    forget_clients()
    event = {
        "headers": {"x-api-key": _key},
        "methodArn": "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/GET/v1",
        "requestContext": {"requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"},
    }
    try:
        answer = authorize.handler(event, cast("Any", DecliningContext()))
    except StoreError as error:  # which API Gateway answers with AUTHORIZER_FAILURE, a 503
        return 503, b"", {}, error.reason
    allowed = answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    return (200 if allowed else 401), json.dumps(answer["context"]).encode(), {}, ""
