"""Connections to DynamoDB that are out of step: what is on them is never another request's."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from zlib import crc32

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dev.local.ports import HttpServer, listen
from domain.caller import Caller
from domain.errors import StoreUnavailableError
from domain.query import ConversationQuery
from storage.conversations import ConversationTable
from storage.items import Partition, partition_of
from storage.reader import _ONLY_FOR_BOTO3, reader
from tests.support.api import conversation
from tests.support.tables import forget_clients

CALLER = Caller("anna", frozenset({"one", "two"}), "key_1")
ONE, TWO = (partition_of(CALLER, workspace) for workspace in ("one", "two"))
OF_ANOTHER_USER = partition_of(Caller("bert", frozenset({"two"}), "key_2"), "two")


def answer_about(partition: str, size: int) -> bytes:
    """DynamoDB's answer, on the wire: one conversation, named for its partition."""
    workspace, user = partition.split("#")
    text = json.dumps(conversation(id=f"of-{workspace}", userId=user, pathwayId="x" * size))
    item = {"pk": partition, "sk": f"2024-12-01T08:45:00.000Z#of-{workspace}", "document": text}
    items = [{name: {"S": value} for name, value in item.items()}]
    body = json.dumps({"Items": items, "Count": 1}).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"x-amz-crc32: {crc32(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class DynamoDB:
    """Answers each request about the partition it asks for, unless told otherwise."""

    size: int = 10
    unasked: Partition | None = None  # sent in one write with the answer to the first request
    instead: Partition | None = None
    connections: int = 0
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away key and certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "127.0.0.1.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextmanager
def serving(database: DynamoDB, certificate: Path | None) -> Iterator[str]:
    """The address at which a database answers, over TLS if there is a certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            database.connections += 1

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            partition = request["ExpressionAttributeValues"][":pk"]["S"]
            database.asked.append(partition)
            sent = answer_about(database.instead or partition, database.size)
            if database.unasked and len(database.asked) == 1:
                sent += answer_about(database.unasked, database.size)
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    listening = listen(0)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listening = context.wrap_socket(listening, server_side=True)
    with HttpServer(Handler, listening) as server:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.port}"


Ask = Callable[[Partition], list[str]]


@pytest.fixture(params=["in the clear", "over TLS"])
def database(
    request: pytest.FixtureRequest, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DynamoDB]:
    database = DynamoDB()
    over_tls = request.param == "over TLS"
    with serving(database, certificate if over_tls else None) as address:
        for name in _ONLY_FOR_BOTO3:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", address)
        trusted = ssl.create_default_context(cafile=str(certificate))
        monkeypatch.setattr(ssl, "create_default_context", lambda **_: trusted)
        forget_clients()
        yield database
    forget_clients()


@pytest.fixture
def ask(database: DynamoDB) -> Ask:
    """Reads the ids of a partition's conversations; every call is of one client."""
    assert database
    table = ConversationTable(reader(pytest.fail), "Table")

    def ids(partition: Partition) -> list[str]:
        query = ConversationQuery(limit=10)
        page = table.query(partition, query, max_bytes=1_000_000, seconds_left=lambda: 28.0)
        return [json.loads(text)["_id"] for text in page.documents]

    return ids


def test_a_connection_in_step_is_used_again(database: DynamoDB, ask: Ask) -> None:
    for partition in (ONE, TWO, ONE):
        assert ask(partition) == [f"of-{partition.partition('#')[0]}"]
    assert database.connections == 1


# Of a small answer the client may have read the second one with the first; of 9,000 bytes a part;
# of a large one TLS has decrypted a record that the client has not read.
@pytest.mark.parametrize("size", [10, 5_000, 9_000, 20_000, 200_000])
@pytest.mark.parametrize("unasked", [ONE, OF_ANOTHER_USER], ids=["same user", "another user"])
def test_an_answer_that_nobody_asked_for_is_never_taken_for_the_next_one(
    database: DynamoDB, ask: Ask, unasked: Partition, size: int
) -> None:
    database.unasked, database.size = unasked, size
    assert ask(ONE) == ["of-one"]
    time.sleep(0.05)  # for the rest of what was sent to arrive
    assert ask(TWO) == ["of-two"]
    assert ask(ONE) == ["of-one"]
    assert database.asked == [ONE, TWO, ONE]


@pytest.mark.parametrize("instead", [ONE, OF_ANOTHER_USER], ids=["same user", "another user"])
def test_an_answer_about_another_partition_is_a_failure_and_never_data(
    database: DynamoDB, ask: Ask, instead: Partition
) -> None:
    database.instead = instead
    with pytest.raises(StoreUnavailableError) as raised:
        ask(TWO)
    assert raised.value.reason == "ForeignAnswer"
