"""The reference as Markdown, for people and agents, made from the OpenAPI document."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dev.local import demo
from dev.local.docs_site import DOCS, LOCAL
from dev.local.template import LIST_CONVERSATIONS, ROOT
from dev.reference import errors, openapi
from handlers.problems import PROBLEMS

_Json = Mapping[str, Any]
_GENERATED = "<!-- Generated from the code by `make openapi`. Edits here are lost. -->\n\n"
_FOR_AGENTS = (
    "> **For AI agents:** the complete documentation index is at [llms.txt](llms.txt). "
    "Append `.md` to any page URL for its markdown version."
)
_INDEX = """\
# {title}

> Fetch all conversations associated with the authenticated user.

Send two headers, `x-api-key` and `x-workspace-id`. Without query parameters the response is one
JSON array with everything; with `limit` it is a page, and the `Link` header has the next one's URL.
A page has at most 1000 conversations; only a page without `Link` is the last.

To keep a copy, ask with `sort=updatedAt`, `updatedAtGe` and `deleted=include`, without `agentId`
and `pathwayId`. An item with `deletedAt` is a tombstone: remove its `_id` from the copy. Begin each
round a minute before the newest `updatedAt` seen or the start of the last round (by the server's
`Date`), whichever is earlier. After 90 days without a round, start over with an empty copy.

Errors are `application/problem+json`; `error.code` tells them apart. After a 429 or 503, wait for
the number of seconds in `Retry-After`. Each key may send about 60 requests a minute.

## Docs

{operations}
- [Guides](guides.md): quickstart, pagination, filters, sync, polling, errors
- [Errors](errors.md): every error code, and what to do
- [Contract](contract.md): what a client may rely on
- [OpenAPI 3.1](openapi.json): the same for programs

## Optional

- [All these pages in one, without OpenAPI](llms-full.txt)
"""


def files() -> dict[Path, str]:
    """The text of each file that is generated, or that has generated tables."""
    document = openapi.document()
    pages = {
        _page_of(operation): _operation_page(document, method, path, operation)
        for method, path, operation in openapi.operations(document)
    }
    links = "\n".join(
        f"- [{operation['summary']}]({_page_of(operation)}): `{method} {path}`"
        for method, path, operation in openapi.operations(document)
    )
    pages["guides.md"] = (DOCS / "guides.md").read_text()
    pages["errors.md"] = _errors_page()
    pages["contract.md"] = with_tables((DOCS / "contract.md").read_text(), document)
    pages["llms-full.txt"] = "\n".join(
        text.removeprefix(_GENERATED).replace(f"{_FOR_AGENTS}\n\n", "") for text in pages.values()
    )
    pages["llms.txt"] = _INDEX.format(title=document["info"]["title"], operations=links)
    pages["openapi.json"] = openapi.to_json(document)
    readme = with_tables((ROOT / "README.md").read_text(), document)
    return {ROOT / "README.md": readme, **{DOCS / name: text for name, text in pages.items()}}


def write() -> list[Path]:
    """Write the files that are missing or old; return them."""
    written = []
    for file, text in files().items():
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            written.append(file)
    return written


def with_tables(text: str, document: _Json) -> str:
    """The text with new tables between its marks, `<!-- errors -->` and `<!-- /errors -->`."""
    method, path = LIST_CONVERSATIONS
    query = _parameters_in("query", document["paths"][path][method.lower()])
    tables = {"parameters": _parameters("query parameter", query), "errors": _errors_table()}
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- /{name} -->\n")
        if end:
            text = f"{before}{begin}\n{table}\n\n{end}{after}"
    return text


def _page_of(operation: _Json) -> str:
    return str(operation["summary"]).lower().replace(" ", "-") + ".md"


def _operation_page(document: _Json, method: str, path: str, operation: _Json) -> str:
    key = document["components"]["securitySchemes"]["apiKey"]
    api_key = {**key, "required": True, "schema": {"type": "string"}}
    headers = [api_key, *_parameters_in("header", operation)]
    query = _parameters_in("query", operation)
    answers = operation["responses"]
    return _page(
        operation["summary"],
        f"`{method} {path}`",
        _FOR_AGENTS,
        operation.get("description", ""),
        "## Request",
        "### Headers",
        _parameters("header", headers),
        "### Query parameters" if query else "",
        _parameters("parameter", query) if query else "",
        "## Response",
        *_body(document, answers["200"]),
        "### Response headers",
        _table(("header", "comes with", "meaning"), _response_headers(answers)),
        "### Example",
        "From the local API (`make run`), with its demo key:",
        f"```sh\n{_curl(path)}\n```",
        *_example(answers["200"]),
        "## Errors",
        "Each has a section in [errors.md](errors.md).",
        _errors_table(),
    )


def _errors_page() -> str:
    return _page(
        "Errors",
        _FOR_AGENTS,
        "Every error has the same shape, `application/problem+json` (RFC 9457), including those "
        "that API Gateway raises before the request reaches the code:",
        f"```json\n{json.dumps(next(iter(errors.examples().values())), indent=2)}\n```",
        "Tell errors apart by `type` or, equivalently, by `error.code`. `detail` and "
        "`error.message` say what to change; their wording may change. `instance` contains the "
        "request id, like the `x-request-id` header and the logs.",
        errors.sections("##"),
    )


def _page(title: str, *blocks: str) -> str:
    return f"{_GENERATED}# {title}\n\n" + "\n\n".join(filter(None, blocks)) + "\n"


def _parameters_in(place: str, operation: _Json) -> list[_Json]:
    return [parameter for parameter in operation["parameters"] if parameter["in"] == place]


def _parameters(kind: str, parameters: Iterable[_Json]) -> str:
    rows = (
        (
            f"`{parameter['name']}`",
            _values(parameter["schema"]) + (", required" if parameter["required"] else ""),
            parameter.get("description", "") + _default(parameter["schema"]),
        )
        for parameter in parameters
    )
    return _table((kind, "type", "meaning"), rows)


def _values(schema: _Json) -> str:
    match schema:
        case {"enum": values}:
            texts = ", ".join(f"`{value}`" for value in values)
            return f"one of {texts}" if len(values) > 1 else texts
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"integer, {least} to {most}"
        case {"format": "date-time"}:
            return "RFC 3339 timestamp with an offset"
        case {"type": kind, "pattern": pattern}:
            return f"{kind}, `{pattern}`"
        case _:
            return str(schema["type"])


def _default(schema: _Json) -> str:
    return f" Default: `{schema['default']}`." if "default" in schema else ""


def _body(document: _Json, response: _Json) -> Iterator[str]:
    schema = response["content"]["application/json"]["schema"]
    schemas = document["components"]["schemas"]
    items = schema.get("items", schema)
    yield response["description"] + (" The body is an array of:" if "items" in schema else "")
    for model in filter(None, map(_model, items.get("oneOf", [items]))):
        yield f"**{model}.** {schemas[model].get('description', '')}"
        yield _table(("field", "type", "meaning"), _fields(schemas, model))


def _model(schema: _Json) -> str:
    """The name of the component that a schema, or an array's items, refer to; else empty."""
    return str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]


def _fields(schemas: _Json, name: str, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """A row for each field of a schema; those of an object within it follow its row."""
    for field, schema in schemas[name]["properties"].items():
        nested = _model(schema)
        kind = schema.get("type", "object")
        described = schema if "description" in schema else schemas[nested]
        yield f"`{prefix}{field}`", kind, described["description"]
        if nested:
            yield from _fields(schemas, nested, f"{prefix}{field}{'[]' * (kind == 'array')}.")


def _response_headers(responses: _Json) -> Iterator[tuple[str, str, str]]:
    described = {
        name: header["description"]
        for response in responses.values()
        for name, header in response.get("headers", {}).items()
    }
    for name, description in described.items():
        statuses = [key for key, value in responses.items() if name in value.get("headers", {})]
        everywhere = len(statuses) == len(responses)
        yield f"`{name}`", "all" if everywhere else ", ".join(statuses), description


def _curl(path: str) -> str:
    key = demo.KEYS[0]
    return (
        f"curl {LOCAL}{path} \\\n"
        f"  -H 'x-api-key: {key.key}' -H 'x-workspace-id: {key.workspaces[0]}'"
    )


def _example(response: _Json) -> Iterator[str]:
    content = response["content"]["application/json"]
    if "example" in content:
        yield f"```json\n{json.dumps(content['example'], indent=2)}\n```"


def _errors_table() -> str:
    rows = (
        (str(problem.status), f"[`{code}`](errors.md#{code})", problem.when)
        for code, problem in PROBLEMS.items()
    )
    return _table(("status", "code", "when"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
