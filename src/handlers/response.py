"""A page → the response that carries it: ETag, gzip, base64, size limit."""

import json
import re
from bisect import bisect
from collections.abc import Callable
from hashlib import sha256
from itertools import accumulate

from aws_lambda_powertools.event_handler import Response
from isal import isal_zlib
from pybase64 import b64encode_as_string

from domain.errors import RequestError
from domain.query import Position
from storage.conversations import Page

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
    """Encode a page; return it, its response and the response's size as Lambda counts it.

    A page over Lambda's quota is shortened: the result is the longest page that fits, or fills
    7/8 of the quota. The response is a 304 if the client already has the page.

    Args:
        link: returns the address of the page after a position; `None` if the list must be whole.

    Raises:
        RequestError: `response_too_large`, the list must be whole but does not fit, or its first
            conversation alone does not.
    """
    if page.next is not None and link is None:
        raise _too_large(gzip=gzip)
    headers = {**_HEADERS, "x-request-id": request_id}
    longest: tuple[Page, Response[str], int] | None = None
    fitting, exceeding = 0, len(page.documents) + 1  # a length that fits, one that does not
    shorter = page
    while True:
        response, size = _respond(
            shorter, headers, gzip=gzip, if_none_match=if_none_match, link=link
        )
        if response is None:
            exceeding = len(shorter.documents)
        else:
            longest, fitting = (shorter, response, size), len(shorter.documents)
            full = size >= MAX_ENVELOPE_BYTES * 7 // 8
            if full or shorter is page or response.status_code == 304:
                break
        if link is None or exceeding - fitting == 1:
            break
        # Halving bounds the number of encodings, wherever the large conversations are.
        length = (fitting + exceeding) // 2
        if shorter is page:
            length = _length_of_share(page.documents, 0.95 * MAX_ENVELOPE_BYTES / size)
        shorter = page.first(length)
    if longest is None:
        raise _too_large(gzip=gzip)
    if if_none_match == "*":  # of the page as it was shortened, whose Link goes on from there
        sent = longest[1].headers
        kept = {name: sent[name] for name in sent if not name.startswith("Content-")}
        return longest[0], Response(304, headers=kept, body=""), 0
    return longest


def _length_of_share(documents: list[bytes], share: float) -> int:
    """How many documents make up a share of all bytes, at least one."""
    ends = list(accumulate(map(len, documents)))
    return max(1, bisect(ends, share * ends[-1]))


def _respond(
    page: Page,
    headers: dict[str, str],
    *,
    gzip: bool,
    if_none_match: str,
    link: Callable[[Position], str] | None,
) -> tuple[Response[str] | None, int]:
    """The page's response, `None` if too large, and its size. On return, the body is freed."""
    headers = dict(headers)
    if page.next is not None and link is not None:
        headers["Link"] = f'<{link(page.next)}>; rel="next"'
    body = b"[" + b",".join(page.documents) + b"]"
    content = sha256(body)
    content.update(headers.get("Link", "").encode())
    digest = content.hexdigest()[:32]
    headers["ETag"] = f'W/"{digest}"'
    is_whole = link is None  # and needs no room to be unchanged
    known = re.findall('"[^"]*"', if_none_match)
    if f'"{digest}"' in known or (if_none_match == "*" and is_whole):
        return Response(304, headers=headers, body=""), 0
    headers["Content-Type"] = "application/json"
    return _envelope(body, headers, gzip=gzip)


def _envelope(
    body: bytes, headers: dict[str, str], *, gzip: bool
) -> tuple[Response[str] | None, int]:
    """The response, `None` if too large, and the bytes Lambda's runtime sends, to the byte."""
    compressed = gzip and len(body) > _MIN_GZIP_BYTES
    if compressed:
        headers = {**headers, "Content-Encoding": "gzip"}
        body = isal_zlib.compress(body, _GZIP_LEVEL, _GZIP_FORMAT)
        size = (len(body) + 2) // 3 * 4  # as base64
    else:
        # JSON in a JSON string: each quote and backslash takes a backslash more.
        size = len(body) + body.count(b'"') + body.count(b"\\")
    envelope = {
        "statusCode": 200,
        "body": "",
        "isBase64Encoded": compressed,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
    }
    size += len(json.dumps(envelope))
    if size > MAX_ENVELOPE_BYTES:
        return None, size
    text = b64encode_as_string(body) if compressed else body.decode()
    response = Response[str](200, headers=headers, body=text)
    response.base64_encoded = compressed
    return response, size


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


def _too_large(*, gzip: bool) -> RequestError:
    detail = (
        "The list is too large for one response, or takes too long to read. "
        "Ask for pages with the query parameter limit."
    )
    return RequestError("response_too_large", detail if gzip else "")  # the table's names gzip
