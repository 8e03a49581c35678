"""The local API over real HTTP: what a reader of the banner can do, and what is refused."""

import errno
import http.client
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from typer.testing import CliRunner

from console.environment import environment
from dev.__main__ import app
from dev.local import dynamodb, gateway, server, template
from dev.local.demo import DOCUMENTED, KEYS
from dev.local.dynamodb import fill
from dev.local.functions import SRC
from dev.local.gateway import Failures
from dev.local.ports import HOST
from dev.local.server import LocalApi
from dev.local.template import ENDPOINT
from domain.api_key import generate
from storage.dynamodb import client
from tests.support.api import Answer, assert_problem

KEY, SECOND_KEY = (key.key for key in KEYS)
UNKNOWN_KEY = "tk_0123456789ABCDEFGHIJKLMNOP2poHzO"
CONSOLE = str(Path(sys.executable).with_name("conversations"))
PATH = "/v1/api/conversations"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalApi]:
    with server.running() as api:
        yield api


def get(
    api: LocalApi,
    *,
    key: str | None = KEY,
    workspace: str | None = "demo",
    method: str = "GET",
    path: str = PATH,
    headers: Sequence[tuple[str, str]] = (),
) -> Answer:
    """One request."""
    given = (("x-api-key", key), ("x-workspace-id", workspace))
    lines = [(name, value) for name, value in given if value is not None]
    # As patient as the function, whose embedded DynamoDB can be slow on a busy machine.
    response = httpx.request(method, api.url + path, headers=[*lines, *headers], timeout=30)
    return Answer(response.status_code, response.headers, response.content)


def test_a_damaged_conversation_is_a_500_and_other_users_read_on(local: LocalApi) -> None:
    key = {"pk": {"S": f"demo-mine#{DOCUMENTED['userId']}"}, "sk": {"S": "2024#x"}}
    with environment(local.environment):
        table, dynamodb = os.environ["CONVERSATIONS_TABLE"], client()
        dynamodb.put_item(TableName=table, Item={**key, "document": {"S": "secret"}})
        try:
            answer = get(local, workspace="demo-mine")
        finally:
            dynamodb.delete_item(TableName=table, Key=key)
    assert "secret" not in assert_problem(answer, 500, "internal_error")
    assert get(local, key=SECOND_KEY).status == 200


def test_a_store_that_fails_is_a_503(local: LocalApi) -> None:
    with environment(local.environment):
        client().delete_table(TableName=os.environ["CONVERSATIONS_TABLE"])
        try:
            answer = get(local)
        finally:
            fill(template.load(), local.environment)
    assert_problem(answer, 503, "store_unavailable")


def test_the_documented_conversation_comes_field_by_field_and_in_order(local: LocalApi) -> None:
    answer = get(local)
    assert answer.status == 200
    assert answer.body == json.dumps([DOCUMENTED], separators=(",", ":")).encode()


def test_the_busy_workspace_comes_newest_first(local: LocalApi) -> None:
    created = [conversation["createdAt"] for conversation in get(local, workspace="demo-busy").json]
    assert len(created) == 500
    assert created == sorted(created, reverse=True)


def test_the_readers_own_workspace_starts_empty(local: LocalApi) -> None:
    assert get(local, workspace="demo-mine").json == []


def test_another_user_sees_their_own_only(local: LocalApi) -> None:
    (other,) = get(local, key=SECOND_KEY).json
    assert other["userId"] == KEYS[1].user_id != DOCUMENTED["userId"]
    refused = get(local, key=SECOND_KEY, workspace="demo-busy")
    assert_problem(refused, 404, "workspace_not_found")


@pytest.mark.parametrize("key", [None, "", "malformed", KEY[:-1] + "0", UNKNOWN_KEY])
def test_no_key_and_every_bad_key_get_one_answer(local: LocalApi, key: str | None) -> None:
    assert_problem(get(local, key=key), 401, "unauthorized")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/nothing"), ("GET", PATH + "/1"), ("GET", PATH + "/")),
        *(("POST", PATH), ("OPTIONS", PATH), ("BREW", PATH)),
    ],
)
def test_an_unknown_path_or_method_is_not_found(local: LocalApi, method: str, path: str) -> None:
    detail = assert_problem(get(local, method=method, path=path), 404, "not_found")
    assert detail == f"This API answers GET {PATH} only, without a slash at the end."


def test_head_is_answered_without_a_body(local: LocalApi) -> None:
    answer = get(local, method="HEAD")
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.parametrize(
    ("workspace", "code"), [(None, "missing_workspace"), ("de mo", "invalid_workspace")]
)
def test_a_bad_workspace_is_refused(local: LocalApi, workspace: str | None, code: str) -> None:
    assert_problem(get(local, workspace=workspace), 400, code)


def test_header_lines_sent_twice_arrive_as_two(local: LocalApi) -> None:
    assert get(local, headers=[("x-workspace-id", "demo")]).status == 200
    assert_problem(get(local, headers=[("X-Workspace-Id", "demo-busy")]), 400, "invalid_workspace")
    assert_problem(get(local, headers=[("x-api-key", SECOND_KEY)]), 400, "invalid_parameter")
    unknown = generate()  # of two keys, the gateway shows its authorizer the last
    assert_problem(get(local, headers=[("x-api-key", unknown)]), 401, "unauthorized")
    last = [("x-api-key", KEY)]
    assert_problem(get(local, key=unknown, headers=last), 400, "invalid_parameter")


def test_a_304_has_no_body(local: LocalApi) -> None:
    answer = get(local, headers=[("If-None-Match", "*")])
    assert (answer.status, answer.body) == (304, b"")
    assert "content-length" not in answer.headers


def test_one_connection_serves_many_requests(local: LocalApi) -> None:
    connection = http.client.HTTPConnection(local.url.removeprefix("http://"))
    headers = {"x-api-key": KEY, "x-workspace-id": "demo"}
    connection.connect()
    kept = connection.sock
    for method, body in (("GET", None), ("POST", b"ignored"), ("HEAD", None), ("GET", b"ignored")):
        connection.request(method, PATH, body, headers)
        response = connection.getresponse()
        content = response.read()
        assert connection.sock is kept
    connection.close()
    assert json.loads(content) == [DOCUMENTED]


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GARBAGE\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nA: " + 70_000 * b"a" + b"\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nContent-Length: 10485761\r\n\r\n", 413, "request_too_large"),
        (b"GET /nothing HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 404, "not_found"),
    ],
)
def test_what_is_no_request_gets_the_gateways_answer(
    local: LocalApi, sent: bytes, status: int, code: str
) -> None:
    host, port = local.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = Answer(response.status, dict(response.getheaders()), response.read())
    assert answer.headers["Connection"] == "close"
    assert answer.status == status
    assert answer.json["error"]["code"] == code


def test_a_client_that_sends_too_much_reads_why(local: LocalApi) -> None:
    for _ in range(5):
        connection = http.client.HTTPConnection(local.url.removeprefix("http://"))
        connection.request("POST", PATH, bytes(11_000_000))
        response = connection.getresponse()
        assert response.status == 413
        assert json.loads(response.read())["error"]["code"] == "request_too_large"
        connection.close()


def test_a_client_that_waits_for_100_continue_gets_it(local: LocalApi) -> None:
    host, port = local.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST {PATH} HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"hello")
        assert connection.recv(1000).startswith(b"HTTP/1.1 404 ")


def test_edits_are_picked_up_and_a_syntax_error_is_named_to_the_client(
    local: LocalApi,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    src = shutil.copytree(SRC, tmp_path / "src")
    handlers = src / "handlers" / "list_conversations.py"
    original = handlers.read_text()
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running(src=src) as edited:
        assert get(edited).json == [DOCUMENTED]
        assert "reloaded" not in capsys.readouterr().err
        handlers.write_text(original + "\n\ndef handler(*_):\n    return {'statusCode': 299}\n")
        assert get(edited).status == 299
        assert "reloaded: src/handlers/list_conversations.py\n" in capsys.readouterr().err
        handlers.write_text(original + "\n\ndef handler(")
        line = len(original.splitlines()) + 3
        for _ in range(2):
            answer = get(edited)
            place, error = assert_problem(answer, 500, "internal_error").split(": ", 1)
            assert place == f"src/handlers/list_conversations.py, line {line}"
            assert error == "SyntaxError: '(' was never closed"
        assert capsys.readouterr().err.count("SyntaxError") == 1
        handlers.write_text(original)
        assert get(edited).json == [DOCUMENTED]


def test_code_that_is_broken_at_the_start_can_be_repaired(
    local: LocalApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = shutil.copytree(SRC, tmp_path / "src")
    (src / "domain" / "caller.py").write_text("import nothing")
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running(src=src) as edited:
        detail = assert_problem(get(edited), 500, "internal_error")
        assert detail.startswith("src/domain/caller.py, line 1: ModuleNotFoundError: ")
        shutil.copy(SRC / "domain" / "caller.py", src / "domain")
        assert get(edited).json == [DOCUMENTED]


# The command `serve`, of other code than src/.
SERVE = """
import os
from functools import partial
from pathlib import Path
from dev import __main__ as commands
from dev.local import server

server.running = partial(server.running, src=Path(os.environ["SRC"]))
commands.app(["serve", "--port", "0"])
"""


@contextmanager
def serving(*arguments: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The command `serve` in a separate process, and its output."""
    command = [sys.executable, "-m", "dev", "serve", "--port", "0", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            yield process, _read_banner(process.stdout)
        finally:
            process.kill()


def _read_banner(stdout: IO[str]) -> str:
    banner = ""
    while "Ctrl-C" not in banner:
        line = stdout.readline()
        assert line, banner
        banner += line
    return banner


def shell(command: str) -> str:
    """What a second terminal prints."""
    return subprocess.check_output(command, shell=True, text=True, timeout=60)  # noqa: S602


STORE = """
import os
from domain.conversation import Conversation
from dev.local.demo import DOCUMENTED
from storage.dynamodb import client
from storage.items import pack

item = pack("demo-mine", Conversation.model_validate(DOCUMENTED))
client().put_item(TableName=os.environ["CONVERSATIONS_TABLE"], Item=item.attributes)
"""


def test_a_reader_needs_only_what_the_banner_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-reader")
    monkeypatch.setenv("AWS_PROFILE", "that-does-not-exist")
    with serving() as (process, banner):
        assert re.findall(r"tk_\w+", banner)[:2] == [KEY, SECOND_KEY]
        assert "of-the-reader" not in banner
        (curl,) = re.findall(r"^ *(curl .*)$", banner, re.MULTILINE)
        assert json.loads(shell(curl)) == [DOCUMENTED]

        (export,) = re.findall(r"^ *(export .*)$", banner, re.MULTILINE)
        assert " CONVERSATIONS_PARTIQL=off " in export
        shell(f"unset AWS_PROFILE; {export}; {sys.executable} -c {shlex.quote(STORE)}")
        assert json.loads(shell(curl.replace("demo'", "demo-mine'"))) == [DOCUMENTED]

        command = f"conversations get --workspace demo-mine --user {KEYS[0].user_id}"
        assert json.loads(shell(f"unset AWS_PROFILE; {export}; {command}")) == [DOCUMENTED]

        encoded = f"%74%6B_{KEY[3:]}"
        shell(curl.replace(PATH, f"{PATH}/{KEY}'?x-api-key={encoded}&limit=%2B1'"))
        shell(curl.replace(PATH, f"{PATH}'?customerEmail=anna%40b.c&customerPhone=%2B49&limit=1'"))
        process.send_signal(signal.SIGINT)
        rest, log = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
    assert "tk_D" not in log
    lines = [
        f"GET {PATH} 200",
        f"GET {PATH} 200",
        f"GET {PATH}/tk_...?x-api-key=tk_...&limit=%2B1 404 not_found",
        f"GET {PATH}?customerEmail=...&customerPhone=...&limit=1 200",
    ]
    rest_of_line = r" \d+ ms [0-9a-f-]{36}\n"
    pattern = "".join(rf"\d\d:\d\d:\d\d {re.escape(line)}{rest_of_line}" for line in lines)
    assert re.fullmatch(pattern, log), log


def test_a_dynamodb_that_was_named_is_used_and_sigterm_ends_it(
    local: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-reader")
    with serving("--verbose") as (process, banner):
        assert f"{ENDPOINT}={local.dynamodb} " in banner
        assert "of-the-reader" not in banner
        (curl,) = re.findall(r"^ *(curl .*)$", banner, re.MULTILINE)
        assert json.loads(shell(curl)) == [DOCUMENTED]
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    assert process.returncode == 0
    assert '"message":"listed"' in log


def test_a_second_endpoint_in_the_template_changes_nothing(
    local: LocalApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = "      Events:\n"
    second = "{Type: Api, Properties: {RestApiId: !Ref Api, Path: /v1/api/agents, Method: get}}"
    text = (template.ROOT / "template.yaml").read_text()
    scratch = tmp_path / "template.yaml"
    scratch.write_text(text.replace(events, f"{events}        Second: {second}\n", 1))
    deployment = template.load(scratch)
    assert list(deployment.api.routes) == [("GET", "/v1/api/agents"), ("GET", PATH)]
    monkeypatch.setattr(template, "load", lambda: deployment)
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running() as api, environment(api.environment):
        (curl,) = re.findall(r"^ *(curl .*)$", server.banner(api), re.MULTILINE)
        assert json.loads(shell(curl)) == [DOCUMENTED]


def test_a_request_is_logged_before_it_is_answered(
    local: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a client has its answer, the server's thread no longer writes to a stream of ours."""
    logged: list[str] = []

    def log_slowly(text: str) -> None:
        time.sleep(0.2)
        logged.append(text)

    monkeypatch.setattr(server, "notice", log_slowly)
    assert get(local).status == 200
    assert [" 200 " in re.sub(r"\x1b\[\d+m", " ", line) for line in logged] == [True]
    host, port = local.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GARBAGE\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")
        assert len(logged) == 2


def test_seeding_again_changes_nothing(local: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    page = f"{PATH}?limit=100"
    before = get(local, workspace="demo-busy", path=page).body
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    done = CliRunner().invoke(app, ["seed"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"ConversationsTable and ApiKeysTable at {local.dynamodb} hold the demo data.\n"
    )
    assert get(local, workspace="demo-busy", path=page).body == before


def test_seed_waits_for_a_dynamodb_that_is_starting(
    local: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def starting(*arguments: Any) -> None:
        attempts.append(arguments)
        if len(attempts) < 3:
            raise dynamodb.UnusableEndpointError
        fill(*arguments)

    monkeypatch.setattr(dynamodb, "fill", starting)
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    done = CliRunner().invoke(app, ["seed"])
    assert (done.exit_code, len(attempts)) == (0, 3), done.output


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    for first in range(20_000, 30_000, 100):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.create_server((HOST, port)))
            return first
    raise AssertionError("no free ports")


def test_dynamodb_listens_on_the_port_after_the_apis_again_after_a_restart() -> None:
    port = free_ports(2)
    for _ in range(2):
        with server.running(port) as api:
            assert (port_of(api.url), port_of(api.dynamodb)) == (port, port + 1)
            assert get(api).json == [DOCUMENTED]
            assert " is taken" not in server.banner(api, port)


def test_where_ports_are_taken_the_next_free_ones_are_used_and_named() -> None:
    port = free_ports(4)
    with (
        socket.create_server((HOST, port)),
        socket.create_server((HOST, port + 2)),
        server.running(port) as api,
    ):
        assert (port_of(api.url), port_of(api.dynamodb)) == (port + 1, port + 3)
        assert get(api).json == [DOCUMENTED]
        assert server.banner(api, port).startswith(
            f"Port {port} is taken: the API listens on {port + 1}.\n"
            f"Port {port + 2} is taken: DynamoDB listens on {port + 3}.\n\n"
        )


def test_a_port_that_cannot_be_used_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", refuse)
    done = CliRunner().invoke(app, ["serve", "--port", "80"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "error: Port 80 cannot be used (Permission denied). Choose another.\n"


def test_a_share_of_the_requests_fails_with_the_row_of_the_error_table(
    local: LocalApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    drawn = iter([0.29, 0.3])
    monkeypatch.setattr(gateway, "random", lambda: next(drawn))
    with server.running(failures=Failures.parse("503:0.3")) as failing:
        answer = get(failing)
        assert_problem(answer, 503, "store_unavailable")
        assert answer.headers["Retry-After"] == "5"
        assert get(failing).json == [DOCUMENTED]


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(429, "rate_limit_exceeded", "1"), (500, "internal_error", None)],
)
def test_all_requests_can_fail(
    local: LocalApi,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    code: str,
    retry_after: str | None,
) -> None:
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running(failures=Failures.parse(str(status))) as failing:
        answer = get(failing)
        assert_problem(answer, status, code)
        assert answer.headers.get("Retry-After") == retry_after
        assert httpx.get(f"{failing.url}/openapi.json").status_code == 200


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows up to the text."""
    shown = ""
    while text not in shown:
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, shown
        shown += os.read(terminal, 1000).decode()
    return shown


def test_breakpoint_opens_a_prompt_in_the_terminal(local: LocalApi, tmp_path: Path) -> None:
    """In a pseudo-terminal: the prompt answers, the request is served, and Ctrl-C ends it all."""
    src = shutil.copytree(SRC, tmp_path / "src")
    handlers = src / "handlers" / "list_conversations.py"
    line = "    partition = items.partition_of(request.caller, workspace_id)"
    handlers.write_text(handlers.read_text().replace(line, f"    breakpoint()\n{line}"))
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {ENDPOINT: local.dynamodb, "NO_COLOR": "1", "SRC": str(src)}
        os.environ.pop("PYTHONBREAKPOINT", None)
        os.execv(sys.executable, [sys.executable, "-c", SERVE])  # noqa: S606
    try:
        banner = read_until(terminal, "Ctrl-C")
        (curl,) = re.findall(r"^ *(curl .*?)\r?$", banner, re.MULTILINE)
        request = [*shlex.split(curl), "--max-time", "60"]
        echo = termios.tcgetattr(terminal)[3] & termios.ECHO
        with subprocess.Popen(request, stdout=subprocess.PIPE) as client:
            read_until(terminal, "(Pdb) ")
            os.write(terminal, b"p query.sort, len(f'{query}') > 9\n")
            assert "('-createdAt', True)" in read_until(terminal, "(Pdb) ")
            os.write(terminal, b"c\n")
            body, _ = client.communicate(timeout=60)
        assert json.loads(body) == [DOCUMENTED]
        assert f"GET {PATH} 200 " in read_until(terminal, " ms ")
        with subprocess.Popen(request, stderr=subprocess.DEVNULL):
            read_until(terminal, "(Pdb) ")
            os.write(terminal, b"\x03")
            assert os.waitpid(pid, 0) == (pid, 0)
            pid = 0
        assert termios.tcgetattr(terminal)[3] & termios.ECHO == echo
    finally:
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
