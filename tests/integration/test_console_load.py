# ruff: noqa: RUF001 - many scripts
"""`conversations load`: what is loaded, skipped, rejected and said."""

import gzip
import json
import os
import re
import resource
import signal
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from console.cli import app
from console.extended_json import plain
from console.tables.conversations import StoredConversations
from dev.local.demo import DOCUMENTED, USER
from domain.conversation import Conversation
from domain.errors import StoreUnavailableError
from storage.conversations import ConversationTable
from tests.support import data
from tests.support.api import Api, conversation
from tests.support.budget import examples
from tests.support.strategies import conversations
from tests.support.tables import bury, put

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.usefixtures("dynamodb")


def run(*arguments: object, stdin: bytes | str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


def load(*arguments: object, code: int = 0, stdin: bytes | str | None = None) -> dict[str, Any]:
    """The summary of one file loaded into the workspace demo."""
    result = run("load", *arguments, "--workspace", "demo", "--json", stdin=stdin)
    assert result.exit_code == code, result.output
    (summary,) = json.loads(result.stdout)["files"]
    assert summary["records"] == sum(
        summary[name] for name in ("loaded", "skipped", "deleted", "rejected")
    )
    return dict(summary)


def counts(summary: dict[str, Any]) -> tuple[int, int, int]:
    return summary["loaded"], summary["skipped"], summary["rejected"]


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Makes a file with a line for each value."""

    def make(*values: object) -> Path:
        path = tmp_path / "conversations.json"
        path.write_text(lines(*values))
        return path

    return make


EXPORTED = {  # as mongoexport writes the documented conversation, canonical
    "_id": {"$oid": DOCUMENTED["_id"]},
    "userId": {"$oid": USER},
    "pathwayId": {"$oid": DOCUMENTED["pathwayId"]},
    "agentId": {"$oid": DOCUMENTED["agentId"]},
    "customer": DOCUMENTED["customer"],
    "messages": [
        {
            **DOCUMENTED["messages"][0],
            "_id": {"$oid": "675c8e368824aa5f130b94d3"},
            "createdAt": {"$date": {"$numberLong": "1733042700000"}},
            "updatedAt": {"$date": {"$numberLong": "1733043600000"}},
        }
    ],
    "createdAt": {"$date": {"$numberLong": "1733042700000"}},
    "updatedAt": {"$date": {"$numberLong": "1733043600000"}},
    "__v": {"$numberInt": "1"},
}


def test_the_documented_conversation_comes_out_of_an_export_of_mongodb(
    api: Api, file: Callable[..., Path]
) -> None:
    relaxed = json.loads(
        json.dumps(EXPORTED)
        .replace('{"$numberLong": "1733042700000"}', '"2024-12-01T08:45:00Z"')
        .replace('{"$numberLong": "1733043600000"}', '"2024-12-01T09:00:00Z"')
        .replace('{"$numberInt": "1"}', "1")
    )
    for exported in (EXPORTED, relaxed):
        summary = load(file(exported), "--overwrite")
        assert (counts(summary), summary["leftOut"]) == ((1, 0, 0), {"__v": 1})
        served = json.dumps(api.get().json[0]).replace(".000Z", "Z")
        assert json.loads(served) == DOCUMENTED
        assert list(json.loads(served)) == list(DOCUMENTED)


def test_plain_json_is_loaded_as_it_is_spelled(api: Api, file: Callable[..., Path]) -> None:
    load(file(DOCUMENTED))
    assert api.get().json == [DOCUMENTED]


def test_stdin_gzip_and_arrays_are_taken(api: Api) -> None:
    array = json.dumps([conversation(id=f"{number}") for number in range(30)], indent=1)
    assert counts(load("-", stdin=gzip.compress(array.encode()))) == (30, 0, 0)
    assert len(api.get().json) == 30


def test_loading_twice_changes_nothing(dynamodb: "DynamoDBClient", tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text(lines(*data.conversations(100)))
    assert counts(load(path)) == (100, 0, 0)
    before = dynamodb.scan(TableName="ConversationsTable")["Items"]
    assert counts(load(path)) == (0, 100, 0)
    assert dynamodb.scan(TableName="ConversationsTable")["Items"] == before


def test_an_older_conversation_never_replaces_a_newer_one(
    api: Api, file: Callable[..., Path]
) -> None:
    older, newer = (
        conversation(agentId=name, updatedAt=f"2024-12-01T09:00:00.{name}Z") for name in "12"
    )
    assert counts(load(file(newer))) == (1, 0, 0)
    assert counts(load(file(older))) == (0, 1, 0)
    assert api.get().json == [newer]
    assert counts(load(file(older), "--overwrite")) == (1, 0, 0)
    assert api.get().json == [older]
    assert counts(load(file(newer))) == (1, 0, 0)
    assert api.get().json == [newer]


def test_a_newer_state_is_loaded_over_an_item_without_updated_key(
    api: Api, dynamodb: "DynamoDBClient", file: Callable[..., Path]
) -> None:
    load(file(DOCUMENTED))
    (item,) = dynamodb.scan(TableName="ConversationsTable")["Items"]
    del item["updatedKey"]
    dynamodb.put_item(TableName="ConversationsTable", Item=item)
    older = conversation(agentId="a", updatedAt="2000-01-01T00:00:00Z")
    assert counts(load(file(older))) == (1, 0, 0)  # without one, an item counts as the oldest
    assert api.get().json == [older]


def test_of_two_states_within_a_millisecond_the_first_stays(
    api: Api, file: Callable[..., Path]
) -> None:
    first, second = (conversation(updatedAt=f"2024-12-01T09:00:00.123{n}Z") for n in "12")
    assert counts(load(file(first))) == (1, 0, 0)
    assert counts(load(file(second))) == (0, 1, 0)
    assert api.get().json == [first]


def test_a_live_write_between_reading_and_writing_is_not_undone(
    api: Api, table: ConversationTable, file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, loaded, live = (
        conversation(agentId=name, updatedAt=f"2024-12-01T09:00:0{name}Z") for name in "123"
    )
    put(table, old)
    read = StoredConversations._stored_states

    def read_too_early(self: StoredConversations, items: Any) -> Any:
        found = read(self, items)
        put(table, live)
        return found

    monkeypatch.setattr(StoredConversations, "_stored_states", read_too_early)
    assert counts(load(file(loaded))) == (0, 1, 0)
    assert api.get().json == [live]


def test_of_one_conversation_twice_in_a_file_the_newer_stays_or_the_last_with_overwrite(
    api: Api, file: Callable[..., Path]
) -> None:
    states = [
        conversation(agentId=str(number), updatedAt=f"2024-12-01T09:00:0{number}Z")
        for number in (1, 3, 2, 3)
    ]
    assert counts(load(file(*states))) == (2, 2, 0)
    assert api.get().json == [states[1]]
    assert counts(load(file(*states[:3]), "--overwrite")) == (3, 0, 0)
    assert api.get().json == [states[2]]


def test_what_was_deleted_since_is_counted_apart_and_overwritten_only_when_told(
    api: Api, table: ConversationTable, file: Callable[..., Path]
) -> None:
    old, newer = (conversation(agentId=n, updatedAt=f"2024-12-0{n}T00:00:00Z") for n in "13")
    bury(table, old, at="2024-12-02T00:00:00Z")
    path = file(old, conversation(id="there", createdAt="2024-12-02T00:00:00Z"))
    summary = load(path)
    assert (counts(summary), summary["deleted"]) == ((1, 0, 0), 1)
    summary = load(path)
    assert (counts(summary), summary["deleted"]) == ((0, 1, 0), 1)
    assert re.search(r"skipped +1 +deleted since", run("load", path, "--workspace", "demo").stdout)
    equal = conversation(updatedAt="2024-12-02T00:00:00Z")
    summary = load(file(equal))
    assert (counts(summary), summary["deleted"]) == ((0, 0, 0), 1)  # the tombstone stays
    assert api.get().ids == ["there"]
    assert counts(load(file(old), "--overwrite")) == (1, 0, 0)
    bury(table, old, at="2024-12-02T00:00:00Z")
    assert counts(load(file(newer))) == (1, 0, 0)
    assert newer in api.get().json


def test_a_tombstone_between_reading_and_writing_counts_as_deleted(
    api: Api, table: ConversationTable, file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = StoredConversations._stored_states
    put(table, DOCUMENTED)

    def read_too_early(self: StoredConversations, items: Any) -> Any:
        found = read(self, items)
        bury(table, DOCUMENTED, at="2024-12-05T00:00:00Z")
        return found

    monkeypatch.setattr(StoredConversations, "_stored_states", read_too_early)
    summary = load(file(conversation(updatedAt="2024-12-04T00:00:00Z")))
    assert (counts(summary), summary["deleted"]) == ((0, 0, 0), 1)
    assert api.get().json == []


def test_into_a_table_that_held_something_load_counts_what_sync_clients_do_not_look_at(
    file: Callable[..., Path],
) -> None:
    now = datetime.now(UTC)
    fresh = conversation(id="fresh", updatedAt=now.isoformat())
    minutes = [
        conversation(id=f"{n}", updatedAt=(now - timedelta(minutes=n)).isoformat()) for n in (2, 9)
    ]
    path = file(fresh, *minutes)
    assert load(path)["late"] == 0  # nobody can have synced before
    assert load(path)["late"] == 0  # nothing is stored
    later = file(*(record | {"createdAt": "2024-12-02T00:00:00Z"} for record in (fresh, *minutes)))
    told = run("load", later, "--workspace", "other")
    assert (
        "  If clients have synced this workspace before: they find 2 of those loaded, updated over "
        "a minute ago, only when they read everything again.\n" in told.stdout
    )
    assert load(later, "--overwrite")["late"] == 2


def test_fields_of_no_conversation_are_left_out_and_counted(
    api: Api, file: Callable[..., Path]
) -> None:
    loaded = [conversation(id=str(number), apiKey="x", workspaceId="w") for number in range(3)]
    loaded[0]["customer"]["card"] = "4111"
    path = file(*loaded)
    assert load(path)["leftOut"] == {"apiKey": 3, "workspaceId": 3, "customer.card": 1}
    assert (
        "Fields left out: apiKey (3), workspaceId (3)"
        in run("load", path, "--workspace", "demo").stdout
    )
    assert not {"apiKey", "workspaceId"} & set(api.get().json[0])


def test_a_dry_run_needs_no_table_and_stores_nothing(
    api: Api, file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(DOCUMENTED, {"_id": 1})
    monkeypatch.delenv("CONVERSATIONS_TABLE")
    result = run("load", path, "--workspace", "demo", "--dry-run")
    assert result.exit_code == 1
    assert re.search(
        r"valid +1\n +rejected +1 +see .*conversations\.json\.rejects\n", result.stdout
    )
    monkeypatch.undo()
    assert api.get().json == []


def test_strict_stops_at_the_first_reject(api: Api, tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    good = [conversation(id=f"{number}") for number in range(4)]
    path.write_text(lines(*good[:2], {"_id": "x"}, *good[2:]))
    result = run("load", path, path, "--workspace", "demo", "--strict")
    assert result.exit_code == 1
    assert "Stopped because of --strict, at line 3: userId is missing" in result.stderr
    assert result.stdout.count("records in") == 1
    assert sorted(api.get().ids) == ["0", "1"]


def test_several_files_are_told_of_one_by_one(file: Callable[..., Path]) -> None:
    path = file(DOCUMENTED)
    result = run("load", path, "-", "--workspace", "demo", "--json", stdin=lines({}))
    first, second = json.loads(result.stdout)["files"]
    assert (first["file"], second["file"]) == (str(path), "stdin")
    assert (counts(first), counts(second)) == ((1, 0, 0), (0, 0, 1))
    Path("stdin.rejects").unlink()


def random_text(length: int) -> str:
    """Text that cannot be compressed much."""
    return "".join(map(chr, Random(1).choices(range(0x4E00, 0x9FFF), k=length)))


MESSAGE = DOCUMENTED["messages"][0]
BROKEN: dict[str, tuple[str, str]] = {  # name: what stands in the line, and the reason
    "cut off": (lines(DOCUMENTED)[:200], "not JSON: EOF"),
    "no brace": (lines(DOCUMENTED)[:-2], "not JSON: EOF"),
    "brace too many": (lines(DOCUMENTED)[:-1] + "}", "not JSON: trailing"),
    "no JSON at all": ("hello", "not JSON: expected value"),
    "comment": ("// hello", "not JSON"),
    "hash": ("# hello", "not JSON"),
    "number": ("17", "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "text": ('"text"', "not a JSON object"),
    "extended text": ('{"$symbol": "x"}', "the record should be an object$"),
    "single quotes": ("{'_id': 1}", "not JSON: key must be a string"),
    "trailing comma": (lines(DOCUMENTED)[:-2] + ",}", "not JSON: trailing comma"),
    "NaN": (lines(conversation(messages=[{**MESSAGE, "x": float("nan")}])), "not JSON"),
    "control character": ('{"_id": "a\tb"}', "not JSON: control character"),
    "lone surrogate in an id": (lines(conversation(id="\ud800")), "_id should match pattern"),
    "deep": ('{"a":' * 300, "not JSON"),
    "mongo shell": (
        '{"_id": ObjectId("675c8e368824aa5f130b94d6")}',
        r"not JSON but mongo shell syntax \(ObjectId\) at line \d+ column 9; use mongoexport$",
    ),
    "csv": ("_id,userId,pathwayId", "not JSON"),
    **{
        f"no {name}": (
            lines({k: v for k, v in DOCUMENTED.items() if k != name}),
            f"{name} is missing",
        )
        for name in DOCUMENTED
    },
    **{
        f"null {name}": (
            lines(conversation(**{name: None})),
            f"{name} should be {'an object' if name == 'customer' else 'a valid'}",
        )
        for name in DOCUMENTED
    },
    "null messages": (lines(conversation(messages=[None])), r"messages\[0\] should be an object$"),
    "no customer": (lines(conversation(customer=[])), "customer should be an object$"),
    "empty id": (lines(conversation(id="")), "_id should match"),
    "id with #": (lines(conversation(id="a#b")), "_id "),
    "id of 129 characters": (lines(conversation(id="i" * 129)), "_id "),
    "user not ASCII": (lines(conversation(userId="é")), "userId "),
    "number for a name": (lines(conversation(customer={"name": 5})), "customer.name should be"),
    "date without time": (lines(conversation(createdAt="2024-12-01")), "createdAt must be an RFC"),
    "date without zone": (
        lines(conversation(updatedAt="2024-12-01T08:45:00")),
        "updatedAt must be an RFC 3339 timestamp with an offset",
    ),
    "no day": (
        lines(conversation(createdAt="2024-02-30T08:45:00Z")),
        "createdAt must be a date that exists",
    ),
    "$date of nothing": (
        lines(conversation(createdAt={"$date": "soon"})),
        r"a \$date is malformed",
    ),
    "$date too far": (
        lines(conversation(createdAt={"$date": {"$numberLong": "9999999999999999"}})),
        r"a \$date is malformed",
    ),
    "$oid of nothing": (lines(conversation(id={"$oid": "xyz"})), r"a \$oid is malformed"),
    "regular expression": (
        lines(
            conversation(
                messages=[{**MESSAGE, "x": {"$regularExpression": {"pattern": "a", "options": ""}}}]
            )
        ),
        r"a \$regularExpression has no counterpart",
    ),
    "infinite": (
        lines(conversation(messages=[{**MESSAGE, "x": {"$numberDouble": "Infinity"}}])),
        r"messages\[0\]\.x should be a finite number$",
    ),
    "messages no array": (lines(conversation(messages={})), "messages should be a valid list"),
    "message without text": (
        lines(
            conversation(messages=[MESSAGE, {k: v for k, v in MESSAGE.items() if k != "message"}])
        ),
        r"messages\[1\]\.message is missing",
    ),
    "sent is text": (
        lines(conversation(messages=[{**MESSAGE, "sent": "true"}])),
        r"messages\[0\]\.sent should be a valid boolean",
    ),
    "too large for an item": (
        lines(conversation(messages=[{**MESSAGE, "message": random_text(300_000)}])),
        "The conversation .* takes .* bytes in the table; DynamoDB takes at most",
    ),
    "too large for a response": (
        lines(conversation(messages=[{**MESSAGE, "message": "a" * 3_000_001}])),
        "The conversation .* at most 3,000,000 fit a response",
    ),
}


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A file with good records and all that is broken, by turns."""
    path = tmp_path / "broken.json"
    with path.open("w", encoding="utf-8") as stream:
        for number, (text, _) in enumerate(BROKEN.values()):
            stream.write(lines(conversation(id=f"good-{number}")))
            stream.write(text.removesuffix("\n") + "\n")
    return path


def test_a_file_of_50_kinds_of_damage_loads_the_rest_and_explains_each(
    api: Api, broken: Path
) -> None:
    assert len(BROKEN) >= 50
    summary = load(broken, code=1)
    assert counts(summary) == (len(BROKEN), 0, len(BROKEN))
    assert len(api.get(headers={"Accept-Encoding": "gzip"}).ids) == len(BROKEN)
    told = Path(summary["rejects"]).read_text("utf-8").splitlines()
    for number, (name, (text, reason)) in enumerate(BROKEN.items()):
        why, record = told[2 * number], told[2 * number + 1]
        assert record == text.removesuffix("\n").strip(), name
        assert re.match(rf"# line {2 * number + 2}: ({reason})", why), f"{name}: {why}"
        assert len(why) < 300, name


def test_a_reason_never_tells_what_a_record_holds(broken: Path) -> None:
    for record in ({"customer": {"email": ["SECRET"]}}, {"createdAt": "SECRET", "_id": "SECRET#"}):
        with broken.open("a") as stream:
            stream.write(lines(conversation(**record)))
            stream.write('{"_id": "SECRET", SECRET}\n{"_id": {"$oid": "SECRET"}}\n')
    result = run("load", broken, "--workspace", "demo", "--json")
    rejects = Path(json.loads(result.stdout)["files"][0]["rejects"])
    assert "SECRET" in rejects.read_text()
    reasons = [line for line in rejects.read_text().splitlines() if line.startswith("# line ")]
    assert not any("SECRET" in reason for reason in reasons)
    assert "SECRET" not in result.output


def test_rejected_records_can_be_mended_and_loaded_again(api: Api, broken: Path) -> None:
    rejects = Path(load(broken, code=1)["rejects"])
    assert stat.S_IMODE(rejects.stat().st_mode) == 0o600
    again = load(rejects, code=1)
    assert counts(again) == (0, 0, len(BROKEN))
    assert Path(again["rejects"]).name == "broken.json.rejects.rejects"
    mended = [
        line if line.startswith("# line ") else json.dumps(conversation(id=f"mended-{number}"))
        for number, line in enumerate(rejects.read_text().splitlines())
    ]
    rejects.write_text("\n".join(mended))
    assert counts(load(rejects)) == (len(BROKEN), 0, 0)
    ids = api.get(headers={"Accept-Encoding": "gzip"}).ids
    assert sum(id_.startswith("mended") for id_ in ids) == len(BROKEN)


def test_a_rejects_file_that_is_being_mended_is_left_alone(broken: Path) -> None:
    first = Path(load(broken, code=1)["rejects"])
    first.write_text("half mended")
    second = Path(load(broken, code=1)["rejects"])
    assert (first.read_text(), second.name) == ("half mended", "broken.json.rejects-2")


def test_pretty_records_can_be_mended_too(tmp_path: Path) -> None:
    path = tmp_path / "pretty.json"
    bad, good = conversation(id="bad", sent=1), conversation(id="good")
    del bad["userId"]
    path.write_text(json.dumps([bad, good, bad], indent=2))
    rejects = Path(load(path, code=1)["rejects"])
    assert "# line 2: userId is missing\n{\n" in rejects.read_text()
    assert counts(load(rejects, code=1)) == (0, 0, 2)
    rejects.write_text(rejects.read_text().replace('"pathwayId"', '"userId": "u", "pathwayId"'))
    assert counts(load(rejects)) == (1, 1, 0)


def test_a_rejects_file_loads_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text('{"_id": "1", "s": "raw\n# line 7: newline"}\n# line 8\n# line 9: x\n{}\n')
    assert counts(load(path, code=1)) == (0, 0, 5)
    rejects = Path(f"{path}.rejects")
    assert counts(load(rejects, code=1)) == (0, 0, 5)
    texts = [
        [line.strip() for line in file.read_text().splitlines() if not line.startswith("# line")]
        for file in (rejects, Path(f"{rejects}.rejects"))
    ]
    assert texts[0] == texts[1] == path.read_text().splitlines()


SPOKEN = (
    *("Thank you", "Größe", "Où ça ?", "¿Mañana?", "Não", "Łódź", "Čeština", "Türkçe ığüş"),
    *("Việt Nam", "Ελληνικά", "Кур’єр", "Српски", "שָׁלוֹם", "مرحبًا", "فارسی", "नमस्ते", "ไทย", "தமிழ்"),
    *(
        "日本語",
        "中文",
        "한국어",
        "ქართული",
        "👩🏽‍💻🇺🇦",
        "\u202eright to left\u202c",
        "a\u0000b",
        '\\"/\b\f\n\r\t',
    ),
    *("e\u0301 is not \u00e9", "\ufeff\u2028\u2029", "\U0010ffff", "</script>", "# line 1: x", ""),
)


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_every_script_survives_from_the_file_to_the_client(
    api: Api, tmp_path: Path, *, ensure_ascii: bool
) -> None:
    said = [{**MESSAGE, "message": text, text: {"nested": [text]}} for text in SPOKEN if text]
    whole = conversation(customer={"name": "".join(SPOKEN)}, messages=said, agentId=SPOKEN[-4])
    path = tmp_path / "spoken.json"
    path.write_text(json.dumps(whole, ensure_ascii=ensure_ascii), "utf-8")
    assert counts(load(path)) == (1, 0, 0)
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        assert api.get(headers=headers).json == [whole]


WORKSPACES = count()


@settings(max_examples=examples(15))
@given(st.lists(conversations, min_size=1, max_size=5, unique_by=lambda fields: fields["_id"]))
def test_loading_what_was_exported_gives_back_what_was_stored(given_: list[dict[str, Any]]) -> None:
    first, second = (f"workspace-{next(WORKSPACES)}" for _ in range(2))
    assert run("load", "-", "--plain", "--workspace", first, stdin=lines(*given_)).exit_code == 0
    exported = run("export", "--workspace", first).stdout_bytes
    assert exported.count(b"\n") == len(given_)
    assert run("load", "-", "--plain", "--workspace", second, stdin=exported).exit_code == 0
    again = run("export", "--workspace", second).stdout_bytes
    assert sorted(again.splitlines()) == sorted(exported.splitlines())


def test_plain_takes_extended_json_literally(api: Api, file: Callable[..., Path]) -> None:
    extra = {"$date": {"$numberLong": "1"}}
    load(file(conversation(messages=[{**MESSAGE, "x": extra}])), "--plain")
    assert api.get().json[0]["messages"][0]["x"] == extra
    exported = run("export", "--workspace", "demo")
    assert (
        "the export holds 1 conversation with field names that begin with $: load it with --plain."
        in exported.stderr
    )


def test_progress_in_a_log_is_a_line_from_time_to_time(
    file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.progress._LINE_SECONDS", 0)
    path = file(*islice(data.conversations(3), 3))
    told = run("load", path, "--workspace", "demo", "--dry-run").stderr.splitlines()
    assert len(told) == 3
    assert re.fullmatch(r".*conversations\.json: 3 records, [\d,]+/s, 100%", told[-1])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("nowhere.json", "--workspace", "demo"), "There is no file nowhere.json."),
        ((".", "--workspace", "demo"), ". is a folder."),
        (("-", "--workspace", "a b"), "a workspace id has 1 to 64 letters"),
        (("-", "--workspace", "demo", "--conversations-table", "None"), "There is no table None"),
        (("-", "--workspace", "demo", "--profile", "none"), "There is no such AWS profile"),
        (("-", "--workspace", "demo", "--stack", "none"), "There is no stack none"),
        (
            ("-", "--workspace", "demo", "--conversations-table", "ApiKeysTable"),
            "is it the right one?",
        ),
    ],
)
def test_misuse_is_an_error_and_a_hint(arguments: tuple[str, ...], complaint: str) -> None:
    result = run("load", *arguments, stdin="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert re.fullmatch(r"error: .*\n(hint: .*\n)?", result.stderr)


def test_without_a_table_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONVERSATIONS_TABLE")
    result = run("load", "-", "--workspace", "demo", stdin="")
    assert result.exit_code == 2
    assert "use --stack NAME or --conversations-table NAME, or set CONVERSATIONS_TABLE" in (
        result.stderr
    )


def test_a_file_that_is_no_text_or_damaged_gzip_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "dump.bson"
    path.write_bytes(b"\x16\x00\x00\x00\x02hello\x00")
    assert "bsondump" in load(path, code=1)["problem"]
    whole = gzip.compress(lines(*data.conversations(50)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    summary = load(path, code=1)
    assert "gzip data is damaged or cut off" in summary["problem"]
    assert summary["loaded"] > 0


def test_a_rejects_file_that_cannot_be_written_is_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.json"
    path.write_text("{}")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "some.json.rejects")

    monkeypatch.setattr(os, "open", refuse)
    summary = load(path, code=2)
    assert summary["problem"] == "some.json.rejects: Permission denied."


@pytest.mark.parametrize("content", ["", "\ufeff \n\n", "[]\n", gzip.compress(b"", mtime=0)])
def test_a_file_without_records_is_refused(content: str | bytes) -> None:
    summary = load("-", stdin=content, code=1)
    assert counts(summary) == (0, 0, 0)
    assert summary["problem"] == "It holds no records."


@pytest.mark.parametrize("rest", [b"\0\n" * 500, b"\x1f\x8b\x08" + b"\n\xd0\x01\x02" * 300])
def test_a_file_that_is_no_text_after_the_first_records_is_refused_not_rejected(
    tmp_path: Path, rest: bytes
) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(lines(DOCUMENTED, conversation(id="2")).encode() + rest)
    summary = load(path, code=1)
    assert counts(summary) == (2, 0, 1)
    assert summary["problem"] == "The rest cannot be read: it is not text from line 3 on."


def test_a_single_line_that_is_no_text_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    damaged = [f"{byte}{lines(conversation(id=id_))}" for byte, id_ in ("\0a", "\x1eb")]
    between = [lines(conversation(id=id_)) for id_ in "123"]
    path.write_text("".join([between[0], damaged[0], between[1], damaged[1], between[2]]))
    summary = load(path, code=1)
    assert (counts(summary), summary["problem"]) == ((3, 0, 2), None)
    again = load(f"{path}.rejects", code=1)
    assert (counts(again), again["problem"]) == ((0, 0, 2), None)


def test_standard_input_is_loaded_once() -> None:
    result = run("load", "-", "-", "--workspace", "demo", stdin=lines(DOCUMENTED))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Standard input can be loaded once only." in result.stderr


def test_a_full_disk_is_said_of_the_rejects_file(file: Callable[..., Path]) -> None:
    path = file(DOCUMENTED, {}, *[conversation(pathwayId=5)] * 20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    before_signal = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        summary = load(path, code=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, before_signal)
    missing = f"{path}.rejects: File too large; some rejected records are missing."
    assert summary["problem"] == missing


@pytest.mark.parametrize("ends", ["damaged", "strict"])
def test_a_store_that_fails_at_the_end_of_a_bad_file_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ends: str
) -> None:
    def put(_: StoredConversations, items: Any) -> Any:
        assert items
        raise StoreUnavailableError("ExpiredTokenException")

    monkeypatch.setattr(StoredConversations, "put", put)
    path = tmp_path / "some.json"
    good = [DOCUMENTED, conversation(id="2")]
    path.write_text(lines(*good, {}) if ends == "strict" else json.dumps(good)[:-1] + ", oh")
    summary = load(path, "--overwrite", *(["--strict"] if ends == "strict" else []), code=2)
    assert summary["loaded"] == 0
    assert "The AWS session has expired." in summary["problem"]
    assert summary["problem"].endswith("Run the same command again to continue.")


def test_the_three_commonest_reasons_are_shown(file: Callable[..., Path]) -> None:
    without = [{k: v for k, v in DOCUMENTED.items() if k != name} for name in DOCUMENTED][:4]
    bad_messages = conversation(messages=[MESSAGE] * 12 + [{}])
    path = file(*[without[0]] * 2, *[without[1]] * 3, *without[2:4], *[bad_messages] * 4)
    with path.open("a") as stream:
        stream.write('{"_id": 1\n{"_id": 12\n')
    result = run("load", path, "--workspace", "demo")
    assert result.exit_code == 1
    shown = re.findall(r"^ +(\d+)   (.*)$", result.stdout, re.MULTILINE)
    assert [count for count, _ in shown] == ["4", "3", "2"]
    assert shown[0][1].startswith("messages[…].direction is missing; ")
    assert shown[1][1] == "userId is missing"
    assert "and 3 other reasons\n" in result.stdout
    (summary,) = json.loads(run("load", path, "--workspace", "demo", "--json").stdout)["files"]
    assert sum(summary["reasons"].values()) == 13
    assert summary["reasons"]["not JSON: EOF while parsing an object at line … column …"] == 2


def test_reasons_keep_the_numbers_that_are_part_of_their_words(file: Callable[..., Path]) -> None:
    path = file(
        conversation(createdAt="2024-12-01"),
        conversation(updatedAt="0000-01-01T00:00:00Z"),
        conversation(messages=[{**MESSAGE, "message": "a" * 3_000_001}]),
        conversation(messages=[{**MESSAGE, "message": "a" * 3_000_002}]),
    )
    with path.open("ab") as stream:
        stream.write(b'{"_id": "M\xfcller"}\n')
    assert load(path, code=1)["reasons"] == {
        "createdAt must be an RFC 3339 timestamp with an offset": 1,
        "updatedAt must be a date that exists, from the year 0001 to 9999 in UTC": 1,
        "The conversation … takes … bytes of JSON; at most 3,000,000 fit a response.": 2,
        "not UTF-8, perhaps Latin-1 or Windows-1252, at line … column …": 1,
    }


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([0] * 50_000, "messages[…] should be an object"),
        ([{}] * 50_000, "messages[…].direction is missing; messages[…].sent is missing; "),
        ([{**MESSAGE, "x": [{"$numberDouble": "NaN"}] * 50_000}], "messages[…].x[…] should be a"),
        ([{**MESSAGE, **{f"x{n}": {"$numberDouble": "NaN"} for n in range(50_000)}}], ".x0 should"),
    ],
)
def test_validation_stops_at_the_first_wrong_element(
    file: Callable[..., Path], messages: list[object], reason: str
) -> None:
    path = file(conversation(messages=messages))
    with pytest.raises(ValidationError) as caught:
        Conversation.model_validate(plain(json.loads(path.read_text())))
    assert caught.value.error_count() <= len(MESSAGE)  # each error takes up to a kilobyte
    (given,) = load(path, code=1)["reasons"]
    assert reason in given


def test_a_single_record_is_not_called_records(file: Callable[..., Path]) -> None:
    assert ": 1 record in " in run("load", file(DOCUMENTED), "--workspace", "demo").stdout


# the lines of `export --all`


def addressed(workspace: object, **fields: Any) -> dict[str, Any]:
    return {"workspaceId": workspace, "conversation": conversation(**fields)}


def test_lines_that_name_their_workspaces_are_loaded_without_one(
    api: Api, file: Callable[..., Path]
) -> None:
    path = file(addressed("demo", id="1"), addressed("demo-busy", id="2"))
    result = run("load", path, "--json")
    assert counts(json.loads(result.stdout)["files"][0]) == (2, 0, 0)
    assert api.get().ids == ["1"]
    assert api.get(workspace="demo-busy").ids == ["2"]


def test_a_line_that_names_another_workspace_is_rejected(
    api: Api, file: Callable[..., Path]
) -> None:
    path = file(addressed("demo", id="1"), addressed("other", id="2"), conversation(id="3"))
    summary = load(path, code=1)
    assert counts(summary) == (2, 0, 1)
    assert summary["reasons"] == {
        "it belongs to a different workspace from the one in --workspace": 1
    }
    assert sorted(api.get().ids) == ["1", "3"]


def test_a_line_whose_workspace_is_malformed_is_rejected(file: Callable[..., Path]) -> None:
    broken = {"workspaceId": "demo", "conversation": [1]}
    path = file(addressed("a#b"), addressed(5), broken, addressed("demo"))
    (summary,) = json.loads(run("load", path, "--json").stdout)["files"]
    assert counts(summary) == (1, 0, 3)
    assert summary["reasons"] == {
        "workspaceId is malformed": 2,
        "conversation is not a JSON object": 1,
    }


def test_without_a_workspace_a_file_that_names_none_is_not_loaded(
    api: Api, file: Callable[..., Path]
) -> None:
    path = file(DOCUMENTED, DOCUMENTED)
    result = run("load", path, path)
    assert result.exit_code == 2
    told = "Line 1 names no workspace. Use --workspace ID, or correct that line."
    assert result.stderr.count(told) == 1  # the second file is not touched
    assert api.get().json == []
    result = run("load", file("", DOCUMENTED, DOCUMENTED), "--json")
    assert result.exit_code == 2
    (summary,) = json.loads(result.stdout)["files"]
    assert (counts(summary), summary["problem"]) == ((0, 0, 1), told.replace("1", "2"))


def test_without_a_workspace_a_line_among_others_that_names_none_is_rejected(
    api: Api, file: Callable[..., Path]
) -> None:
    path = file(addressed("demo", id="1"), {}, conversation(id="2"), addressed("demo", id="3"))
    (summary,) = json.loads(run("load", path, "--json").stdout)["files"]
    assert counts(summary) == (2, 0, 2)
    assert summary["reasons"] == {"names no workspace": 2}
    assert sorted(api.get().ids) == ["1", "3"]
