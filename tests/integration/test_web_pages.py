"""What a web page, or another client that is not ours, gets from the two ports of `make run`."""

import http.client
import json
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from console.environment import environment
from dev.local import server
from dev.local.demo import DOCUMENTED, KEYS
from dev.local.server import LocalApi
from storage.dynamodb import client
from tests.support.api import Answer, assert_problem

PATH = "/v1/api/conversations"
KEY = f"x-api-key: {KEYS[0].key}\r\nx-workspace-id: demo\r\n"
SCAN = json.dumps({"TableName": "ConversationsTable"})
SCANNED = "X-Amz-Target: DynamoDB_20120810.Scan\r\n"
SIGNED = (
    "Authorization: AWS4-HMAC-SHA256 Credential=local/20241201/us-east-1/{}/aws4_request, "
    "SignedHeaders=host, Signature=0\r\n"
)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalApi]:
    with server.running() as api:
        yield api


def send(address: str, request_line: str, headers: str = "", body: str = "") -> Answer:
    """What a client gets that sends these bytes. `{at}` is the port's own address."""
    at = urlsplit(address)
    length = f"Content-Length: {len(body.encode())}\r\n" if body else ""
    text = f"{request_line} HTTP/1.1\r\n{headers}{length}\r\n".replace("{at}", at.netloc) + body
    with socket.create_connection((at.hostname, at.port or 0), timeout=60) as connection:
        connection.sendall(text.encode())
        response = http.client.HTTPResponse(connection, method=request_line.partition(" ")[0])
        response.begin()
        headers_of = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers_of, response.read())


def get(api: LocalApi, host: str | None = None, target: str = PATH, headers: str = "") -> Answer:
    line = "" if host is None else f"Host: {host}\r\n"
    return send(api.url, f"GET {target}", line + KEY + headers)


def scan(api: LocalApi, headers: str = "Host: {at}\r\n", *, target: str = "/") -> Answer:
    headers += SCANNED + SIGNED.format("dynamodb")
    return send(api.dynamodb, f"POST {target}", headers, SCAN)


HOSTS = ["127.0.0.1", "localhost", "LocalHost:8080", "[::1]", "[::1]:3000", "127.0.0.1:443"]
REBOUND = ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "10.0.0.1", "", "a, b"]


@pytest.mark.parametrize("host", [None, "{at}", *HOSTS])
def test_both_ports_answer_to_each_name_of_this_machine(local: LocalApi, host: str | None) -> None:
    assert get(local, host).json == [DOCUMENTED]
    assert scan(local, "" if host is None else f"Host: {host}\r\n").json["Count"] > 0


@pytest.mark.parametrize("host", REBOUND)
@pytest.mark.parametrize("path", [PATH, "/docs", "/openapi.json", "/nothing"])
def test_the_api_answers_to_no_other_name(local: LocalApi, host: str, path: str) -> None:
    for answer in (get(local, host, path), get(local, None, f"http://{host}{path}")):
        assert_problem(answer, 400, "bad_request")
    assert_problem(get(local, host, f"http://localhost{path}"), 400, "bad_request")
    assert_problem(get(local, f"localhost\r\nHost: {host}", path), 400, "bad_request")


def assert_refused(answer: Answer) -> None:
    """A plain 400 that holds nothing of moto, and that no page may read."""
    assert answer.status == 400
    assert answer.headers.keys() == {"content-type", "content-length", "connection"}
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert re.fullmatch(rb"[^\n{<]+\n", answer.body) or not answer.body


@pytest.mark.parametrize("host", REBOUND)
def test_dynamodb_answers_to_no_other_name(local: LocalApi, host: str) -> None:
    assert_refused(scan(local, f"Host: {host}\r\n"))
    assert_refused(scan(local, "Host: localhost\r\n", target=f"http://{host}/"))
    assert_refused(scan(local, f"Host: {host}\r\n", target="http://localhost/"))
    assert_refused(scan(local, f"Host: localhost\r\nHost: {host}\r\n"))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "", "http://{at}"])
def test_dynamodb_answers_no_web_page(local: LocalApi, origin: str) -> None:
    assert_refused(scan(local, f"Host: {{at}}\r\nOrigin: {origin}\r\n"))
    preflight = f"Host: {{at}}\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: POST\r\n"
    for method in ("OPTIONS", "GET", "HEAD", "PUT"):
        assert_refused(send(local.dynamodb, f"{method} /", preflight + SCANNED))


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("POST /", ""),  # as a form or a `text/plain` request of a page
        ("POST /", "X-Amz-Target: DynamoDBStreams_20120810.ListStreams\r\n"),
        ("POST /", "X-Amz-Target: AWSCognitoIdentityService.ListIdentityPools\r\n"),
        ("POST /", "X-Amz-Target: x\r\n" + SCANNED),
        ("POST /", SIGNED.format("iam")),
        ("POST /?Action=ListUsers&Version=2010-05-08", SIGNED.format("iam")),
        ("GET /2015-03-31/functions/", SIGNED.format("lambda")),
        ("POST /2015-03-31/functions/", SCANNED),
        ("POST /moto-api/reset", ""),
        ("POST /moto-api/reset", SCANNED),
        ("POST http://{at}/moto-api/reset", SCANNED),
        ("POST //moto-api/reset", SCANNED),
        ("POST /?/../moto-api/reset", SCANNED),
        ("GET /moto-api/data.json", SCANNED),
        ("POST /moto-api/recorder/start-recording", SCANNED),
        ("POST /moto-api/recorder/upload-recording", SCANNED),
        ("POST /moto-api/recorder/replay-recording", SCANNED),
        ("POST /moto-api/config", SCANNED),
        ("GET /latest/meta-data/", ""),
        ("POST *", SCANNED),
        ("GARBAGE", SCANNED),
        ("POST / /", SCANNED),
    ],
)
def test_nothing_but_dynamodb_is_reachable(local: LocalApi, line: str, headers: str) -> None:
    assert_refused(send(local.dynamodb, line, f"Host: {{at}}\r\n{headers}", SCAN))
    assert scan(local).json["Count"] > 0


@pytest.mark.parametrize(
    "headers",
    [
        SIGNED.format("iam"),
        SIGNED.format("s3"),
        "X_Amz_Target: AmazonSSM.DescribeParameters\r\n",
        "X-Amz-Target: AmazonSSM.DescribeParameters\r\n",
    ],
)
def test_what_is_passed_on_reaches_dynamodb_only(local: LocalApi, headers: str) -> None:
    answer = send(local.dynamodb, "POST /", f"{SCANNED}{headers}", SCAN)
    assert answer.json["ScannedCount"] > 0
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize("length", ["-1", "x", "٣", "", "16777217", "1" * 5000])
def test_a_body_without_a_sound_length_is_refused(local: LocalApi, length: str) -> None:
    assert_refused(send(local.dynamodb, "POST /", f"{SCANNED}Content-Length: {length}\r\n"))
    assert_refused(send(local.dynamodb, "POST /", f"{SCANNED}Transfer-Encoding: chunked\r\n"))


def test_a_client_that_sends_much_to_the_wrong_place_reads_why(local: LocalApi) -> None:
    for _ in range(5):
        assert_refused(send(local.dynamodb, "POST /x", "Host: {at}\r\n", "x" * 5_000_000))


def test_one_connection_to_dynamodb_serves_many_requests(local: LocalApi) -> None:
    connection = http.client.HTTPConnection(urlsplit(local.dynamodb).netloc, timeout=60)
    connection.connect()
    kept = connection.sock
    for _ in range(3):
        connection.request("POST", "/", SCAN, {"X-Amz-Target": "DynamoDB_20120810.Scan"})
        assert json.loads(connection.getresponse().read())["Count"] > 0
        assert connection.sock is kept
    connection.close()


def test_boto3_reads_an_error_and_the_largest_request(local: LocalApi) -> None:
    with environment(local.environment):
        dynamodb = client()
        with pytest.raises(dynamodb.exceptions.ResourceNotFoundException):
            dynamodb.describe_table(TableName="none")
        big = {"S": "x" * 380_000}
        table, pk = "ConversationsTable", {"S": "big#u"}
        items: list[Any] = [{"pk": pk, "sk": {"S": str(n)}, "document": big} for n in range(25)]
        puts: list[Any] = [{"PutRequest": {"Item": item}} for item in items]
        dynamodb.batch_write_item(RequestItems={table: puts})
        for item in items:
            key = {"pk": item["pk"], "sk": item["sk"]}
            deleted = dynamodb.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD")
            assert deleted["Attributes"] == item


# absolute targets, and what is read from Accept


def test_a_target_in_absolute_form_is_served(local: LocalApi) -> None:
    answer = get(local, "{at}", f"http://{{at}}{PATH}?limit=1")
    assert answer.json == [DOCUMENTED]
    busy = KEY.replace("demo\r\n", "demo-busy\r\n")
    page = send(local.url, f"GET http://localhost:8080{PATH}?limit=1", f"Host: {{at}}\r\n{busy}")
    assert page.headers["link"].startswith(f"<http://localhost:8080{PATH}?limit=1&cursor=")
    moved = get(local, "{at}", "http://{at}")
    assert (moved.status, moved.headers["location"]) == (302, "/docs")


@pytest.mark.parametrize("accept", ["*", "", "json", " ", ",", "*/*", "text/html", "a/b;q=0"])
def test_whatever_is_accepted_a_compressed_body_arrives_as_bytes(
    local: LocalApi, accept: str
) -> None:
    headers = f"Accept: {accept}\r\nAccept-Encoding: gzip\r\n"
    busy = KEY.replace("demo\r\n", "demo-busy\r\n")
    answer = send(local.url, f"GET {PATH}", f"Host: {{at}}\r\n{busy}{headers}")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.body[:2] == b"\x1f\x8b"


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:1", "localhost"])
def test_the_reference_addresses_the_api_by_the_name_that_the_reader_uses(
    local: LocalApi, host: str
) -> None:
    host = host.replace("{port}", local.url.rpartition(":")[2])
    page = get(local, host, "/docs")
    assert f'"url": "http://{host}"'.encode() in page.body
    assert get(local, host, "/openapi.json").json["servers"][0]["url"] == f"http://{host}"
