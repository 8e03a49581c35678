"""What `make smoke` says where there is nothing to check, and how it looks at TLS."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from domain.api_key import generate
from ops import smoke
from ops.local.ports import HttpServer, listen


class Problem(BaseHTTPRequestHandler):
    """Answers everything with one status; counts."""

    status = 401
    requests = 0

    def do_GET(self) -> None:
        """Any path."""
        type(self).requests += 1
        self.send_response(self.status)
        self.send_header("Content-Type", "application/problem+json")
        self.end_headers()
        self.wfile.write(json.dumps({"error": {"code": "none"}}).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def serving(status: int, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The address of a server that answers so, over TLS where a context is given."""
    Problem.status, Problem.requests = status, 0
    listening = listen(0)
    if context:
        listening = context.wrap_socket(listening, server_side=True)
    with HttpServer(Problem, listening) as server:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.port}/conversations"


def run(url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit code for a deployment at an address."""
    for name, value in {"URL": url, "KEY": generate(), "WORKSPACE": "demo"}.items():
        monkeypatch.setenv(name, value)
    return smoke.main()


def test_it_stops_with_one_line_where_nobody_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    assert run(f"http://{host}/conversations", monkeypatch) == 1
    *_, line = capsys.readouterr().out.splitlines()
    assert line.startswith(f"No connection to {host}: ")
    assert line.endswith("Stopped.")


def test_it_stops_with_one_line_where_the_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(401) as url:
        assert run(url, monkeypatch) == 1
    _, _, line = capsys.readouterr().out.splitlines()
    assert (
        line == "401: KEY is not valid for this deployment, or it is expired or revoked. Stopped."
    )
    assert Problem.requests == 1


def test_it_prints_a_table_and_names_the_processor_at_a_503(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(503) as url:
        assert run(url, monkeypatch) == 1
    *rows, hint = capsys.readouterr().out.splitlines()
    assert "StoreFallbacks" in hint
    assert rows[0] == "| check | result | ms | |"
    assert len(rows) == 2 + len(smoke.CHECKS)
    assert all(row.startswith("| ") and row.endswith(" |") for row in rows)
    assert "FAILED" in rows[2]
    assert "the same ArchitectureAsBuilt" in rows[2]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-days",
        "2",
    ]
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
    with serving(200, context) as url:
        seen = smoke.CHECKS["TLS 1.3, or 1.2 with forward secrecy"](smoke.Client(url, "", ""))
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
    with serving(200, context) as url, pytest.raises(Exception, match=complaint):
        check(smoke.Client(url, "", ""))
