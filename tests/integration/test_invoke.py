"""Every event in `events/`, in Lambda's runtime interface client."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.local import dynamodb as local
from ops.local import runtime, template
from ops.local.environment import Variables
from tests.support.api import DOCUMENTED, EVENTS

CONSOLE = str(Path(sys.executable).with_name("conversations"))
DEPLOYMENT = template.load()


@pytest.fixture(scope="module")
def demo_data() -> Iterator[Variables]:
    """One embedded DynamoDB for all."""
    with local.demo_data(DEPLOYMENT) as variables:
        yield variables


def play(event: dict[str, Any], demo_data: Variables) -> Any:
    """What the event's function answers."""
    return runtime.play(event, DEPLOYMENT.function_for(event), demo_data)


def read(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / name).read_text())
    return event


@pytest.mark.parametrize(
    ("event", "status", "code"),
    [
        ("missing_workspace.json", 400, "missing_workspace"),
        ("malformed_workspace.json", 400, "invalid_workspace"),
        ("workspace_without_grant.json", 404, "workspace_not_found"),
    ],
)
def test_a_refused_request_is_a_problem(
    demo_data: Variables, event: str, status: int, code: str
) -> None:
    answer = play(read(event), demo_data)
    assert answer["statusCode"] == status
    assert json.loads(answer["body"])["error"]["code"] == code


def test_a_good_key_is_allowed_with_its_users_context(demo_data: Variables) -> None:
    answer = play(read("authorize_good_key.json"), demo_data)
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    assert answer["context"] == {
        "userId": DOCUMENTED["userId"],
        "workspaceIds": "demo demo-busy demo-mine",
        "keyId": "key_demo",
    }


def test_an_unknown_key_is_denied(demo_data: Variables) -> None:
    answer = play(read("authorize_unknown_key.json"), demo_data)
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Deny"


def invoke(event: Path) -> tuple[int, Any, str]:
    """The exit code, the answer and the log of `conversations invoke`."""
    command = [CONSOLE, "invoke", str(event)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.returncode, json.loads(done.stdout), done.stderr


@pytest.mark.usefixtures("demo_data")
def test_the_command_prints_the_answer_and_logs_to_stderr() -> None:
    code, answer, log = invoke(EVENTS / "list.json")
    assert (code, answer["statusCode"]) == (0, 200)
    assert json.loads(answer["body"]) == [DOCUMENTED]
    assert '"message":"listed"' in log
    assert "Traceback" not in log


@pytest.mark.usefixtures("demo_data")
def test_a_function_that_raises_is_exit_code_1(tmp_path: Path) -> None:
    event = tmp_path / "no_arn.json"
    event.write_text('{"type": "REQUEST", "headers": {}}')
    code, answer, _ = invoke(event)
    assert (code, answer["errorType"]) == (1, "KeyError")
