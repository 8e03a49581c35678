"""What a function does in Lambda's init phase."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
import snapshot_restore_py  # type: ignore[import-untyped]  # it ships no types

from dev.local.ports import HttpServer
from handlers import warm_up
from storage.reader import _ONLY_FOR_BOTO3, Reader

KIND = "AWS_LAMBDA_INITIALIZATION_TYPE"


class Store(Reader):
    """Records the attempts, each of which fails."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "us-east-1", pytest.fail, snapshot=False)
        self.attempts: list[tuple[object, ...]] = []

    def attempt(self, *arguments: object) -> Any:
        self.attempts.append(arguments)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    recorder = Store()
    monkeypatch.setattr(warm_up, "reader", lambda _: recorder)
    return recorder


READ = ("Query", {"TableName": "Table"}, 3)


def test_nothing_is_read_outside_lambda(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KIND, raising=False)
    warm_up.read_once("Query", lambda: pytest.fail("an import reads"))
    assert store.attempts == []


@pytest.mark.parametrize("kind", ["on-demand", "provisioned-concurrency"])
def test_lambda_has_one_read_done_before_the_first_request(
    store: Store, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(KIND, kind)
    warm_up.read_once("Query", lambda: {"TableName": "Table"})
    assert store.attempts == [READ]


def test_a_snapshot_holds_no_connection(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KIND, "snap-start")
    warm_up.read_once("Query", lambda: {"TableName": "Table"})
    assert store.attempts == []
    hook, arguments, options = snapshot_restore_py.get_after_restore().pop()
    hook(*arguments, **options)
    assert store.attempts == [READ]


def test_boto3_is_not_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KIND, "on-demand")
    monkeypatch.setattr(warm_up, "reader", lambda _: object())
    warm_up.read_once("Query", lambda: pytest.fail("boto3 would read"))


@pytest.mark.parametrize(
    ("handler", "operation"),
    [("handlers.list_conversations", "Query"), ("handlers.authorize", "GetItem")],
)
def test_importing_a_handler_in_lambda_does_its_first_read(handler: str, operation: str) -> None:
    asked: list[str] = []

    class DynamoDB(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["X-Amz-Target"])
            answer = json.dumps(
                {"Items": [], "Count": 0, "ConsumedCapacity": {"CapacityUnits": 0.5}}
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HttpServer(DynamoDB) as server:
        address = f"http://127.0.0.1:{server.port}"
        tables = {"CONVERSATIONS_TABLE": "Table", "API_KEYS_TABLE": "Table"}
        environment = (
            os.environ | tables | {KIND: "on-demand", "AWS_ENDPOINT_URL_DYNAMODB": address}
        )
        for name in _ONLY_FOR_BOTO3:
            environment.pop(name, None)
        command = [sys.executable, "-c", f"import {handler}, sys; print('boto3' in sys.modules)"]
        result = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        )
    assert asked == [f"DynamoDB_20120810.{operation}"]
    assert result.stdout == "False\n"
