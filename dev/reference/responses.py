"""The response headers and the list's responses in the OpenAPI document."""

from typing import Any

from domain.caller import ID

_HEADERS = {
    "x-request-id": "The request id, which is also in the logs.",
    "Cache-Control": "200 and 304: `private, no-cache`, so clients may keep the list, but must "
    "revalidate it. Errors: `no-store`.",
    "Vary": "The request headers on which the response depends.",
    "ETag": "Weak. Sent as `If-None-Match`, it gives a 304 as long as nothing has changed.",
    "Link": 'The next page, `rel="next"` (RFC 8288); absent on the last, which may be empty.',
    "Content-Encoding": "`zstd` or `gzip`, if the client accepts it and the body is over 1 KiB.",
    "Retry-After": "The number of seconds after which to try again.",
    "WWW-Authenticate": "`ApiKey`.",
}
_OPTIONAL = ("Link", "Content-Encoding")
_CACHING = ("x-request-id", "Cache-Control", "Vary", "ETag", "Link")


TOMBSTONE = {
    "type": "object",
    "description": "What is left of a deleted conversation for 90 days; listed with "
    "`deleted=include` only.",
    "properties": {
        "_id": {
            "type": "string",
            "pattern": ID,
            "description": "The unique identifier of the deleted conversation.",
        },
        "updatedAt": {
            "type": "string",
            "format": "date-time",
            "description": "Equals `deletedAt`: sorts and filters by `updatedAt` use it.",
        },
        "deletedAt": {
            "type": "string",
            "format": "date-time",
            "description": "The timestamp when the conversation was deleted, or, if its "
            "`updatedAt` is not earlier, a millisecond after its `updatedAt`. Only tombstones "
            "have this field.",
        },
    },
    "required": ["_id", "updatedAt", "deletedAt"],
}


def of_the_list(example: list[Any]) -> dict[str, Any]:
    """The responses of the list by status, without the problems."""
    names = ("Conversation", "Tombstone")
    items = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
    schema = {"type": "array", "items": items}
    return {
        "200": {
            "description": "All conversations, or a page of them.",
            "headers": headers(*_CACHING, "Content-Encoding"),
            "content": {"application/json": {"schema": schema, "example": example}},
        },
        "304": {"description": "Nothing changed.", "headers": headers(*_CACHING)},
    }


def headers(*names: str) -> dict[str, Any]:
    """The response headers of these names."""
    return {
        name: {
            "description": _HEADERS[name],
            "required": name not in _OPTIONAL,
            "schema": {"type": "string"},
        }
        for name in names
    }
