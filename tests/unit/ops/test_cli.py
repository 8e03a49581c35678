import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from ops.cli import app
from ops.local import dynamodb
from ops.local.template import ROOT


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def complaint(result: Result) -> str:
    """The error and the hint of a command that was used wrongly."""
    assert (result.exit_code, result.stdout) == (2, "")
    assert re.fullmatch(r"error: .*\n(hint: .*\n)?", result.stderr)
    return result.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["nothing"], "No such command 'nothing'", "conversations --help"),
        (["serve", "--prt", "1"], "No such option: --prt", "conversations serve --help"),
        (["serve", "--port", "x"], "'--port': Input should be a valid integer", "serve --help"),
        (["invoke"], "Missing argument 'event'", "conversations invoke --help"),
    ],
)
def test_wrong_use_is_shown_as_every_other_error(
    arguments: list[str], error: str, hint: str
) -> None:
    shown = complaint(CliRunner().invoke(app, arguments, prog_name="conversations"))
    assert error in shown
    assert hint in shown


@pytest.mark.parametrize("arguments", [(), ("-h",), ("keys", "-h"), ("keys", "issue", "-h")])
def test_help_is_a_letter_away(arguments: tuple[str, ...]) -> None:
    shown = run(*arguments)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert "Usage: " in shown.stdout


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert run("--version").stdout == f"conversations {project['version']}\n"


def test_help_waits_for_nothing_that_is_slow_to_import() -> None:
    check = "\n".join(
        (
            "import sys",
            "from ops.cli import app",
            "sys.argv = ['conversations', 'load', '--help']",
            "try: app()",
            "except SystemExit: print(*sys.modules, file=sys.stderr)",
        )
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True)
    assert not {"boto3", "botocore", "moto", "domain.conversation", "rich"} & {
        name.decode() for name in result.stderr.split()
    }
    assert b"sys" in result.stderr.split()


def test_a_shell_completes_commands() -> None:
    console = str(Path(sys.executable).with_name("conversations"))
    words = {"COMP_WORDS": "conversations exp", "COMP_CWORD": "1"}
    given = {**os.environ, **words, "_CONVERSATIONS_COMPLETE": "complete_bash"}
    result = subprocess.run([console], env=given, capture_output=True, check=True)
    assert result.stdout.split() == [b"export"]


def shell(command: str, **environment: str) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a line in which `conversations` is on the `PATH`."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_output_that_cannot_be_written_is_an_error() -> None:
    said = "error: The output: No space left on device.\n"
    assert shell("conversations --version > /dev/full") == (2, "", said)


@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_no_command_begins_without_a_stream_that_it_may_need(closed: str) -> None:
    code, shown, said = shell(f"conversations load x {closed}")
    assert (code, shown) == (2, "")
    assert "Standard input, output and error must be open." in said


def test_what_a_terminal_cannot_show_is_spelled(tmp_path: Path) -> None:
    (tmp_path / "ł.json").write_text("{}\n")
    command = f"cd '{tmp_path}' && conversations load ł.json --dry-run --workspace w"
    code, shown, _ = shell(command, PYTHONIOENCODING="ascii")
    assert code == 1
    assert shown.startswith("\\u0142.json: 1 record in ")


def test_a_name_that_no_file_can_have_is_an_error() -> None:
    code, _, said = shell(f"conversations load {'a' * 300} --workspace w")
    assert (code, said) == (2, f"error: {'a' * 300}: File name too long.\n")


def test_help_names_every_command_and_a_first_example() -> None:
    shown = run("--help").stdout
    assert all(word in shown for word in ("serve", "invoke", "seed", "conversations serve"))


@pytest.mark.parametrize("command", ["serve", "invoke", "seed"])
def test_every_command_explains_itself(command: str) -> None:
    assert run(command, "--help").exit_code == 0


def test_an_unknown_failure_is_refused() -> None:
    assert "--fail must be 429, 500 or 503" in complaint(run("serve", "--fail", "404"))


def test_the_editors_files_name_what_exists() -> None:
    launch, settings = (
        json.loads((ROOT / ".vscode" / name).read_text())
        for name in ("launch.json", "settings.json")
    )
    folder = "${workspaceFolder}/"
    programs = {
        configuration["program"].removeprefix(folder)
        for configuration in launch["configurations"]
        if "program" in configuration
    }
    # `make run` makes the environment, and this command in it.
    assert programs == {".venv/bin/conversations"}
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
