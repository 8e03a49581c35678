"""Turns a page into a response: ETag, content coding, base64, size limit."""

import json
import re
import sys
from bisect import bisect
from collections.abc import Callable
from hashlib import sha256
from itertools import accumulate
from typing import Literal

from aws_lambda_powertools.event_handler import Response
from isal import isal_zlib
from pybase64 import b64encode_as_string

from domain.errors import RequestError
from domain.query import Position
from storage.conversations import Page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Coding = Literal["zstd", "gzip", "identity"]

MAX_ENVELOPE_BYTES = 6_291_456  # AWS Lambda quota: a synchronous response
MAX_JSON_BYTES: dict[Coding, int] = {  # where reading stops: more would not fit the quota
    "zstd": 64_000_000,
    "gzip": 40_000_000,
    "identity": MAX_ENVELOPE_BYTES,
}
_MIN_COMPRESSED_BYTES = 1024
_COMPRESS: dict[Coding, Callable[[bytes], bytes]] = {  # levels: docs/performance.md
    "zstd": lambda body: zstd.compress(body, options=_ZSTD_OPTIONS),
    "gzip": lambda body: isal_zlib.compress(body, 1, 31),  # level 1, in gzip's format
}
_ZSTD_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 4,
    zstd.CompressionParameter.window_log: 20,  # 1 MB; clients take up to 8 (RFC 9659)
}
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept-Encoding, x-api-key, x-workspace-id",
}


def encode(
    page: Page,
    *,
    request_id: str,
    coding: Coding,
    if_none_match: str,
    link: Callable[[Position], str] | None,
) -> tuple[Page, Response[str], int]:
    """Encode a page; return it, its response and the response's size as Lambda counts it.

    A page over Lambda's quota is shortened: the result is the longest page that fits, or one
    that fills at least 7/8 of the quota. The response is a 304 if the client already has the page.

    Args:
        link: returns the address of the page after a position; `None` if the list must be whole.

    Raises:
        RequestError: `response_too_large`: the list must be whole but does not fit, or even its
            first conversation does not.
    """
    if page.next is not None and link is None:
        raise _too_large(coding)
    headers = {**_HEADERS, "x-request-id": request_id}
    longest: tuple[Page, Response[str], int] | None = None
    fitting, exceeding = 0, len(page.documents) + 1  # a length that fits, one that does not
    shorter = page
    while True:
        response, size = _respond(
            shorter, headers, coding=coding, if_none_match=if_none_match, link=link
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
        raise _too_large(coding)
    if if_none_match == "*":  # matches whatever would be a 200 (RFC 9110, section 13.2.1)
        sent = longest[1].headers
        kept = {name: sent[name] for name in sent if not name.startswith("Content-")}
        return longest[0], Response(304, headers=kept, body=""), 0
    return longest


def _length_of_share(documents: list[bytes], share: float) -> int:
    """The number of documents, at least one, that make up a share of all bytes."""
    ends = list(accumulate(map(len, documents)))
    return max(1, bisect(ends, share * ends[-1]))


def _respond(
    page: Page,
    headers: dict[str, str],
    *,
    coding: Coding,
    if_none_match: str,
    link: Callable[[Position], str] | None,
) -> tuple[Response[str] | None, int]:
    """The page's response, `None` if too large, and its size. Frees the body on return."""
    headers = dict(headers)
    if page.next is not None and link is not None:
        headers["Link"] = f'<{link(page.next)}>; rel="next"'
    body = b"[" + b",".join(page.documents) + b"]"
    content = sha256(body)
    content.update(headers.get("Link", "").encode())
    digest = content.hexdigest()[:32]
    headers["ETag"] = f'W/"{digest}"'
    if f'"{digest}"' in re.findall('"[^"]*"', if_none_match):
        return Response(304, headers=headers, body=""), 0
    headers["Content-Type"] = "application/json"
    return _envelope(body, headers, coding)


def _envelope(
    body: bytes, headers: dict[str, str], coding: Coding
) -> tuple[Response[str] | None, int]:
    """The response, `None` if too large, and its exact size as Lambda's runtime sends it."""
    compressed = coding != "identity" and len(body) > _MIN_COMPRESSED_BYTES
    if compressed:
        headers = {**headers, "Content-Encoding": coding}
        body = _COMPRESS[coding](body)
        size = (len(body) + 2) // 3 * 4  # as base64
    else:
        # JSON inside a JSON string: each quote and backslash is escaped by another backslash.
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


def coding_of(accept_encoding: str) -> Coding:
    """The coding that the client prefers (RFC 9110, section 12.5.3), zstd among equal weights."""
    weights = {}
    for member in accept_encoding.lower().split(","):
        coding, _, weight = member.replace(" ", "").replace("\t", "").partition(";")
        if not weight:
            weights[coding] = 1.0
        elif match := re.fullmatch(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight):
            weights[coding] = float(match[1])
    liked: dict[Coding, float] = {
        "zstd": weights.get("zstd", 0.0),
        # `*` means gzip, which every client can decode.
        "gzip": weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))),
        "identity": weights.get("identity") or 0.0001,  # the last resort, even if refused
    }
    return max(liked, key=liked.__getitem__)


def _too_large(coding: Coding) -> RequestError:
    detail = (
        "The list is too large for one response, or takes too long to read. "
        "Ask for pages with the query parameter limit."
    )
    # "" stands for the text in `problems.PROBLEMS`.
    return RequestError("response_too_large", detail if coding == "zstd" else "")
