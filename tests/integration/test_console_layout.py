"""The item layout that docs/item-layout.md tells writers in other languages."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain import timestamp
from ops.local import server
from ops.local.demo import KEYS
from ops.local.environment import environment
from storage.dynamodb import client
from storage.items import Item
from tests.support.api import conversation
from tests.support.needs import executable

EXAMPLES = Path(__file__).parents[2] / "examples"
NODE = shutil.which("node")
Put = Callable[..., subprocess.CompletedProcess[str]]


def test_the_page_shows_the_examples_that_are_tested() -> None:
    page = (EXAMPLES.parent / "docs" / "item-layout.md").read_text("utf-8")
    for name in ("put-conversation.mjs", "delete-conversation.mjs"):
        example = (EXAMPLES / name).read_text("utf-8")
        assert f"```js\n{example}```" in page


def test_the_example_s_lock_names_no_address() -> None:
    assert "://" not in (EXAMPLES / "package-lock.json").read_text("utf-8")


@pytest.fixture(scope="module")
def local() -> Iterator[server.LocalApi]:
    node = executable("node")
    assert node
    assert (EXAMPLES / "node_modules" / "@aws-sdk").exists(), "`make test` installs it"
    with server.running() as api:
        yield api


@pytest.fixture
def put(local: server.LocalApi) -> Put:
    """Runs the example, as a Node service would."""
    given = {name: value for name, value in local.environment.items() if value is not None}

    def run(document: str, workspace: str = "demo-mine") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(NODE), str(EXAMPLES / "put-conversation.mjs"), workspace],
            input=document,
            env={**os.environ, **given},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def delete(
    local: server.LocalApi, given: dict[str, Any], *, user: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs the example that deletes."""
    variables = {name: value for name, value in local.environment.items() if value is not None}
    arguments = ("demo-mine", user or given["userId"], given["_id"], given["createdAt"])
    return subprocess.run(
        [str(NODE), str(EXAMPLES / "delete-conversation.mjs"), *arguments],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def served(local: server.LocalApi, **query: str) -> list[Any]:
    headers = {"x-api-key": KEYS[0].key, "x-workspace-id": "demo-mine"}
    response = httpx.get(local.endpoint, headers=headers, params=query, timeout=30)
    assert response.status_code == 200, response.text
    return list(response.json())


def test_what_node_puts_is_served(local: server.LocalApi, put: Put) -> None:
    message = {
        **conversation()["messages"][0],
        "message": 'é 👍🏽 שלום "\u0000"',
        "media": {"n": 1.5},
    }
    given = conversation(
        messages=[message],
        createdAt="2024-12-01T09:45:00+01:00",
        updatedAt="2024-12-01T10:00:00.1239+01:00",
        internal="of the service only",
    )
    assert put(json.dumps(given)).stdout == "stored\n"
    expected = {name: given[name] for name in conversation()} | {
        "createdAt": "2024-12-01T08:45:00Z",
        "updatedAt": "2024-12-01T09:00:00.1239Z",
    }
    bounds = {"updatedAtGe": "2024-12-01T09:00:00.123Z", "updatedAtLt": "2024-12-01T09:00:00.124Z"}
    for query in ({}, {"sort": "-updatedAt", **bounds}, {"agentId": given["agentId"], **bounds}):
        assert served(local, **query) == [expected]


def test_what_javascript_cut_is_served(local: server.LocalApi, put: Put) -> None:
    half, whole = "\ud83d", "\ufffd"
    message = {**conversation()["messages"][0], "message": f"cut {half}"}
    given = conversation(id="cut", agentId=f"agent {half}", messages=[message])
    assert put(json.dumps(given)).stdout == "stored\n"
    expected = json.loads(json.dumps(given).replace("\\ud83d", whole))
    assert served(local, agentId=f"agent {whole}") == [expected]


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 1


def test_the_most_that_the_layout_allows_is_served(local: server.LocalApi, put: Put) -> None:
    times = {"createdAt": "0001-01-01T00:00:00Z", "updatedAt": "9999-12-31T23:59:59.999Z"}
    deep = {"deep": nested(97), "large": 1.7e308}
    given = conversation(id="most", messages=[conversation()["messages"][0] | times | deep])
    given |= times
    assert put(json.dumps(given)).stdout == "stored\n"
    assert given in served(local)


MESSAGE = conversation()["messages"][0]


@pytest.mark.parametrize(
    "fields",
    [
        {"createdAt": "0000-01-01T00:00:00Z"},
        {"createdAt": "0001-01-01T00:00:00+01:00"},
        {"createdAt": "2016-12-31T23:59:60Z"},  # JavaScript knows no leap seconds
        {"updatedAt": "9999-12-31T23:59:59-01:00"},
        {"updatedAt": "2024-12-01"},
        {"updatedAt": "2024-12-01T08:45:00"},
        {"updatedAt": "2023-02-29T08:45:00Z"},
        {"updatedAt": "2024-12-01T08:45:00+24:00"},
        {"updatedAt": 1733042700000},
        {"messages": [{**MESSAGE, "createdAt": "0000-01-01T00:00:00Z"}]},
        {"messages": [{**MESSAGE, "updatedAt": "Dec 1, 2024 08:45Z"}]},
        {"messages": [{**MESSAGE, "deep": nested(98)}]},
        {"messages": [{**MESSAGE, "deep": nested(199)}]},
        {"messages": [{**MESSAGE, "large": "1e400"}]},
        {"messages": [{**MESSAGE, "large": "1" + "0" * 4300}]},
        {"messages": [{**MESSAGE, "more": {"large": ["-1e400"]}}]},
        {"_id": None},
        {"_id": ["refused"]},
        {"userId": 5},
        {"agentId": None},
        {"createdAt": ["2024-12-01T08:45:00Z"]},
        {"customer": None},
        {"customer": ["Jo"]},
        {"customer": {"phone": 49}},
        {"messages": None},
        {"messages": [{**MESSAGE, "sent": "true"}]},
        {"messages": [{**MESSAGE, "status": None}]},
    ],
)
def test_node_refuses_what_the_endpoint_could_not_read(
    local: server.LocalApi, put: Put, fields: dict[str, Any]
) -> None:
    document = json.dumps(conversation(id="refused") | fields)
    refused = put(re.sub(r'"(-?1e400|10{4300})"', r"\1", document))
    assert refused.returncode == 1
    assert re.search(r"malformed \w+|Invalid time|nested too deep|too large", refused.stderr)
    assert "refused" not in [listed["_id"] for listed in served(local)]


def test_node_replaces_an_item_without_updated_key(local: server.LocalApi, put: Put) -> None:
    older = conversation(id="old layout", createdAt="2024-12-03T00:00:00Z")
    assert put(json.dumps(older)).stdout == "stored\n"
    key = {
        "pk": {"S": f"demo-mine#{older['userId']}"},
        "sk": {"S": "2024-12-03T00:00:00.000Z#old layout"},
    }
    with environment(local.environment):
        client().update_item(
            TableName=os.environ["CONVERSATIONS_TABLE"],
            Key=key,
            UpdateExpression="REMOVE updatedKey",
        )
    newer = older | {"agentId": "newer"}
    assert put(json.dumps(newer)).stdout == "stored\n"
    assert newer in served(local)


def test_node_never_puts_an_older_state_over_a_newer_one(local: server.LocalApi, put: Put) -> None:
    states = [conversation(id="raced", updatedAt=f"2024-12-02T00:00:0{n}Z") for n in range(3)]
    told = [put(json.dumps(states[number])).stdout for number in (1, 0, 1, 2)]
    assert [line.startswith("stored") for line in told] == [True, False, False, True]
    assert [listed for listed in served(local) if listed["_id"] == "raced"] == [states[2]]


def test_node_refuses_what_would_forge_a_key(put: Put) -> None:
    for forged in (conversation(id="a#b"), conversation(userId="a#b"), conversation(id="")):
        assert "malformed _id or userId" in put(json.dumps(forged)).stderr
    assert "malformed workspace id" in put(json.dumps(conversation()), "a#b").stderr


def test_node_deletes_with_a_tombstone_as_the_console_does(
    local: server.LocalApi, put: Put
) -> None:
    times = {"createdAt": "2024-12-01T09:45:00.5+01:00", "agentId": "deleted by node"}
    given = conversation(id="to delete", **times)
    assert put(json.dumps(given)).stdout == "stored\n"
    began = timestamp.now()
    assert delete(local, given).stdout == "deleted\n"
    (listed,) = served(local, agentId="deleted by node", deleted="include")
    assert delete(local, given).stdout == "deleted\n"  # and nothing is written
    assert served(local, agentId="deleted by node", deleted="include") == [listed]
    assert served(local, agentId="deleted by node") == []
    at = listed["deletedAt"]
    assert listed == {"_id": "to delete", "updatedAt": at, "deletedAt": at}
    assert began <= at <= timestamp.now()
    with environment(local.environment):
        key: Any = {
            "pk": {"S": f"demo-mine#{given['userId']}"},
            "sk": {"S": "2024-12-01T08:45:00.500Z#to delete"},
        }
        item = client().get_item(TableName=os.environ["CONVERSATIONS_TABLE"], Key=key)["Item"]
    deleted = datetime.fromisoformat(at).timestamp()
    replaced = Item({**key, **item, "updatedKey": {"S": ""}})
    assert item == replaced.buried(deleted).attributes


def test_node_never_lets_the_order_run_backwards_and_brings_back_what_is_newer(
    local: server.LocalApi, put: Put
) -> None:
    future = conversation(id="future", agentId="future", updatedAt="2999-01-01T00:00:00.1239Z")
    put(json.dumps(future))
    assert delete(local, future).stdout == "deleted\n"
    (listed,) = served(local, agentId="future", deleted="include")
    assert listed["deletedAt"] == "2999-01-01T00:00:00.124Z"
    assert put(json.dumps(future)).stdout.startswith("not stored")
    newer = future | {"updatedAt": "2999-01-01T00:00:00.125Z"}
    assert put(json.dumps(newer)).stdout == "stored\n"
    assert served(local, agentId="future", deleted="include") == [newer]


def test_node_makes_no_tombstone_of_nothing(local: server.LocalApi) -> None:
    before = served(local, deleted="include")
    assert delete(local, conversation(id="never there")).stdout == "deleted\n"
    assert served(local, deleted="include") == before
    assert "malformed _id or userId" in delete(local, conversation(), user="a#b").stderr
