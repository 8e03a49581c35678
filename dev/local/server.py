"""The local API: the real handlers behind a small API Gateway, over HTTP on this machine."""

import json
import os
import re
import shlex
import string
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import socket
from typing import Any
from urllib.parse import quote

import typer

from console.environment import PARTIQL, Variables
from console.terminal import LONGEST_LINE, visible
from dev.local import demo, docs_site, template
from dev.local.addresses import address_of
from dev.local.dynamodb import demo_data
from dev.local.events import Request
from dev.local.functions import SRC, Functions, notice
from dev.local.gateway import MAX_REQUEST_BYTES, CodeError, Failures, Gateway, Response
from dev.local.ports import HOST, HttpServer, listen
from dev.local.template import ENDPOINT

_COLOURS = {2: "green", 3: "cyan", 4: "yellow", 5: "red"}  # by the first digit of a status
# An API key, percent-encoded or not.
_KEY = re.compile(r"(t|%74)(k|%6b)(_|%5f)(\w|%[0-9a-f]{2})+", re.IGNORECASE)
_CUSTOMER = re.compile(r"(customer(?:Email|Phone)=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class LocalApi:
    """A running local API.

    Attributes:
        url: its address, without a slash at the end.
        environment: the variables that lead boto3 and the console to its tables.
    """

    url: str
    environment: Variables

    @property
    def endpoint(self) -> str:
        """The address of the list of conversations."""
        _, path = template.LIST_CONVERSATIONS
        return self.url + path

    @property
    def dynamodb(self) -> str:
        """The address of its DynamoDB."""
        return str(self.environment[ENDPOINT])


@contextmanager
def running(
    port: int = 0,
    *,
    src: Path = SRC,
    verbose: bool = False,
    failures: Failures | None = None,
) -> Iterator[LocalApi]:
    """Serve `src` with the demo data until the end of the `with` block.

    Args:
        port: if taken, the next free one is used; 0 means any. The embedded DynamoDB listens on
            the port after it.
        src: the folder of the code. Edits take effect at once.
        verbose: send the functions' logs to stderr always, not only when they fail.
        failures: the error to inject, and the share of the requests that get it.

    Raises:
        UnusablePortError: as `dev.local.ports.listen`.
        UnusableEndpointError: as `dev.local.dynamodb.demo_data`.
    """
    deployment = template.load()
    with listen(port) as listening:
        port_after = listening.getsockname()[1] + 1 if port else 0
        with demo_data(deployment, port_after) as variables:
            functions = Functions(deployment.functions, variables, src=src, verbose=verbose)
            with suppress(CodeError):  # stderr says why, and an edit fixes it
                functions.warm_up()
            gateway = Gateway(deployment.api, functions.invoke, failures)
            with _Server(listening, gateway) as server:
                yield LocalApi(f"http://{HOST}:{server.port}", variables)


class _Server(HttpServer):
    def __init__(self, listening: socket, gateway: Gateway) -> None:
        self.gateway = gateway
        super().__init__(_RequestHandler, listening)


class _RequestHandler(BaseHTTPRequestHandler):
    """Reads HTTP with `http.server`, which keeps repeated header lines apart; WSGI does not."""

    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for a small response
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def handle_expect_100(self) -> bool:
        """Ask for the body at once, instead of when the response is sent."""
        expected = super().handle_expect_100()
        self.wfile.flush()
        return expected

    def _answer(self) -> None:
        start = time.perf_counter()
        address = address_of(self.path, self.headers)
        if address is None:
            self._refuse("DEFAULT_4XX", "(not for 127.0.0.1, localhost or [::1])")
            return
        body = self._read_body()
        if body is None:
            return
        path, _, query = address.path.partition("?")
        if address.host:  # an absolute target's counts
            del self.headers["Host"]
            self.headers["Host"] = address.host
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers=tuple((name, value.strip()) for name, value in self.headers.items()),
            body=body,
            port=self.server.port,
            source_ip=self.client_address[0],
        )
        response = docs_site.answer(request) or self.server.gateway.answer(request)
        self._send(response, f"{self.command} {self.path}", time.perf_counter() - start)

    def _read_body(self) -> bytes | None:
        """The body; `None` if its length is malformed or too large. Then an error has been sent."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers:
            self.close_connection = True  # not read: our routes take no body
            return b""
        if not re.fullmatch("[0-9]{1,18}", length):
            self._refuse("DEFAULT_4XX")
            return None
        if int(length) > MAX_REQUEST_BYTES:
            self._refuse("REQUEST_TOO_LARGE")
            return None
        return self.rfile.read(int(length))

    def _refuse(self, kind: str, shown: str = "(malformed)") -> None:
        """Answer an unreadable request and close the connection: what follows is unreadable too."""
        self.close_connection = True
        self.request_version = self.protocol_version  # without a version, no headers would be sent
        self._send(self.server.gateway.refuse(kind), shown)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send the gateway's response for an error that `http.server` found."""
        del code, message, explain
        self._refuse("DEFAULT_4XX")

    def _send(self, response: Response, request: str, seconds: float = 0) -> None:
        """Log, then answer, so that once a client has its answer this thread prints no more."""
        _log(request, response, seconds)
        self.send_response_only(response.status)
        self.send_header("Date", self.date_time_string())
        for name, value in response.headers:
            self.send_header(name, value)
        if response.status not in (204, 304):
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)


def _log(request: str, response: Response, seconds: float) -> None:
    """Print a line about a request. Hides API keys, which may be anywhere in it, and customers."""
    headers = {name.lower(): value for name, value in response.headers}
    status = typer.style(response.status, fg=_COLOURS[response.status // 100], bold=True)
    if headers.get("content-type") == "application/problem+json":
        status += " " + json.loads(response.body)["error"]["code"]
    request = _CUSTOMER.sub(r"\1...", _KEY.sub("tk_...", request))
    shown = quote(request, safe=string.punctuation + " ")
    if sys.stderr.isatty():
        shown = visible(shown, LONGEST_LINE)
    time_of_day = typer.style(time.strftime("%H:%M:%S"), dim=True)
    request_id = headers.get("x-request-id")  # the reference pages have none
    last = " " + typer.style(request_id, dim=True) if request_id else ""
    notice(f"{time_of_day} {shown} {status} {1000 * seconds:.0f} ms{last}")


def banner(api: LocalApi, port: int = 0) -> str:
    """The text that tells a developer how to use the API.

    Args:
        api: the running API.
        port: the requested port.
    """
    first, second = demo.KEYS
    shown = (
        *(ENDPOINT, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"),
        *("CONVERSATIONS_TABLE", "API_KEYS_TABLE", PARTIQL),
    )
    # Never print the developer's own credentials: skip variables that were already set.
    line = " ".join(f"{name}={api.environment[name]}" for name in shown if name in api.environment)
    line += f" CONVERSATIONS_URL={api.endpoint}"  # for the curl line that `keys issue` prints
    commands = shlex.quote(str(Path(sys.executable).parent))
    return f"""\
{_moves(api, port)}\
API        {api.endpoint}
Docs       {api.url}/docs
DynamoDB   {api.dynamodb}

Keys for the x-api-key header
  {first.key}   workspaces {", ".join(first.workspaces)}
  {second.key}   another user, workspace demo only

Try it
  curl -sS {api.endpoint} -H 'x-api-key: {first.key}' -H 'x-workspace-id: demo'

Workspace demo holds the documented conversation, demo-busy {demo.BUSY_COUNT} varied ones.
demo-mine is empty, for your own data.

In a second terminal, this line points the command `conversations` at these tables:
  export PATH={commands}:"$PATH" {line}

Edits in src/ take effect at once, and breakpoint() opens a prompt here. Ctrl-C stops the API.
"""


def _moves(api: LocalApi, port: int) -> str:
    """A line for each port that was taken and replaced by the next free one."""
    listening, dynamodb = (int(url.rpartition(":")[2]) for url in (api.url, api.dynamodb))
    wanted = [("the API", port, listening)]
    if ENDPOINT not in os.environ:  # embedded
        wanted.append(("DynamoDB", listening + 1, dynamodb))
    moves = [
        f"Port {wish} is taken: {name} listens on {found}.\n"
        for name, wish, found in wanted
        if port and wish != found
    ]
    return "\n".join(["".join(moves), ""]) if moves else ""
