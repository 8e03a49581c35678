"""Builds the OpenAPI document from the routes of `handlers.app`, and adds what they lack."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter

from domain.conversation import Conversation
from domain.query import ConversationQuery
from handlers.app import app
from ops.local import demo, template
from ops.local.docs_site import DOCS, LOCAL
from ops.local.template import ROOT
from ops.reference import errors, responses

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
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of an earlier response, several of them, or `*`. "
    "While it still matches, the response is a 304 without a body.",
    "schema": {"type": "string"},
}


def document() -> dict[str, Any]:
    """The OpenAPI document of the current code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    guides = (DOCS / "guides.md").read_text()
    deployment = template.load()
    for function in deployment.api.routes.values():  # a handler file adds its routes to `app`
        import_module(deployment.functions[function].handler.rpartition(".")[0])
    declared = _plain(json.loads(app.get_openapi_json_schema()))
    schemas = declared["components"]["schemas"]
    for _, _, operation in operations(declared):
        given = operation.get("parameters", [])
        operation["parameters"] = [_with_example(each) for each in given]
        operation["responses"].pop("422", None)  # Powertools' version of what `errors` describes
        if operation["operationId"] == "getAllConversations":
            _describe_list(operation, schemas)
        operation["responses"] |= errors.responses()
    schemas["Problem"] = errors.SCHEMA
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Conversations API",
            "summary": "All conversations of a user in a workspace, as one JSON array.",
            # Its headings are the navigation of the page at /docs.
            "description": f"#{guides}\n## Error codes\n\n{errors.sections('###')}",
            "license": {"name": "MIT", "identifier": "MIT"},
            "version": project["version"],
        },
        "servers": _SERVERS,
        "security": [{"apiKey": []}],
        "tags": [_TAG],
        "paths": declared["paths"],
        "components": {
            "schemas": {
                name: schema
                for name, schema in schemas.items()
                if "ValidationError" not in name and name != "JsonValue"
            },
            "securitySchemes": {"apiKey": _API_KEY},
        },
    }


def to_json(openapi: dict[str, Any]) -> str:
    """The text of the document's file."""
    return json.dumps(openapi, indent=2, ensure_ascii=False) + "\n"


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The method, path and description of each operation of an OpenAPI document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _describe_list(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add what Powertools does not see: the query parameters, and the JSON of the response."""
    template = "#/components/schemas/{model}"
    schemas |= _plain(TypeAdapter(list[Conversation]).json_schema(ref_template=template)["$defs"])
    schemas["Tombstone"] = responses.TOMBSTONE
    operation["description"] = _LIST
    operation["parameters"] += [*_query_parameters(), _IF_NONE_MATCH]
    operation["responses"] |= responses.of_the_list([demo.DOCUMENTED])


def _with_example(parameter: dict[str, Any]) -> dict[str, Any]:
    parameter["schema"].pop("description", None)  # repeats the parameter's
    is_workspace = parameter["name"] == "x-workspace-id"
    return parameter | ({"example": demo.KEYS[0].workspaces[0]} if is_workspace else {})


def _query_parameters() -> Iterator[dict[str, Any]]:
    for name, schema in _plain(ConversationQuery.model_json_schema()["properties"]).items():
        parameter = {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.pop("description"),
            "schema": schema,
        }
        example = _EXAMPLES.get(name) or schema.get("enum", [None])[-1]
        if example:
            # Otherwise the interactive page would send it, or the default, with the first request.
            parameter["examples"] = {"default": {"value": example, "x-disabled": True}}
        yield parameter


def _plain(node: Any) -> Any:
    """A schema without pydantic's additions."""
    match node:
        case {"$ref": "#/components/schemas/JsonValue"}:
            return True
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
