"""The reference says what the code does: OpenAPI, Markdown and the contract name the same."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from openapi_spec_validator import validate
from specshift.cli import main as specshift

from dev.local import template
from dev.local.docs_site import DOCS
from dev.local.template import LIST_CONVERSATIONS, ROOT
from dev.reference import openapi, operations, pages
from domain.errors import DetailedCode, PlainCode
from handlers.problems import PROBLEMS, TITLES

PATH = LIST_CONVERSATIONS[1]
DOCUMENT = openapi.document()
OPERATION = DOCUMENT["paths"][PATH]["get"]
PARAMETERS = {parameter["name"]: parameter for parameter in OPERATION["parameters"]}
QUERY = {
    name: parameter["schema"]
    for name, parameter in PARAMETERS.items()
    if parameter["in"] == "query"
}
HEADERS = {name for name in PARAMETERS if name not in QUERY} | {"x-api-key"}
PROBLEM_RESPONSES = {
    int(status): response["content"]["application/problem+json"]
    for status, response in OPERATION["responses"].items()
    if "application/problem+json" in response.get("content", {})
}
CODES = {(status, code) for status, told in PROBLEM_RESPONSES.items() for code in told["examples"]}
RESPONSE_HEADERS = {
    name for response in OPERATION["responses"].values() for name in response["headers"]
}
CONTRACT = (DOCS / "contract.md").read_text()


GENERATED = pages.files()


@pytest.mark.parametrize("file", GENERATED, ids=lambda file: file.name)
def test_the_committed_reference_is_what_the_code_generates(file: Path) -> None:
    assert file.read_text() == GENERATED[file], "run `make openapi`"


def test_only_the_files_that_are_missing_or_old_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {tmp_path / name: name for name in ("missing", "old", "new")}
    (tmp_path / "old").write_text("older")
    (tmp_path / "new").write_text("new")
    monkeypatch.setattr(pages, "files", lambda: texts)
    assert pages.write() == [tmp_path / "missing", tmp_path / "old"]
    assert {file: file.read_text() for file in tmp_path.iterdir()} == texts
    assert pages.write() == []


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (DOCS / "contract.md", "parameters"),
        (DOCS / "contract.md", "errors"),
        (ROOT / "README.md", "parameters"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_table_between_marks_is_generated(page: Path, name: str) -> None:
    """Where the marks are missing, the table would no longer follow the code."""
    before, _, rest = page.read_text().partition(f"<!-- {name} -->\n")
    table, end, after = rest.partition(f"<!-- /{name} -->\n")
    assert end
    named = QUERY if name == "parameters" else PROBLEMS
    assert all(f"`{each}`" in table for each in named)
    emptied = f"{before}<!-- {name} -->\n<!-- /{name} -->\n{after}"
    assert pages.with_tables(emptied, DOCUMENT) == page.read_text()


def test_each_route_of_the_template_has_an_entry() -> None:
    assert set(operations.OPERATIONS) == set(template.load().api.routes)


def test_an_operation_that_is_added_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    depth = {"name": "depth", "in": "query", "required": True, "schema": {"type": "integer"}}
    added = {
        "tags": ["Conversations"],
        "summary": "Check The Connection",
        "operationId": "ping",
        "parameters": [depth],
        "responses": {
            "200": {
                "description": "It works.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    }
    both = {**operations.OPERATIONS, ("GET", "/v1/api/ping"): added}
    monkeypatch.setattr(openapi, "OPERATIONS", both)
    document = openapi.document()
    validate(document)
    operation = document["paths"]["/v1/api/ping"]["get"]
    assert set(operation["responses"]) == {"200", *map(str, PROBLEM_RESPONSES)}
    assert document["paths"][PATH]["get"] == OPERATION
    texts = pages.files()
    page = texts[DOCS / "check-the-connection.md"]
    assert "# Check The Connection\n\n`GET /v1/api/ping`\n" in page
    assert "| `depth` | integer, required |" in page
    assert "(check-the-connection.md): `GET /v1/api/ping`\n" in texts[DOCS / "llms.txt"]
    assert "# Check The Connection\n\n`GET /v1/api/ping`\n" in texts[DOCS / "llms-full.txt"]


def test_it_is_valid_openapi() -> None:
    validate(DOCUMENT)


def test_its_version_is_the_projects() -> None:
    assert f'\nversion = "{DOCUMENT["info"]["version"]}"\n' in (ROOT / "pyproject.toml").read_text()


def test_it_says_nothing_of_answers_that_the_api_does_not_give() -> None:
    assert "ValidationError" not in json.dumps(DOCUMENT)
    assert set(OPERATION["responses"]) == {"200", "304", *map(str, PROBLEM_RESPONSES)}


def test_the_gateway_answers_in_the_words_of_the_table() -> None:
    responses = template.load().api.gateway_responses.values()
    bodies = [json.loads(response.body) for response in responses]
    of_the_gateway = {body["error"]["code"]: body for body in bodies}
    precise = {"invalid_parameter"}  # the table's text is an example, of one parameter
    for code, body in of_the_gateway.items():
        assert (body["status"], body["title"]) == (PROBLEMS[code].status, TITLES[body["status"]])
        assert body["detail"] == body["error"]["message"]
        assert code in precise or body["detail"] == PROBLEMS[code].detail
    assert {(problem.status, code) for code, problem in PROBLEMS.items()} == CODES


def test_every_code_that_the_functions_raise_is_in_the_table() -> None:
    assert {*get_args(PlainCode), *get_args(DetailedCode)} <= PROBLEMS.keys()


# What changed since the last release


def changes(tmp_path: Path, document: dict[str, Any]) -> tuple[int, str]:
    """Whether clients of the last release would break, and why.

    specshift does not look into the options of a `oneOf`: the lists of conversations only, and of
    tombstones only, are compared too.
    """
    released = json.loads((DOCS / "released" / "openapi.json").read_text())
    pairs = [(released, document)]
    pairs += [
        (only(name, released), only(name, document)) for name in ("Conversation", "Tombstone")
    ]
    broken, reasons = 0, ""
    for pair in pairs:
        files = [tmp_path / "released.json", tmp_path / "changed.json"]
        for file, content in zip(files, pair, strict=True):
            file.write_text(json.dumps(content))
        options = ("--fail-on", "warning", "--format", "markdown")
        with redirect_stdout(StringIO()) as said, redirect_stderr(said):
            code = specshift(["diff", *map(str, files), *options])
        broken, reasons = broken or code, reasons + said.getvalue()
    return broken, reasons


def only(name: str, document: dict[str, Any]) -> dict[str, Any]:
    """The document of a list that holds nothing else."""
    document = copy.deepcopy(document)
    content = document["paths"][PATH]["get"]["responses"]["200"]["content"]
    items = content["application/json"]["schema"]["items"]
    option = {"$ref": f"#/components/schemas/{name}"}
    if option in items["oneOf"]:
        del items["oneOf"]
        items |= option
    return document


def test_clients_of_the_last_release_do_not_break(tmp_path: Path) -> None:
    code, reason = changes(tmp_path, DOCUMENT)
    assert code == 0, reason


def _remove_parameter(operation: dict[str, Any]) -> None:
    del operation["parameters"][list(PARAMETERS).index("limit")]


def _narrow_bound(operation: dict[str, Any]) -> None:
    limit = operation["parameters"][list(PARAMETERS).index("limit")]
    limit["schema"]["maximum"] = 500


def _require_parameter(operation: dict[str, Any]) -> None:
    agent = operation["parameters"][list(PARAMETERS).index("agentId")]
    agent["required"] = True


def _remove_status(operation: dict[str, Any]) -> None:
    del operation["responses"]["304"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_remove_parameter, "limit"),
        (_narrow_bound, "500"),
        (_require_parameter, "agentId"),
        (_remove_status, "304"),
    ],
)
def test_an_incompatible_change_is_found_and_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], named: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document["paths"][PATH]["get"])
    code, reason = changes(tmp_path, document)
    assert code == 1
    assert named in reason


@pytest.mark.parametrize(
    ("name", "field"), [("Conversation", "agentId"), ("Tombstone", "deletedAt")]
)
def test_a_field_that_vanishes_is_found_and_named(tmp_path: Path, name: str, field: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    schema = document["components"]["schemas"][name]
    del schema["properties"][field]
    schema["required"].remove(field)
    code, reason = changes(tmp_path, document)
    assert code == 1
    assert field in reason


@pytest.mark.parametrize("option", [0, 1])
def test_a_shape_that_vanishes_is_found(tmp_path: Path, option: int) -> None:
    document = copy.deepcopy(DOCUMENT)
    content = document["paths"][PATH]["get"]["responses"]["200"]["content"]
    del content["application/json"]["schema"]["items"]["oneOf"][option]
    assert changes(tmp_path, document)[0] == 1


def test_every_problem_is_of_one_type() -> None:
    """So that a generator makes one type of them, which knows every code."""
    assert {told["schema"]["$ref"] for told in PROBLEM_RESPONSES.values()} == {
        "#/components/schemas/Problem"
    }
    properties = DOCUMENT["components"]["schemas"]["Problem"]["properties"]
    assert properties["error"]["properties"]["code"]["enum"] == list(PROBLEMS)
    assert properties["status"]["enum"] == list(PROBLEM_RESPONSES)
    for status, code in CODES:
        example = PROBLEM_RESPONSES[status]["examples"][code]["value"]
        assert (example["status"], example["error"]["code"]) == (status, code)
        assert example["type"] in properties["type"]["enum"]


# What the contract's prose and tables name


def rows(text: str, head: str) -> Iterator[tuple[list[str], str]]:
    """The names in the first column of the table with this head, and the rest of each row."""
    table = text.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        first, _, rest = line.strip("| ").partition(" | ")
        yield re.findall("`([^`:;]+)[^`]*`", first), rest


def test_the_contract_names_the_same_request_headers() -> None:
    said = {
        names[0]: rest
        for names, rest in rows(CONTRACT, "part | rule")
        if names and names[0].startswith("x-")
    }
    assert set(said) | {"If-None-Match"} == HEADERS
    assert f"`{PARAMETERS['x-workspace-id']['schema']['pattern']}`" in said["x-workspace-id"]
    assert all(rest.startswith("required") for rest in said.values())
    assert PARAMETERS["x-workspace-id"]["required"]
    assert DOCUMENT["components"]["securitySchemes"]["apiKey"]["name"] in said
    assert "`If-None-Match`" in CONTRACT


def test_the_contract_names_the_same_fields() -> None:
    table = list(rows(CONTRACT, "field | type"))
    said = [name for names, _ in table for name in names]
    schemas = DOCUMENT["components"]["schemas"]
    assert said == [
        *("_id", "userId", "pathwayId", "agentId", "customer", "messages"),
        *("createdAt", "updatedAt"),
    ]
    assert set(said) == set(schemas["Conversation"]["properties"])
    for field, schema in (("customer", "Customer"), ("messages", "Message")):
        (rest,) = (rest for names, rest in table if names == [field])
        assert re.findall("`([^`]+)`", rest) == list(schemas[schema]["properties"])


def test_the_contract_names_the_fields_of_a_tombstone() -> None:
    fields = [name for names, _ in rows(CONTRACT, "field of a tombstone | type") for name in names]
    tombstone = DOCUMENT["components"]["schemas"]["Tombstone"]
    assert fields == list(tombstone["properties"]) == tombstone["required"]


def test_the_contract_names_the_same_response_headers() -> None:
    text = CONTRACT
    said = {name for names, _ in rows(text, "response header | when") for name in names}
    errors = text.partition("\n## Errors")[2]
    said |= {name for name in ("WWW-Authenticate", "Retry-After") if f"`{name}" in errors}
    assert said == RESPONSE_HEADERS


# What the pages name

PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), DOCS / "llms.txt"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_parameter_header_or_code_that_does_not_exist(page: Path) -> None:
    text = page.read_text()
    known = HEADERS | RESPONSE_HEADERS | {"Accept-Encoding", "Content-Length", "Content-Type"}
    named = set(re.findall(r"`((?:[xX]|[A-Z][a-zA-Z]+)-[a-zA-Z-]+)[`:]", text))
    assert named <= known
    assert set(re.findall(r"urn:problem:conversations:(\w+)", text)) <= {code for _, code in CODES}
    assert set(re.findall(r'"code": "(\w+)"', text)) <= {code for _, code in CODES}
    for query in re.findall(r"/v1/api/conversations\?([\w.=&%:+-]+)", text):
        assert {pair.partition("=")[0] for pair in query.split("&")} <= set(QUERY)
    assert set(re.findall(r"`([a-z]\w+)=[^\"`]", text)) <= set(QUERY)
    times = re.findall(r"\b((?:created|updated)At\w*)", text)
    assert set(times) <= {"createdAt", "updatedAt", *QUERY}


def test_the_pages_name_every_parameter_header_field_and_code() -> None:
    page = (DOCS / "get-all-conversations.md").read_text()
    errors = (DOCS / "errors.md").read_text()
    fields = {
        name
        for model, schema in DOCUMENT["components"]["schemas"].items()
        for name in schema["properties"]
        if model != "Problem"
    }
    for name in {*QUERY, *HEADERS, *RESPONSE_HEADERS}:
        assert f"| `{name}` |" in page
    for name in fields:
        assert re.search(rf"\| `[\w\[\].]*\b{name}` \|", page) or f"`{name}`" in page
    for status, code in CODES:
        assert f"| {status} | [`{code}`](errors.md#{code}) |" in page
        section = errors.partition(f"\n## {code}\n")[2].partition("\n## ")[0]
        assert f"{status} " in section
        assert f"`urn:problem:conversations:{code}`" in section


def test_everything_that_the_original_page_says_is_in_ours() -> None:
    original = (ROOT / "tests" / "support" / "original.md").read_text()
    page = (DOCS / "get-all-conversations.md").read_text()
    described = re.findall(
        r'<(?:Response|Param)Field (?:name|header|body)="(.+?)" type="(.+?)".*?>\s+(.+)', original
    )
    assert len(described) == 12
    for name, kind, description in described:
        assert re.search(rf"\| `(\w+\.)?{name}` \| {kind}\b.* \| {re.escape(description)}", page)
    assert "| `x-workspace-id` | string, `^[A-Za-z0-9_-]{1,64}$`, required |" in page
    for heading in ("title: '(.+)'", "api: '(.+)'", "description: '(.+)'"):
        (said,) = re.findall(heading, original)
        assert said in page
    (example,) = re.findall("```json\n(.+?)\n```", original, re.DOTALL)
    assert example in page
    (for_agents,) = re.findall("^> .+$", original, re.MULTILINE)
    assert for_agents.replace("/llms.txt", "llms.txt") in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        text = re.sub(
            "^ *```.*?^ *```",
            "",
            file.read_text() if anchor else "",
            flags=re.DOTALL | re.MULTILINE,
        )
        headings = re.findall("^#+ (.+)$", text, re.MULTILINE)
        anchors = {
            re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings
        }
        assert not anchor or anchor in anchors, target
