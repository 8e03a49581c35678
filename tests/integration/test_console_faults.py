"""`conversations load` when things go wrong: a faulty DynamoDB, kill, Ctrl-C, and little memory."""

import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from console.cli import app
from console.environment import PARTIQL, environment
from dev.local import server
from dev.local.ports import HttpServer
from dev.local.template import ENDPOINT
from tests.support import data

CONSOLE = str(Path(sys.executable).with_name("conversations"))
WRITES = ("PutItem", "BatchWriteItem", "BatchExecuteStatement")
Body = dict[str, Any]


@pytest.fixture(scope="module")
def local() -> Iterator[server.LocalApi]:
    with server.running() as api, environment(api.environment):
        yield api


@pytest.fixture
def workspace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W", "_", request.node.name)[:60]


def export(workspace: str) -> list[Any]:
    result = CliRunner().invoke(app, ["export", "--workspace", workspace])
    assert result.exit_code == (0 if result.stdout else 3), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def write(path: Path, count: int) -> Path:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in data.conversations(count))
    return path


class Faulty(HttpServer):
    """A DynamoDB that throttles one write in five, hangs up, fails, and leaves items unprocessed.

    Behind it is the embedded one, which lacks PartiQL: an INSERT becomes a conditional PutItem.
    """

    def __init__(self, target: str) -> None:
        self.target = str(urlsplit(target).netloc)
        self.random = Random(5)
        self.lock = Lock()
        self.done: Counter[str] = Counter()
        super().__init__(_Faults)


class _Faults(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            luck = self.server.random.random() if operation in WRITES else 1.0
        fault = next((name for bound, name in FAULTS if luck < bound), "none")
        with self.server.lock:
            self.server.done[f"{operation} {fault}"] += 1
        match fault:
            case "throttle":
                self._answer(400, {"__type": "x#ProvisionedThroughputExceededException"})
            case "failure":
                self._answer(500, {"__type": "x#InternalServerError"})
            case "hang up before":
                self.close_connection = True
            case "hang up after":
                self._carry_out(operation, body)
                self.close_connection = True
            case _:
                self._answer(*self._carry_out(operation, body))

    def _carry_out(self, operation: str, body: Body) -> tuple[int, Body]:
        if operation == "BatchExecuteStatement":
            return 200, {"Responses": [self._insert(statement) for statement in body["Statements"]]}
        if operation == "BatchWriteItem":
            ((table, requests),) = body["RequestItems"].items()
            body["RequestItems"][table], left = requests[:7], requests[7:]
            status, answer = self._forward(operation, body)
            answer["UnprocessedItems"] = {table: left} if left else {}
            return status, answer
        return self._forward(operation, body)

    def _insert(self, statement: Body) -> Body:
        with self.server.lock:
            if self.server.random.random() < 0.1:
                return {"Error": {"Code": "ThrottlingError", "Message": ""}}
        table = statement["Statement"].split('"')[1]
        names = re.findall(r"'(\w+)': \?", statement["Statement"])
        put = {
            "TableName": table,
            "Item": dict(zip(names, statement["Parameters"], strict=True)),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        status, _ = self._forward("PutItem", put)
        return {} if status == 200 else {"Error": {"Code": "DuplicateItem", "Message": ""}}

    def _forward(self, operation: str, body: Body) -> tuple[int, Body]:
        connection = http.client.HTTPConnection(self.server.target)
        headers = {
            name: self.headers[name]
            for name in ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Target")
        }
        headers["X-Amz-Target"] = f"DynamoDB_20120810.{operation}"
        connection.request("POST", "/", json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

    def _answer(self, status: int, body: Body) -> None:
        content = json.dumps(body).encode()
        self.send_response_only(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


FAULTS = (
    (0.2, "throttle"),
    (0.25, "hang up before"),
    (0.3, "hang up after"),
    (0.34, "failure"),
)


@contextmanager
def faulty(target: str, partiql: str | None = None) -> Iterator[Faulty]:
    with Faulty(target) as server:
        address = f"http://127.0.0.1:{server.port}"
        with environment({ENDPOINT: address, PARTIQL: partiql}):
            yield server


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_lost_or_loaded_twice_on_a_faulty_dynamodb(
    local: server.LocalApi, tmp_path: Path, workspace: str, *, overwrite: bool
) -> None:
    path = write(tmp_path / "some.json", 500)
    options = ["--workspace", workspace, "--json", *(["--overwrite"] if overwrite else [])]
    with faulty(local.dynamodb) as server:
        result = CliRunner().invoke(app, ["load", str(path), *options])
    assert result.exit_code == 0, result.output
    (summary,) = json.loads(result.stdout)["files"]
    assert (summary["loaded"], summary["skipped"], summary["rejected"]) == (500, 0, 0)
    found = export(workspace)
    assert len(found) == len({record["_id"] for record in found}) == 500
    for _, fault in FAULTS:
        assert any(name.endswith(fault) for name in server.done), server.done
    operations = {name.partition(" ")[0] for name in server.done}
    assert operations >= ({"BatchWriteItem"} if overwrite else {"PutItem", "BatchExecuteStatement"})


def test_the_local_api_says_that_its_dynamodb_knows_no_partiql(
    local: server.LocalApi, tmp_path: Path, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FAULTS", ())
    path = write(tmp_path / "some.json", 30)
    with faulty(local.dynamodb, partiql=local.environment[PARTIQL]) as server:
        result = CliRunner().invoke(app, ["load", str(path), "--workspace", workspace, "--json"])
    assert json.loads(result.stdout)["files"][0]["loaded"] == 30
    assert "PutItem none" in server.done
    assert "BatchExecuteStatement none" not in server.done


def test_a_delete_goes_through_on_a_faulty_dynamodb(
    local: server.LocalApi, tmp_path: Path, workspace: str
) -> None:
    path = write(tmp_path / "some.json", 100)
    path.write_text(
        re.sub('("userId": {"[$]oid": ")[0-9a-f]+', r"\g<1>" + "a" * 24, path.read_text())
    )
    arguments = ["--workspace", workspace, "--json"]
    assert CliRunner().invoke(app, ["load", str(path), *arguments]).exit_code == 0
    assert len(export(workspace)) == 100
    with faulty(local.dynamodb):
        result = CliRunner().invoke(app, ["delete", "--user", "a" * 24, "--yes", *arguments])
    assert json.loads(result.stdout) == {"conversations": 100, "tombstones": 0}
    assert export(workspace) == []


@pytest.mark.usefixtures("local")
def test_killed_half_way_and_started_again_it_ends_complete(tmp_path: Path, workspace: str) -> None:
    lines = write(tmp_path / "some.json", 450).read_bytes().splitlines(keepends=True)
    command = [CONSOLE, "load", "-", "--workspace", workspace]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    process.stdin.writelines(lines[:225])  # it waits for the others
    process.stdin.flush()
    while len(export(workspace)) < 100:
        assert process.poll() is None
        time.sleep(0.3)
    process.kill()
    assert process.communicate()[0] == b""
    assert 100 <= len(export(workspace)) < 450
    result = CliRunner().invoke(app, [*command[1:], "--json"], input=b"".join(lines))
    (summary,) = json.loads(result.stdout)["files"]
    assert summary["loaded"] + summary["skipped"] == 450
    assert summary["skipped"] >= 100
    found = export(workspace)
    assert len(found) == len({record["_id"] for record in found}) == 450


@pytest.mark.usefixtures("local")
def test_ctrl_c_finishes_what_is_under_way_and_says_so(tmp_path: Path, workspace: str) -> None:
    lines = write(tmp_path / "some.json", 60).read_bytes()
    command = [CONSOLE, "load", "-", "--workspace", workspace]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(lines)
    process.stdin.flush()
    for _ in range(200):  # until two batches are stored; the third waits for more
        if len(export(workspace)) >= 50:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, complained = (text.decode() for text in process.communicate())
    assert process.returncode == 130
    loaded = int(re.search(r"loaded +(\d+)", said)[1])  # type: ignore[index]
    assert loaded == len(export(workspace)) >= 50
    assert "Interrupted. Run the same command again to continue." in complained
    assert "Traceback" not in complained
    result = CliRunner().invoke(app, command[1:], input=lines)
    assert result.exit_code == 0
    assert len(export(workspace)) == 60


def test_when_dynamodb_goes_away_it_stops_and_says_what_it_did(
    local: server.LocalApi, tmp_path: Path, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.tables.aws._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(sys.modules[__name__], "FAULTS", ((1.0, "hang up before"),))
    path = write(tmp_path / "some.json", 30)
    with faulty(local.dynamodb):
        result = CliRunner().invoke(app, ["load", str(path), "--workspace", workspace])
    assert result.exit_code == 2
    assert re.search(r"loaded +0\n", result.stdout)
    assert "Run the same command again to continue." in result.stderr
    assert export(workspace) == []


PRETTY: dict[str, Callable[[Iterator[Any]], Iterator[str]]] = {
    "lines": lambda values: (json.dumps(value) + "\n" for value in values),
    "array": lambda values: (
        ("," if number else "[") + json.dumps(value) for number, value in enumerate(values)
    ),
    "pretty": lambda values: (json.dumps(value, indent="\t") + "\n" for value in values),
}


@pytest.mark.parametrize("layout", PRETTY.values(), ids=PRETTY)
def test_memory_does_not_grow_with_the_file(
    layout: Callable[[Iterator[Any]], Iterator[str]], tmp_path: Path
) -> None:
    path = tmp_path / "some.json"
    small, large = (_peak_mb(path, layout, count) for count in (1000, 5000))
    assert path.stat().st_size > 10_000_000
    assert large < small + 8


def _peak_mb(path: Path, layout: Callable[[Iterator[Any]], Iterator[str]], count: int) -> float:
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(layout(data.conversations(count)))
        stream.write("]" if layout is PRETTY["array"] else "")
    command = [CONSOLE, "load", str(path), "--workspace", "w", "--dry-run", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        (summary,) = json.loads(process.stdout.read())["files"]
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    assert summary["loaded"] == count
    assert resource.RUSAGE_SELF == 0
    return usage.ru_maxrss / 1024
