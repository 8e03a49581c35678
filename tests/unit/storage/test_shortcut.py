"""The shortcut to DynamoDB: its own answers, and all that it leaves to botocore."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from zlib import crc32

import pytest

from domain.errors import StoreUnavailableError
from storage import shortcut

QUERY: dict[str, Any] = {"TableName": "Table", "KeyConditionExpression": "pk = :pk"}
ANSWER = json.dumps({"Count": 1, "Items": [{"document": {"B": "AAEC"}, "sk": {"S": "1"}}]}).encode()


@dataclass
class Reply:
    """What DynamoDB answers, whole and true but for what is said here."""

    status: int = 200
    body: bytes = ANSWER
    checksum: int | None = None
    missing: int = 0
    drip: float = 0.0
    closes: bool = False  # the connection, after it
    says_so: bool = False
    hint: bool = False  # another one before it, RFC 8297
    silent_for: float | None = None  # and then closes, without any


@dataclass
class DynamoDB:
    """One that gives these replies in turn."""

    replies: list[Reply]
    requests: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0

    def asked(self, *by: str) -> bool:
        """Whether there was one request by each of these."""
        agents = [
            "botocore" if "amz-sdk-invocation-id" in one else "shortcut" for one in self.requests
        ]
        return agents == [*by]


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
    database = DynamoDB([])

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            database.connections += 1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            database.requests.append({name.lower(): self.headers[name] for name in self.headers})
            reply = database.replies.pop(0)
            if reply.silent_for is not None:
                time.sleep(reply.silent_for)
                self.close_connection = True
                return
            if reply.hint:
                self.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
            self.send_response(reply.status)
            if reply.says_so:
                self.send_header("Connection", "close")
            self.send_header("Content-Length", str(len(reply.body)))
            self.send_header("x-amz-crc32", str(reply.checksum or crc32(reply.body)))
            self.end_headers()
            step = 1 if reply.drip else len(reply.body)
            sent = reply.body[: len(reply.body) - reply.missing]
            for at in range(0, len(sent), step):
                self.wfile.write(sent[at : at + step])
                time.sleep(reply.drip)
            self.close_connection = reply.closes or bool(reply.missing)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{server.server_port}")
        yield database
        server.shutdown()


def test_an_answer_is_that_of_the_client(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply()]
    answer = shortcut.reader().query(**QUERY)
    assert answer["Items"] == [{"document": {"B": b"\x00\x01\x02"}, "sk": {"S": "1"}}]
    assert dynamodb.asked("shortcut")
    (request,) = dynamodb.requests
    assert request["x-amz-target"] == "DynamoDB_20120810.Query"
    assert request["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")


def test_a_connection_is_used_again(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(), Reply()]
    reader = shortcut.reader()
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert dynamodb.connections == 1


def test_a_connection_that_dynamodb_has_ended_is_replaced(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(closes=True), Reply()]
    reader = shortcut.reader()
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert dynamodb.asked("shortcut", "shortcut")
    assert dynamodb.connections == 2


@pytest.mark.parametrize(
    "bad",
    [
        Reply(checksum=1),
        Reply(missing=5),
        Reply(body=b"no JSON"),
        Reply(status=500, body=b"{}"),
        Reply(status=400, body=b'{"__type": "x#ProvisionedThroughputExceededException"}'),
    ],
)
def test_what_is_not_a_whole_answer_is_left_to_botocore(dynamodb: DynamoDB, bad: Reply) -> None:
    dynamodb.replies = [bad, Reply()]
    assert shortcut.reader().query(**QUERY)["Count"] == 1
    assert dynamodb.asked("shortcut", "botocore")


def test_there_are_three_attempts_in_all(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(status=500, body=b"{}") for _ in range(3)]
    with pytest.raises(StoreUnavailableError):
        shortcut.reader().query(**QUERY)
    assert dynamodb.asked("shortcut", "botocore", "botocore")


def test_an_answer_that_drips_in_is_not_waited_for(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "_SECONDS", 0.2)
    dynamodb.replies = [Reply(drip=0.05), Reply()]
    assert shortcut.reader().query(**QUERY)["Count"] == 1
    assert dynamodb.asked("shortcut", "botocore")


def test_a_second_connection_has_no_more_time_than_the_first(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "_SECONDS", 1.5)
    dynamodb.replies = [Reply(), Reply(silent_for=1.0), Reply(drip=1.0 / len(ANSWER)), Reply()]
    reader = shortcut.reader()
    assert reader.query(**QUERY)["Items"] == reader.query(**QUERY)["Items"]
    assert dynamodb.asked("shortcut", "shortcut", "shortcut", "botocore")


def test_a_connection_that_cannot_be_had_in_time_is_left_to_botocore(
    dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shortcut, "_CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(shortcut, "getproxies", lambda: time.sleep(1))
    dynamodb.replies = [Reply()]
    assert shortcut.reader().query(**QUERY)["Count"] == 1
    assert dynamodb.asked("botocore")


def test_a_large_answer_may_end_the_connection(dynamodb: DynamoDB) -> None:
    large = json.dumps({"Count": 1, "Items": [{"document": {"S": "x" * 300_000}}]}).encode()
    dynamodb.replies = [Reply(body=large, closes=True, says_so=True) for _ in range(2)]
    reader = shortcut.reader()
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert dynamodb.asked("shortcut", "shortcut")


def test_what_follows_an_answer_that_is_not_whole_is_never_another_s(dynamodb: DynamoDB) -> None:
    other = ANSWER.replace(b"AAEC", b"AwQF")
    dynamodb.replies = [Reply(hint=True), Reply(), Reply(body=other)]
    reader = shortcut.reader()
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x00\x01\x02"
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x03\x04\x05"


def test_a_proxy_is_left_to_botocore(dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcut, "getproxies", lambda: {"https": "http://proxy"})
    dynamodb.replies = [Reply()]
    assert shortcut.reader().query(**QUERY)["Count"] == 1
    assert dynamodb.asked("botocore")


def test_an_item_comes_as_from_the_client(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(body=b'{"Item": {"keyHash": {"S": "x"}}}')]
    answer = shortcut.reader().get_item(TableName="Table", Key={"keyHash": {"S": "x"}})
    assert answer["Item"] == {"keyHash": {"S": "x"}}
    assert dynamodb.asked("shortcut")
