"""A page → the response that carries it: ETag, gzip, base64, size limit."""

import json
import re
from collections.abc import Callable
from hashlib import sha256

from aws_lambda_powertools.event_handler import Response
from isal import isal_zlib
from pybase64 import b64encode_as_string

from domain.errors import ResponseTooLargeError
from storage.conversations import Page
from storage.query import Position

MAX_ENVELOPE_BYTES = 6_291_456  # AWS Lambda quota: a synchronous response
_MAX_GZIPPED_JSON_BYTES = 40_000_000  # more than gzip brings under the quota
_MIN_GZIP_BYTES = 1024
_GZIP_LEVEL, _GZIP_FORMAT = 1, 31  # the level that costs least CPU per byte saved
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept-Encoding, x-api-key, x-workspace-id",
}


def max_json_bytes(*, gzip: bool) -> int:
    """How much JSON is worth reading for one response."""
    return _MAX_GZIPPED_JSON_BYTES if gzip else MAX_ENVELOPE_BYTES


def encode(
    page: Page,
    *,
    request_id: str,
    gzip: bool,
    if_none_match: str,
    link: Callable[[Position], str] | None,
) -> tuple[Page, Response[str], int]:
    """The page, its response and that one's size as Lambda counts it.

    The page is cut where it exceeds Lambda's quota; the response is a 304 where the client has it.

    Args:
        link: the address of the page after a position; `None` where the list must be whole.

    Raises:
        ResponseTooLargeError: the list must be whole, and cannot.
    """
    headers = {**_HEADERS, "x-request-id": request_id}
    if page.next is not None:
        if link is None:
            raise _too_large(gzip=gzip)
        headers["Link"] = f'<{link(page.next)}>; rel="next"'
    body = b"[" + b",".join(page.documents) + b"]"
    digest = sha256(body + headers.get("Link", "").encode()).hexdigest()[:32]
    headers["ETag"] = f'W/"{digest}"'
    if if_none_match == "*" or f'"{digest}"' in re.findall('"[^"]*"', if_none_match):
        return page, Response(304, headers=headers, body=""), 0
    headers["Content-Type"] = "application/json"
    response, size = _envelope(body, headers, gzip=gzip)
    if size <= MAX_ENVELOPE_BYTES:
        return page, response, size
    count = len(page.documents)
    if count == 1:
        raise _too_large(gzip=gzip)
    fitting = int(count * MAX_ENVELOPE_BYTES / size)
    shorter = page.first(max(1, min(fitting, count - 1)))
    return encode(shorter, request_id=request_id, gzip=gzip, if_none_match=if_none_match, link=link)


def _envelope(body: bytes, headers: dict[str, str], *, gzip: bool) -> tuple[Response[str], int]:
    """The response, and the bytes of what Lambda's runtime makes of it, to the byte."""
    if gzip and len(body) > _MIN_GZIP_BYTES:
        headers = {**headers, "Content-Encoding": "gzip"}
        text = b64encode_as_string(isal_zlib.compress(body, _GZIP_LEVEL, _GZIP_FORMAT))
        response, size = Response[str](200, headers=headers, body=text), len(text)
        response.base64_encoded = True
    else:
        response = Response[str](200, headers=headers, body=body.decode())
        # JSON in a JSON string: each quote and backslash takes a backslash more.
        size = len(body) + body.count(b'"') + body.count(b"\\")
    envelope = {
        "statusCode": 200,
        "body": "",
        "isBase64Encoded": response.base64_encoded,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
    }
    return response, size + len(json.dumps(envelope))


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether gzip may be used, and identity is not preferred to it (RFC 9110, section 12.5.3)."""
    weights = {}
    for member in accept_encoding.lower().split(","):
        coding, _, weight = member.replace(" ", "").replace("\t", "").partition(";")
        if not weight:
            weights[coding] = 1.0
        elif match := re.fullmatch(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight):
            weights[coding] = float(match[1])
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)


def _too_large(*, gzip: bool) -> ResponseTooLargeError:
    advice = "" if gzip else "Send Accept-Encoding: gzip, or ask"
    return ResponseTooLargeError(
        "The list is too large for one response, or takes too long to read. "
        f"{advice or 'Ask'} for pages with the query parameter limit."
    )
