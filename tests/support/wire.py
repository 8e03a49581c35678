"""A DynamoDB on the loopback interface whose answers can break on their way."""

import json
import os
import socket
import struct
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from zlib import crc32

import pytest

from dev.local.ports import HttpServer
from dev.local.template import ENDPOINT
from storage.reader import _ONLY_FOR_BOTO3
from tests.support.tables import forget_clients


@dataclass(frozen=True)
class Sent:
    """Bytes of an answer, and what becomes of the connection: it is kept, closed or reset."""

    content: bytes
    then: str = "kept"


Fault = Callable[[bytes], Sent]
"""What is sent in place of an answer with this body."""


@dataclass(frozen=True)
class Asked:
    """A request: the operation, who sent it (`reader` or `boto3`), and the region it is for."""

    operation: str
    by: str
    region: str


@dataclass
class Wire:
    """Answers each operation with one body, but for the faults, which come first, in turn."""

    answers: dict[str, bytes]
    address: str
    faults: list[Fault] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0

    @property
    def by(self) -> list[str]:
        """Who sent each request."""
        return [request.by for request in self.asked]


def body_of(**answer: Any) -> bytes:
    """DynamoDB's JSON; bytes become Base64."""
    return json.dumps(answer, default=lambda content: b64encode(content).decode()).encode()


def whole(body: bytes, *, status: int = 200, promised: bytes | None = None) -> Sent:
    """An answer as it should be, or with the head of another body."""
    of = body if promised is None else promised
    head = (
        f"HTTP/1.1 {status} \r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"x-amz-crc32: {crc32(of)}\r\nContent-Length: {len(of)}\r\n\r\n"
    )
    return Sent(head.encode() + body)


@contextmanager
def wire(**answers: bytes) -> Iterator[Wire]:
    """The functions of this process, and boto3, find this DynamoDB; they take the short way."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            seen.connections += 1

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            by = "boto3" if "amz-sdk-invocation-id" in self.headers else "reader"
            region = self.headers["Authorization"].split("/")[2]
            seen.asked.append(Asked(operation, by, region))
            fault = seen.faults.pop(0) if seen.faults else whole
            sent = fault(seen.answers[operation])
            self.wfile.write(sent.content)
            self.close_connection = sent.then != "kept"
            if sent.then == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                os.close(self.connection.detach())

        def log_message(self, *_: object) -> None:
            pass

    with HttpServer(Handler) as server, pytest.MonkeyPatch.context() as patch:
        seen = Wire(answers, f"http://127.0.0.1:{server.port}")
        for name in _ONLY_FOR_BOTO3:
            patch.delenv(name, raising=False)
        patch.setenv(ENDPOINT, seen.address)
        forget_clients()
        yield seen
        forget_clients()
