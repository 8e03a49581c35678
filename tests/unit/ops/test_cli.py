from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def complaint(result: Result) -> str:
    """The one line of a command that was used wrongly."""
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    return result.stderr


def test_help_names_every_command_and_a_first_example() -> None:
    shown = run("--help").stdout
    assert all(word in shown for word in ("serve", "invoke", "seed", "conversations serve"))


@pytest.mark.parametrize("command", ["serve", "invoke", "seed"])
def test_every_command_explains_itself(command: str) -> None:
    assert run(command, "--help").exit_code == 0


def test_seed_asks_where_to() -> None:
    assert "Set AWS_ENDPOINT_URL_DYNAMODB" in complaint(run("seed"))


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://127.0.0.1:9", "No DynamoDB answers at http://127.0.0.1:9 ("),
        ("https://dynamodb.us-east-1.amazonaws.com", "leads to AWS"),
        ("https://dynamodb.eu-west-1.api.aws", "leads to AWS"),
        ("127.0.0.1:8000", "must be an address"),
    ],
)
def test_demo_data_goes_to_a_dynamodb_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, reason: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    assert reason in complaint(run("seed"))
    assert reason in complaint(run("serve", "--port", "0"))


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"httpMethod": "GET", "resource": "/"}'])
def test_a_file_that_holds_no_event_is_named(tmp_path: Path, content: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(content)
    assert f"{event} cannot be played" in complaint(run("invoke", str(event)))
