"""Responses, and how a page becomes one: ETag, content coding, base64, size limit."""

import json
import re
import sys
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate
from typing import Any, Literal

from isal import isal_zlib
from pybase64 import b64encode_as_string

from domain.errors import RequestError
from storage.conversations import Page

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Coding = Literal["zstd", "gzip", "identity"]
Link = Callable[[Page], str]

MAX_ENVELOPE_BYTES = 6_291_456  # AWS Lambda quota: a synchronous response
MAX_PAGE_BYTES: dict[Coding, int] = {  # where reading stops: more would not fit the quota
    "zstd": 64_000_000,
    "gzip": 40_000_000,
    "identity": MAX_ENVELOPE_BYTES,
}
_MIN_COMPRESSED_BYTES = 1024
_ZSTD_OPTIONS: dict[int, int] = {
    zstd.CompressionParameter.compression_level: 4,  # levels: docs/performance.md
    zstd.CompressionParameter.window_log: 20,  # 1 MB; clients take up to 8 (RFC 9659)
}
_GZIP_LEVEL, _GZIP_FORMAT = 1, 31


@dataclass(frozen=True, slots=True)
class Response:
    """A response, before API Gateway's format."""

    status: int
    headers: Mapping[str, str]
    body: str = ""
    is_base64: bool = False

    def to_proxy(self, request_id: str) -> dict[str, Any]:
        """The answer of a Lambda proxy integration, with the headers that every response has."""
        shared = {"Cache-Control": "private, no-cache", "x-request-id": request_id}
        headers = {**shared, **self.headers}
        return {
            "statusCode": self.status,
            "body": self.body,
            "isBase64Encoded": self.is_base64,
            "multiValueHeaders": {name: [text] for name, text in headers.items()},
        }


def encode(
    page: Page, *, request_id: str, coding: Coding, if_none_match: str, link: Link, whole: bool
) -> tuple[Page, Response, int]:
    """Encode a page; return it, its response, and the response's size as Lambda counts it.

    A page over Lambda's quota is shortened: to the longest that fits, or to one that fills at
    least 7/8 of the quota. The response is a 304 if the client already has the page.

    Args:
        link: returns the `Link` header of a page; "" for none.
        whole: whether the page must be the whole list.

    Raises:
        RequestError: `response_too_large`: the list must be whole but does not fit, or even its
            first conversation does not.
    """
    if page.next is not None and whole:
        raise _too_large(coding)
    uncut = page
    while True:
        body = b"[" + b",".join(page.documents) + b"]"
        headers = _headers(body, link(page))
        if headers["ETag"].removeprefix("W/") in re.findall('"[^"]*"', if_none_match):
            return page, Response(304, headers), 0
        response, size = _compress(body, headers, coding, request_id)
        if response is not None:
            break
        if whole or len(page.documents) == 1:
            raise _too_large(coding)
        del body
        count = len(page.documents) - 1
        if page is uncut:
            longest = _headers(b"", link(uncut.first(len(uncut.documents))))
            room = MAX_ENVELOPE_BYTES - _envelope_bytes(Response(200, longest), request_id)
            count = min(count, max(1, _count_that_fits(page.documents, coding, room)))
        page = uncut.first(count)
    if if_none_match == "*":  # matches whatever would be a 200 (RFC 9110, section 13.2.1)
        response, size = Response(304, headers), 0
    return page, response, size


def _headers(body: bytes, link: str) -> dict[str, str]:
    """The headers that a 304 repeats. The ETag covers the body and the link."""
    content = sha256(body)
    headers = {"Vary": "Accept-Encoding, x-api-key, x-workspace-id"}
    if link:
        headers["Link"] = link
        content.update(link.encode())
    return {**headers, "ETag": f'W/"{content.hexdigest()[:32]}"'}


def _compress(
    body: bytes, headers: Mapping[str, str], coding: Coding, request_id: str
) -> tuple[Response | None, int]:
    """The response, `None` if too large, and its exact size as Lambda's runtime sends it."""
    headers = {"Content-Type": "application/json", **headers}
    compressed = coding != "identity" and len(body) > _MIN_COMPRESSED_BYTES
    if compressed:
        headers["Content-Encoding"] = coding
        if coding == "zstd":  # in one call, since then the frame holds its content size
            body = zstd.compress(body, options=_ZSTD_OPTIONS)
        else:
            body = isal_zlib.compress(body, _GZIP_LEVEL, _GZIP_FORMAT)
    size = _envelope_bytes(Response(200, headers, "", compressed), request_id)
    # Base64; or JSON inside a JSON string, where a backslash escapes each quote and backslash.
    size += (len(body) + 2) // 3 * 4 if compressed else _escaped_bytes(body)
    if size > MAX_ENVELOPE_BYTES:
        return None, size
    text = b64encode_as_string(body) if compressed else body.decode()
    return Response(200, headers, text, compressed), size


def _envelope_bytes(response: Response, request_id: str) -> int:
    return len(json.dumps(response.to_proxy(request_id)))


def _escaped_bytes(text: bytes) -> int:
    return len(text) + text.count(b'"') + text.count(b"\\")


def _count_that_fits(documents: Sequence[bytes], coding: Coding, room: int) -> int:
    """How many documents fit in so many bytes: all that do, or enough to fill 15/16 of it."""
    if coding == "identity":
        return bisect([*accumulate(_escaped_bytes(text) + 1 for text in documents)], room)
    room = room // 4 * 3  # base64
    compressor, flush = _compressor(coding)
    # A compressor may hold back megabytes. What is flushed is known; the rest takes at most as
    # much as it is long.
    flushed = out = held = 0
    for count, text in enumerate(documents):
        out += len(compressor.compress(text + b","))
        held += len(text) + 1
        if flushed + held > room:
            flushed = out = out + len(compressor.flush(flush))
            held = 0
            if flushed > room:
                return count
            if flushed > room * 15 // 16:
                return count + 1
    return len(documents)


def _compressor(coding: Coding) -> tuple[Any, int]:
    """A compressor, and the mode in which it flushes what it holds back."""
    if coding == "zstd":
        return zstd.ZstdCompressor(options=_ZSTD_OPTIONS), zstd.ZstdCompressor.FLUSH_BLOCK
    made = isal_zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP_FORMAT)
    return made, isal_zlib.Z_SYNC_FLUSH


def coding_of(accept_encoding: str) -> Coding:
    """The coding that the client prefers (RFC 9110, section 12.5.3), zstd among equal weights."""
    weights = {}
    for member in accept_encoding.lower().split(","):
        coding, _, weight = member.replace(" ", "").replace("\t", "").partition(";")
        if not weight:
            weights[coding] = 1.0
        elif match := re.fullmatch(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", weight):
            weights[coding] = float(match[1])
    preferences: dict[Coding, float] = {
        "zstd": weights.get("zstd", 0.0),
        # `*` means gzip, which every client can decode.
        "gzip": weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))),
        "identity": weights.get("identity") or 0.0001,  # the last resort, even if refused
    }
    return max(preferences, key=preferences.__getitem__)


def _too_large(coding: Coding) -> RequestError:
    if coding != "zstd":
        return RequestError("response_too_large")
    detail = (
        "The list is too large for one response, or takes too long to read. "
        "Ask for pages with the query parameter limit."
    )
    return RequestError("response_too_large", detail)
