"""The HTTP server of this process: a client that goes away is not an error of it."""

import socket
import struct
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import pytest

from dev.local.ports import HttpServer


class Handler(BaseHTTPRequestHandler):
    """Reads a body that does not come, or fails."""

    def do_POST(self) -> None:
        if self.path == "/fails":
            raise RuntimeError("a defect")
        self.rfile.read(int(self.headers["Content-Length"]))
        raise AssertionError("not reached: the client hangs up before")


class Watched(HttpServer):
    """Tells when it is done with a connection: after it has reported an error."""

    def __init__(self) -> None:
        self.done = Event()
        super().__init__(Handler)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.done.set()


@pytest.mark.parametrize(
    ("path", "printed"), [("/waits", ""), ("/fails", "RuntimeError: a defect")]
)
def test_a_client_that_hangs_up_is_no_traceback_but_a_defect_is(
    capsys: pytest.CaptureFixture[str], path: str, printed: str
) -> None:
    with Watched() as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(f"POST {path} HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf".encode())
            if path == "/waits":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert server.done.wait(60)
    error = capsys.readouterr().err
    assert printed in error
    assert ("Traceback" in error) == bool(printed)
