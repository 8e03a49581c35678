"""The entry of each operation in the reference: texts, parameters and responses."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter

from dev.local import demo
from dev.reference.responses import TOMBSTONE, of_the_list
from domain.caller import WORKSPACE_ID
from domain.conversation import Conversation
from domain.query import PARAMETERS, ConversationQuery

_LIST = """\
Fetch all conversations associated with the authenticated user.

**Everything or an error.** With only the two headers, the response contains all of the user's
conversations in the workspace, newest first. A 200 without a `Link` header contains everything
that was asked for. A list that cannot be delivered whole is a 413. A query parameter that is
unknown, empty or sent with different values is a 400, so that a mistyped filter never returns
everything.

The [guides](guides.md) explain pagination, filters, sync and polling."""
_EXAMPLES = {
    "limit": 100,
    "agentId": demo.DOCUMENTED["agentId"],
    "pathwayId": demo.DOCUMENTED["pathwayId"],
    "createdAtGe": "2024-12-01T00:00:00Z",
    "createdAtLt": "2025-01-01T00:00:00+01:00",
    "updatedAtGe": "2024-12-01T00:00:00Z",
    "updatedAtLt": "2025-01-01T00:00:00+01:00",
}
_WORKSPACE = {
    "name": "x-workspace-id",
    "in": "header",
    "required": True,
    "description": "Workspace identifier for the API.",
    "schema": {"type": "string", "pattern": WORKSPACE_ID},
    "example": demo.KEYS[0].workspaces[0],
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an earlier response, several of them, or `*`. "
    "While it still matches, the response is a 304 without a body.",
    "schema": {"type": "string"},
}


def _query_parameters() -> Iterator[dict[str, Any]]:
    for field in fields(ConversationQuery):
        declared = PARAMETERS[field.name]
        schema = {**declared.schema, **({"default": field.default} if field.default else {})}
        parameter = {
            "name": declared.name,
            "in": "query",
            "required": False,
            "description": declared.description,
            "schema": schema,
        }
        example = _EXAMPLES.get(declared.name) or schema.get("enum", [None])[-1]
        if example:
            # Otherwise the interactive page would send it, or the default, with the first request.
            parameter["examples"] = {"default": {"value": example, "x-disabled": True}}
        yield parameter


def _schemas() -> dict[str, Any]:
    template = "#/components/schemas/{model}"
    found = TypeAdapter(list[Conversation]).json_schema(ref_template=template)["$defs"]
    names = ("Conversation", "Customer", "Message")
    return {**{name: _plain(found[name]) for name in names}, "Tombstone": TOMBSTONE}


def _plain(node: Any) -> Any:
    """A schema without pydantic's additions."""
    match node:
        case dict():
            return {
                key: _plain(value)
                for key, value in node.items()
                # Titles repeat names. These defaults only mark a field as optional.
                if not (key == "title" and isinstance(value, str))
                and not (key == "default" and value in ("", None))
            }
        case list():
            return [_plain(value) for value in node]
        case float():
            return int(node)
        case _:
            return node


SCHEMAS: Mapping[str, Any] = _schemas()
OPERATIONS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("GET", "/v1/api/conversations"): {
        "tags": ["Conversations"],
        "summary": "Get All Conversations",
        "operationId": "getAllConversations",
        "description": _LIST,
        "parameters": [_WORKSPACE, *_query_parameters(), _IF_NONE_MATCH],
        "responses": of_the_list([demo.DOCUMENTED]),
    },
}
"""By method and path, in OpenAPI's form. Every operation gets the errors too."""
