"""The errors in the reference: the table in `handlers.problems`, as OpenAPI and Markdown."""

from typing import Any

from dev.reference.responses import headers
from handlers.problems import PROBLEMS, TITLES, to_body

_REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"
_FURTHER_HEADERS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_EXAMPLES = {code: to_body(code, row.detail, _REQUEST_ID) for code, row in PROBLEMS.items()}
_TEXT = {"type": "string"}
_PROPERTIES = {
    "type": {"type": "string", "enum": [body["type"] for body in _EXAMPLES.values()]},
    "title": _TEXT,
    "status": {"type": "integer", "enum": list(TITLES)},
    "detail": {"type": "string", "description": "What to change."},
    "instance": {"type": "string", "description": "The request id as a URN."},
    "error": {
        "type": "object",
        "properties": {"code": {"type": "string", "enum": list(PROBLEMS)}, "message": _TEXT},
        "required": ["code", "message"],
    },
}
SCHEMA = {
    "type": "object",
    "description": "An error, as RFC 9457 describes it. `type` and `error.code` tell errors apart.",
    "properties": _PROPERTIES,
    "required": list(_PROPERTIES),
}


def examples(status: int | None = None) -> dict[str, dict[str, Any]]:
    """The body of a problem for each code, or for each code of a status."""
    return {code: body for code, body in _EXAMPLES.items() if status in (None, body["status"])}


def responses() -> dict[str, Any]:
    """The problem responses of every operation by status."""
    return {
        str(status): {
            "description": title,
            "headers": headers("x-request-id", "Cache-Control", *_FURTHER_HEADERS.get(status, ())),
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "examples": {
                        code: {"description": PROBLEMS[code].when, "value": body}
                        for code, body in examples(status).items()
                    },
                }
            },
        }
        for status, title in TITLES.items()
    }


def sections(level: str) -> str:
    """A section of Markdown for each code, under headings such as `##`."""
    return "\n\n".join(
        f"{level} {code}\n\n"
        f"{body['status']} {body['title']}, type `{body['type']}`\n\n"
        f"{PROBLEMS[code].when}\n\n"
        f"**What to do:** {PROBLEMS[code].what_to_do}\n\n"
        f"> {body['detail']}"
        for code, body in _EXAMPLES.items()
    )
