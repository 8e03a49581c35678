"""What a function does in Lambda's init phase."""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import pytest
import snapshot_restore_py  # type: ignore[import-untyped]  # it ships no types

from handlers import warm_up

KIND = "AWS_LAMBDA_INITIALIZATION_TYPE"


def test_nothing_is_read_outside_lambda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KIND, raising=False)
    warm_up.warm_up(lambda: pytest.fail("an import reads"))


@pytest.mark.parametrize("kind", ["on-demand", "provisioned-concurrency"])
def test_lambda_has_one_read_done_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv(KIND, kind)
    reads: list[str] = []
    warm_up.warm_up(lambda: reads.append(kind))
    assert reads == [kind]


def test_a_snapshot_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KIND, "snap-start")
    reads: list[str] = []
    warm_up.warm_up(lambda: reads.append("after restore"))
    assert reads == []
    hook, arguments, options = snapshot_restore_py.get_after_restore().pop()
    hook(*arguments, **options)
    assert reads == ["after restore"]


def test_a_store_that_is_down_does_not_keep_a_function_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KIND, "on-demand")

    def fails() -> None:
        raise ConnectionError

    warm_up.warm_up(fails)


def test_a_store_that_hangs_does_not_keep_a_function_from_starting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(KIND, "on-demand")
    monkeypatch.setattr(warm_up, "_MAX_SECONDS", 0.05)
    hung = Event()
    warm_up.warm_up(lambda: hung.wait(10))
    hung.set()


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
            answer = json.dumps({"Items": [], "ConsumedCapacity": {"CapacityUnits": 0.5}})
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), DynamoDB) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        tables = {"CONVERSATIONS_TABLE": "Table", "API_KEYS_TABLE": "Table"}
        environment = (
            os.environ | tables | {KIND: "on-demand", "AWS_ENDPOINT_URL_DYNAMODB": address}
        )
        command = [sys.executable, "-c", f"import {handler} as it; print(it.table.cache_info())"]
        result = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True
        )
        server.shutdown()
    # Once, which no error could have hidden: a failed read is asked again.
    assert asked == [f"DynamoDB_20120810.{operation}"]
    assert "currsize=1" in result.stdout
