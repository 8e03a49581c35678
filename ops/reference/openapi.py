"""The OpenAPI document, made of the declarations of parameters, conversations and problems."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from pydantic import TypeAdapter

from domain.caller import ID, WORKSPACE_ID
from domain.conversation import Conversation
from domain.query import ConversationQuery
from handlers.problems import PROBLEMS
from ops.local import demo
from ops.local.docs_site import LOCAL
from ops.local.template import ROOT
from ops.reference import errors, responses

PATH = "/v1/api/conversations"
_SERVERS = [
    {"url": LOCAL, "description": "The local API with demo data (`make run`)"},
    {
        "url": "https://{apiId}.execute-api.{region}.amazonaws.com/{stage}",
        "description": "A deployment at its default address; a custom domain has no stage",
        "variables": {
            "apiId": {"default": "a1b2c3d4e5"},
            "region": {"default": "us-east-1"},
            "stage": {"default": "prod"},
        },
    },
]
_TAG = {"name": "Conversations", "description": "What agents and customers write to each other."}
_API_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "x-api-key",
    "description": "Identifies the user: `tk_` and 32 letters and digits.",
}

_ABOUT = """\
All conversations of a user in a workspace, as one JSON array.

Every request carries an API key in the `x-api-key` header, which identifies the user, and a
workspace in the `x-workspace-id` header. Every error has one shape, `application/problem+json`
(RFC 9457); its `type` and `error.code` tell the errors apart."""

_OPERATION = """\
Fetch all conversations associated with the authenticated user.

**All or an error, never less.** With the two headers alone, the answer holds all of the user's
conversations in the workspace, newest first. A 200 without a `Link` header holds everything that
was asked for. What cannot be delivered whole is a 413.

**Pages.** `limit` asks for a page. Follow the `Link` header with `rel="next"` until there is none.
A page may be shorter than `limit`, even empty: only the absence of `Link` ends the list. Ties are
broken by `_id`, and `createdAt` never changes: in that order, a conversation that is there
throughout comes exactly once, whatever else is added, updated or deleted meanwhile. In `updatedAt`
order it comes again when it changes.

**Filters.** `agentId` and `pathwayId` match exactly. Times are compared as instants, cut to
milliseconds; `…Ge` includes the instant, `…Lt` does not. All filters must hold. An unknown,
repeated or empty parameter is a 400, so that a mistyped filter never returns everything.

**Sync.** `sort=updatedAt` with `updatedAtGe` and `deleted=include` walks the changes, oldest first.
A deleted conversation comes as a tombstone, which has a `deletedAt`: drop the `_id` from the copy.
Reads are eventually consistent: begin each round a minute before the newest `updatedAt` that you
have seen, or before the last round began if that is earlier, and tell repetitions by `_id`. Sync
without `agentId` and `pathwayId`: what leaves a filter is not reported, neither its change nor its
deletion. Tombstones last 90 days: after a longer time away, list anew. A late write with an older
`updatedAt` does not show up, nor does what an operator purges: from time to time compare the `_id`
and `updatedAt` of a whole list (`messages=none`) with yours.

**Saving bytes.** Send `Accept-Encoding: zstd, gzip`. Keep the `ETag`, and send it as
`If-None-Match`: as long as nothing changed, the answer is a 304 without a body."""

_SCHEMAS = ("Conversation", "Customer", "Message")
_TOMBSTONE = {
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
            "description": "Equals `deletedAt`: its place in the order, and for filters.",
        },
        "deletedAt": {
            "type": "string",
            "format": "date-time",
            "description": "The timestamp when the conversation was deleted. "
            "No conversation has this field.",
        },
    },
    "required": ["_id", "updatedAt", "deletedAt"],
}
_EXAMPLES = {
    "limit": 100,
    "agentId": demo.DOCUMENTED["agentId"],
    "pathwayId": demo.DOCUMENTED["pathwayId"],
    "createdAtGe": "2024-12-01T00:00:00Z",
    "createdAtLt": "2025-01-01T00:00:00+01:00",
    "updatedAtGe": "2024-12-01T00:00:00Z",
    "updatedAtLt": "2025-01-01T00:00:00+01:00",
    "sort": "-updatedAt",
    "messages": "last",
    "deleted": "include",
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an earlier response, several of them, or `*`. "
    "While it holds, the answer is a 304 without a body.",
    "schema": {"type": "string"},
}


def document() -> dict[str, Any]:
    """The OpenAPI document of the code as it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    template = "#/components/schemas/{model}"
    schemas = TypeAdapter(list[Conversation]).json_schema(ref_template=template)["$defs"]
    shapes = [{"$ref": template.format(model=name)} for name in ("Conversation", "Tombstone")]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conversations API",
            "description": _ABOUT,
            "version": project["version"],
        },
        "servers": _SERVERS,
        "security": [{"apiKey": []}],
        "tags": [_TAG],
        "paths": {PATH: {"get": _operation({"type": "array", "items": {"oneOf": shapes}})}},
        "components": {
            "schemas": {
                **{name: _plain(schemas[name]) for name in _SCHEMAS},
                "Tombstone": _TOMBSTONE,
            },
            "securitySchemes": {"apiKey": _API_KEY},
        },
    }


def to_json(openapi: dict[str, Any]) -> str:
    """The document as it is written to a file."""
    return json.dumps(openapi, indent=2, ensure_ascii=False) + "\n"


def _operation(schema: dict[str, Any]) -> dict[str, Any]:
    answers = responses.of_the_list(schema, [demo.DOCUMENTED])
    for code, example in errors.examples().items():
        content = answers[str(example["status"])]["content"]["application/problem+json"]
        named = content.setdefault("examples", {})
        named[code] = {"summary": PROBLEMS[code].when, "value": example}
    return {
        "operationId": "getAllConversations",
        "summary": "Get All Conversations",
        "description": _OPERATION,
        "tags": [_TAG["name"]],
        "parameters": [_workspace_id(), *_query_parameters(), _IF_NONE_MATCH],
        "responses": answers,
    }


def _workspace_id() -> dict[str, Any]:
    return {
        "name": "x-workspace-id",
        "in": "header",
        "required": True,
        "description": "Workspace identifier for the API.",
        "schema": {"type": "string", "pattern": WORKSPACE_ID},
        "example": demo.KEYS[0].workspaces[0],
    }


def _query_parameters() -> Iterator[dict[str, Any]]:
    for name, declared in ConversationQuery.model_json_schema()["properties"].items():
        schema = _plain(declared)
        parameter = {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description"),
            "schema": schema,
        }
        if name in _EXAMPLES:
            # Or else the interactive page would send every example with the first request.
            parameter["examples"] = {"default": {"value": _EXAMPLES[name], "x-disabled": True}}
        yield parameter


def _plain(node: Any) -> Any:
    """A schema without what pydantic adds by itself."""
    match node:
        case {"$ref": "#/components/schemas/JsonValue"}:
            return True
        case dict():
            return {
                key: _plain(value)
                for key, value in node.items()
                # A title repeats a name. The default of what may be absent is no value of it.
                if not (key == "title" and isinstance(value, str))
                and not (key == "default" and value in ("", None))
            }
        case list():
            return [_plain(value) for value in node]
        case float():
            return int(node)
        case _:
            return node
