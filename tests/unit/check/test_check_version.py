import io
import json
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from check import check_version
from check.check_version import CALLER, UNKNOWN_KEY, handler
from domain.api_key import is_well_formed
from domain.caller import Caller

EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "hook-1"}
ENDPOINT, AUTHORIZER = "arn:aws:lambda:::function:list:7", "arn:aws:lambda:::function:authorize:9"
EMPTY = {"statusCode": 200, "body": "[]"}


def policy(effect: str) -> Any:
    return {"policyDocument": {"Statement": [{"Effect": effect}]}}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "Invoke")


class Clients:
    """Lambda with an answer for each version, and CodeDeploy, which keeps the statuses."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {ENDPOINT: EMPTY, AUTHORIZER: policy("Deny")}
        self.refusals: list[Exception] = []
        self.error: str | None = None
        self.invoked: list[tuple[str, Any]] = []
        self.statuses: list[tuple[str, str, str]] = []

    def invoke(self, *, FunctionName: str, Payload: str) -> Any:  # noqa: N803 - boto3's names
        self.invoked.append((FunctionName, json.loads(Payload)))
        if self.refusals:
            raise self.refusals.pop(0)
        answer = {"Payload": io.BytesIO(json.dumps(self.answers[FunctionName]).encode())}
        return answer | ({"FunctionError": self.error} if self.error else {})

    def put_lifecycle_event_hook_execution_status(self, **arguments: str) -> None:
        self.statuses.append(
            (
                arguments["deploymentId"],
                arguments["lifecycleEventHookExecutionId"],
                arguments["status"],
            )
        )


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> Clients:
    stub = Clients()
    monkeypatch.setattr(boto3, "client", lambda *_, **__: stub)
    monkeypatch.setattr(time, "sleep", Mock())
    monkeypatch.setenv("LIST_CONVERSATIONS_VERSION", ENDPOINT)
    monkeypatch.setenv("AUTHORIZE_VERSION", AUTHORIZER)
    return stub


def status(clients: Clients) -> str:
    handler(EVENT, None)
    ((deployment, execution, reported),) = clients.statuses
    assert (deployment, execution) == ("d-1", "hook-1")
    return reported


def test_both_versions_answer_and_codedeploy_may_go_on(clients: Clients) -> None:
    assert status(clients) == "Succeeded"
    assert [version for version, _ in clients.invoked] == [ENDPOINT, AUTHORIZER]


def test_the_endpoint_is_asked_as_a_caller_of_nothing_but_this_check(clients: Clients) -> None:
    status(clients)
    event = clients.invoked[0][1]
    caller = Caller.from_context(event["requestContext"]["authorizer"])
    assert caller == Caller(CALLER, frozenset({CALLER}), CALLER)
    assert event["headers"] == {"x-workspace-id": CALLER}
    assert event["multiValueHeaders"] == {"x-workspace-id": [CALLER]}


def test_the_authorizer_is_asked_with_a_key_that_it_must_look_up(clients: Clients) -> None:
    status(clients)
    assert clients.invoked[1][1]["headers"] == {"x-api-key": UNKNOWN_KEY}
    assert is_well_formed(UNKNOWN_KEY)


def test_nothing_in_the_hooks_event_changes_what_is_invoked(clients: Clients) -> None:
    handler(EVENT | {"version": "another", "userId": "someone", "headers": "x"}, None)
    text = json.dumps(clients.invoked)
    assert "another" not in text
    assert "someone" not in text


@pytest.mark.parametrize(
    ("version", "answer"),
    [
        (ENDPOINT, {"statusCode": 503, "body": "{}"}),
        (ENDPOINT, {"statusCode": 200, "body": '[{"_id":"someone-elses"}]'}),
        (ENDPOINT, {"statusCode": 200, "body": "H4sI", "isBase64Encoded": True}),
        (ENDPOINT, {"message": "no statusCode"}),
        (ENDPOINT, None),
        (AUTHORIZER, policy("Allow")),
        (AUTHORIZER, {"policyDocument": {"Statement": []}}),
        (AUTHORIZER, {"isAuthorized": False}),
        (AUTHORIZER, None),
    ],
)
def test_any_other_answer_ends_the_deployment(
    clients: Clients, version: str, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    clients.answers[version] = answer
    assert status(clients) == "Failed"
    assert "someone-elses" not in caplog.text


def test_a_version_that_crashes_ends_the_deployment_and_its_message_is_not_logged(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    clients.error = "Unhandled"
    clients.answers[ENDPOINT] = EMPTY | {"errorType": "Runtime.X", "errorMessage": "Anna"}
    assert status(clients) == "Failed"
    assert f"{ENDPOINT} failed: Runtime.X. See its log." in caplog.text
    assert "Anna" not in caplog.text


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "ResourceNotReadyException",
        "SnapStartNotReadyException",
        "TooManyRequestsException",
    ],
)
def test_a_version_that_cannot_run_yet_is_invoked_again(clients: Clients, code: str) -> None:
    clients.refusals = [refusal(code), refusal(code)]
    assert status(clients) == "Succeeded"
    assert [version for version, _ in clients.invoked] == [ENDPOINT] * 3 + [AUTHORIZER]


@pytest.mark.parametrize(
    ("refusals", "invocations"),
    [
        ([refusal("ResourceNotFoundException")], 1),
        ([ReadTimeoutError(endpoint_url="https://lambda")], 1),
        ([refusal("TooManyRequestsException")] * 99, 24),
    ],
)
def test_a_version_that_cannot_be_invoked_ends_the_deployment(
    clients: Clients, refusals: list[Exception], invocations: int
) -> None:
    clients.refusals = refusals.copy()
    assert status(clients) == "Failed"
    assert len(clients.invoked) == invocations


def test_a_missing_variable_ends_the_deployment_at_once(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUTHORIZE_VERSION")
    assert status(clients) == "Failed"


def test_an_interrupted_check_is_reported_too(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt: Callable[[], None] = Mock(side_effect=SystemExit)
    monkeypatch.setattr(check_version, "check", interrupt)
    with pytest.raises(SystemExit):
        handler(EVENT, None)
    assert clients.statuses == [("d-1", "hook-1", "Failed")]


def test_a_status_that_codedeploy_does_not_take_is_an_error_of_the_hook(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Mock(side_effect=refusal("ThrottlingException"))
    monkeypatch.setattr(clients, "put_lifecycle_event_hook_execution_status", refused)
    with pytest.raises(ClientError):
        handler(EVENT, None)
