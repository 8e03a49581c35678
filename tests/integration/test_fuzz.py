"""Made-up events, raw HTTP, and items that no one should have written.

`make fuzz N=100000` sends as many as asked for. What hypothesis finds it keeps in .hypothesis/.
"""

import copy
import errno
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dev.local import demo
from dev.local.demo import USER
from storage.conversations import ConversationTable
from storage.document import MAX_JSON_BYTES
from tests.support.api import EVENTS, Answer, Api, assert_problem, conversation, play
from tests.support.budget import examples
from tests.support.emulators import free_port
from tests.support.tables import fresh_tables, put

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", examples(5000)))
CPU_SECONDS = 1.0  # of one request, whatever it holds
SECRET = "tk_SecretKeyThatNobodyMayEverSee00"
EVENT = json.loads((EVENTS / "list.json").read_text())
IDS = {f"c{number}" for number in range(4)}
INTERNALS = re.compile(
    r"Traceback|File \"|Error\(|Exception|pydantic|botocore|powertools|ValidationE|site-packages"
)

nasty = st.one_of(
    st.sampled_from(
        [
            *("", " ", "0", "-1", "1", "5", "1000", "1001", "1_0", "1.0", "٣", "1e3", "9" * 400),
            *("null", "None", "true", "[]", "{}", "%00", "\x00", "\r\nx: y", "'", '"', "`", "${x}"),
            *("demo", "demo-busy", "DEMO", "demo#other", "../demo", "a" * 64, "a" * 65, "é", "😀"),
            *("2024-12-01T08:45:00Z", "2024-12-01T08:45:00", "0001-01-01T00:00:00+23:59"),
            *("9999-12-31T23:59:59-23:59", "2024-02-30T00:00:00Z", "1700000000", "last", "none"),
            *("createdAt", "-createdAt", "updatedAt", "-updatedAt", "sk", "agent", SECRET),
            *("gzip", "zstd", "gzip;q=0", "*;q=0.5", "br, gzip;q=1", "gzip;q=x" + ";" * 300, "*"),
            *(
                'W/"0"',
                '"' * 2000,
                "(" * 2000,
                "[" * 2000,
                "a" * 10_000,
                "W10",
                "WyJhIl0",
                "=" * 99,
            ),
        ]
    ),
    st.text(max_size=60),
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")),
)
HEADERS = ["x-workspace-id", "accept-encoding", "if-none-match", "x-api-key", "host", "accept"]
PARAMETERS = [
    *("limit", "cursor", "agentId", "pathwayId", "createdAtGe", "createdAtLt", "updatedAtGe"),
    *("updatedAtLt", "sort", "messages", "deleted", "customerEmail", "customerPhone", "sync"),
]


def cased(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name.upper(), name.title()])


headers = st.dictionaries(
    st.sampled_from(HEADERS).flatmap(cased) | st.text(min_size=1, max_size=12),
    st.lists(nasty, min_size=1, max_size=3),
    max_size=6,
)
parameters = st.dictionaries(
    st.sampled_from(PARAMETERS) | nasty, st.lists(nasty, min_size=1, max_size=2), max_size=4
)
good = {"userId": USER, "workspaceIds": "demo demo-busy", "keyId": "key_1"}
authorizers: st.SearchStrategy[Any] = st.just(good) | st.one_of(
    st.none(),
    st.just({}),
    st.dictionaries(st.sampled_from(list(good)), nasty, max_size=3),
    st.just(good | {"userId": "other"}),
    st.just(good | {"workspaceIds": ""}),
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """Events as API Gateway makes them, of requests that no client would send."""
    event: dict[str, Any] = copy.deepcopy(EVENT)
    several: dict[str, list[str]] = {"x-workspace-id": ["demo"]} if draw(st.booleans()) else {}
    several |= draw(headers)
    query = draw(parameters)
    if draw(st.integers(0, 3)) == 0:
        query = {name: query[name][:1] for name in query if name in PARAMETERS}
        mutation = draw(st.sampled_from(["", "A", "=", "é", "\x00"]))
        query["cursor"] = [draw(st.sampled_from(CURSORS)) + mutation]
        if draw(st.booleans()):
            query["sync"] = ["true"]
    event |= {
        "multiValueHeaders": several or None,
        "headers": {name: values[-1] for name, values in several.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "queryStringParameters": {name: query[name][-1] for name in query} if query else None,
        "body": draw(st.none() | nasty),
        "httpMethod": draw(st.sampled_from(["GET"] * 9 + ["POST", "DELETE", "HEAD", "X", ""])),
        "path": draw(st.sampled_from([EVENT["path"]] * 9 + ["/", "", "/v1//api", "/%00", "*"])),
    }
    for maps in (("headers", "Headers"), ("queryStringParameters", "QueryStringParameters")):
        one, many = maps[0], f"multiValue{maps[1]}"
        if (absent := draw(st.sampled_from([None] * 8 + [one, many]))) is not None:
            event[absent] = None
    event["requestContext"]["authorizer"] = draw(authorizers)
    return event


CURSORS: list[str] = [""]


@pytest.fixture(scope="module")
def stored(_moto: None) -> "DynamoDBClient":
    """A table with four conversations of the user, and one of another."""
    dynamodb = fresh_tables()
    table = ConversationTable(dynamodb, "ConversationsTable")
    put(table, *(conversation(id=id_) for id_ in sorted(IDS)))
    put(table, conversation(id="theirs", userId="another"))
    CURSORS[:] = [
        cursor
        for sort in ("createdAt", "-updatedAt")
        for page in Api().pages(limit="1", sort=sort)
        if (cursor := page.cursor)
    ]
    synced = Api().get(sync="true"), Api().get(sync="true", limit="1")
    CURSORS.extend(answer.cursor or "" for answer in synced)
    return dynamodb


def internals(received: str, sent: str) -> set[str]:
    """What shows how the endpoint is made; an error may repeat a name that the client sent."""
    return set(INTERNALS.findall(received)) - set(INTERNALS.findall(sent))


def assert_contained(answer: Answer, event: dict[str, Any]) -> None:
    """Nothing but what the contract knows, and nothing of anyone else."""
    caller = event["requestContext"]["authorizer"]
    text = answer.body.decode()
    assert not internals(text, json.dumps(event)), text
    for name, value in answer.headers.items():
        assert not re.search(r"[\r\n\0]", name + value), (name, value)
    if answer.status in (200, 304):
        assert answer.status == 304 or {listed["_id"] for listed in answer.json} <= IDS
        assert caller["userId"] == USER or text in ("[]", "")
        return
    problem = answer.json
    assert SECRET not in text
    assert answer.status in (400, 404, 413) or caller != good
    assert_problem(answer, answer.status, problem["error"]["code"])


@settings(max_examples=max(REQUESTS * 8 // 10, 1), print_blob=True)
@given(events())
@example(
    EVENT
    | {
        "queryStringParameters": {"Traceback": "pydantic"},
        "multiValueQueryStringParameters": {"Traceback": ["pydantic"]},
    }
)
def test_no_request_gets_more_than_the_contract_says(
    stored: "DynamoDBClient", event: dict[str, Any]
) -> None:
    assert stored
    start = time.process_time()
    answer = play(event)
    assert time.process_time() - start < CPU_SECONDS
    assert_contained(answer, event)


lines = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda method, path, query, rest: f"{method} {path}?{query} {rest}".encode(),
        st.sampled_from(["GET", "POST", "get", "", "G T", "A" * 70_000]),
        st.sampled_from(["/v1/api/conversations", "/", "*", "//", "/../", "http://x/", "/%ff%00"]),
        nasty.map(quote) | st.text(st.characters(codec="ascii"), max_size=40),
        st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/9.9", "", "HTTP/1.1 HTTP/1.1"]),
    ),
)
fields = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda name, value: f"{name}: {value}".encode("utf-8", "replace"),
            st.sampled_from([*HEADERS, "content-length", "transfer-encoding", "expect", "te"]),
            nasty,
        ),
        st.sampled_from([f"x-api-key: {demo.KEYS[0].key}".encode(), b"x-workspace-id: demo"]),
    ),
    max_size=6,
)


# Of a server that refuses a request before it has read all of it.
HUNG_UP = {errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET}


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[str, int]]:
    """The address of a local API in a separate process, because it empties moto when it ends."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-m", "dev", "serve", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        assert process.stdout.readline(), "it did not start"
        yield "127.0.0.1", port
        assert process.poll() is None, "a request brought it down"
        process.terminate()


@settings(max_examples=max(REQUESTS // 10, 1), print_blob=True)
@given(lines, fields)
@example(b"GET /v1/api/conversations HTTP/1.1", [b"content-length: -1"])
def test_no_bytes_bring_the_server_down_or_out_of_its_shape(
    api: tuple[str, int], line: bytes, fields: list[bytes]
) -> None:
    sent = b"\r\n".join([line, *fields, b"connection: close", b"", b""])
    received = b""
    with socket.create_connection(api, 10) as client:
        try:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65536):
                received += part
        except OSError as error:
            if error.errno not in HUNG_UP:
                raise
    assert not internals(received.decode("latin-1"), sent.decode("latin-1"))
    if received.startswith(b"HTTP/"):  # none to an HTTP/0.9 client, nor to one that hung up
        status = int(received.split(b" ", 2)[1])
        assert status in (200, 302, 304, 400, 401, 404, 413), received


# What stands in an item that something else than this code wrote. Some have a name: they are large.
NAMED: dict[str, dict[str, Any]] = {
    "cut off": {"S": json.dumps(conversation(id="x"))[:-1]},
    "of another": {"S": json.dumps(conversation(id="x", userId="another"))},
    "deep": {"S": "[" * 100_000},
    "no end": {"S": '{"_id":"' + "a" * 300_000},
    "bomb": {"B": zstd.compress(bytes(200_000_000))},  # 6 KB
    "empty": {"B": zstd.compress(b"{}")},
    "too large": {"B": zstd.compress(bytes(MAX_JSON_BYTES + 1))},
    "no frame": {"B": b"\x28\xb5\x2f\xfd" + bytes(20)},
}
attributes: st.SearchStrategy[Any] = st.one_of(
    st.text(max_size=50).map(lambda text: {"S": text}),
    st.binary(min_size=1, max_size=50).map(lambda raw: {"B": raw}),
    st.sampled_from(
        [{"N": "1"}, {"BOOL": True}, {"NULL": True}, {"L": []}, {"M": {}}, {"SS": ["a"]}]
    ),
)


@settings(max_examples=max(REQUESTS // 40, 1), print_blob=True)
@given(
    st.none() | st.sampled_from(list(NAMED)) | attributes,
    attributes,
    st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1, max_size=40),
)
def test_an_item_that_no_one_should_have_written_is_contained(
    stored: "DynamoDBClient", document: Any, agent: Any, key: str
) -> None:
    item: dict[str, Any] = {"agentId": agent}
    if document is not None:
        item["document"] = NAMED[document] if isinstance(document, str) else document
    keys = {"pk": {"S": f"demo-busy#{USER}"}, "sk": {"S": key}}
    stored.put_item(TableName="ConversationsTable", Item={**keys, **item})
    try:
        questions: list[dict[str, Any]] = [{}, {"limit": "1"}, {"messages": "last"}]
        for question in questions:
            start = time.process_time()
            answer = Api().get("demo-busy", **question)
            assert time.process_time() - start < CPU_SECONDS
            assert_problem(answer, 500, "internal_error")  # never skipped, its content never shown
        assert set(Api().get("demo").ids) == IDS  # other lists do not mind
    finally:
        stored.delete_item(TableName="ConversationsTable", Key=keys)
