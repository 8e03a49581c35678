"""`conversations delete`: tombstones, purges, and which items are meant."""

import json
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from console.cli import app
from console.tables.api_keys import IssuedKeys
from console.tables.conversations import StoredConversations
from dev.local.demo import USER
from domain.errors import StoreUnavailableError
from domain.timestamp import now
from storage.conversations import ConversationTable
from tests.support.api import Api, conversation
from tests.support.tables import bury, put

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.usefixtures("dynamodb")
OF_THE_USER = ("--workspace", "demo", "--user", USER)
OLD, NEW = "2024-12-01T08:45:00Z", "2024-12-02T00:00:00Z"


def delete(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, ["delete", *arguments], input=stdin)


def done(*arguments: str) -> Any:
    result = delete(*OF_THE_USER, *arguments, "--yes", "--json")
    counts = json.loads(result.stdout)
    assert result.exit_code == (0 if any(counts.values()) else 3), result.output
    return counts


def refused(*arguments: str) -> str:
    result = delete(*arguments, "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


def stored(dynamodb: "DynamoDBClient") -> dict[str, bool]:
    """The ids of all items, and whether they are tombstones."""
    items = dynamodb.scan(TableName="ConversationsTable")["Items"]
    return {item["sk"]["S"].partition("#")[2]: "deletedAt" in item for item in items}


def test_delete_leaves_tombstones_which_clients_see_and_exports_leave_out(
    api: Api, table: ConversationTable
) -> None:
    put(table, *(conversation(id=id_, agentId="a") for id_ in "12"), conversation(id="3"))
    began = now()
    assert done("--id", "1", "--id", "2") == {"conversations": 2, "tombstones": 0}
    assert api.get().ids == ["3"]
    for tombstone in api.get(deleted="include", agentId="a", updatedAtGe=began).json:
        assert tombstone == {
            "_id": tombstone["_id"],
            "updatedAt": tombstone["deletedAt"],
            "deletedAt": tombstone["deletedAt"],
        }
        assert began <= tombstone["deletedAt"] <= now()
    assert api.get(deleted="include", sort="updatedAt").ids[0] == "3"
    for only in ([], ["--user", USER]):
        exported = CliRunner().invoke(app, ["export", "--workspace", "demo", *only])
        assert exported.exit_code == 0, exported.output
        assert [json.loads(line)["_id"] for line in exported.stdout.splitlines()] == ["3"]
    assert done() == {"conversations": 1, "tombstones": 0}
    assert done() == {"conversations": 0, "tombstones": 0}
    assert len(api.get(deleted="include").ids) == 3


def test_purge_leaves_nothing_and_says_that_copies_will_not_hear_of_it(
    table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, conversation(id="1"), conversation(id="2"))
    bury(table, conversation(id="3"), at=NEW)
    result = delete(*OF_THE_USER, "--purge", "--yes")
    assert "2 conversations and 1 tombstone of user" in result.stderr
    assert "will not notice" in result.stderr
    assert "Purged 2 conversations and 1 tombstone." in result.stdout
    assert stored(dynamodb) == {}
    assert "not hear" not in delete(*OF_THE_USER, "--yes").stderr


@pytest.fixture
def person(table: ConversationTable) -> None:
    """A user with conversations, tombstones and keys in two workspaces, beside another user."""
    for workspace in ("demo", "demo-busy"):
        put(
            table, conversation(id="1"), conversation(id="2", userId="another"), workspace=workspace
        )
    bury(table, conversation(id="3"), conversation(id="4", userId="another"), at=NEW)
    for user in (USER, USER, "another"):
        issue = ("keys", "issue", "--user", user, "--workspace", "demo")
        assert CliRunner().invoke(app, issue).exit_code == 0


def everything(dynamodb: "DynamoDBClient") -> str:
    """All items of both tables."""
    tables = ("ConversationsTable", "ApiKeysTable")
    return str([dynamodb.scan(TableName=table)["Items"] for table in tables])


ERASE = ("--user", USER, "--all-workspaces")


@pytest.mark.usefixtures("person")
def test_an_erased_person_leaves_nothing(dynamodb: "DynamoDBClient") -> None:
    declined = delete(*ERASE, stdin="n\n")
    assert declined.exit_code == 1
    for said in (
        *("1 read unit, ", "API key key_", "workspaces demo\n", "2 items in workspace demo\n"),
        *("1 item in workspace demo-busy\n", "will not notice"),
    ):
        assert said in declined.stderr
    before = everything(dynamodb)
    assert USER in before
    erased = delete(*ERASE, stdin="y\n")
    assert f"Erased 2 API keys and 3 items of user {USER}.\n" in erased.stdout
    assert USER not in everything(dynamodb)
    assert everything(dynamodb).count("'another'") == before.count("'another'") == 1
    assert everything(dynamodb).count("#another'") == before.count("#another'") == 3
    again = delete(*ERASE, "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (3, {"keys": 0, "items": 0})


def test_a_malformed_key_may_be_what_is_left_of_a_person(dynamodb: "DynamoDBClient") -> None:
    dynamodb.put_item(TableName="ApiKeysTable", Item={"keyHash": {"S": "a" * 64}})
    result = delete(*ERASE, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"keys": 0, "items": 0})
    assert "error: A malformed API key may be the user's." in result.stderr


def test_a_key_alone_is_something_to_erase() -> None:
    issue = ("keys", "issue", "--user", USER, "--workspace", "demo")
    assert CliRunner().invoke(app, issue).exit_code == 0
    result = delete(*ERASE, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"keys": 1, "items": 0})


@pytest.mark.usefixtures("person")
def test_erasing_removes_keys_first_and_what_is_written_meanwhile(
    table: ConversationTable, dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    purge = StoredConversations.purge
    keys_left = []

    def purge_late(self: StoredConversations, *arguments: Any) -> None:
        keys_left.append(dynamodb.scan(TableName="ApiKeysTable")["Items"])
        purge(self, *arguments)
        if len(keys_left) == 1:  # a writer that goes on
            put(table, conversation(id="late"))

    monkeypatch.setattr(StoredConversations, "purge", purge_late)
    assert delete(*ERASE, "--yes").exit_code == 0
    assert [[key["userId"]["S"] for key in keys] for keys in keys_left] == [["another"]] * 2
    assert USER not in everything(dynamodb)


MALFORMED = ("my workspace", "", " ", "a\nb\r\x00", "ü", "w" * 65)


def put_items(dynamodb: "DynamoDBClient", *keys: tuple[str, str], **attributes: str) -> None:
    for partition_key, sort_key in keys:
        item: Any = {"pk": {"S": partition_key}, "sk": {"S": sort_key}}
        item |= {name: {"S": value} for name, value in attributes.items()}
        dynamodb.put_item(TableName="ConversationsTable", Item=item)


@pytest.mark.usefixtures("person")
def test_items_with_malformed_keys_do_not_block_an_erasure(dynamodb: "DynamoDBClient") -> None:
    put_items(dynamodb, *((f"{workspace}#{USER}", "no instant") for workspace in MALFORMED))
    put_items(dynamodb, (f"my workspace#{USER}x", "of another"))
    erased = delete(*ERASE, "--yes")
    assert erased.exit_code == 0, erased.output
    assert f"Erased 2 API keys and {3 + len(MALFORMED)} items of user {USER}.\n" in erased.stdout
    assert f"#{USER}'" not in everything(dynamodb)
    assert "of another" in everything(dynamodb)


@pytest.mark.usefixtures("person")
def test_items_that_may_be_the_user_s_are_named_with_the_option_that_removes_them(
    dynamodb: "DynamoDBClient",
) -> None:
    unclear = [(USER, "x"), (f"a#{USER}#c", "it's\n"), (f"a#b#{USER}", "x")]
    put_items(dynamodb, *unclear, ("nohash", "x"), (f"{USER}#another", "2024#valid"))
    erased = delete(*ERASE, "--yes", "--json")
    assert (erased.exit_code, json.loads(erased.stdout)) == (1, {"keys": 2, "items": 3})
    named = [line for line in erased.stderr.splitlines() if "may be the user's" in line]
    assert len(named) == len(unclear)
    for line in named:
        arguments = shlex.split(line.partition("the user's: ")[2])
        assert delete("--purge", "--yes", *arguments).exit_code == 0
    assert delete(*ERASE, "--yes").exit_code == 3
    assert {item["pk"]["S"] for item in dynamodb.scan(TableName="ConversationsTable")["Items"]} == {
        *("nohash", f"{USER}#another", "demo#another", "demo-busy#another")
    }


@pytest.mark.usefixtures("person")
def test_whatever_fails_an_erasure_removes_the_rest_and_names_what_is_left(
    table: ConversationTable, dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    put(table, *(conversation(id=f"more {number}") for number in range(60)))
    stuck = f"demo#{USER}", "2024-12-01T08:45:00.000Z#more 31"
    purge, remove = StoredConversations.purge, IssuedKeys.delete
    (first_key, *_) = [
        key["keyId"]["S"]
        for key in dynamodb.scan(TableName="ApiKeysTable")["Items"]
        if key["userId"]["S"] == USER
    ]

    def fail_at_one(self: StoredConversations, items: Any, *patience: Any) -> None:
        if stuck in [item.key for item in items]:
            raise StoreUnavailableError("AccessDeniedException")
        purge(self, items, *patience)

    def fail_at_first(self: IssuedKeys, key_hash: str) -> None:
        if (key := self.find(key_hash)) and key.key_id == first_key:
            raise StoreUnavailableError("InternalServerError")
        remove(self, key_hash)

    monkeypatch.setattr(StoredConversations, "purge", fail_at_one)
    monkeypatch.setattr(IssuedKeys, "delete", fail_at_first)
    result = delete(*ERASE, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"keys": 1, "items": 62})
    assert f"Not removed: API key {first_key} (InternalServerError)." in result.stderr
    named = f"Not removed: --item '{json.dumps(stuck)}' (AccessDeniedException)."
    assert named in result.stderr
    assert "AWS denies access." in result.stderr
    items = dynamodb.scan(TableName="ConversationsTable")["Items"]
    assert [item["sk"]["S"] for item in items if USER in item["pk"]["S"]] == [stuck[1]]
    monkeypatch.undo()
    assert delete(*ERASE, "--yes").exit_code == 0
    assert USER not in everything(dynamodb)


@pytest.mark.usefixtures("person")
def test_an_erasure_that_cannot_look_again_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    scan = StoredConversations.scan
    calls = iter(range(9))

    def fail_later(self: StoredConversations, *arguments: Any) -> Any:
        if next(calls):
            raise StoreUnavailableError("ThrottlingException")
        return scan(self, *arguments)

    monkeypatch.setattr(StoredConversations, "scan", fail_later)
    result = delete(*ERASE, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (1, {"keys": 2, "items": 3})
    assert "Not removed: what may have been written meanwhile (Throttling" in result.stderr


@pytest.mark.parametrize(
    "key",
    [
        *(("#victim", "2024-12-01T08:45:00.000Z#1"), ("nohash", "x"), ("a#b#c", "x")),
        *(("demo#u", "no hash"), ("demo#u", "2024#a#b"), ("--yes", "-h"), ("it's", '"x" ')),
        *(("line\nbreak", "\x00\x1b[2J"), ("ü👍", " "), ("w#u", "2024-12-01T08:45:00.000Z#1")),
        ("p" * 2048, "s" * 1024),
    ],
)
def test_an_item_is_purged_by_its_literal_key(
    dynamodb: "DynamoDBClient", key: tuple[str, str]
) -> None:
    put_items(dynamodb, key, (f"{key[0][:-1]}!", key[1]), (key[0], f"{key[1][:-1]}!"))
    argument = ("--item", json.dumps(key))
    assert "--item needs --purge" in refused(*argument)
    assert "1 conversation by key" in delete("--purge", *argument, stdin="n\n").stderr
    assert len(stored_keys(dynamodb)) == 3
    purge = ("--purge", "--all-versions", "--yes", "--json", *argument)  # as for lines of `find`
    result = delete(*purge)
    assert (result.exit_code, json.loads(result.stdout)["conversations"]) == (0, 1), result.stderr
    assert key not in stored_keys(dynamodb)
    assert len(stored_keys(dynamodb)) == 2
    again = delete(*purge)
    assert (again.exit_code, "there is no item" in again.stderr) == (3, True)


def stored_keys(dynamodb: "DynamoDBClient") -> set[tuple[str, str]]:
    items = dynamodb.scan(TableName="ConversationsTable")["Items"]
    return {(item["pk"]["S"], item["sk"]["S"]) for item in items}


@pytest.mark.parametrize(
    "key",
    [
        *("nohash", '"ab"', '{"a":1,"b":2}', "[]", '["a"]', '["a",1]', '["","x"]', '["x",""]'),
        *('["a","b","c"]', '["\\ud800","x"]', "[" * 100_000, json.dumps(["x" * 2049, "x"])),
        json.dumps(["x", "ü" * 513]),
    ],
)
def test_what_no_item_has_as_its_key_is_refused(key: str) -> None:
    assert "an item's key is a JSON array of two texts" in refused("--purge", "--item", key)


def test_purging_tombstones_spares_conversations(
    table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, conversation(id="1"))
    bury(table, conversation(id="2"), conversation(id="3", userId="another"), at=NEW)
    result = delete(*OF_THE_USER, "--purge", "--tombstones", "--yes")
    assert "Purged 1 tombstone." in result.stdout
    assert stored(dynamodb) == {"1": False, "3": True}


def test_all_tombstones_of_the_table_go_after_the_cost_is_told(
    table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, conversation(id="1"), conversation(id="2", userId="another"))
    dead = [conversation(id=f"t{number}", userId=f"u{number % 7}") for number in range(40)]
    bury(table, *dead, at=NEW)
    command = ("--purge", "--tombstones")
    declined = delete(*command, stdin="n\n")
    assert declined.exit_code == 1
    assert "about 42 items (DynamoDB's count, " in declined.stderr
    assert ", 1 read unit, less than 0.01 USD" in declined.stderr
    assert len(stored(dynamodb)) == 42
    assert "Purged 40 tombstones.\n" in delete(*command, stdin="y\n").stdout
    assert stored(dynamodb) == {"1": False, "2": False}
    again = delete(*command, "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (3, {"tombstones": 0})


def test_ctrl_c_at_the_question_deletes_nothing(
    table: ConversationTable, dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object, **_options: object) -> bool:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise typer.Abort from None  # as typer does

    put(table, conversation(id="1"))
    monkeypatch.setattr(typer, "confirm", interrupted)
    assert delete(*OF_THE_USER).exit_code == 130
    assert stored(dynamodb) == {"1": False}


@pytest.fixture
def corrected(table: ConversationTable) -> None:
    """A conversation whose `createdAt` was corrected, and another."""
    put(table, conversation(id="1", createdAt=OLD), conversation(id="1", createdAt=NEW))
    put(table, conversation(id="2"))


@pytest.mark.usefixtures("corrected")
def test_of_several_items_with_an_id_the_old_one_is_purged_by_its_time(api: Api) -> None:
    complaint = refused(*OF_THE_USER, "--id", "1")
    assert f"1, created {OLD[:-1]}.000Z\n1, created {NEW[:-1]}.000Z\n" in complaint
    assert "--all-versions" in complaint
    assert "add --purge" in refused(*OF_THE_USER, "--id", "1", "--created-at", OLD)
    assert len(api.get(deleted="include").ids) == 3
    offset = "2024-12-01T10:45:00+02:00"  # the same instant
    assert done("--id", "1", "--created-at", offset, "--purge")["conversations"] == 1
    assert [listed["createdAt"] for listed in api.get(deleted="include").json] == [NEW, OLD]
    assert api.get(deleted="include").ids == ["1", "2"]
    assert done("--id", "1", "--created-at", NEW)["conversations"] == 1


@pytest.mark.usefixtures("corrected")
def test_all_versions_of_an_id_go_when_told(api: Api) -> None:
    assert "Which of them?" in refused(*OF_THE_USER, "--id", "1", "--purge")
    assert done("--id", "1", "--all-versions")["conversations"] == 2
    assert api.get().ids == ["2"]
    assert api.get(deleted="include").ids == ["1", "2", "1"]
    assert "Which of them?" in refused(*OF_THE_USER, "--id", "1", "--purge")
    assert done("--id", "1", "--all-versions", "--purge")["tombstones"] == 2
    assert api.get(deleted="include").ids == ["2"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--tombstones",), "--tombstones requires --purge"),
        *(
            (arguments, "use --workspace ID and --user ID")
            for arguments in (
                *((), ("--purge",), ("--purge", "--tombstones", "--workspace", "demo")),
                *(
                    ("--purge", "--tombstones", "--user", "u"),
                    ("--purge", "--tombstones", "--id", "1"),
                ),
            )
        ),
        *(
            (("--all-workspaces", *arguments), "--all-workspaces needs --user, and no other")
            for arguments in (
                ("--item", '["w","s"]', *OF_THE_USER[2:]),
                (),
                OF_THE_USER,
                (*OF_THE_USER[2:], "--id", "1"),
                ("--purge",),
            )
        ),
        *(
            (("--item", '["w","s"]', *arguments), "--item needs --purge, and no other")
            for arguments in (
                *((), OF_THE_USER, ("--purge", *OF_THE_USER), ("--purge", "--id", "1")),
                ("--purge", "--tombstones"),
            )
        ),
        *(
            ((*which, *versions), "--created-at and --all-versions need --id")
            for which in (OF_THE_USER, ("--purge", "--tombstones"), ERASE)
            for versions in (("--created-at", OLD), ("--all-versions",))
        ),
        ((*OF_THE_USER, "--id", "1", "--id", "2", "--created-at", OLD), "needs exactly one --id"),
        ((*OF_THE_USER, "--id", "1", "--created-at", "2024-12-01"), "is not a timestamp"),
        (
            (*OF_THE_USER, "--id", "1", "--created-at", OLD, "--all-versions"),
            "be combined with --all-",
        ),
    ],
)
def test_a_mistake_is_explained_and_deletes_nothing(
    table: ConversationTable, api: Api, arguments: tuple[str, ...], complaint: str
) -> None:
    put(table, conversation(id="1"))
    assert complaint in refused(*arguments)
    assert api.get().ids == ["1"]


def test_a_damaged_conversation_is_deleted_too_and_one_without_a_later_instant_by_purge(
    dynamodb: "DynamoDBClient", api: Api
) -> None:
    keys = {"pk": {"S": f"demo#{USER}"}, "sk": {"S": "2024-12-01T08:45:00.000Z#x"}}
    damaged = {"updatedKey": {"S": "2024-12-01T08:45:00.000Z#x"}, "document": {"S": "{"}}
    dynamodb.put_item(TableName="ConversationsTable", Item={**keys, **damaged})
    done()
    assert (api.get().ids, api.get(deleted="include").ids) == ([], ["x"])
    for key in ("no instant", "9999-12-31T23:59:59.999Z#x"):
        late = {**damaged, "updatedKey": {"S": key}}
        dynamodb.put_item(TableName="ConversationsTable", Item={**keys, **late})
        assert "--purge" in refused(*OF_THE_USER)
    done("--purge")
    assert api.get(deleted="include").ids == []
