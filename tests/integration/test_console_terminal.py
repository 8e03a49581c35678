# ruff: noqa: RUF001 - other scripts
"""What commands show on a terminal: data must not control it. A pipe gets what is stored."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from console.cli import app
from console.environment import environment
from console.terminal import visible
from dev import __main__ as dev
from dev.local import server
from dev.local.demo import USER
from dev.local.template import ROOT
from storage.dynamodb import client
from tests.support.api import conversation

CONSOLE = str(Path(sys.executable).with_name("conversations"))
OF_DEV = ("serve", "invoke", "seed", "openapi")


def command_line(*arguments: str) -> list[str]:
    """The operator's command, or one of the repository's."""
    dev = [sys.executable, "-m", "dev"]
    return [*(dev if arguments[:1] and arguments[0] in OF_DEV else [CONSOLE]), *arguments]


# Clears the screen, sets the title, rings; C1 and DEL; a separator; reorders; hides; joins.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x08\r\x9b31m\x85\x7f\u2028\u202egpj\u2066\u200b\ufeff\U000e0041"
PEACEFUL = "größe 👩\u200d🔧 می\u200cخواهم [/b] [red]"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2060-\u206f\u200b\ufeff\U000e0041]")
# The console's own: colours, and what its progress bar does to its own line.
OWN = re.compile(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d?[AK]|\r(?!\n)|\r\n")


@pytest.fixture(scope="module")
def hostile() -> Iterator[None]:
    """Conversations, an item with a malformed key and an API key with hostile texts."""
    with server.running() as api, environment(api.environment):
        dynamodb, table = client(), os.environ["CONVERSATIONS_TABLE"]
        customer = {"name": HOSTILE + PEACEFUL, "email": f"{HOSTILE}@example.org", "phone": HOSTILE}
        for workspace in ("hostile", f"{HOSTILE}\nforged"):
            document = json.dumps(conversation(id="1", customer=customer))
            item: Any = {
                "pk": {"S": f"{workspace}#{USER}"},
                "sk": {"S": "2024-12-01T08:45:00.000Z#1"},
                "updatedKey": {"S": "2024-12-01T08:45:00.000Z#1"},
                "document": {"S": document},
            }
            dynamodb.put_item(TableName=table, Item=item)
        damaged: Any = {
            "pk": {"S": f"damaged#{HOSTILE}"},
            "sk": {"S": HOSTILE},
            "document": {"S": "{"},
        }
        dynamodb.put_item(TableName=table, Item=damaged)
        key: Any = {
            "keyHash": {"S": "a" * 64},
            "keyId": {"S": f"key_{HOSTILE}"},
            "userId": {"S": "hostile"},
            "workspaceIds": {"SS": ["w"]},
            "createdAt": {"S": HOSTILE},
        }
        dynamodb.put_item(TableName=os.environ["API_KEYS_TABLE"], Item=key)
        yield


def on_terminal(*arguments: str, folder: Path | None = None) -> str:
    """What a command shows when its output goes to a pseudo-terminal. It gets no input."""
    terminal, streams = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 200))
    process = subprocess.Popen(
        command_line(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=streams,
        stderr=streams,
        cwd=folder,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(streams)
    shown = b""
    with suppress(OSError):  # EIO: the other end is closed
        while part := os.read(terminal, 65_536):
            shown += part
    process.wait(60)
    os.close(terminal)
    return OWN.sub(lambda own: "\n" if own[0] == "\r\n" else "", shown.decode())


def through_pipes(*arguments: str, folder: Path | None = None) -> str:
    run = subprocess.run(command_line(*arguments), capture_output=True, cwd=folder, check=False)
    return (run.stdout + run.stderr).decode(errors="surrogateescape")


BY_ADDRESS = ("find", "--customer", f"{HOSTILE}@example.org")


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "command",
    [
        *(("export", "--all"), ("export", "--workspace", "hostile", "--user", USER)),
        *(("users",), ("workspaces",), ("workspaces", "--json")),
        *(BY_ADDRESS, (*BY_ADDRESS, "--json"), ("find", "--customer", f"{HOSTILE}1")),
        ("get", "--workspace", "hostile", "--user", USER),
        *(("delete", "--user", USER, "--all-workspaces"), ("keys", "list")),
        *(("keys", "list", "--json"), ("keys", "revoke", HOSTILE), ("keys", "list", HOSTILE)),
        *((HOSTILE,), (f"--{HOSTILE}",), ("invoke", HOSTILE), ("load", HOSTILE)),
        ("users", "--conversations-table", HOSTILE),
    ],
    ids=lambda command: visible(" ".join(command)),
)
def test_nothing_from_data_or_arguments_controls_the_terminal(command: tuple[str, ...]) -> None:
    shown = on_terminal(*command)
    assert not UNSAFE.findall(shown), shown
    assert "1b[2J" in shown
    assert "\nforged" not in shown


@pytest.mark.usefixtures("hostile")
def test_json_on_a_terminal_is_the_same_json_and_a_pipe_gets_what_is_stored() -> None:
    export = ("export", "--workspace", "hostile", "--user", USER)
    get = ("get", "--workspace", "hostile", "--user", USER)
    for command in (export, get):
        shown = on_terminal(*command).replace("Exported 1 conversation.\n", "")
        piped = subprocess.run([CONSOLE, *command], capture_output=True, check=True).stdout.decode()
        assert json.loads(shown) == json.loads(piped)
        assert "\x9b31m" in piped
        assert PEACEFUL in shown


def test_the_log_of_an_invoked_function_is_escaped(tmp_path: Path) -> None:
    event = json.loads((ROOT / "events" / "list.json").read_text())
    event["requestContext"]["requestId"] = HOSTILE  # which the function logs
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    shown = on_terminal("invoke", str(file))
    assert f'"correlation_id":"{visible(HOSTILE)}"' in shown
    assert not UNSAFE.findall(shown), shown


def load(folder: Path, name: str, *records: dict[str, Any]) -> tuple[str, str]:
    """What a dry run shows on a terminal, and through pipes."""
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    command = ("load", name, "--dry-run", "--workspace", "w")
    return on_terminal(*command, folder=folder), through_pipes(*command, folder=folder)


def test_names_of_fields_and_reasons_are_escaped(tmp_path: Path) -> None:
    unknown = conversation() | {f"{HOSTILE}\nforged": 1}
    shown, piped = load(tmp_path, "a.json", unknown, {f"{HOSTILE}\nforged": 1})
    assert not UNSAFE.findall(shown), shown
    assert "Fields left out: \\u001b[2J" in shown
    assert "\nforged" not in shown
    assert HOSTILE in piped


def test_the_name_of_a_file_is_no_markup_and_controls_nothing(tmp_path: Path) -> None:
    for name in ("a[/b].json", "a[/b]/[red].json", f"{HOSTILE[:5]}\n.json"):
        shown, piped = load(tmp_path, name, conversation())
        assert f"{visible(name)}: 1 record in " in shown
        assert f"{name}: 1 record in " in piped
        assert not UNSAFE.findall(shown), shown


def test_a_message_is_no_longer_than_a_person_reads(tmp_path: Path) -> None:
    names = {f"unknown field {number}": number for number in range(30_000)}
    shown, piped = load(tmp_path, "a.json", conversation() | names)
    assert 2_000 < len(shown) < 3_000
    assert re.search(r"unknown field 7 .*… \([\d,]{7} more characters\)\n", shown)
    assert "unknown field 29999 (1)" in piped


def test_every_character_that_is_not_printed_is_escaped_but_for_joiners() -> None:
    for number in (*range(0x20), *range(0x7F, 0xA0), 0xD800, 0x2029, 0x202A, 0x2067, 0xFFF9):
        assert visible(f"a{chr(number)}b") in (f"a\\u{number:04x}b", *SHORT)
        assert json.loads(f'"{visible(chr(number))}"') == chr(number)
    assert visible(PEACEFUL) == PEACEFUL
    assert json.loads(f'"{visible(HOSTILE)}"') == HOSTILE


SHORT = [f"a\\{letter}b" for letter in "bfnrt"]


BROKEN = "error: The output: Broken pipe.\n"
WRITES = [
    *(
        ("--version",),
        ("--help",),
        ("find", "-h"),
        ("keys", "--help"),
        ("openapi", "-h"),
        ("seed",),
    ),
    *(("export", "--all"), ("users",), ("workspaces", "--json"), ("keys", "list")),
    *(BY_ADDRESS, (*BY_ADDRESS, "--json"), (*BY_ADDRESS, "--ids")),
    ("get", "--workspace", "hostile", "--user", USER),
    ("keys", "issue", "--user", "u", "--workspace", "w"),
    ("delete", "--workspace", "none", "--user", "u", "--yes"),
    ("load", "/dev/null", "--workspace", "w"),
    ("serve", "--port", "0"),
    ("invoke", str(ROOT / "events" / "list.json")),
]


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("command", WRITES, ids=lambda command: " ".join(command)[:20])
def test_a_closed_pipe_is_an_error(command: tuple[str, ...]) -> None:
    run = closed(*command, stderr=subprocess.PIPE)
    assert run.stderr.decode().endswith(BROKEN)
    assert "Traceback" not in run.stderr.decode()
    assert run.returncode == 2


@pytest.mark.parametrize("command", [("--help",), ("nothing",), ("load", "none")])
def test_where_stderr_is_closed_too_only_the_exit_code_tells(command: tuple[str, ...]) -> None:
    assert closed(*command, stderr=subprocess.STDOUT).returncode == 2


def closed(*command: str, stderr: int) -> subprocess.CompletedProcess[bytes]:
    """Runs a command whose output goes to a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            command_line(*command), stdout=writing, stderr=stderr, timeout=60, check=False
        )
    finally:
        os.close(writing)


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "command",
    [
        *((b"\xff",), (b"--\xff",), (b"users", b"--\xff=1"), (b"users", b"\xff")),
        (b"get", b"--workspace", b"hostile", b"--user", b"u", b"\xff=1"),
        (b"get", b"--workspace", b"hostile", b"--user", b"u", b"limit=1", b"agentId=\xc3"),
        (b"get", b"--workspace", b"\xff", b"--user", b"u"),
        (b"get", b"--workspace", b"w", b"--user", b"\xff"),
        *((b"find", b"--customer", contact) for contact in (b"\xff@x", b"1\xff")),
        *((b"users", option, b"\xff") for option in (b"--stack", b"--profile", b"--region")),
        *((b"users", option, b"\xff") for option in (b"--conversations-table", b"--read-units")),
        (b"delete", b"--workspace", b"hostile", b"--user", b"u", b"--id", b"\xff", b"--yes"),
        (b"delete", b"--purge", b"--item", b'["\xff","x"]', b"--yes"),
        (b"delete", b"--workspace", b"w", b"--user", b"u", b"--id", b"1", b"--created-at", b"\xff"),
        *((b"keys", b"revoke", key) for key in (b"key_\xff", b"tk_\xff")),
        (b"keys", b"rotate", b"key", b"--overlap", b"\xff"),
        (b"keys", b"issue", b"--user", b"u", b"--workspace", b"w", b"--expires", b"\xff"),
        *((b"serve", option, b"\xff") for option in (b"--fail", b"--port")),
        (b"load", b"x", b"--workspace", b"\xff"),
        *((b"load", b"\xff"), (b"invoke", b"\xff")),  # no such file
    ],
    ids=repr,
)
def test_arguments_that_are_not_utf_8_are_wrong_use(command: tuple[bytes, ...]) -> None:
    commands = dev.app if command[0] in (b"serve", b"invoke") else app
    run = CliRunner().invoke(commands, [os.fsdecode(word) for word in command])
    assert re.fullmatch(r"error: .+\n(hint: .+\n)?", run.stderr), run.output
    assert (run.exit_code, run.stdout) == (2, "")


@pytest.mark.usefixtures("hostile")
def test_a_parameter_that_is_not_utf_8_is_named() -> None:
    whose = ("get", "--workspace", "hostile", "--user", "u")
    said = through_pipes(*whose, os.fsdecode(b"\xff=1"))
    assert said == "error: The argument '\\udcff=1' is not UTF-8.\n"


def test_the_name_of_a_file_may_be_any_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.json")
    shown, piped = load(tmp_path, name, conversation())
    assert "a\\udcff.json: 1 record in " in shown
    assert "a\\udcff.json: 1 record in " in piped
    _, rejected = load(tmp_path, name, {})
    assert "see a\\udcff.json.rejects" in rejected
    assert (tmp_path / f"{name}.rejects").exists()


def test_the_tests_above_know_every_command() -> None:
    names = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    assert names | {"keys"} == {command[0] for command in WRITES if command[0].isalpha()}
