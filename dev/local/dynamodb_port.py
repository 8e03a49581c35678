"""The port of the embedded DynamoDB, for its clients only.

moto would answer any web page that knows the port: it allows every origin, and beside DynamoDB it
serves other services, and addresses that reset it or record requests to files.
"""

import re
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from socket import socket
from typing import TYPE_CHECKING, Any

from dev.local.addresses import address_of
from dev.local.ports import HttpServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

MAX_REQUEST_BYTES = 16 * 1024 * 1024  # AWS limit: BatchWriteItem, the largest request
_TARGET = "DynamoDB_20120810."
_PASSED_ON = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Target")


class DynamoDbServer(HttpServer):
    """Passes the requests of DynamoDB's clients on, and answers anything else with a 400.

    Args:
        listening: a socket that listens.
        dynamodb: answers what is passed on.
    """

    def __init__(self, listening: socket, dynamodb: "WSGIApplication") -> None:
        self.dynamodb = dynamodb
        super().__init__(_Handler, listening)


class _Handler(BaseHTTPRequestHandler):
    server: DynamoDbServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        reason = self._refusal()
        if reason:
            self._refuse(reason)
            return
        from werkzeug.test import EnvironBuilder, run_wsgi_app

        environ = EnvironBuilder(
            method="POST",
            headers=[(name, self.headers[name]) for name in _PASSED_ON if name in self.headers],
            data=self.rfile.read(int(self.headers["Content-Length"])),
        ).get_environ()
        content, status, headers = run_wsgi_app(self.server.dynamodb, environ, buffered=True)
        shown = [line for line in headers if not line[0].lower().startswith("access-control-")]
        self._send(int(status.split()[0]), shown, b"".join(content))

    def _refusal(self) -> str | None:
        """Why the request is not passed on; `None` if it is."""
        length = self.headers.get("Content-Length", "")
        address = address_of(self.path, self.headers)
        if address is None:
            return "The Host must be 127.0.0.1, localhost or [::1]."
        if "Origin" in self.headers:
            return "Web pages may not use this DynamoDB."
        if address.path != "/" or not self.headers.get("X-Amz-Target", "").startswith(_TARGET):
            return f"Only POST / with an X-Amz-Target of {_TARGET}* is answered."
        if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_REQUEST_BYTES:
            return f"A Content-Length of at most {MAX_REQUEST_BYTES} is needed."
        return None

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what `http.server` cannot read, or has no method for."""
        del code, message, explain
        self._refuse("This is a DynamoDB for AWS's SDKs.")

    def _refuse(self, reason: str) -> None:
        """Answer, and close the connection, since the body is not read."""
        self.close_connection = True
        self.request_version = self.protocol_version  # without a version, no headers would be sent
        self._send(400, [("Content-Type", "text/plain; charset=utf-8")], f"{reason}\n".encode())

    def _send(self, status: int, headers: Iterable[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing: every call of a function would be a line."""
