"""The examples for writers, in Node and in Python, and the layout that docs/item-layout.md tells.

Both languages run under the same tables, and say the same words.
"""

import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from console.environment import environment
from dev.local import server
from dev.local.demo import KEYS, USER
from dev.local.ports import HttpServer
from dev.local.template import ENDPOINT
from domain import timestamp
from domain.conversation import Conversation
from storage import document
from storage.dynamodb import client
from storage.items import STATES, Item, pack
from tests.support.api import conversation
from tests.support.needs import executable

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
WORKSPACE = "demo-mine"
NAMES = {
    "node": ("put-conversation.mjs", "delete-conversation.mjs", "call_example.mjs"),
    "python": ("put_conversation.py", "delete_conversation.py", "call_example.py"),
}
MESSAGE = conversation()["messages"][0]
LAST = "9999-12-31T23:59:59.999Z"


class Between(BaseHTTPRequestHandler):
    """Passes requests to the embedded DynamoDB on; `before` may act first, and even answer."""

    upstream = ""
    before: Callable[[str, dict[str, Any]], bytes | None] | None = None
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        names = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Target")
        headers = {name: self.headers[name] for name in names}
        before = type(self).before
        answer = before(headers["X-Amz-Target"], json.loads(body)) if before else None
        status = 200
        if answer is None:
            response = httpx.post(self.upstream, content=body, headers=headers, timeout=30)
            status, answer = response.status_code, response.content
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None: ...


class Example:
    """The examples in one language, beside a local API."""

    def __init__(self, language: str, local: server.LocalApi, dynamodb: str) -> None:
        self.local = local
        program = executable("node") if language == "node" else sys.executable
        put, delete, harness = NAMES[language]
        self.put_command = [program, str(EXAMPLES / put)]
        self.delete_command = [program, str(EXAMPLES / delete)]
        given = {name: value for name, value in local.environment.items() if value is not None}
        machine = {
            "TZ": "Pacific/Auckland",  # no result depends on the zone
            "NODE_NO_WARNINGS": "1",  # the SDK warns of a Node that it will drop
        }
        self.environment = {**os.environ, **given, ENDPOINT: dynamodb, **machine}
        self.process = subprocess.Popen(
            [program, str(ROOT / "tests" / "support" / harness)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment | {"PYTHONPATH": str(EXAMPLES)},
            text=True,
        )

    def call(self, *request: Any) -> Any:
        """What the function returns; its error as a text that begins with `error: `."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return f"error: {answer['error']}" if "error" in answer else answer["returned"]

    def put(self, given: Any, workspace: Any = WORKSPACE) -> Any:
        """Put a conversation, or the text of one."""
        text = given if isinstance(given, str) else json.dumps(given)
        return self.call("put", workspace, b64encode(text.encode()).decode())

    def remove(self, given: dict[str, Any], **other: Any) -> Any:
        """Delete a conversation."""
        names = ("userId", "_id", "createdAt")
        return self.call("remove", WORKSPACE, *[(given | other)[name] for name in names])

    def run(
        self, command: list[str], *arguments: str, given: bytes = b"", **variables: str
    ) -> tuple[int, str, str]:
        """Run an example, as a person would: its exit code, stdout and stderr."""
        ended = subprocess.run(
            [*command, *arguments],
            input=given,
            env=self.environment | variables,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return ended.returncode, ended.stdout.decode(), ended.stderr.decode()

    def served(self, **query: str) -> list[Any]:
        """What clients get."""
        headers = {"x-api-key": KEYS[0].key, "x-workspace-id": WORKSPACE}
        response = httpx.get(self.local.endpoint, headers=headers, params=query, timeout=30)
        assert response.status_code == 200, response.text
        return list(response.json())

    def table(self, operation: str, **arguments: Any) -> Any:
        """Call DynamoDB directly."""
        with environment(self.local.environment):
            arguments["TableName"] = os.environ["CONVERSATIONS_TABLE"]
            return getattr(client(), operation)(**arguments)

    def stored(self, given: dict[str, Any]) -> Any:
        """The item of a conversation."""
        return self.table("get_item", Key=key(given))["Item"]

    def spoil(self, given: dict[str, Any], updated_key: str) -> None:
        """Give the item of a conversation another `updatedKey`."""
        self.table(
            "update_item",
            Key=key(given),
            UpdateExpression="SET updatedKey = :value",
            ExpressionAttributeValues={":value": {"S": updated_key}},
        )


def key(given: dict[str, Any]) -> Any:
    """The primary key of its item."""
    sort_key = f"{timestamp.to_instant(given['createdAt'])}#{given['_id']}"
    return {"pk": {"S": f"{WORKSPACE}#{given['userId']}"}, "sk": {"S": sort_key}}


@pytest.fixture(scope="module", params=list(NAMES))
def example(request: pytest.FixtureRequest) -> Iterator[Example]:
    if request.param == "node":
        executable("node")
        assert (EXAMPLES / "node_modules" / "@aws-sdk").exists(), "`make test` installs it"
    with server.running() as local, HttpServer(Between) as between:
        Between.upstream = local.dynamodb
        running = Example(request.param, local, f"http://127.0.0.1:{between.port}")
        with running.process:
            yield running
            assert running.process.stdin
            running.process.stdin.close()


@pytest.fixture
def meddle() -> Iterator[Callable[..., None]]:
    """Sets what happens before each request of an example reaches DynamoDB."""

    def install(before: Callable[[str, dict[str, Any]], bytes | None]) -> None:
        Between.before = staticmethod(before)

    yield install
    Between.before = None


# The page and the files


def test_the_page_links_each_example() -> None:
    page = (ROOT / "docs" / "item-layout.md").read_text("utf-8")
    files = {file.name for file in EXAMPLES.iterdir() if file.suffix in (".mjs", ".py")}
    assert files == {name for names in NAMES.values() for name in names[:2]}
    for name in files:
        assert f"(../examples/{name})" in page


def test_the_lock_of_the_examples_names_no_address() -> None:
    assert "://" not in (EXAMPLES / "package-lock.json").read_text("utf-8")


def test_the_examples_in_python_need_boto3_only() -> None:
    for name in NAMES["python"][:2]:
        code = (EXAMPLES / name).read_text("utf-8")
        imported = set(re.findall(r"^(?:from|import) (\w+)", code, re.MULTILINE))
        assert imported - sys.stdlib_module_names <= {"boto3", "botocore", "put_conversation"}


def test_both_languages_have_the_same_functions_in_the_same_order() -> None:
    for node, python in zip(*(names[:2] for names in NAMES.values()), strict=True):
        pattern = r"^(?:export )?(?:async )?(?:function|def) (\w+)"
        found = [
            re.findall(pattern, (EXAMPLES / name).read_text("utf-8"), re.MULTILINE)
            for name in (node, python)
        ]
        spelled = [re.sub("[A-Z]", lambda upper: f"_{upper[0].lower()}", name) for name in found[0]]
        one_line_in_node = ("matches", "well_formed")
        assert spelled == [name for name in found[1] if name not in one_line_in_node]


# Timestamps

TIMESTAMPS = [
    "2024-12-01T08:45:00Z",
    "2024-12-01t08:45:00z",
    "2024-12-01T08:45:00.1Z",
    "2024-12-01T08:45:00.1239999999999999999999Z",
    "2024-12-01T08:45:00.9999Z",
    "2024-12-01T09:45:00.5+01:00",
    "2024-12-01T00:15:00-23:59",
    "2024-12-31T23:59:59.999-00:01",
    "2024-02-29T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00-00:01",
    "0099-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59.999+00:01",
    # wrong
    "0000-01-01T00:00:00Z",
    "0000-12-31T23:59:59-01:00",
    "0001-01-01T00:00:00+00:01",
    "9999-12-31T23:59:59-00:01",
    "10000-01-01T00:00:00Z",
    "+010000-01-01T00:00:00Z",
    "-000001-01-01T00:00:00Z",
    "2024-11-31T00:00:00Z",
    "2024-11-31T00:00:00+01:00",
    "2023-02-29T08:45:00Z",
    "2024-13-01T00:00:00Z",
    "2024-00-01T00:00:00Z",
    "2024-12-00T00:00:00Z",
    "2024-12-32T00:00:00Z",
    "2024-12-01T24:00:00Z",
    "2024-12-01T08:60:00Z",
    "2024-12-01T08:45:61Z",
    "2024-12-01T08:45:00",
    "2024-12-01T08:45:00.5",
    "2024-12-01",
    "2024-12-01T08:45Z",
    "2024-12-01 08:45:00Z",
    "2024-12-01T08:45:00.Z",
    "2024-12-01T08:45:00,5Z",
    "2024-12-01T08:45:00+24:00",
    "2024-12-01T08:45:00+01:60",
    "2024-12-01T08:45:00−01:00",  # noqa: RUF001 - a minus sign is the case
    "2024-12-01T08:45:00 Z",
    " 2024-12-01T08:45:00Z",
    "2024-12-01T08:45:00Z\n",
    "２024-12-01T08:45:00Z",  # noqa: RUF001 - a wide digit is the case
    "2024-12-0١T08:45:00Z",  # noqa: RUF001 - an Arabic one is the case
    "2024-12-01T08:45:00.٣Z",
    "20241201T084500Z",
    "2024-W48-7T08:45:00Z",
    "Dec 1, 2024 08:45Z",
    "1733042700000",
    "",
]
STRICTER = [  # than the endpoint, which also reads what generated clients send
    "2016-12-31T23:59:60Z",
    "2017-01-01T00:59:60+01:00",
    "2024-12-01T08:45:00+0000",
    "2024-12-01T08:45:00+00",
]


@pytest.mark.parametrize("text", TIMESTAMPS)
def test_a_timestamp_is_read_as_the_endpoint_reads_it(example: Example, text: str) -> None:
    try:
        expected = timestamp.to_instant(text)
    except ValueError:
        expected = "error: malformed timestamp"
    assert example.call("instant", text) == expected


@pytest.mark.parametrize("value", [*STRICTER, None, True, 0, 1733042700000, [], {}, ["2024"]])
def test_a_leap_second_a_short_offset_and_what_is_no_text_are_refused(
    example: Example, value: Any
) -> None:
    assert example.call("instant", value) == "error: malformed timestamp"


# What is put


def comparable(item: dict[str, Any]) -> dict[str, Any]:
    """The attributes, with the document's canonical JSON."""
    return item | {"document": document.read(Item(item))}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"createdAt": "2024-12-01T09:45:00+01:00", "updatedAt": "2024-12-01T10:00:00.1239+01:00"},
        {"createdAt": "0001-01-01T00:00:00Z", "updatedAt": LAST},
        {"customer": {}},
        {"customer": {"name": None, "email": "a@example.com", "more": {"dropped": 1.5}}},
        {"messages": []},
        {"agentId": "", "pathwayId": "👍🏽 שלום \0 \u2028"},
        {
            "messages": [
                {**MESSAGE, "message": 'é 👍🏽 שלום "\0\\ud83d', "😀": ["🎈", 1, None, True]}
            ]
        },
        {"internal": "of the service only"},
        {"_id": ' !"$%~', "userId": "~" * 128},
    ],
)
def test_the_item_is_that_of_this_project_but_with_a_plain_document(
    example: Example, fields: dict[str, Any]
) -> None:
    given = conversation(id="as packed") | fields
    example.table("delete_item", Key=key(given))
    assert example.put(given) is True
    packed = pack(WORKSPACE, Conversation.from_json(json.dumps(given)))
    stored = example.stored(given)
    assert stored["document"].keys() == {"S"}
    assert comparable(stored) == comparable(dict(packed.attributes))
    example.table("delete_item", Key=key(given))


def test_what_is_put_is_served(example: Example) -> None:
    given = conversation(
        messages=[{**MESSAGE, "message": 'é 👍🏽 שלום "\u0000"', "media": {"n": 1.5}}],
        createdAt="2024-12-01T09:45:00+01:00",
        updatedAt="2024-12-01T10:00:00.1239+01:00",
        internal="of the service only",
    )
    assert example.put(given) is True
    expected = {name: given[name] for name in conversation()} | {
        "createdAt": "2024-12-01T08:45:00Z",
        "updatedAt": "2024-12-01T09:00:00.1239Z",
    }
    bounds = {"updatedAtGe": "2024-12-01T09:00:00.123Z", "updatedAtLt": "2024-12-01T09:00:00.124Z"}
    for query in ({}, {"sort": "-updatedAt", **bounds}, {"agentId": given["agentId"], **bounds}):
        assert expected in example.served(**query)


@pytest.mark.parametrize("half", ["\ud83d", "\ude00\ud83d"])
def test_half_a_character_is_served_as_a_replacement(example: Example, half: str) -> None:
    whole = "\ufffd" * len(half)
    message = {**MESSAGE, "message": f"cut {half}", f"{half}": [half]}
    times = {"updatedAt": f"2024-12-01T09:00:00.{ord(half[-1]):06}Z"}
    given = conversation(id=f"cut {whole!a}", agentId=f"agent {half}", messages=[message], **times)
    given["pathwayId"] = half
    assert example.put(given) is True
    expected = json.loads(re.sub(r"\\ud83d|\\ude00", r"\\ufffd", json.dumps(given)))
    assert expected in example.served(agentId=f"agent {whole}", pathwayId=whole)


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_the_most_that_the_layout_allows_is_served(example: Example) -> None:
    times = {"createdAt": "0001-01-01T00:00:00Z", "updatedAt": LAST}
    deep = {"deep": nested(97), "large": 1.7e308}
    given = conversation(id="most", messages=[MESSAGE | times | deep]) | times
    assert example.put(given) is True
    assert given in example.served()


REFUSED = [
    ({"createdAt": "0001-01-01T00:00:00+01:00"}, "malformed createdAt"),
    ({"createdAt": "2024-11-31T08:45:00Z"}, "malformed createdAt"),
    ({"createdAt": ["2024-12-01T08:45:00Z"]}, "malformed createdAt"),
    ({"updatedAt": "2024-12-01T08:45:00"}, "malformed updatedAt"),
    ({"updatedAt": "2016-12-31T23:59:60Z"}, "malformed updatedAt"),
    ({"updatedAt": 1733042700000}, "malformed updatedAt"),
    ({"messages": [{**MESSAGE, "createdAt": "0000-01-01T00:00:00Z"}]}, "messages[0].createdAt"),
    ({"messages": [MESSAGE, {**MESSAGE, "updatedAt": "1 Dec"}]}, "messages[1].updatedAt"),
    ({"messages": [{**MESSAGE, "deep": nested(98)}]}, "nested too deep"),
    ({"messages": [{**MESSAGE, "deep": nested(199)}]}, "nested too deep"),
    ({"messages": [{**MESSAGE, "large": "1e400"}]}, "malformed number"),
    ({"messages": [{**MESSAGE, "large": "1" + "0" * 4299}]}, "malformed number"),
    ({"messages": [{**MESSAGE, "more": {"large": ["-1e400"]}}]}, "malformed number"),
    ({"_id": None}, "malformed _id"),
    ({"_id": ["refused"]}, "malformed _id"),
    ({"_id": ""}, "malformed _id"),
    ({"_id": "a#b"}, "malformed _id"),
    ({"_id": "a" * 129}, "malformed _id"),
    ({"_id": "a\n"}, "malformed _id"),
    ({"_id": "é"}, "malformed _id"),
    ({"_id": "a\ud83d"}, "malformed _id"),
    ({"_id": "😀"}, "malformed _id"),
    ({"userId": 5}, "malformed userId"),
    ({"userId": ""}, "malformed userId"),
    ({"userId": "a#b"}, "malformed userId"),
    ({"userId": "#"}, "malformed userId"),
    ({"userId": "a" * 129}, "malformed userId"),
    ({"userId": "a\x7f"}, "malformed userId"),
    ({"agentId": None}, "malformed agentId"),
    ({"pathwayId": 5}, "malformed pathwayId"),
    ({"customer": None}, "malformed customer"),
    ({"customer": ["Jo"]}, "malformed customer"),
    ({"customer": "Jo"}, "malformed customer"),
    ({"customer": {"phone": 49}}, "malformed customer.phone"),
    ({"messages": None}, "malformed messages"),
    ({"messages": {"length": 0}}, "malformed messages"),
    ({"messages": "text"}, "malformed messages"),
    ({"messages": [None]}, "malformed messages[0]"),
    ({"messages": [[]]}, "malformed messages[0]"),
    ({"messages": [{**MESSAGE, "sent": "true"}]}, "malformed messages[0].sent"),
    ({"messages": [{**MESSAGE, "sent": 1}]}, "malformed messages[0].sent"),
    ({"messages": [{**MESSAGE, "status": None}]}, "malformed messages[0].status"),
    ({"messages": [{**MESSAGE, "_id": 5}]}, "malformed messages[0]._id"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED, ids=lambda value: str(value)[:50])
def test_what_the_endpoint_could_not_read_is_refused(
    example: Example, fields: dict[str, Any], words: str
) -> None:
    before = example.served(deleted="include")
    text = json.dumps(conversation(id="refused") | fields)
    said = example.put(re.sub(r'"(-?1e400|10{4299})"', r"\1", text))
    assert isinstance(said, str), "it was put"
    assert words in said
    assert example.served(deleted="include") == before


@pytest.mark.parametrize("levels", [5_000, 1_000_000])
def test_what_is_nested_beyond_a_parser_is_refused(example: Example, levels: int) -> None:
    text = json.dumps(conversation(more="deep")).replace('"deep"', "[" * levels + "]" * levels)
    assert example.put(text) == "error: nested too deep"


@pytest.mark.parametrize("text", ["[]", "null", '"a"', "1", "true"])
def test_what_is_no_object_is_refused(example: Example, text: str) -> None:
    assert example.put(text) == "error: malformed conversation"


@pytest.mark.parametrize(
    "given",
    [b"", b" ", b"{", b"{} {}", b'{"a":\xff}', b"\xed\xa0\xbd", b"\xff\xfe{\0}\0", b"1" * 4301],
)
def test_what_is_no_json_is_refused(example: Example, given: bytes) -> None:
    said = example.call("put", WORKSPACE, b64encode(given).decode())
    # JavaScript reads any number of digits.
    assert said in ("error: not JSON in UTF-8", "error: malformed conversation")
    assert given.isdigit() or said == "error: not JSON in UTF-8"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_have_is_refused(example: Example, number: str) -> None:
    text = json.dumps(conversation(more="number")).replace('"number"', number)
    # Python's json.loads reads it, JSON.parse does not.
    assert example.put(text) in ("error: malformed number", "error: not JSON in UTF-8")


@pytest.mark.parametrize("value", ["not a number", "infinity", "nothing", "a time", "bytes"])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        (["userId"], "malformed userId"),
        (["_id"], "malformed _id"),
        (["createdAt"], "malformed createdAt"),
        (["updatedAt"], "malformed updatedAt"),
        (["agentId"], "malformed agentId"),
        (["customer"], "malformed customer"),
        (["messages"], "malformed messages"),
        (["messages", 0], "malformed messages[0]"),
        (["messages", 0, "createdAt"], "malformed messages[0].createdAt"),
        (["messages", 0, "sent"], "malformed messages[0].sent"),
    ],
)
def test_a_value_that_json_cannot_say_is_refused(
    example: Example, path: list[Any], value: str, words: str
) -> None:
    said = example.call("put_with", WORKSPACE, conversation(id="refused"), path, value)
    assert said == f"error: {words}"


@pytest.mark.parametrize("value", ["not a number", "infinity"])
@pytest.mark.parametrize("path", [["more"], ["messages", 0, "more"], ["customer", "more"]])
def test_a_number_that_json_cannot_say_is_refused_wherever_it_is(
    example: Example, path: list[Any], value: str
) -> None:
    said = example.call("put_with", WORKSPACE, conversation(id="refused"), path, value)
    assert said == "error: malformed number"


def test_a_field_without_a_value_is_put(example: Example) -> None:
    given = conversation(id="nothing", agentId="nothing")
    assert example.call("put_with", WORKSPACE, given, ["messages", 0, "more"], "nothing") is True
    (listed,) = example.served(agentId="nothing")
    assert listed["messages"][0].get("more") is None


WORKSPACES = ["", "a#b", "#", "a b", "a" * 65, "a\n", "é", None, 5, ["demo-mine"]]


@pytest.mark.parametrize("workspace", WORKSPACES)
def test_a_workspace_id_that_would_forge_a_key_is_refused(example: Example, workspace: Any) -> None:
    given = conversation()
    assert example.put(given, workspace) == "error: malformed workspace id"
    arguments = (workspace, given["userId"], given["_id"], given["createdAt"])
    assert example.call("remove", *arguments) == "error: malformed workspace id"


def test_an_item_without_updated_key_is_replaced(example: Example) -> None:
    older = conversation(id="old layout", createdAt="2024-12-03T00:00:00Z")
    assert example.put(older) is True
    example.table("update_item", Key=key(older), UpdateExpression="REMOVE updatedKey")
    newer = older | {"agentId": "newer"}
    assert example.put(newer) is True
    assert newer in example.served()


def test_an_older_or_equal_state_never_replaces_a_newer_one(example: Example) -> None:
    states = [conversation(id="raced", updatedAt=f"2024-12-02T00:00:0{n}Z") for n in range(3)]
    states[1]["agentId"] = "first"
    equal = states[1] | {"agentId": "second", "updatedAt": "2024-12-02T01:00:01.0009+01:00"}
    told = [example.put(state) for state in (states[1], states[0], states[1], equal)]
    assert told == [True, False, False, False]
    assert [listed for listed in example.served() if listed["_id"] == "raced"] == [states[1]]
    assert example.put(states[2]) is True
    assert [listed for listed in example.served() if listed["_id"] == "raced"] == [states[2]]


def test_an_item_that_is_too_large_is_an_error(example: Example) -> None:
    said = example.put(conversation(id="large", more="a" * 420_000))
    assert "size" in said
    assert "aaaa" not in said


# What is deleted


def test_the_tombstone_is_that_of_this_project(example: Example) -> None:
    given = conversation(
        id="to delete", createdAt="2024-12-01T09:45:00.5+01:00", agentId="agent 😀", pathwayId=""
    )
    assert example.put(given) is True
    before = example.stored(given)
    began = timestamp.now()
    assert example.remove(given) is True
    (listed,) = example.served(agentId="agent 😀", deleted="include")
    assert example.remove(given) is False  # and nothing is written
    assert example.served(agentId="agent 😀", deleted="include") == [listed]
    assert example.served(agentId="agent 😀") == []
    at = listed["deletedAt"]
    assert listed == {"_id": "to delete", "updatedAt": at, "deletedAt": at}
    assert began <= at <= timestamp.now()
    assert_buried(example, before)


def assert_buried(example: Example, before: dict[str, Any]) -> None:
    """The stored tombstone is the one that this project makes of the item."""
    stored = example.table("get_item", Key=Item(before).primary_key)["Item"]
    now = int(stored["expiresAt"]["N"]) - 90 * 86_400
    states = Item({name: before[name] for name in STATES.split(", ") if name in before})
    expected: Any = states.buried(now).attributes
    at = stored["deletedAt"]["S"]
    if states.updated_key < expected["deletedAt"]["S"]:  # the clock's, read within that second
        assert at[:19] == expected["deletedAt"]["S"][:19]
        expected = {**expected, "deletedAt": {"S": at}, "updatedKey": {"S": f"{at}#{states.id}"}}
    assert stored == expected


@pytest.mark.parametrize(
    ("updated_at", "deleted_at"),
    [
        ("2999-01-01T00:00:00Z", "2999-01-01T00:00:00.001Z"),
        ("2999-01-01T00:00:00.1239Z", "2999-01-01T00:00:00.124Z"),
        ("2999-12-31T23:59:59.999-01:00", "3000-01-01T01:00:00.000Z"),
        ("9999-12-31T23:59:59.998Z", LAST),
    ],
)
def test_a_tombstone_is_newer_than_a_conversation_of_the_future(
    example: Example, updated_at: str, deleted_at: str
) -> None:
    future = conversation(id=updated_at, agentId=updated_at, updatedAt=updated_at)
    assert example.put(future) is True
    before = example.stored(future)
    assert example.remove(future) is True
    assert_buried(example, before)
    (listed,) = example.served(agentId=updated_at, deleted="include")
    assert listed["deletedAt"] == deleted_at
    assert example.put(future) is False


def test_what_is_newer_than_its_tombstone_comes_back(example: Example) -> None:
    given = conversation(id="comes back", agentId="comes back", updatedAt="2999-01-01T00:00:00Z")
    assert [example.put(given), example.remove(given), example.put(given)] == [True, True, False]
    newer = given | {"updatedAt": "2999-01-01T00:00:00.002Z"}
    assert example.put(newer) is True
    assert example.served(agentId="comes back", deleted="include") == [newer]


@pytest.mark.parametrize(
    "updated_key",
    [
        f"{LAST}#late",
        f"{LAST}#late#more",
        "2999-11-31T00:00:00.000Z#late",
        "2999-01-01T00:00:00.000#late",
        "9999-12-31T23:59:60.000Z#late",
        "a text#late",
        "~",
        "😀",
    ],
)
def test_where_no_tombstone_can_be_newer_it_says_so_and_writes_nothing(
    example: Example, updated_key: str
) -> None:
    late = conversation(id="late", updatedAt=LAST)
    example.put(late)
    example.spoil(late, updated_key)
    before = example.stored(late)
    expected = "error: no tombstone can be newer than the updatedKey: use DeleteItem"
    assert example.remove(late) == expected
    assert example.stored(late) == before
    example.table("delete_item", Key=key(late))


@pytest.mark.parametrize("updated_key", ["", "0", "#", "2024-11-31T00:00:00.000Z#early"])
def test_a_malformed_key_that_is_older_is_replaced(example: Example, updated_key: str) -> None:
    early = conversation(id="early", updatedAt="2024-12-01T00:00:00Z")
    example.put(early)
    if updated_key:
        example.spoil(early, updated_key)
    else:
        example.table("update_item", Key=key(early), UpdateExpression="REMOVE updatedKey")
    before = example.stored(early)
    assert example.remove(early) is True
    assert_buried(example, before)
    example.table("delete_item", Key=key(early))


@pytest.mark.parametrize(
    "other",
    [
        {"_id": "never there"},
        {"createdAt": "2024-12-01T00:00:00.001Z"},
        {"userId": "somebody"},
    ],
)
def test_no_tombstone_is_made_of_nothing(example: Example, other: dict[str, str]) -> None:
    there = conversation(id="there", createdAt="2024-12-01T00:00:00Z")
    example.put(there)
    before = example.served(deleted="include")
    assert example.remove(there | other) is False
    assert example.served(deleted="include") == before
    assert not example.table("scan", FilterExpression="attribute_not_exists(updatedKey)")["Items"]
    assert there in before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        # JavaScript takes the first for December 1, and the second for the machine's zone.
        ({"createdAt": "2024-11-31T00:00:00Z"}, "createdAt"),
        ({"createdAt": "2024-12-01T00:00:00"}, "createdAt"),
        ({"createdAt": "2024-12-01"}, "createdAt"),
        ({"createdAt": "2016-12-31T23:59:60Z"}, "createdAt"),
        ({"createdAt": ""}, "createdAt"),
        ({"createdAt": None}, "createdAt"),
        ({"createdAt": 1733011200000}, "createdAt"),
        ({"_id": ""}, "_id"),
        ({"_id": "a#b"}, "_id"),
        ({"_id": "a" * 129}, "_id"),
        ({"_id": "a\ud83d"}, "_id"),
        ({"_id": "😀"}, "_id"),
        ({"_id": None}, "_id"),
        ({"userId": ""}, "userId"),
        ({"userId": "a#b"}, "userId"),
        ({"userId": "a" * 129}, "userId"),
        ({"userId": ["a"]}, "userId"),
    ],
)
def test_a_malformed_argument_deletes_no_other_conversation(
    example: Example, other: dict[str, Any], words: str
) -> None:
    kept = conversation(id="kept", createdAt="2024-12-01T00:00:00Z")
    example.put(kept)
    assert example.remove(kept | other) == f"error: malformed {words}"
    assert kept in example.served()


# Another writer, and DynamoDB


def test_a_writer_that_comes_between_is_seen_and_its_state_deleted(
    example: Example, meddle: Callable[..., None]
) -> None:
    given = conversation(id="between", agentId="between", updatedAt="2999-01-01T00:00:00Z")
    example.put(given)
    writes: list[str] = []

    def write_first(target: str, request: dict[str, Any]) -> None:
        if target.endswith(".PutItem"):
            writes.append(request["Item"]["deletedAt"]["S"])
            if len(writes) == 1:
                example.spoil(given, "2999-01-01T00:00:05.000Z#between")

    meddle(write_first)
    assert example.remove(given) is True
    assert writes == ["2999-01-01T00:00:00.001Z", "2999-01-01T00:00:05.001Z"]
    (listed,) = example.served(agentId="between", deleted="include")
    assert listed["deletedAt"] == "2999-01-01T00:00:05.001Z"


def test_a_conversation_that_is_removed_between_is_not_brought_back(
    example: Example, meddle: Callable[..., None]
) -> None:
    given = conversation(id="removed", agentId="removed")
    example.put(given)

    def remove_first(target: str, _: dict[str, Any]) -> None:
        if target.endswith(".PutItem"):
            example.table("delete_item", Key=key(given))

    meddle(remove_first)
    assert example.remove(given) is False
    assert example.served(agentId="removed", deleted="include") == []


def test_a_conversation_that_never_stops_changing_ends_in_an_error(
    example: Example, meddle: Callable[..., None]
) -> None:
    given = conversation(id="restless", updatedAt="2999-01-01T00:00:00Z")
    example.put(given)
    writes: list[str] = []

    def always_write_first(target: str, request: dict[str, Any]) -> None:
        if target.endswith(".PutItem"):
            writes.append(request["Item"]["deletedAt"]["S"])
            example.spoil(given, f"2999-01-01T00:00:{len(writes):02}.500Z#restless")

    meddle(always_write_first)
    assert example.remove(given) == "error: the conversation keeps changing: try again"
    assert len(writes) == 10
    assert "deletedAt" not in example.stored(given)


def test_an_answer_that_was_cut_off_is_not_taken_for_nothing(
    example: Example, meddle: Callable[..., None]
) -> None:
    given = conversation(id="cut off", agentId="cut off")
    example.put(given)
    meddle(lambda *_: b"{}")
    assert example.remove(given) == "error: the answer was cut off: try again"
    meddle(lambda *_: None)
    assert given in example.served(agentId="cut off")


# The commands


def test_the_commands_say_what_they_did(example: Example) -> None:
    given = conversation(id="by command", agentId="by command")
    text = json.dumps(given).encode()
    unchanged = "not stored: the same or a newer state is stored already\n"
    put, delete = example.put_command, example.delete_command
    assert example.run(put, WORKSPACE, given=text) == (0, "stored\n", "")
    assert example.run(put, WORKSPACE, given=b"\xef\xbb\xbf" + text) == (0, unchanged, "")
    arguments = (WORKSPACE, USER, "by command", given["createdAt"])
    assert example.run(delete, *arguments) == (0, "deleted\n", "")
    nothing = "not deleted: no such conversation, or it is deleted already\n"
    assert example.run(delete, *arguments) == (0, nothing, "")
    assert example.run(delete, *arguments[:2], "never there", arguments[3]) == (0, nothing, "")


def test_the_commands_end_with_one_line_on_an_error(example: Example) -> None:
    put, delete = example.put_command, example.delete_command
    arguments = (WORKSPACE, USER, "id", "2024-11-31T00:00:00Z")
    no_table = "error: CONVERSATIONS_TABLE is not set\n"
    assert example.run(delete, *arguments) == (1, "", "error: malformed createdAt\n")
    assert example.run(put, WORKSPACE, given=b'{"secret') == (1, "", "error: not JSON in UTF-8\n")
    assert example.run(put, WORKSPACE, CONVERSATIONS_TABLE="") == (1, "", no_table)
    assert example.run(delete, *arguments, CONVERSATIONS_TABLE="") == (1, "", no_table)
    for ended in (
        example.run(put),
        example.run(put, WORKSPACE, "more"),
        example.run(delete, *arguments[:3]),
        example.run(delete, *arguments, "more"),
    ):
        assert ended[:2] == (1, "")
        assert re.fullmatch(r"error: usage: (node|python) \S+ WORKSPACE.*\n", ended[2])
    arguments = (WORKSPACE, USER, "id", "2024-12-01T00:00:00Z")
    nowhere = "http://127.0.0.1:1"
    code, out, err = example.run(delete, *arguments, AWS_ENDPOINT_URL_DYNAMODB=nowhere)
    assert (code, out) == (1, "")
    assert re.fullmatch("error: .+\n", err)
