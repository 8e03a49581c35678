"""The reference as Markdown, for people and agents, made of the OpenAPI document."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from handlers.problems import PROBLEMS
from ops.local import demo
from ops.local.docs_site import DOCS, LOCAL
from ops.reference import errors, openapi

_GENERATED = "<!-- Made by `make openapi` of the code. Edits here are lost. -->"
_FOR_AGENTS = (
    "> **For AI agents:** the complete documentation index is at [llms.txt](llms.txt). "
    "Append `.md` to any page URL for its markdown version."
)


def files() -> dict[str, str]:
    """The generated files of `docs/`, by name."""
    document = openapi.document()
    return {
        "openapi.json": openapi.to_json(document),
        "get-all-conversations.md": _operation_page(document),
        "errors.md": _errors_page(),
        "llms.txt": _index(document),
    }


def write(folder: Path = DOCS) -> list[Path]:
    """Writes the generated files that are missing or old; returns them."""
    written = []
    for name, text in files().items():
        file = folder / name
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            written.append(file)
    return written


def _operation_page(document: Mapping[str, Any]) -> str:
    ((path, methods),) = document["paths"].items()
    ((method, operation),) = methods.items()
    listed = operation["responses"]["200"]
    schemas = document["components"]["schemas"]
    key = document["components"]["securitySchemes"]["apiKey"]
    headers = [{**key, "required": True, "schema": {"type": "string"}}]
    headers += [own for own in operation["parameters"] if own["in"] == "header"]
    query = [own for own in operation["parameters"] if own["in"] == "query"]
    return _page(
        operation["summary"],
        f"`{method.upper()} {path}`",
        _FOR_AGENTS,
        operation["description"],
        "## Request",
        "### Headers",
        _parameters("header", headers),
        "### Query parameters",
        "All of them are optional.",
        _parameters("parameter", query),
        "## Response",
        f"{listed['description']} The response body is an array of the following fields, "
        "in this order; a conversation has no others.",
        _table(("field", "type", "meaning"), _fields(schemas, "Conversation")),
        "With `deleted=include`, a deleted conversation comes as a tombstone:",
        _table(("field", "type", "meaning"), _fields(schemas, "Tombstone")),
        "### Response headers",
        _table(("header", "comes with", "meaning"), _response_headers(operation["responses"])),
        "### Example",
        "From the local API (`make run`), with its demo key:",
        _fenced("sh", _curl(path)),
        _fenced("json", json.dumps([demo.DOCUMENTED], indent=2)),
        "## Errors",
        "Each has a section in [errors.md](errors.md).",
        _table(("status", "code", "when"), _error_rows()),
    )


def _errors_page() -> str:
    examples = errors.examples()
    return _page(
        "Errors",
        _FOR_AGENTS,
        "Every error has one shape, `application/problem+json` (RFC 9457), also those that API "
        "Gateway raises before the request reaches the code:",
        _fenced("json", json.dumps(next(iter(examples.values())), indent=2)),
        "Tell errors apart by `type`, or by `error.code`, which names the same. `detail` and "
        "`error.message` say what to change; their wording may change. `instance` carries the id "
        "of the request, as the `x-request-id` header does: the logs carry it too.",
        *(_error_section(code, example) for code, example in examples.items()),
    )


def _error_section(code: str, example: Mapping[str, Any]) -> str:
    return "\n\n".join(
        (
            f"## {code}",
            f"{example['status']} {example['title']}, type `{example['type']}`",
            PROBLEMS[code].when,
            f"**What to do:** {PROBLEMS[code].what_to_do}",
            f"> {example['detail']}",
        )
    )


def _index(document: Mapping[str, Any]) -> str:
    return f"""\
# {document["info"]["title"]}

> `GET {openapi.PATH}`: fetch all conversations associated with the authenticated user.

Send two headers, `x-api-key` and `x-workspace-id`. Without query parameters the answer is one JSON
array with everything; with `limit` it is a page, and the `Link` header leads to the next. To keep a
copy, ask with `sort=updatedAt`, `updatedAtGe` and `deleted=include`, which lists tombstones of
deleted conversations, too. Errors are `application/problem+json`.

## Docs

- [Get All Conversations](/docs/get-all-conversations.md): parameters, fields, pages, sync
- [Errors](/docs/errors.md): every error code, and what to do
- [Contract](/docs/contract.md): what a client may rely on
- [OpenAPI 3.1](/openapi.json): the same for programs

## Optional

- [Interactive reference](/docs): try it in a browser
"""


def _page(title: str, *blocks: str) -> str:
    return "\n\n".join((_GENERATED, f"# {title}", *blocks)) + "\n"


def _parameters(kind: str, parameters: Iterable[Mapping[str, Any]]) -> str:
    rows = (
        (
            f"`{own['name']}`",
            _values(own["schema"]) + (", required" if own["required"] else ""),
            own["description"] + _default(own["schema"]),
        )
        for own in parameters
    )
    return _table((kind, "type", "meaning"), rows)


def _values(schema: Mapping[str, Any]) -> str:
    match schema:
        case {"enum": values}:
            return "one of " + ", ".join(f"`{value}`" for value in values)
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"integer, {least} to {most}"
        case {"format": "date-time"}:
            return "string, an RFC 3339 timestamp with an offset"
        case {"type": kind, "pattern": pattern}:
            return f"{kind}, `{pattern}`"
        case _:
            return str(schema["type"])


def _default(schema: Mapping[str, Any]) -> str:
    return f" Default: `{schema['default']}`." if "default" in schema else ""


def _fields(
    schemas: Mapping[str, Any], name: str, prefix: str = ""
) -> Iterator[tuple[str, str, str]]:
    """A row for each field of a schema, those of the objects in it below their own."""
    for field, own in schemas[name]["properties"].items():
        nested = str(own.get("$ref") or own.get("items", {}).get("$ref", "")).rpartition("/")[2]
        kind = own.get("type", "object")
        described = own.get("description") or schemas[nested]["description"]
        yield f"`{prefix}{field}`", kind, described
        if nested:
            yield from _fields(schemas, nested, f"{prefix}{field}{'[]' * (kind == 'array')}.")


def _response_headers(responses: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    described = {
        name: header["description"]
        for response in responses.values()
        for name, header in response["headers"].items()
    }
    for name, description in described.items():
        statuses = [status for status in responses if name in responses[status]["headers"]]
        everywhere = len(statuses) == len(responses)
        yield f"`{name}`", "all" if everywhere else ", ".join(statuses), description


def _error_rows() -> Iterator[tuple[str, str, str]]:
    for code, problem in PROBLEMS.items():
        yield str(problem.status), f"[`{code}`](errors.md#{code})", problem.when


def _curl(path: str) -> str:
    return (
        f"curl {LOCAL}{path} \\\n"
        f"  -H 'x-api-key: {demo.KEYS[0].key}' -H 'x-workspace-id: {demo.KEYS[0].workspaces[0]}'"
    )


def _fenced(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
