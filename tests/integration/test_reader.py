"""Reads over the kept connection: its own answers, and all that it leaves to boto3."""

import json
import os
import resource
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.local.ports import HttpServer, listen
from domain.errors import StoreUnavailableError
from storage import reader as module
from storage.dynamodb import store_errors
from storage.reader import Reader

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
    followed_by: bytes = b""  # another whole answer, in the same write
    reset_after: bytes | None = None  # of what is sent


@dataclass
class DynamoDB:
    """One that gives these replies in turn."""

    replies: list[Reply]
    requests: list[dict[str, str]] = field(default_factory=list)
    connections: int = 0
    fallbacks: list[str] = field(default_factory=list)

    def reader(self) -> Any:
        """A new one, which takes the short way."""
        built = module.reader.__wrapped__(self.fallbacks.append)
        assert isinstance(built, Reader)
        return built

    def asked(self, *by: str) -> bool:
        """Whether there was one request by each of these."""
        agents = [
            "boto3" if "amz-sdk-invocation-id" in headers else "reader" for headers in self.requests
        ]
        return agents == [*by]


@pytest.fixture(autouse=True)
def no_proxy_and_no_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*module._ONLY_FOR_BOTO3, IGNORE, "AWS_LAMBDA_INITIALIZATION_TYPE"):
        monkeypatch.delenv(name, raising=False)


IGNORE = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"


@pytest.fixture(params=["http", "https"])
def dynamodb(
    request: pytest.FixtureRequest, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DynamoDB]:
    """In the clear and over TLS."""
    yield from serve(request.param, certificate, monkeypatch)


@pytest.fixture
def plain(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
    """In the clear, which boto3 takes too."""
    yield from serve("http", certificate, monkeypatch)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key and certificate of this machine."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("certificate") / "pem"
    pem = serialization.Encoding.PEM
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(pem, *private) + signed.public_bytes(pem))
    return path


def serve(scheme: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDB]:
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
            if reply.reset_after is not None:
                self.wfile.write(reply.reset_after)
                self.close_connection = True
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())
                return
            if reply.followed_by:
                head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(reply.body)}\r\n\r\n".encode()
                stray = f"HTTP/1.1 200 OK\r\nContent-Length: {len(reply.followed_by)}\r\n\r\n"
                both = head + reply.body + stray.encode() + reply.followed_by
                self.wfile.write(both)
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

    listening = listen(0)
    if scheme == "https":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        listening = context.wrap_socket(listening, server_side=True)
        trusted = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(ssl, "create_default_context", lambda **_: trusted)
    with HttpServer(Handler, listening) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"{scheme}://localhost:{server.port}")
        yield database


def test_an_answer_is_that_of_the_client(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply()]
    answer = dynamodb.reader().query(**QUERY)
    assert answer["Items"] == [{"document": {"B": b"\x00\x01\x02"}, "sk": {"S": "1"}}]
    assert dynamodb.asked("reader")
    assert dynamodb.fallbacks == []
    (request,) = dynamodb.requests
    assert request["x-amz-target"] == "DynamoDB_20120810.Query"
    assert request["authorization"].startswith("AWS4-HMAC-SHA256 Credential=test/")


def test_a_hundred_reads_use_one_connection(dynamodb: DynamoDB) -> None:
    large = json.dumps({"Count": 1, "Items": [{"document": {"S": "x" * 100_000}}]}).encode()
    dynamodb.replies = [Reply(body=large) for _ in range(100)]
    reader = dynamodb.reader()
    for _ in range(100):
        assert reader.query(**QUERY)["Count"] == 1
    assert dynamodb.connections == 1
    assert dynamodb.asked(*["reader"] * 100)


def test_a_file_descriptor_above_1023_is_as_good(dynamodb: DynamoDB) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    occupied: list[int] = []
    try:
        while not occupied or occupied[-1] < 1024:
            occupied.append(os.dup(0))
        dynamodb.replies = [Reply(), Reply()]
        reader = dynamodb.reader()
        assert reader.query(**QUERY) == reader.query(**QUERY)
        assert dynamodb.asked("reader", "reader")
        assert dynamodb.connections == 1
    finally:
        for descriptor in occupied:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_connection_that_dynamodb_has_ended_is_replaced(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(closes=True), Reply()]
    reader = dynamodb.reader()
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert dynamodb.asked("reader", "reader")
    assert dynamodb.connections == 2


def test_a_connection_that_ends_before_the_first_byte_is_replaced_once(plain: DynamoDB) -> None:
    plain.replies = [Reply(), Reply(silent_for=0.1), Reply(silent_for=0.1), Reply()]
    reader = plain.reader()
    assert reader.query(**QUERY)["Count"] == reader.query(**QUERY)["Count"] == 1
    assert plain.asked("reader", "reader", "reader", "boto3")
    assert plain.fallbacks == ["RemoteDisconnected"]


@pytest.mark.parametrize(
    "came",
    [b"", b"H", b"HTTP/1.1 200 OK\r\nDate: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"],
)
def test_a_kept_connection_that_breaks_is_replaced_once(plain: DynamoDB, came: bytes) -> None:
    plain.replies = [Reply(), Reply(reset_after=came), Reply(), Reply(reset_after=came)] * 2
    reader = plain.reader()
    assert reader.query(**QUERY)["Items"] == reader.query(**QUERY)["Items"]
    assert plain.asked("reader", "reader", "reader")
    assert plain.fallbacks == []


def test_a_new_connection_that_breaks_is_left_to_boto3(plain: DynamoDB) -> None:
    plain.replies = [Reply(reset_after=b"H"), Reply()]
    assert plain.reader().query(**QUERY)["Count"] == 1
    assert plain.asked("reader", "boto3")
    assert plain.fallbacks == ["ConnectionResetError"]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(checksum=1), "CorruptAnswer"),
        (Reply(missing=5), "TruncatedAnswer"),
        (Reply(body=b"no JSON"), "JSONDecodeError"),
        (Reply(body=b"[]"), "AttributeError"),
        (Reply(body=b'{"Items": []}'), "IncompleteAnswer"),
        (Reply(body=b'{"Count": 0}'), "IncompleteAnswer"),
        (Reply(body=b'{"Count": 2, "Items": [{"sk": {"S": "1"}}]}'), "IncompleteAnswer"),
        (Reply(body=b'{"Count": 1, "Items": [{"document": {"B": "?"}}]}'), "Error"),
        (Reply(status=500, body=b"{}"), "None"),
        (Reply(status=500, body=b'{"__type": "x#a b"}'), "Status500"),
        (Reply(status=400, body=b'{"__type": "x#ThrottlingException"}'), "ThrottlingException"),
    ],
)
def test_what_is_not_a_whole_answer_is_left_to_boto3(
    plain: DynamoDB, bad: Reply, reason: str
) -> None:
    plain.replies = [bad, Reply()]
    assert plain.reader().query(**QUERY)["Items"][0]["document"]["B"] == b"\x00\x01\x02"
    assert plain.asked("reader", "boto3")
    assert plain.fallbacks == [reason]


def test_an_item_without_the_consumed_capacity_is_left_to_boto3(plain: DynamoDB) -> None:
    plain.replies = [Reply(body=b"{}"), Reply(body=b'{"ConsumedCapacity": {"CapacityUnits": 1}}')]
    assert "ConsumedCapacity" in plain.reader().get_item(TableName="Table", Key={})
    assert plain.asked("reader", "boto3")


def test_there_are_three_attempts_in_all(plain: DynamoDB) -> None:
    plain.replies = [Reply(status=500, body=b"{}") for _ in range(3)]
    with pytest.raises(StoreUnavailableError), store_errors():
        plain.reader().query(**QUERY)
    assert plain.asked("reader", "boto3", "boto3")


def test_one_attempt_asks_once_and_raises_nothing(plain: DynamoDB) -> None:
    plain.replies = [Reply(status=500, body=b"{}"), Reply()]
    reader = plain.reader()
    assert reader.attempt("Query", QUERY, 3) is None
    assert reader.attempt("Query", QUERY, 3)["Count"] == 1
    assert plain.asked("reader", "reader")
    assert plain.fallbacks == []


def test_an_answer_that_drips_in_is_not_waited_for(dynamodb: DynamoDB) -> None:
    dynamodb.replies = [Reply(drip=0.05)]
    begun = time.monotonic()
    assert dynamodb.reader().attempt("Query", QUERY, 0.2) is None
    assert time.monotonic() - begun < len(ANSWER) * 0.05 / 2
    assert dynamodb.asked("reader")


def test_a_second_connection_has_no_more_time_than_the_first(plain: DynamoDB) -> None:
    plain.replies = [Reply(), Reply(silent_for=1.0), Reply(drip=1.0 / len(ANSWER)), Reply()]
    reader = plain.reader()
    assert reader.attempt("Query", QUERY, 1.5)["Count"] == 1
    assert reader.attempt("Query", QUERY, 1.5) is None
    assert reader._reason == "TimeoutError"
    assert plain.asked("reader", "reader", "reader")


def test_a_silent_connection_is_not_asked_twice(plain: DynamoDB) -> None:
    plain.replies = [Reply(), Reply(silent_for=1.0), Reply()]
    reader = plain.reader()
    assert reader.attempt("Query", QUERY)
    assert reader.attempt("Query", QUERY, 0.2) is None
    assert plain.asked("reader", "reader")


def test_a_large_answer_may_end_the_connection(dynamodb: DynamoDB) -> None:
    large = json.dumps({"Count": 1, "Items": [{"document": {"S": "x" * 300_000}}]}).encode()
    dynamodb.replies = [Reply(body=large, closes=True, says_so=True) for _ in range(2)]
    reader = dynamodb.reader()
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert dynamodb.asked("reader", "reader")


def test_what_follows_an_answer_that_is_not_whole_is_never_another_s(plain: DynamoDB) -> None:
    other = ANSWER.replace(b"AAEC", b"AwQF")
    plain.replies = [Reply(hint=True), Reply(), Reply(body=other)]
    reader = plain.reader()
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x00\x01\x02"
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x03\x04\x05"


@pytest.mark.parametrize("size", [10, 30_000])  # within and beyond what is read ahead
def test_two_answers_in_one_write_never_answer_the_next_request(
    dynamodb: DynamoDB, size: int
) -> None:
    """Of the same user or another: the reader cannot tell, so it takes neither."""
    stray = json.dumps({"Count": 1, "Items": [{"document": {"S": "stray" * size}}]}).encode()
    dynamodb.replies = [
        Reply(followed_by=stray),
        Reply(body=ANSWER.replace(b"AAEC", b"AwQF")),
    ]
    reader = dynamodb.reader()
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x00\x01\x02"
    time.sleep(0.05)
    assert reader.query(**QUERY)["Items"][0]["document"]["B"] == b"\x03\x04\x05"
    assert dynamodb.asked("reader", "reader")


def test_an_item_comes_as_from_the_client(dynamodb: DynamoDB) -> None:
    item = b'{"Item": {"keyHash": {"S": "x"}}, "ConsumedCapacity": {"CapacityUnits": 0.5}}'
    dynamodb.replies = [Reply(body=item)]
    answer = dynamodb.reader().get_item(TableName="Table", Key={"keyHash": {"S": "x"}})
    assert answer["Item"] == {"keyHash": {"S": "x"}}
    assert dynamodb.asked("reader")


ADDRESS = "AWS_ENDPOINT_URL_DYNAMODB"
SNAP_START = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


@pytest.mark.parametrize(
    ("variables", "short"),
    [
        ({}, True),
        ({ADDRESS: "https://dynamodb.eu-central-1.amazonaws.com"}, True),
        ({ADDRESS: "http://127.0.0.1:9/"}, True),
        ({ADDRESS: "http://127.0.0.1:9/path"}, False),
        ({ADDRESS: ""}, False),
        ({IGNORE: "True"}, False),
        ({IGNORE: "false"}, True),
        ({"AWS_ACCESS_KEY_ID": None}, False),
        ({"AWS_ACCESS_KEY_ID": None, **SNAP_START}, True),
        ({"no_proxy": "127.0.0.1"}, True),
        ({"https_proxy": ""}, True),
        *(({name: "http://127.0.0.1:9"}, False) for name in module._ONLY_FOR_BOTO3[:8]),
    ],
)
def test_the_short_way_is_taken_where_the_environment_says_all_that_it_needs(
    variables: dict[str, str | None], short: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {ADDRESS: "http://127.0.0.1:9", **variables}.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    built = module.reader.__wrapped__(lambda _: None)
    assert isinstance(built, Reader) == short


@pytest.mark.parametrize("name", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
def test_a_profile_is_left_to_boto3(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text("[profile some]\nregion = us-east-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:9")
    monkeypatch.setenv(name, "some")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # else boto3 stays with its profile
    assert not isinstance(module.reader.__wrapped__(lambda _: None), Reader)


def test_keys_that_expire_are_asked_for_before_each_request(
    plain: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SNAP_START.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    plain.replies = [Reply(), Reply()]
    reader = plain.reader()
    keys = iter([Credentials("one", "x", "first"), Credentials("two", "y", "second")])
    monkeypatch.setattr(reader._session, "get_credentials", lambda: next(keys))
    assert reader.query(**QUERY) == reader.query(**QUERY)
    assert [headers["authorization"][:31] for headers in plain.requests] == [
        "AWS4-HMAC-SHA256 Credential=one",
        "AWS4-HMAC-SHA256 Credential=two",
    ]
    assert [headers["x-amz-security-token"] for headers in plain.requests] == ["first", "second"]
