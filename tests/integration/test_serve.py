"""The local API over real HTTP: what a reader of the banner can do, and what is refused."""

import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest
from typer.testing import CliRunner

from domain.api_key import generate
from ops.cli import app
from ops.local import server, template
from ops.local.demo import KEYS
from ops.local.dynamodb import fill
from ops.local.environment import environment
from ops.local.functions import SRC
from ops.local.server import LocalApi
from ops.local.template import ENDPOINT
from storage.dynamodb import client
from tests.support.api import DOCUMENTED, Answer, assert_problem

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
    response = httpx.request(method, api.url + path, headers=[*lines, *headers])
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
    [("GET", "/"), ("GET", PATH + "/1"), ("POST", PATH), ("OPTIONS", PATH), ("BREW", PATH)],
)
def test_an_unknown_path_or_method_is_not_found(local: LocalApi, method: str, path: str) -> None:
    assert_problem(get(local, method=method, path=path), 404, "not_found")


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
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 404, "not_found"),
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


def test_edits_are_picked_up_and_a_syntax_error_is_mended(
    local: LocalApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = shutil.copytree(SRC, tmp_path / "src")
    handlers = src / "handlers" / "list_conversations.py"
    original = handlers.read_text()
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running(src=src) as edited:
        assert get(edited).json == [DOCUMENTED]
        handlers.write_text(original + "\n\ndef handler(*_):\n    return {'statusCode': 299}\n")
        assert get(edited).status == 299
        handlers.write_text(original + "\n\ndef handler(")
        assert_problem(get(edited), 503, "store_unavailable")
        handlers.write_text(original)
        assert get(edited).json == [DOCUMENTED]


def test_code_that_is_broken_at_the_start_can_be_mended(
    local: LocalApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    src = shutil.copytree(SRC, tmp_path / "src")
    (src / "domain" / "caller.py").write_text("class")
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    with server.running(src=src) as edited:
        assert_problem(get(edited), 503, "store_unavailable")
        shutil.copy(SRC / "domain" / "caller.py", src / "domain")
        assert get(edited).json == [DOCUMENTED]


@contextmanager
def serving(*arguments: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """The command `serve` in a process of its own, and what it printed."""
    command = [CONSOLE, "serve", "--port", "0", *arguments]
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
from ops.local.demo import DOCUMENTED
from storage.dynamodb import client
from storage.layout import pack

item = pack("demo-mine", Conversation.model_validate(DOCUMENTED))
client().put_item(TableName=os.environ["CONVERSATIONS_TABLE"], Item=item)
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

        shell(curl.replace(PATH, f"{PATH}/{KEY}?x-api-key={KEY}"))
        process.send_signal(signal.SIGINT)
        rest, log = process.communicate(timeout=10)
    assert (process.returncode, rest) == (0, "")
    assert "tk_D" not in log
    assert re.fullmatch(rf"(GET {PATH} 200 \d+ ms\n){{2}}GET {PATH}/tk_\.\.\. 404 \d+ ms\n", log)


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
        command = ["get", "--workspace", "demo", "--user", KEYS[0].user_id]
        shown = CliRunner().invoke(app, command)
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert json.loads(shown.stdout) == [DOCUMENTED]


def test_seeding_again_changes_nothing(local: LocalApi, monkeypatch: pytest.MonkeyPatch) -> None:
    before = get(local, workspace="demo-busy").body
    monkeypatch.setenv(ENDPOINT, local.dynamodb)
    done = CliRunner().invoke(app, ["seed"])
    assert (done.exit_code, done.stderr) == (0, "")
    assert (
        done.stdout
        == f"ConversationsTable and ApiKeysTable at {local.dynamodb} hold the demo data.\n"
    )
    assert get(local, workspace="demo-busy").body == before


def test_a_taken_port_is_one_clear_line(local: LocalApi) -> None:
    port = local.url.rpartition(":")[2]
    command = [CONSOLE, "serve", "--port", port]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"Port {port} cannot be used (Address already in use). "
        f"Choose another: make run PORT={int(port) + 1}\n"
    )
