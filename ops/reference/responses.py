"""What the OpenAPI document says of the responses."""

from typing import Any

from handlers.problems import PROBLEMS

_TEXT = {"type": "string"}
_HEADERS = {
    "x-request-id": "The id of the request, which the logs carry too.",
    "Cache-Control": "`private, no-cache`: a client may keep the list, and must ask each time.",
    "Vary": "The request headers on which the response depends.",
    "ETag": "Weak. `If-None-Match` with it is answered with 304 as long as nothing changed.",
    "Link": 'The next page, `rel="next"` (RFC 8288); absent on the last.',
    "Content-Encoding": "`zstd` or `gzip`, as the client accepts it, where the body is over 1 KiB.",
    "Retry-After": "The seconds after which to try again.",
    "WWW-Authenticate": "`ApiKey`.",
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
_CACHING = ("x-request-id", "Cache-Control", "Vary", "ETag", "Link")


def of_the_list(schema: dict[str, Any], example: list[Any]) -> dict[str, Any]:
    """The responses of the list by status, problems included."""
    content = {"application/json": {"schema": schema, "example": example}}
    return {
        "200": {
            "description": "All of the user's conversations in the workspace, or a page of them.",
            "headers": _headers(*_CACHING, "Content-Encoding"),
            "content": content,
        },
        "304": {"description": "Nothing changed.", "headers": _headers(*_CACHING)},
        **problems(),
    }


def problems() -> dict[str, Any]:
    """The problem responses of every operation by status, without examples."""
    return {str(status): _problem(status, reason) for status, reason in _REASONS.items()}


def _headers(*names: str) -> dict[str, Any]:
    return {
        name: {
            "description": _HEADERS[name],
            "required": name not in {"Link", "Content-Encoding"},
            "schema": _TEXT,
        }
        for name in names
    }


def _problem(status: int, reason: str) -> dict[str, Any]:
    codes = [code for code, problem in PROBLEMS.items() if problem.status == status]
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
        "description": reason,
        "headers": _headers("x-request-id", *_FURTHER.get(status, ())),
        "content": {"application/problem+json": {"schema": schema}},
    }
