"""Builds the OpenAPI document: what all operations share, and the entry of each."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from dev.local.docs_site import DOCS, LOCAL
from dev.local.template import ROOT
from dev.reference import errors
from dev.reference.operations import OPERATIONS, SCHEMAS

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


def document() -> dict[str, Any]:
    """The OpenAPI document of the current code."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    guides = (DOCS / "guides.md").read_text()
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        responses = {**operation["responses"], **errors.responses()}
        paths.setdefault(path, {})[method.lower()] = {**operation, "responses": responses}
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
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "Problem": errors.SCHEMA},
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
