"""What `make smoke` says where there is nothing to check, and how it looks at TLS."""

import gzip
import shlex
import socket
import ssl
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler
from typing import Any

import pytest

from dev import smoke
from dev.local.ports import HttpServer, listen
from dev.smoke_client import Client, Unexpected
from domain.api_key import generate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = generate()


class Server(HttpServer):
    """Sends the same bytes to each connection, then closes or resets it; keeps the requests."""

    def __init__(self, answer: bytes, listening: socket.socket, *, reset: bool) -> None:
        self.answer, self.reset = answer, reset
        self.received: list[bytes] = []
        super().__init__(Connection, listening)

    def shutdown_request(self, request: Any) -> None:
        if not self.reset:
            super().shutdown_request(request)
            return
        # What the client has not read is lost.
        request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.close()


class Connection(StreamRequestHandler):
    """One request."""

    server: Server

    def handle(self) -> None:
        lines = iter(lambda: self.rfile.readline().strip(), b"")
        self.server.received.append(b"\n".join(lines))
        self.wfile.write(self.server.answer)


@contextmanager
def answering(
    answer: bytes, *, reset: bool = False, context: ssl.SSLContext | None = None
) -> Iterator[tuple[str, Server]]:
    """A server that sends these bytes, over TLS where a context is given; its address first."""
    listening = listen(0)
    if context:
        listening = context.wrap_socket(listening, server_side=True)
    with Server(answer, listening, reset=reset) as server:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.port}/conversations", server


def response(body: bytes, *headers: str, status: int = 200) -> bytes:
    """An answer with this body."""
    kind = "problem+json" if status >= 400 else "json"
    lines = (f"HTTP/1.1 {status} OK", f"Content-Type: application/{kind}", "ETag: 1", *headers)
    names = ("Cache-Control: no-store", "Vary: accept", "X-Request-Id: 1")
    length = () if "Transfer-Encoding: chunked" in headers else (f"Content-Length: {len(body)}",)
    return "\r\n".join((*lines, *names, *length, "", "")).encode() + body


def run(url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code for a deployment at an address."""
    for name, value in {"URL": url, "KEY": KEY, "WORKSPACE": "demo"}.items():
        monkeypatch.setenv(name, value)
    return smoke.main()


def test_it_stops_with_one_line_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    assert run(f"http://{host}/conversations", monkeypatch) == 1
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith(f"No answer from {host}: ")
    assert line.endswith("Stopped.")


def test_it_stops_with_one_line_where_the_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(response(b"{}", status=401)) as (url, server):
        assert run(url, monkeypatch) == 1
    _, _, line = capsys.readouterr().out.splitlines()
    assert (
        line == "401: KEY is not valid for this deployment, or it is expired or revoked. Stopped."
    )
    assert len(server.received) == 1


def test_it_prints_a_table_and_names_the_processor_at_a_503(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(response(b"{}", status=503)) as (url, _):
        assert run(url, monkeypatch) == 1
    *rows, hint = capsys.readouterr().out.splitlines()
    assert "StoreFallbacks" in hint
    assert rows[0] == "| check | result | ms | |"
    assert len(rows) == 2 + len(smoke.CHECKS)
    assert all(row.startswith("| ") and row.endswith(" |") for row in rows)
    assert "FAILED" in rows[2]
    assert "the same ArchitectureAsBuilt" in rows[2]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:{port}/",
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/",
        "https://127.0.0.1:{port}/",
        "ftp://127.0.0.1:{port}/",
        "/elsewhere",
        "",
        "http://[",
        "http://\x1b]0;title\x07/",
    ],
)
def test_it_follows_no_redirect_with_the_key(
    status: int, location: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(response(b"[]")) as (_, elsewhere):
        location = location.format(port=elsewhere.port)
        head = f"HTTP/1.1 {status} Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        with answering(head.encode()) as (url, server):
            assert run(url, monkeypatch) == 1
        assert elsewhere.received == []
    assert len(server.received) == 1
    _, _, line = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{status}: ")
    assert line.endswith("Stopped.")
    assert line.isprintable()


BODY = b'[{"_id":"a text of some length, so that it can be cut"}]' * 40
DAMAGED = {
    "cut off": response(BODY)[:-9],
    "cut off with an error's status": response(BODY, status=503)[:-9],
    "cut off between chunks": response(b"3\r\n[1,\r\n", "Transfer-Encoding: chunked"),
    "cut off within a chunk": response(b"30\r\n[1,\r\n", "Transfer-Encoding: chunked"),
    "a chunk of no size": response(b"x\r\n[1,\r\n", "Transfer-Encoding: chunked"),
    "gzip cut off": response(gzip.compress(BODY)[:-9], "Content-Encoding: gzip"),
    "gzip without its checksum": response(gzip.compress(BODY)[:-8], "Content-Encoding: gzip"),
    "no gzip": response(BODY, "Content-Encoding: gzip"),
    "gzip of nothing": response(b"", "Content-Encoding: gzip"),
    "gzip corrupt": response(
        gzip.compress(BODY).replace(b"\xed", b"\xff")[:10] + b"\xff" * 30, "Content-Encoding: gzip"
    ),
    "zstd cut off": response(zstd.compress(BODY)[:-9], "Content-Encoding: zstd"),
    "no zstd": response(BODY, "Content-Encoding: zstd"),
    "a coding that was not asked for": response(BODY, "Content-Encoding: br\x1b[2J"),
    "no JSON": response(b"<html>"),
    "no UTF-8": response(b'["\xff"]'),
    "JSON that is nested too deep": response(b"[" * 200_000),
    "no conversations": response(b"null"),
    "conversations of another type": response(b'{"list":[]}'),
    "a problem of another type": response(b'["error"]', status=404),
    "a problem without a code": response(b'{"error":null}', status=404),
    "no status line": b"\x1b]0;title\x07 200 OK\r\n\r\n",
    "too many headers": response(b"[]", *["X-Same: 1"] * 200),
    "a header that is too long": response(b"[]", "X-Long: " + "1" * 70_000),
    "nothing": b"",
    "the key, as an echo": response(f"<html>{KEY}".encode(), status=400),
    "the key, where a long body is cut": response(
        b"x" * 180 + KEY.encode() + b"x" * 180 + KEY.encode(), status=400
    ),
    "control characters": response(b'{"error":{"code":"\\u001b[2J\\u009b"}}', status=404),
}


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("answer", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_answer_is_a_failed_row_or_a_line(
    answer: bytes,
    reset: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answering(answer, reset=reset) as (url, _):
        assert run(url, monkeypatch) == 1
    seen = capsys.readouterr()
    assert seen.err == ""
    assert KEY[:9] not in seen.out
    assert seen.out.count("\n") == len(seen.out.splitlines())
    assert all(line.isprintable() for line in seen.out.splitlines())
    _, _, *rows, last = seen.out.splitlines()
    if last.endswith("Stopped."):
        assert rows == []
    else:
        assert len(rows) == len(smoke.CHECKS)
        assert "FAILED" in rows[0]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", ""),
        ("URL", "conversations.example"),
        ("URL", "ftp://127.0.0.1/"),
        ("URL", "http:///conversations"),
        ("URL", "http://[::1/conversations"),
        ("URL", "http://127.0.0.1:99999/conversations"),
        ("URL", "http://127.0.0.1:port/conversations"),
        ("URL", "http://user:password@127.0.0.1/conversations"),
        ("URL", "http://127.0.0.1/conversations?limit=1"),
        ("URL", "http://127.0.0.1/conversations#top"),
        ("URL", "http://127.0.0.1/conver sations"),
        ("URL", "http://127.0.0.1/conversätions"),
        ("KEY", ""),
        ("KEY", "tk_1\r\nx-other: 1"),
        ("KEY", "tk_ä"),
        ("WORKSPACE", ""),
        ("WORKSPACE", "demo\n"),
        ("WORKSPACE", "a b"),
    ],
)
def test_it_names_a_variable_that_cannot_be_right(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    variables = {"URL": "http://127.0.0.1/conversations", "KEY": KEY, "WORKSPACE": "demo"}
    for variable, text in {**variables, name: value}.items():
        monkeypatch.setenv(variable, text)
    assert smoke.main() == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    (line,) = seen.err.splitlines()
    assert line.startswith(f"{name} must be ")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = shlex.split("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -days 2")
    try:
        subprocess.run(
            [*command, "-keyout", file, "-out", file.with_suffix(".crt")],
            check=True,
            capture_output=True,
        )
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    file.write_bytes(file.read_bytes() + file.with_suffix(".crt").read_bytes())
    return file


def test_it_sees_that_only_tls_1_3_and_1_2_with_forward_secrecy_are_accepted(
    certificate: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("ECDHE+AESGCM")
    with answering(b"", context=context) as (url, _):
        seen = smoke.CHECKS["TLS 1.3, or 1.2 with forward secrecy"](Client(url, "", ""))
    assert seen
    assert seen.startswith("1.3 accepted, 1.2 accepted, 1.2 without forward secrecy refused")


@pytest.mark.parametrize(
    ("ciphers", "highest", "complaint"),
    [
        ("ECDHE+AESGCM:kRSA", ssl.TLSVersion.TLSv1_3, "without forward secrecy: accepted"),
        ("ECDHE+AESGCM", ssl.TLSVersion.TLSv1_2, "TLS 1.3: refused"),
    ],
)
def test_it_complains_of_other_tls(
    certificate: Path, ciphers: str, highest: ssl.TLSVersion, complaint: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers(ciphers)
    context.maximum_version = highest
    check = smoke.CHECKS["TLS 1.3, or 1.2 with forward secrecy"]
    with (
        answering(b"", context=context) as (url, _),
        pytest.raises(Unexpected, match=complaint),
    ):
        check(Client(url, "", ""))
