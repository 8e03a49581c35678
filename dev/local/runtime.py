"""Runs a Lambda function in Lambda's own runtime client, with a Runtime API on this machine."""

import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from console.environment import Variables
from console.terminal import show
from dev.local import cloudformation
from dev.local.functions import SRC
from dev.local.ports import HttpServer
from dev.local.template import Function

_ARN = cloudformation.function_arn("local")
_DEADLINE_SECONDS = 120


class InvocationError(Exception):
    """The function failed.

    Attributes:
        answer: the runtime client's report, JSON with `errorType` and `errorMessage`.
    """

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer[:2000].decode(errors="replace"))
        self.answer = answer


def play(event: dict[str, Any], function: Function, variables: Variables) -> Any:
    """The function's JSON answer to one event; its log goes to stderr.

    Raises:
        RuntimeError: the process ended, or did not answer within two minutes.
    """
    environment = {
        **os.environ,
        **function.variables,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "PYTHONPATH": str(SRC),
        **variables,
    }
    given = {name: value for name, value in environment.items() if value is not None}
    command = (sys.executable, "-m", "awslambdaric", function.handler)
    try:
        with _log() as log, Process(command, given, stdout=log) as process:
            return json.loads(process.invoke(json.dumps(event).encode()).answer)
    except InvocationError as error:
        return json.loads(error.answer)


@contextmanager
def _log() -> Iterator[int]:
    """A file descriptor whose lines are shown on stderr."""
    reading, writing = os.pipe()

    def show_lines() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - no path
            for line in lines:
                show(line.removesuffix("\n"), err=True)

    thread = Thread(target=show_lines)
    thread.start()
    try:
        yield writing
    finally:
        os.close(writing)
        thread.join()


@dataclass(frozen=True)
class Invocation:
    """A function's answer, and the time that it took.

    Attributes:
        cpu: processor seconds, of all threads, until the function asked for the next event.
        wall: seconds until the answer arrived.
    """

    answer: bytes
    cpu: float
    wall: float


class Process:
    """A function's process: a runtime client that asks for events and posts its answers."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        stdout: int = subprocess.DEVNULL,
    ) -> None:
        self._events: queue.Queue[bytes] = queue.Queue()
        self._requests: queue.Queue[tuple[float, str, bytes]] = queue.Queue()
        self._server = _RuntimeApi(self._events, self._requests)
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            command,
            env={**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.port}"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
        )
        try:
            self._expect("next")
        except Exception:
            self.stop()
            raise

    def first(self, event: bytes) -> Invocation:
        """The first invocation, counted from the start of the process."""
        answer = self.invoke(event)
        return Invocation(answer.answer, self.cpu, self._answered - self._started)

    def invoke(self, event: bytes) -> Invocation:
        """Invoke the function once.

        Raises:
            InvocationError: the function raised.
            RuntimeError: its process ended or took too long.
        """
        cpu, started = self.cpu, time.perf_counter()
        self._events.put(event)
        self._answered, answer = self._expect("response")
        self._expect("next")
        return Invocation(answer, self.cpu - cpu, self._answered - started)

    @property
    def cpu(self) -> float:
        """Processor seconds that the process has used."""
        # The clock id that clock_getcpuclockid(3) computes from a process id on Linux.
        return time.clock_gettime(~self._process.pid << 3 | 2)

    def peak_mb(self) -> float:
        """Peak memory since the last call, in MB of 10^6 bytes."""
        folder = Path(f"/proc/{self._process.pid}")
        status = (folder / "status").read_text()
        (folder / "clear_refs").write_text("5")  # proc(5): resets the peak
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _expect(self, wanted: str) -> tuple[float, bytes]:
        deadline = time.monotonic() + _DEADLINE_SECONDS
        while time.monotonic() < deadline:
            try:
                at, kind, body = self._requests.get(timeout=0.5)
            except queue.Empty:
                if (code := self._process.poll()) is not None:
                    raise RuntimeError(f"the function ended with code {code}") from None
                continue
            if kind == "error":  # of an invocation, or of the import
                raise InvocationError(body)
            if kind != wanted:
                raise RuntimeError(f"{kind} instead of {wanted}: {body[:2000].decode()}")
            return at, body
        raise RuntimeError(f"no {wanted} within {_DEADLINE_SECONDS} s")


class _RuntimeApi(HttpServer):
    """https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html."""

    def __init__(
        self, events: "queue.Queue[bytes]", requests: "queue.Queue[tuple[float, str, bytes]]"
    ) -> None:
        self.events, self.requests = events, requests
        super().__init__(_Request)


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _RuntimeApi

    def do_GET(self) -> None:
        """The runtime asks for an event."""
        self.server.requests.put((time.perf_counter(), "next", b""))
        event = self.server.events.get()
        deadline = int((time.time() + _DEADLINE_SECONDS) * 1000)
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {uuid4()}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {deadline}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {_ARN}\r\n"
            f"Content-Length: {len(event)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + event)

    def do_POST(self) -> None:
        """The runtime posts an answer or an error."""
        body = self._body()
        self.server.requests.put((time.perf_counter(), self.path.rpartition("/")[2], body))
        self.wfile.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_arguments: object) -> None:
        pass
