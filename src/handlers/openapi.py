"""What the OpenAPI schema says of the responses; no request pays for it."""

from typing import Any

from domain.conversation import Conversation
from handlers.problems import STATUS

_TEXT = {"type": "string"}
_HEADERS = {
    "x-request-id": "The id of the request, which the logs carry too.",
    "Cache-Control": "`private, no-cache`: a client may keep the list, and must ask each time.",
    "Vary": "The request headers on which the response depends.",
    "ETag": "Weak. `If-None-Match` with it is answered with 304 as long as nothing changed.",
    "Link": 'The next page, `rel="next"` (RFC 8288); absent on the last.',
    "Content-Encoding": "`gzip`, where the client accepts it and the body is over 1 KiB.",
    "Retry-After": "The seconds after which to try again.",
    "WWW-Authenticate": "`ApiKey`.",
}
_CODES = {
    **STATUS,
    # Those that API Gateway alone answers: template.yaml, GatewayResponses.
    "bad_request": 400,
    "invalid_body": 400,
    "unauthorized": 401,
    "request_too_large": 413,
    "unsupported_media_type": 415,
    "rate_limit_exceeded": 429,
}
_REASONS = {
    400: "A header or query parameter is missing, malformed, unknown or out of range.",
    401: "No API key, or one that is malformed, unknown, expired or revoked.",
    404: "The API key has no grant for the workspace, or there is no such workspace or path.",
    413: "The list is too large for one response, or takes too long to read; or the request is.",
    415: "The request has a body whose type cannot be accepted.",
    429: "Too many requests.",
    500: "A defect, or a stored conversation that cannot be read.",
    503: "The store cannot be reached at the moment.",
}
_FURTHER = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}


def _headers(*names: str) -> dict[str, Any]:
    return {
        name: {
            "description": _HEADERS[name],
            "required": name not in {"Link", "Content-Encoding"},
            "schema": _TEXT,
        }
        for name in names
    }


def _problem(status: int) -> dict[str, Any]:
    codes = [code for code, own in _CODES.items() if own == status]
    properties = {
        "type": {"type": "string", "enum": [f"urn:problem:conversations:{code}" for code in codes]},
        "title": _TEXT,
        "status": {"type": "integer", "const": status},
        "detail": {"type": "string", "description": "What to change."},
        "instance": {"type": "string", "description": "The request id as a URN."},
        "error": {
            "type": "object",
            "properties": {"code": {"type": "string", "enum": codes}, "message": _TEXT},
            "required": ["code", "message"],
        },
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "description": _REASONS[status],
        "headers": _headers("x-request-id", *_FURTHER.get(status, ())),
        "content": {"application/problem+json": {"schema": schema}},
    }


_CACHING = ("x-request-id", "Cache-Control", "Vary", "ETag", "Link")
RESPONSES: dict[int, Any] = {
    200: {
        "description": "All of the user's conversations in the workspace, or a page of them.",
        "headers": _headers(*_CACHING, "Content-Encoding"),
        "content": {"application/json": {"model": list[Conversation]}},
    },
    304: {"description": "Nothing changed.", "headers": _headers(*_CACHING)},
    **{status: _problem(status) for status in _REASONS},
}
