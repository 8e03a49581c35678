import json
import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from dev.__main__ import app
from dev.local import dynamodb
from dev.local.template import ROOT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def complaint(result: Result) -> str:
    """The error and the hint of a command that was used wrongly."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"error: .*\n(hint: .*\n)?", result.stderr)
    return result.stderr


def test_an_unknown_failure_is_refused() -> None:
    assert "--fail must be 429, 500 or 503" in complaint(run("serve", "--fail", "404"))


def test_seed_asks_where_to() -> None:
    assert "Set AWS_ENDPOINT_URL_DYNAMODB" in complaint(run("seed"))


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://127.0.0.1:9", "No DynamoDB answers at http://127.0.0.1:9 ("),
        ("https://dynamodb.us-east-1.amazonaws.com", "leads to AWS"),
        ("https://dynamodb.eu-west-1.api.aws", "leads to AWS"),
        ("https://dynamodb.us-east-1.amazonaws.com.", "leads to AWS"),
        ("https://dynamodb.eusc-de-east-1.amazonaws.eu", "leads to AWS"),
        ("https://dynamodb.cn-north-1.api.amazonwebservices.com.cn", "leads to AWS"),
        ("http://[", "must be an address"),
        ("127.0.0.1:8000", "must be an address"),
    ],
)
def test_demo_data_goes_to_a_dynamodb_on_this_machine_only(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, reason: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", endpoint)
    monkeypatch.setattr(dynamodb, "SECONDS_TO_START", 0)
    assert reason in complaint(run("seed"))
    assert reason in complaint(run("serve", "--port", "0"))


@pytest.mark.parametrize(
    "content", ["{", "[" * 100_000, "[]", "{}", '{"httpMethod": "GET", "resource": "/"}']
)
def test_a_file_that_holds_no_event_is_named(tmp_path: Path, content: str) -> None:
    event = tmp_path / "event.json"
    event.write_text(content)
    assert f"{event} cannot be run" in complaint(run("invoke", str(event)))


@pytest.mark.parametrize("command", ["serve", "invoke", "seed"])
def test_every_command_explains_itself(command: str) -> None:
    assert run(command, "--help").exit_code == 0


def test_the_editors_files_name_what_exists() -> None:
    launch, settings = (
        json.loads((ROOT / ".vscode" / name).read_text())
        for name in ("launch.json", "settings.json")
    )
    folder = "${workspaceFolder}/"
    modules = [configuration["module"] for configuration in launch["configurations"]]
    assert set(modules) == {"dev", "pytest"}
    assert settings["python.defaultInterpreterPath"] == f"{folder}.venv/bin/python"
    commands = [configuration.get("args", [])[0] for configuration in launch["configurations"]]
    assert {command for command in commands if command != "${file}"} <= set(
        get_command(app).commands  # type: ignore[attr-defined]
    )
    folders = [*settings["python.analysis.extraPaths"], *settings["python.testing.pytestArgs"]]
    assert folders
    assert all((ROOT / name).is_dir() for name in folders)
    tags = {tag.split()[0] for tag in settings["yaml.customTags"]}
    assert tags >= set(re.findall(r"(?<= )![A-Z]\w+", (ROOT / "template.yaml").read_text()))
