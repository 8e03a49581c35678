"""Query and GetItem past most of botocore, whose pipeline takes longer than all the rest."""

import io
import json
import select
import ssl
from collections.abc import Mapping
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import getproxies
from zlib import crc32

from botocore.awsrequest import AWSPreparedRequest
from botocore.httpsession import get_cert_path
from pybase64 import b64decode

from storage.dynamodb import ask, client, within

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CONNECT_SECONDS = 1.0
_SECONDS = 4.0  # for all of the attempt; of these a new connection has the above


def reader() -> "DynamoDBClient":
    """A new client, of which only `query` and `get_item` are there, over the shortcut."""
    return cast("DynamoDBClient", _Shortcut(client()))


class _Shortcut:
    """Asks once, with botocore's credentials and signature, over connections of its own.

    Whatever is not a whole answer with status 200 is left to the client: it asks again, retries,
    and raises what it raises. Credentials that cannot be had are raised at once.
    """

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        self._emit = client.meta.events.emit
        self._url = f"{client.meta.endpoint_url}/"
        self._host = urlsplit(self._url).netloc
        self._idle: list[HTTPConnection] = []
        self._context: ssl.SSLContext | None = None

    def __del__(self) -> None:
        for connection in self._idle:
            connection.close()

    def query(self, **request: Any) -> Any:  # noqa: ANN401 - as the client's
        """As the client's."""
        answer = self._ask("Query", request)
        if answer is None:
            return ask(self._client.query, **request)
        for item in answer.get("Items", ()):
            for value in item.values():
                if "B" in value:
                    value["B"] = b64decode(value["B"], validate=True)
        return answer

    def get_item(self, **request: Any) -> Any:  # noqa: ANN401 - as the client's
        """As the client's, for items without binary attributes."""
        answer = self._ask("GetItem", request)
        return ask(self._client.get_item, **request) if answer is None else answer

    def _ask(self, operation: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "Host": self._host,  # else botocore takes the address apart, twice
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
        }
        request = _Request(self._url, headers, json.dumps(arguments).encode())
        # botocore's own hooks: the first signs, the second lets a test answer for DynamoDB.
        event = {"request": request, "operation_name": operation}
        self._emit(f"request-created.dynamodb.{operation}", **event)
        replies = self._emit(f"before-send.dynamodb.{operation}", request=request)
        reply = next((reply for _, reply in replies if reply is not None), None)
        try:
            if reply is None:
                return self._exchange(request, monotonic() + _SECONDS)
            return _parse(reply.status_code, reply.headers, reply.content)
        except (HTTPException, OSError, ValueError):
            return None

    def _exchange(self, request: "_Request", deadline: float) -> Any:  # noqa: ANN401 - any JSON
        # A connection is in use by one call only, even by one that nobody waits for any more.
        kept = self._kept()
        connection = kept or within(min(_CONNECT_SECONDS, _left(deadline)), self._connect)
        answer = None
        try:
            connection.sock.settimeout(_left(deadline))
            connection.response_class = partial(_response, deadline)  # type: ignore[assignment]
            connection.request("POST", "/", request.body, dict(request.headers))
            response = connection.getresponse()
            answer = _parse(response.status, response.headers, response.read())
        except (HTTPException, OSError) as error:
            if kept and not isinstance(error, TimeoutError):  # DynamoDB ends idle connections
                return self._exchange(request, deadline)
            raise
        finally:
            # What follows an answer that is not whole could be taken for the next one.
            if answer is not None and connection.sock:
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _kept(self) -> HTTPConnection | None:
        """A kept connection without unread bytes, which would be taken for the answer."""
        while self._idle:
            connection = self._idle.pop()
            if not _has_bytes(connection.sock):
                return connection
            connection.close()
        return None

    def _connect(self) -> HTTPConnection:
        if getproxies():
            raise OSError("left to botocore, which knows proxies")
        connection: HTTPConnection
        if self._url.startswith("http://"):
            connection = HTTPConnection(self._host, timeout=_CONNECT_SECONDS)
        else:
            if self._context is None:  # takes longer than all else before the first answer
                certificates = get_cert_path(True)  # noqa: FBT003 - botocore's
                self._context = ssl.create_default_context(cafile=certificates)
            connection = HTTPSConnection(
                self._host, timeout=_CONNECT_SECONDS, context=self._context
            )
        connection.connect()
        return connection


def _has_bytes(sock: socket) -> bool:
    """Whether there is something to read; `select` does not see what TLS has decrypted."""
    decrypted = sock.pending() if isinstance(sock, ssl.SSLSocket) else 0
    return decrypted > 0 or bool(select.select([sock], [], [], 0)[0])


def _left(deadline: float) -> float:
    """The seconds until then.

    Raises:
        TimeoutError: there are none.
    """
    seconds = deadline - monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Request(AWSPreparedRequest):
    """A request that only lacks its signature: no preparation has to copy it again."""

    body: bytes

    def __init__(self, url: str, headers: Any, body: bytes) -> None:  # noqa: ANN401 - a mapping
        super().__init__("POST", url, headers, body, stream_output=False)
        self.params: dict[str, str] = {}
        self.context: dict[str, Any] = {}


def _response(deadline: float, sock: socket, **options: Any) -> HTTPResponse:  # noqa: ANN401
    return HTTPResponse(cast("socket", _Answer(sock, deadline)), **options)


class _Answer(io.RawIOBase):
    """What a socket receives until a deadline: it bounds each read, not all of them together."""

    def __init__(self, sock: socket, deadline: float) -> None:
        self._socket = sock
        self._file = sock.makefile("rb", buffering=0)  # keeps it open while something is read
        self._deadline = deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """What `HTTPResponse` asks of a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - any buffer
        """Reads some bytes.

        Raises:
            TimeoutError: the deadline is over.
        """
        self._socket.settimeout(_left(self._deadline))
        return self._file.readinto(buffer)

    def close(self) -> None:
        """Lets go of the socket."""
        self._file.close()
        super().close()


def _parse(status: int, headers: Any, content: bytes) -> Any:  # noqa: ANN401 - any JSON
    checksum = headers.get("x-amz-crc32")
    whole = checksum is None or checksum == str(crc32(content))
    return json.loads(content) if whole and status == 200 else None  # noqa: PLR2004 - HTTP's
