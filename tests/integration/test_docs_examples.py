"""The examples of the documentation, run as a reader would run them: from top to bottom."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from console.environment import environment
from dev.local import server
from dev.local.demo import USER
from dev.local.docs_site import DOCS, LOCAL
from dev.local.ports import HttpServer
from dev.local.server import LocalApi
from dev.local.template import ROOT
from domain.query import ConversationQuery
from domain.sync import Round
from handlers import list_conversations
from storage.conversations import ConversationTable
from storage.cursor import encode
from storage.dynamodb import client
from storage.items import partition_key
from tests.support.api import conversation
from tests.support.needs import executable
from tests.support.tables import bury, put

GUIDES = (DOCS / "guides.md").read_text()
SECTIONS = re.findall("^## (.+)$", GUIDES, re.MULTILINE)
LANGUAGES = ("python", "js")
PROGRAMS = {"js": "node", "sh": "bash"}


def code(language: str, until: str = SECTIONS[-1]) -> str:
    """The blocks of a language, down to the end of a section."""
    after = GUIDES.partition(f"\n## {until}\n")[2].partition("\n## ")[2]
    read = GUIDES.removesuffix(after)
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", read, re.DOTALL))


@dataclass(frozen=True)
class Place:
    """Where an example runs: a folder for its file, and the API that it calls."""

    folder: Path
    api: LocalApi


@pytest.fixture(scope="module")
def local() -> Iterator[LocalApi]:
    with server.running() as api:
        yield api


@pytest.fixture
def place(local: LocalApi, tmp_path: Path) -> Place:
    return Place(tmp_path, local)


def run(language: str, text: str, place: Place) -> str:
    """What the program prints."""
    file = place.folder / {"python": "guide.py", "js": "guide.mjs", "sh": "guide.sh"}[language]
    file.write_text(text.replace(LOCAL, place.api.url))
    program = sys.executable if language == "python" else executable(PROGRAMS[language])
    done = subprocess.run(
        [program, file],
        cwd=place.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_example_prints_what_its_comment_says(place: Place, language: str) -> None:
    text = code(language)
    printed = re.findall(r"^ *(?:print|console\.log)\(.+\);?  ?(?:#|//) (.+)$", text, re.MULTILINE)
    assert len(printed) == text.count("print(") + text.count("console.log(")
    assert run(language, text, place).splitlines() == printed


def test_the_guides_show_the_same_in_both_languages() -> None:
    for section in SECTIONS:
        assert all(code(language, section) for language in LANGUAGES)
        outputs = [
            re.findall(r"(?:#|//) (\d.*)$", code(language, section), re.MULTILINE)
            for language in LANGUAGES
        ]
        assert outputs[0] == outputs[1], section


def test_each_curl_line_is_answered(place: Place) -> None:
    executable("curl")
    commands = re.findall(r"```sh\n(curl .*?)```", GUIDES, re.DOTALL)
    whole, head, filtered, poll, error = (run("sh", command, place) for command in commands)
    assert [listed["_id"] for listed in json.loads(whole)] == [conversation()["_id"]]
    assert re.search(
        f'\nlink: <{place.api.endpoint}\\?limit=100&cursor=.+>; rel="next"', head, re.IGNORECASE
    )
    created = [listed["createdAt"] for listed in json.loads(filtered)]
    assert created == sorted(created, reverse=True)
    assert created[-1] > "2024-11-30T23:00:00Z"
    assert (poll, run("sh", commands[3], place)) == ("200\n", "304\n")
    assert json.loads(error)["error"]["code"] == "invalid_parameter"


def test_a_copy_is_kept_in_sync_with_curl(place: Place) -> None:
    executable("curl")
    (command,) = re.findall(r"```sh\n(# sync .*?)```", GUIDES, re.DOTALL)
    run("sh", command, place)
    pages = (place.folder / "changes").read_text().replace("][", "]\n[").splitlines()
    first, again = map(json.loads, pages)
    assert len(first) == 500
    assert again == first[-len(again) :]
    assert "cursor=" in (place.folder / "monitor").read_text()


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def shows(whole: Any, part: Any) -> bool:
    """Whether the part is the whole, with fields left out."""
    match part:
        case dict():
            return all(name in whole and shows(whole[name], part[name]) for name in part)
        case list():
            return len(whole) == len(part) and all(map(shows, whole, part))
        case _:
            return bool(whole == part)


def test_the_readme_shows_a_part_of_the_answer(place: Place) -> None:
    executable("curl")
    (command,) = (block for block in blocks("README.md", "sh") if block.startswith("curl"))
    (shown,) = blocks("README.md", "json")
    assert shows(json.loads(run("sh", command, place)), json.loads(shown))


def test_the_reference_shows_the_whole_answer(place: Place) -> None:
    executable("curl")
    page = "docs/reference/get-all-conversations.md"
    command = next(block for block in blocks(page, "sh") if block.startswith("curl"))
    (shown,) = blocks(page, "json")
    answer = run("sh", command.replace("curl ", "curl -sS ", 1), place)
    assert json.loads(answer) == json.loads(shown)


def test_the_way_of_data_from_one_workspace_to_another(place: Place) -> None:
    (lines,) = blocks("docs/load-data.md", "sh")
    given = {name: value for name, value in place.api.environment.items() if value is not None}
    console = str(Path(sys.executable).with_name("conversations"))
    outputs = []
    for line in lines.splitlines():
        done = subprocess.run(
            ["bash", "-c", re.sub("^conversations", console, line)],
            cwd=place.folder,
            env=os.environ | given,
            input="y\n",  # `delete` asks
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout + done.stderr)
    _, loaded, issued, got, deleted = outputs
    assert "500" in loaded
    assert re.search(r"\btk_\w{32}\b", issued)
    assert "curl " in issued
    assert got.count('"_id"') > 10
    assert "500" in deleted


def test_a_test_runs_by_its_name(tmp_path: Path) -> None:
    (line,) = (block for block in blocks("CONTRIBUTING.md", "sh") if "pytest" in block)
    words = [sys.executable, "-m", *line.removeprefix(".venv/bin/").split()]
    done = subprocess.run(
        [*words, "-o", f"cache_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout  # 5: no test has that name


# The functions of the guides, with data that changes between two calls. GIVEN is a JSON text.

SYNC = {
    "python": """
import json
given = json.loads(GIVEN)
copy, address = sync(dict(given["copy"]), *given["address"])
print(json.dumps({"copy": list(copy.items()), "address": [address]}))
""",
    "js": """
const given = JSON.parse(GIVEN);
const [saved, following] = await sync(new Map(given.copy), ...given.address);
console.log(JSON.stringify({ copy: [...saved], address: [following] }));
""",
}
POLL = {
    "python": """
import json
print(json.dumps(poll(json.loads(GIVEN), sort="-updatedAt")))
""",
    "js": """
console.log(JSON.stringify(await poll(JSON.parse(GIVEN), { sort: "-updatedAt" })));
""",
}
WAIT = {  # waits are noted, not made; Node's fetch has others of its own
    "python": """
import json
waits = []
time.sleep = waits.append
print([[patient_get(json.loads(GIVEN)).status_code for _ in range(4)], waits])
""",
    "js": """
const waits = [];
const { setTimeout: wait } = globalThis;
globalThis.setTimeout = (then, milliseconds, ...rest) => {
  if (![5000, 7000, 60_000].includes(milliseconds)) return wait(then, milliseconds, ...rest);
  waits.push(milliseconds / 1000);
  return wait(then, 0);
};
const statuses = [];
for (let n = 0; n < 4; n++) statuses.push((await patientGet(JSON.parse(GIVEN))).status);
console.log(JSON.stringify([statuses, waits]));
""",
}


@pytest.fixture
def mine(local: LocalApi) -> Iterator[Any]:
    """Writes conversations into a workspace, which is empty before and after."""
    with environment(local.environment):
        table = ConversationTable(client(), os.environ["CONVERSATIONS_TABLE"])

        def write(**fields: Any) -> dict[str, Any]:
            written = conversation(**fields)
            put(table, written, workspace="demo-mine")
            return written

        empty("demo-mine")
        yield write
        empty("demo-mine")


def empty(workspace: str) -> None:
    """Remove the demo user's conversations, and their tombstones."""
    dynamodb, table = client(), os.environ["CONVERSATIONS_TABLE"]
    pages = dynamodb.get_paginator("query").paginate(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{workspace}#{USER}"}},
        ProjectionExpression="pk, sk",
    )
    for page in pages:
        for key in page["Items"]:
            dynamodb.delete_item(TableName=table, Key=key)


def called(language: str, section: str, driver: Mapping[str, str], where: Place, given: Any) -> Any:
    """What a function of a section returns, on the workspace that is empty at first."""
    text = code(language, section).replace("demo-busy", "demo-mine")
    text += driver[language].replace("GIVEN", json.dumps(json.dumps(given)))
    return json.loads(run(language, text, where).splitlines()[-1])


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copy_is_kept_in_sync(place: Place, mine: Any, language: str) -> None:
    old, future = mine(id="old"), mine(id="future", updatedAt="2999-01-01T00:00:00Z")
    state = called(language, "Sync", SYNC, place, {"copy": [], "address": []})
    assert dict(state["copy"]) == {"old": old, "future": future}
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    new = mine(id="old", agentId="changed", updatedAt=now)
    state = called(language, "Sync", SYNC, place, state)
    assert dict(state["copy"]) == {"old": new, "future": future}
    table = ConversationTable(client(), os.environ["CONVERSATIONS_TABLE"])
    for deleted in (new, conversation(id="never seen")):
        bury(table, deleted, at=datetime.now(UTC).isoformat(), workspace="demo-mine")
    state = called(language, "Sync", SYNC, place, state)
    assert dict(state["copy"]) == {"future": future}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copy_that_is_no_longer_good_is_filled_anew(
    place: Place, mine: Any, language: str
) -> None:
    there = mine(id="there")
    expired = sync_address("demo-mine", Round("", "2020-01-01", "2020-01-01T00:00:00.000Z"))
    gone = {"copy": [("purged", conversation(id="purged"))]}
    state = called(language, "Sync", SYNC, place, {**gone, "address": [place.api.url + expired]})
    assert dict(state["copy"]) == {"there": there}


def sync_address(workspace: str, first: Round) -> str:
    """The address, without its origin, that the endpoint gave at the end of a round."""
    texts = (list_conversations._place(), *first.following(None))
    query = ConversationQuery(sync="true", sort="updatedAt", deleted="include")
    cursor = encode(texts, partition_key(workspace, USER), query)
    return f"/v1/api/conversations?sync=true&cursor={cursor}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_poll_returns_what_changed(place: Place, mine: Any, language: str) -> None:
    first = mine(id="first")
    inbox, etag = called(language, "Polling", POLL, place, None)
    assert inbox == [first]
    assert called(language, "Polling", POLL, place, etag) == [None, etag]
    second = mine(id="second", updatedAt="2024-12-02T00:00:00Z")
    inbox, changed = called(language, "Polling", POLL, place, etag)
    assert inbox == [second, first]
    assert changed != etag


class Refusing(BaseHTTPRequestHandler):
    """Answers each request with the next of `answers`: a status and its `Retry-After`."""

    answers: ClassVar[list[tuple[int, str]]]

    def do_GET(self) -> None:
        status, seconds = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Retry-After", seconds)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *arguments: Any) -> None: ...


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_patient_client_waits_as_long_as_it_is_told(place: Place, language: str) -> None:
    Refusing.answers = [(200, "9"), (429, "60"), (503, "5"), (200, "9"), (404, "9")]
    Refusing.answers += [(503, "7")] * 5  # after the fifth, the client gives up
    with HttpServer(Refusing) as refusing:
        url = f"http://127.0.0.1:{refusing.port}/"
        statuses, waits = called(language, "Errors", WAIT, place, url)
    assert statuses == [200, 200, 404, 503]
    assert waits == [60, 5, 7, 7, 7, 7]
    assert Refusing.answers == []
