"""Query and GetItem on a connection that stays open, and without boto3, which is slow to import."""

import hmac
import importlib.util
import json
import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit
from zlib import crc32

from pybase64 import b64decode

from storage.dynamodb import ATTEMPT_SECONDS, client

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
# Fields of every complete answer. GetItem returns `ConsumedCapacity` because the request asks.
_ALWAYS = {"Query": {"Items", "Count"}, "GetItem": {"ConsumedCapacity"}}
_ONLY_FOR_BOTO3 = (
    *("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"),
    *("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"),
)


@cache
def reader(fell_back: Callable[[str], None]) -> Any:
    """The function's `Reader`, or boto3's client if the environment needs what only boto3 supports.

    `fell_back` is called with the reason, which holds no data, when a `Reader` turns to boto3.
    """
    get = os.environ.get
    address, region = get("AWS_ENDPOINT_URL_DYNAMODB", ""), get("AWS_DEFAULT_REGION")
    snapshot = get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"
    ignored = get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true"
    plain = urlsplit(address).path in ("", "/") and not any(map(get, _ONLY_FOR_BOTO3))
    if address and region and plain and not ignored and (snapshot or get(_KEYS[0])):
        return Reader(address, region, fell_back, snapshot)
    return client()


class Reader:
    """Tries each read once. If that fails, boto3's client does the read, with retries.

    The deadline does not cover name resolution, or headers that arrive byte by byte: only the
    function's timeout ends those.
    """

    def __init__(self, address: str, region: str, fell_back: Any, snapshot: object) -> None:
        self._region, self._fell_back, self._reason = region, fell_back, ""
        self._client: Any = None
        # Under SnapStart the credentials expire; botocore renews them.
        self._session: Any = snapshot and importlib.import_module("boto3").Session()
        scheme, self._host, *_ = urlsplit(address)
        self._connection: Any = HTTPConnection(self._host)
        if scheme == "https":
            botocore: Any = importlib.util.find_spec("botocore")  # found, not imported
            folder = botocore.submodule_search_locations[0]
            trusted = ssl.create_default_context(cafile=f"{folder}/cacert.pem")
            self._connection = HTTPSConnection(self._host, context=trusted)

    def __del__(self) -> None:
        self._connection.close()

    def query(self, **request: Any) -> Any:
        return self.attempt("Query", request) or self._fallback().query(**request)

    def get_item(self, **request: Any) -> Any:
        return self.attempt("GetItem", request) or self._fallback().get_item(**request)

    def _fallback(self) -> Any:
        self._fell_back(self._reason)
        self._client = self._client or client()
        return self._client

    def attempt(self, operation: str, request: Any, seconds: float = ATTEMPT_SECONDS) -> Any:
        """The answer, as from boto3's client; `None` if the read fails or takes over `seconds`."""
        try:
            return self._ask(operation, json.dumps(request).encode(), time.monotonic() + seconds)
        except Exception as error:  # noqa: BLE001 - whatever failed, boto3 tries again
            self._connection.close()  # the next answer must not begin with the rest of this one
            self._reason = str(error) if type(error) is HTTPException else type(error).__name__
            return None

    def _ask(self, operation: str, body: bytes, deadline: float) -> Any:
        keys = self._session and self._session.get_credentials().get_frozen_credentials()
        key_id, secret, token, *_ = keys or map(os.environ.get, _KEYS)
        headers = {
            "content-type": "application/x-amz-json-1.0",
            "host": self._host,
            "x-amz-date": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
            "x-amz-target": f"DynamoDB_20120810.{operation}",
            **({"x-amz-security-token": token} if token else {}),
        }
        scope = f"{headers['x-amz-date'][:8]}/{self._region}/dynamodb/aws4_request"
        headers["authorization"] = sign(headers, body, scope, key_id, secret)
        response, content = self._exchange(body, headers, deadline)
        if response.headers.get("x-amz-crc32") not in (None, str(crc32(content))):
            raise HTTPException("CorruptAnswer")
        answer = json.loads(content, object_hook=_decode)
        if response.status != 200:
            code = str(answer.get("__type")).rpartition("#")[2]
            raise HTTPException(code if code.isalnum() else f"Status{response.status}")
        missing = _ALWAYS[operation] - answer.keys()
        if missing or len(answer.get("Items", ())) != answer.get("Count", 0):
            raise HTTPException("IncompleteAnswer")
        return answer

    def _exchange(self, body: bytes, headers: dict[str, str], deadline: float) -> Any:
        """The response and its body. A connection that has ended is replaced once."""
        sock = self._connection.sock
        # Leftover bytes would be read as this request's answer. `poll` does not see those that
        # TLS has decrypted already; `pending` does.
        if sock and (getattr(sock, "pending", int)() or _is_readable(sock)):
            self._connection.close()
        kept = self._connection.sock is not None
        try:
            return self._send(body, headers, deadline)
        except OSError as error:
            if not kept or isinstance(error, TimeoutError):
                raise
            self._connection.close()  # DynamoDB ends idle connections
            return self._send(body, headers, deadline)

    def _send(self, body: bytes, headers: dict[str, str], deadline: float) -> Any:
        connection = self._connection
        connection.timeout = min(1.0, _left(deadline))  # if it must connect first
        connection.request("POST", "/", body, headers)
        sock = connection.sock
        sock.settimeout(_left(deadline))
        response = connection.getresponse()
        content, chunk, length = bytearray(), b".", response.length
        while chunk and not response.isclosed():  # newer Pythons close it at the last byte
            sock.settimeout(_left(deadline))  # bounds a single wait, so set it for each
            content += (chunk := response.read1(65_536))
        if length not in (None, len(content)):
            raise HTTPException("TruncatedAnswer")
        response.close()  # Python before 3.11.8 and 3.12.2 leaves it open
        return response, content


def sign(headers: dict[str, str], body: bytes, scope: str, key_id: str, secret: str) -> str:
    """The AWS Signature Version 4 of a POST to `/`; it signs all `headers`, named in lower case."""
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    request = "\n".join(["POST", "/", "", *lines, "", names, sha256(body).hexdigest()])
    digest = sha256(request.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    credential = f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}"
    return f"{credential}, SignedHeaders={names}, Signature={key.hex()}"


def _is_readable(sock: socket.socket) -> bool:
    poll = select.poll()  # `select` raises at file descriptors above 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _left(deadline: float) -> float:
    if (seconds := deadline - time.monotonic()) <= 0:
        raise TimeoutError
    return seconds


def _decode(value: dict[str, Any]) -> dict[str, Any]:
    """Decode the Base64 in an attribute value; return any other object unchanged."""
    if isinstance(text := value.get("B"), str):
        value["B"] = b64decode(text, validate=True)
    if isinstance(texts := value.get("BS"), list):
        value["BS"] = [b64decode(text, validate=True) for text in texts]
    return value
