"""The console's export, delete, get and keys."""

import json
import re
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from typer.testing import CliRunner, Result

from console import keys
from console.cli import app
from console.tables.api_keys import IssuedKeys
from dev.local.demo import DOCUMENTED, USER
from domain.api_key import generate, hash_of
from domain.errors import StoreError, StoreUnavailableError
from domain.timestamp import spell
from handlers import authorize
from storage.api_keys import ApiKeyTable
from storage.conversations import ConversationTable
from tests.support.api import conversation
from tests.support.tables import put

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.usefixtures("dynamodb")
OTHER_USER = "another"


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def done(*arguments: str) -> Any:
    """What a command says in JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str, stdin: str | None = None, code: int = 2) -> str:
    """The error and the hint of a command that was used wrongly, or that found nothing."""
    result = run(*arguments, stdin=stdin)
    assert (result.exit_code, result.stdout.strip()) == (code, "")
    assert re.search(r"^error: .*$(\nhint: .*)?\n\Z", result.stderr, re.MULTILINE)
    return result.stderr


def exported(*arguments: str) -> list[Any]:
    result = run("export", "--workspace", "demo", *arguments)
    assert result.exit_code == (0 if result.stdout else 3), result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def caller(key: str) -> set[str] | None:
    """The workspaces that the authorizer lets a key read."""
    found = authorize.identify({"x-api-key": key})
    return None if found is None else set(found.workspace_ids)


# export


def test_export_writes_a_workspace_or_one_of_its_users(table: ConversationTable) -> None:
    mine = [conversation(id=str(number)) for number in range(3)]
    others = conversation(userId=OTHER_USER)
    put(table, *mine, others)
    put(table, DOCUMENTED, workspace="demo-busy")
    put(table, DOCUMENTED, workspace="dem")
    assert sorted(exported(), key=str) == sorted([*mine, others], key=str)
    assert exported("--user", USER) == mine
    assert "Exported 1 conversation.\n" in run("export", "--workspace", "dem").stderr


def test_export_goes_on_after_a_damaged_conversation_and_names_it(
    table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, DOCUMENTED)
    keys = {"pk": {"S": "demo#u"}, "sk": {"S": "2024-12-01T08:45:00.000Z#bad"}}
    dynamodb.put_item(TableName="ConversationsTable", Item={**keys, "document": {"S": "SECRET"}})
    result = run("export", "--workspace", "demo")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == DOCUMENTED
    assert "demo#u" in result.stderr
    assert "SECRET" not in result.stderr


# delete


def test_delete_says_what_asks_and_deletes(table: ConversationTable) -> None:
    put(table, DOCUMENTED, conversation(id="2", createdAt="2024-12-31T08:45:00Z"))
    put(table, conversation(userId=OTHER_USER))
    command = ("delete", "--workspace", "demo", "--user", USER)
    result = run(*command, stdin="n\n")
    assert result.exit_code == 1
    said = f"2 conversations of user {USER} in workspace demo, created from 2024-12-01 to"
    assert said in result.stderr
    assert "Nothing was deleted." in result.stderr
    assert "--yes" in refused(*command, stdin="")
    assert len(exported()) == 3
    assert "Deleted 2 conversations" in run(*command, stdin="y\n").stdout
    assert exported() == [conversation(userId=OTHER_USER)]
    again = run(*command, "--yes", "--json")
    assert (again.exit_code, json.loads(again.stdout)) == (3, {"conversations": 0, "tombstones": 0})


def test_delete_takes_single_conversations(table: ConversationTable) -> None:
    put(table, *(conversation(id=id_) for id_ in ("1", "2", "11")))
    command = ("delete", "--workspace", "demo", "--user", USER, "--id", "1", "--id", "3")
    result = run(*command, "--yes")
    assert "Deleted 1 conversation." in result.stdout
    assert "there is no conversation 3." in result.stderr
    assert {record["_id"] for record in exported()} == {"2", "11"}


# get


def test_get_shows_what_the_endpoint_answers(table: ConversationTable) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    command = ("get", "--workspace", "demo", "--user", USER)
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert [record["_id"] for record in json.loads(result.stdout)] == ["2", "1", "0"]
    assert '\n    "_id": "2",\n' in result.stdout
    page = run(*command, "limit=2", "sort=createdAt")
    assert [record["_id"] for record in json.loads(page.stdout)] == ["0", "1"]
    more = re.fullmatch(r"More follow: add (cursor=\S+)\n", page.stderr)
    assert more
    rest = run(*command, "limit=2", "sort=createdAt", more[1])
    assert [record["_id"] for record in json.loads(rest.stdout)] == ["2"]


def test_get_shows_the_endpoint_s_errors() -> None:
    result = run("get", "--workspace", "demo", "--user", "u", "limit=0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: 400: The query parameter limit")
    assert "such as limit=10" in refused("get", "--workspace", "demo", "--user", "u", "limit")
    assert "'--user': a user id has" in refused("get", "--workspace", "demo", "--user", "a#b")


# keys


def test_an_issued_key_is_shown_once_and_works() -> None:
    result = run("keys", "issue", "--user", "u", "--workspace", "demo", "--workspace", "demo-busy")
    key = result.stdout.splitlines()[0]
    assert caller(key) == {"demo", "demo-busy"}
    assert f"-H 'x-api-key: {key}' -H 'x-workspace-id: demo'" in result.stdout
    for listed in (run("keys", "list"), run("keys", "list", "--json")):
        assert key not in listed.stdout
        assert re.search(r"key_[0-9a-f]{12}\b", listed.stdout)


def test_keys_are_listed_of_one_user_or_all() -> None:
    for user in ("b", "a", "b"):
        done("keys", "issue", "--user", user, "--workspace", "demo")
    assert [key["userId"] for key in done("keys", "list")] == ["a", "b", "b"]
    assert [key["userId"] for key in done("keys", "list", "--user", "b")] == ["b", "b"]


@pytest.mark.parametrize(
    ("given", "instant"),
    [
        ("2100-01-31", "2100-01-31T00:00:00.000Z"),
        ("2100-01-31T01:00:00+01:00", "2100-01-31T00:00:00.000Z"),
    ],
)
def test_a_key_ends_when_it_was_said_to(given: str, instant: str) -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo", "--expires", given)
    assert issued["expiresAt"] == instant
    assert issued["active"]


def test_a_grant_adds_workspaces() -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo")
    granted = done("keys", "grant", issued["keyId"], "--workspace", "demo-busy", "--workspace", "c")
    assert granted["workspaceIds"] == ["c", "demo", "demo-busy"]
    assert caller(issued["key"]) == {"demo", "demo-busy", "c"}


def test_a_revoked_key_ends_at_once_and_for_good() -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo")
    revoked = done("keys", "revoke", issued["keyId"])
    assert caller(issued["key"]) is None
    assert done("keys", "revoke", issued["keyId"])["revokedAt"] == revoked["revokedAt"]
    for command in ("rotate",), ("grant", "--workspace", "demo-busy"):
        assert "has ended already" in refused("keys", *command, issued["keyId"])
    assert caller(issued["key"]) is None


def test_a_leaked_key_is_revoked_by_itself_and_never_repeated() -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo")
    result = run("keys", "revoke", issued["key"])
    assert result.stdout.startswith(f"{issued['keyId']}: user u, workspaces demo, revoked ")
    assert caller(issued["key"]) is None
    unknown = generate()
    complaint = refused("keys", "revoke", unknown, code=3)
    assert "No such key was issued here" in complaint
    assert "tk_" not in result.output + complaint


def test_a_rotated_key_works_beside_the_new_one_for_the_overlap() -> None:
    command = ("keys", "issue", "--user", "u", "--workspace", "demo", "--workspace", "demo-busy")
    old = done(*command)
    before = datetime.now(UTC)
    new = done("keys", "rotate", old["keyId"], "--overlap", "7d")
    after = datetime.now(UTC)
    assert caller(old["key"]) == caller(new["key"]) == {"demo", "demo-busy"}
    (ends,) = (key["expiresAt"] for key in done("keys", "list") if key["keyId"] == old["keyId"])
    earliest, latest = (spell(moment + timedelta(days=7)) for moment in (before, after))
    assert earliest <= ends <= latest
    newest = done("keys", "rotate", new["keyId"], "--overlap", "0m")
    assert caller(new["key"]) is None
    assert caller(newest["key"]) == {"demo", "demo-busy"}


def expiring(hours: int) -> Any:
    """A key that ends in some hours."""
    ends = spell(datetime.now(UTC) + timedelta(hours=hours))
    return done("keys", "issue", "--user", "u", "--workspace", "demo", "--expires", ends)


def test_a_rotation_shows_the_new_key_before_the_old_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def expire(*_: object) -> None:
        raise StoreUnavailableError("ExpiredTokenException")

    old = done("keys", "issue", "--user", "u", "--workspace", "demo")
    with monkeypatch.context() as failing:
        failing.setattr(IssuedKeys, "expire", expire)
        result = run("keys", "rotate", old["keyId"], "--json")
    assert result.exit_code == 2
    assert caller(json.loads(result.stdout)["key"]) == caller(old["key"]) == {"demo"}


def test_a_key_that_cannot_be_shown_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    old = done("keys", "issue", "--user", "u", "--workspace", "demo")

    def print_json(_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr("console.keys.print_json", print_json)
        named = dict.fromkeys(("stack", "conversations_table", "profile", "region"))
        options = {"overlap": "0m", "as_json": True, "api_keys_table": "ApiKeysTable"}
        with pytest.raises(OSError, match="No space"):
            keys.rotate(key_id=old["keyId"], **options, **named)
    listed = done("keys", "list")
    assert [key["keyId"] for key in listed if key["active"]] == [old["keyId"]]
    assert caller(old["key"]) == {"demo"}


def test_a_rotation_never_lengthens_the_life_of_the_old_key() -> None:
    old = expiring(hours=1)
    rotated = run("keys", "rotate", old["keyId"], "--expires", "2100-01-31")
    assert f"{old['keyId']} works until {old['expiresAt']}." in rotated.stdout


def test_the_new_key_ends_when_the_old_one_would_have_unless_told_otherwise() -> None:
    old = expiring(hours=48)
    new = done("keys", "rotate", old["keyId"])
    assert new["expiresAt"] == old["expiresAt"]
    newer = done("keys", "rotate", new["keyId"], "--expires", "2100-01-31")
    assert newer["expiresAt"] == "2100-01-31T00:00:00.000Z"
    told = run("keys", "rotate", newer["keyId"]).stdout
    assert "The new key ends when the old one would have: 2100-01-31T00:00:00.000Z." in told
    forever = done("keys", "issue", "--user", "u", "--workspace", "demo")
    assert done("keys", "rotate", forever["keyId"])["expiresAt"] is None


def test_a_new_key_that_would_end_with_the_old_one_is_not_issued() -> None:
    old = expiring(hours=1)
    complaint = refused("keys", "rotate", old["keyId"])
    assert old["expiresAt"] in complaint
    assert "--expires" in complaint
    assert done("keys", "list") == [{name: old[name] for name in old if name != "key"}]


@pytest.fixture
def damaged(dynamodb: "DynamoDBClient") -> str:
    """The hash of a key whose item is malformed, and comes first in a scan."""
    hash_ = hash_of(generate())
    item = {"keyHash": {"S": hash_}, "userId": {"S": "SECRET"}, "keyId": {"S": "key_damaged"}}
    dynamodb.put_item(TableName="ApiKeysTable", Item=item)
    return hash_


def test_a_malformed_key_item_is_named_and_skipped(damaged: str) -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo")
    rotated = done("keys", "rotate", issued["keyId"])
    for command in ("list",), ("grant", rotated["keyId"], "--workspace", "c"):
        result = run("keys", *command)
        assert result.exit_code == 0, result.output
        assert rotated["keyId"] in result.stdout
        assert f"keyHash {damaged[:8]}…" in result.stderr
        assert damaged[:9] not in result.output
        assert "SECRET" not in result.output
    assert done("keys", "revoke", rotated["keyId"])["revokedAt"]
    assert len(done("keys", "list")) == 2
    assert "There is no key key_none" in refused("keys", "revoke", "key_none", code=3)
    delete = ("delete", "--user", "u", "--all-workspaces", "--yes")
    assert damaged[:8] in run(*delete).stderr
    assert run("keys", "list").exit_code == 3


def test_an_item_whose_hash_is_none_is_not_named_by_it(dynamodb: "DynamoDBClient") -> None:
    key = generate()  # put there as it is, by mistake
    dynamodb.put_item(TableName="ApiKeysTable", Item={"keyHash": {"S": key}})
    result = run("keys", "list")
    assert "malformed" in result.stderr
    assert key[:8] not in result.output


def test_a_malformed_key_that_is_named_by_itself_is_explained(dynamodb: "DynamoDBClient") -> None:
    key = generate()
    dynamodb.put_item(TableName="ApiKeysTable", Item={"keyHash": {"S": hash_of(key)}})
    complaint = refused("keys", "revoke", key)
    assert "does not work" in complaint
    assert "Try again" not in complaint


class Recorded:
    """A DynamoDB client that notes of each GetItem whether it is consistent."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.consistent: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_item(self, **request: Any) -> Any:
        self.consistent.append(request.get("ConsistentRead", False))
        return self._client.get_item(**request)


def test_the_console_alone_reads_a_key_consistently(
    dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: Any = Recorded(dynamodb)
    monkeypatch.setattr("console.tables.aws.client", lambda *_, **__: recorded)
    monkeypatch.setattr(authorize, "table", lambda: ApiKeyTable(recorded, "ApiKeysTable"))
    issued = done("keys", "issue", "--user", "u", "--workspace", "demo")
    assert caller(issued["key"]) == {"demo"}
    assert recorded.consistent[-1:] == [False]
    recorded.consistent.clear()
    done("keys", "revoke", issued["key"])
    assert recorded.consistent == [True]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("issue", "--user", "a#b", "--workspace", "w"), "'--user': a user id has"),
        (("issue", "--user", "u", "--workspace", "a b"), "'--workspace': a workspace id has"),
        (("issue", "--user", "u", "--workspace", "w", "--expires", "soon"), "use 2030-01-31"),
        (("issue", "--user", "u", "--workspace", "w", "--expires", "2024-02-30"), "use 2030-01-31"),
        (("issue", "--user", "u", "--workspace", "w", "--expires", "2020-01-01"), "in the past"),
        (("grant", "key_none", "--workspace", "a b"), "'--workspace': a workspace id has"),
        (("rotate", "key_none", "--overlap", "soon"), "a number and a unit"),
        ((), "Missing command"),
    ],
)
def test_a_mistake_with_keys_is_explained(arguments: tuple[str, ...], complaint: str) -> None:
    assert complaint in refused("keys", *arguments)


def test_ungranted_workspaces_are_no_longer_read_and_one_stays() -> None:
    where = [word for name in "abc" for word in ("--workspace", name)]
    issued = done("keys", "issue", "--user", "u", *where)
    some = ("--workspace", "b", "--workspace", "never")
    assert done("keys", "ungrant", issued["keyId"], *some)["workspaceIds"] == ["a", "c"]
    assert caller(issued["key"]) == {"a", "c"}
    assert "grants none" in refused("keys", "ungrant", issued["keyId"], *some, code=3)
    assert "keys revoke" in refused("keys", "ungrant", issued["keyId"], *where)
    assert caller(issued["key"]) == {"a", "c"}


def test_of_two_operators_who_ungrant_at_once_the_second_leaves_a_workspace(
    keys: IssuedKeys,
) -> None:
    issued = done("keys", "issue", "--user", "u", "--workspace", "a", "--workspace", "b")
    keys.ungrant(hash_of(issued["key"]), frozenset("a"))
    with pytest.raises(StoreError):
        keys.ungrant(hash_of(issued["key"]), frozenset("b"))
    assert caller(issued["key"]) == {"b"}


def test_a_key_for_a_workspace_that_holds_nothing_of_its_user_is_issued_with_a_warning(
    table: ConversationTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(table, DOCUMENTED)
    issue = ("keys", "issue", "--user", USER, "--workspace", "demo")
    assert run(*issue).stderr == ""
    warned = run(*issue, "--workspace", "dmeo", "--json")
    assert f"workspace dmeo holds no conversation of user {USER}" in warned.stderr
    key_id = json.loads(warned.stdout)["keyId"]
    granted = run("keys", "grant", key_id, "--workspace", "domo")
    assert "warning: workspace domo holds no" in granted.stderr
    monkeypatch.delenv("CONVERSATIONS_TABLE")  # of whoever manages keys only
    assert run(*issue, "--workspace", "dmeo").stderr == ""


def test_keys_are_listed_in_colour_with_their_states_and_none_in_a_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    none, as_json = run("keys", "list"), run("keys", "list", "--user", "u", "--json")
    assert (none.stdout, none.stderr, none.exit_code) == ("", "There are no keys.\n", 3)
    assert as_json.stderr == "There are no keys of user u.\n"
    assert (as_json.stdout, as_json.exit_code) == ("[]\n", 3)
    issue = ("keys", "issue", "--user", "u", "--workspace", "a")
    done(*issue)
    done("keys", "revoke", done(*issue)["keyId"])
    done("keys", "rotate", done(*issue, "--expires", "2100-01-31")["keyId"], "--overlap", "0m")
    assert "\x1b" not in CliRunner().invoke(app, ["keys", "list"], color=True).stdout
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)
    shown = CliRunner().invoke(app, ["keys", "list"], color=True).stdout
    colours = {"never expires": 32, "expires 2100": 32, "revoked ": 31, "expired ": 33}
    for state, colour in colours.items():
        assert re.search(rf"^\x1b\[{colour}mkey_\w+  [\d-]+  {state}", shown, re.MULTILINE)
    plain = CliRunner().invoke(app, ["keys", "list"], color=True, env={"NO_COLOR": "1"})
    assert "\x1b" not in plain.stdout


# where the tables are


def test_a_stack_names_its_tables_and_address(
    table: ConversationTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONVERSATIONS_TABLE")
    monkeypatch.delenv("API_KEYS_TABLE")
    outputs = {
        "ConversationsTableName": "ConversationsTable",
        "ApiKeysTableName": "ApiKeysTable",
        "ConversationsUrl": "https://example.com/prod/v1/api/conversations",
    }
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="prod", TemplateBody=json.dumps(template))
    del template["Outputs"]
    cloudformation.create_stack(StackName="other", TemplateBody=json.dumps(template))
    put(table, DOCUMENTED)
    assert exported("--stack", "prod") == [DOCUMENTED]
    issue = ("keys", "issue", "--user", "u", "--workspace", "demo", "--stack")
    assert f"curl -sS {outputs['ConversationsUrl']} -H" in run(*issue, "prod").stdout
    assert "has no output ApiKeysTableName" in refused(*issue, "other")
    # In the terminal of the local tables, nothing is loaded there in place of the stack's.
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    assert "unset AWS_ENDPOINT_URL_DYNAMODB" in refused(*issue, "prod")


def test_a_table_that_does_not_exist_is_named_with_its_account_and_region() -> None:
    there = "in account 123456789012, region us-east-1"
    export = ("export", "--workspace", "demo", "--conversations-table", "nowhere")
    assert f"There is no table nowhere {there}" in refused(*export)
    list_keys = ("keys", "list", "--api-keys-table", "no-keys")
    assert f"There is no table no-keys {there}" in refused(*list_keys)
    assert f"There is no stack gone {there}" in refused("keys", "list", "--stack", "gone")


def test_where_sts_does_not_answer_a_missing_table_is_named_with_its_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    complaint = refused("keys", "list", "--api-keys-table", "no-keys", "--region", "eu-west-1")
    assert "There is no table no-keys in region eu-west-1." in complaint


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"])
def test_where_nothing_listens_the_variable_and_its_address_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setattr("console.tables.reading._REACH_SECONDS", 0.1)
    for address in ("http://127.0.0.1:9", "127.0.0.1:9"):  # the latter is malformed
        monkeypatch.setenv(variable, address)
        for command in ("export", "--workspace", "demo"), ("keys", "list"):
            complaint = refused(*command)
            assert f"DynamoDB cannot be reached at {address}." in complaint
            assert f"hint: {variable} names this address" in complaint
            assert "AWS" not in complaint.replace(variable, "")


COMMANDS = (
    *(("load",), ("export",), ("delete",), ("get",), ("keys",)),
    *(("keys", name) for name in ("issue", "list", "grant", "ungrant", "revoke", "rotate")),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_where_its_tables_are(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "120"}).stdout
    assert command == ("keys",) or all(
        option in shown
        for option in ("--stack", "--conversations-table", "--api-keys-table", "--profile")
    )


def test_help_leads_from_a_file_of_mongodb_to_a_curl_line() -> None:
    assert "load" in run("--help").stdout
    shown = CliRunner().invoke(app, ["load", "--help"], env={"COLUMNS": "120"}).stdout
    steps = ("mongoexport --uri", "conversations load", "conversations keys issue", "curl line")
    places = [shown.index(step) for step in steps]
    assert places == sorted(places)


def test_the_export_line_of_serve_leads_every_command_to_its_tables(tmp_path: Path) -> None:
    console = str(Path(sys.executable).with_name("conversations"))
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(DOCUMENTED))
    server = subprocess.Popen(
        [sys.executable, "-m", "dev", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert server.stdout
        said = b""
        while b"Ctrl-C" not in said:
            said += (read := server.stdout.readline())
            assert read, said  # else it has ended
        line = re.search(r"^ +(export .*)$", said.decode(), re.MULTILINE)
        url = re.search(r"^API +(\S+)$", said.decode(), re.MULTILINE)
        assert line
        assert url
        where = f"--workspace demo-mine --user {USER}"
        erase = f"--user {USER} --all-workspaces"
        issue = f"{console} keys issue {where} --json"
        commands = (
            *(line[1], f"{console} load {shlex.quote(str(file))} --workspace demo-mine >&2"),
            *(f"{console} get {where} >&2", f"{console} export --workspace demo-mine >&2"),
            *(issue, f"{console} keys list >&2"),
        )
        shell = ("/bin/sh", "-ec", "\n".join(commands))
        result = subprocess.run(
            shell, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        headers = {"x-api-key": json.loads(result.stdout)["key"], "x-workspace-id": "demo-mine"}
        assert httpx.get(url[1], headers=headers, timeout=30).json() == [DOCUMENTED]
        subprocess.run(
            ("/bin/sh", "-ec", f"{line[1]}\n{console} delete {erase} --yes"),
            check=True,
            capture_output=True,
        )
        assert httpx.get(url[1], headers=headers, timeout=30).status_code == 401
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate()
