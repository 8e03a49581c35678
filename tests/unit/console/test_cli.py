import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from console.cli import app


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
        (["users", "--prt", "1"], "No such option: --prt", "conversations users --help"),
        (["get"], "Missing option '--workspace'", "conversations get --help"),
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
            "from console.cli import app",
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
    assert all(word in shown for word in ("load", "find", "keys", "conversations load --help"))
    assert not any(f"\n  {word} " in shown for word in ("serve", "invoke", "seed", "openapi"))


@pytest.mark.parametrize(
    ("command", "target"),
    [
        (["serve", "--port", "0"], "make run"),
        (["invoke", "events/list.json"], "make invoke"),
        (["seed", "--help"], "make seed"),
        (["openapi"], "make openapi"),
    ],
)
def test_a_command_for_a_checkout_says_how_to_call_it_there(
    command: list[str], target: str
) -> None:
    said = "error: This works in a checkout of the repository only: use `{}` there.\n"
    assert complaint(run(*command)) == said.format(target)
