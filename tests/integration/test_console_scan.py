"""The console's commands that read the whole table: export, users, workspaces, find."""

import json
import re
import shlex
import subprocess
import sys
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from console.cli import app
from console.tables.conversations import StoredConversations
from dev.local.demo import USER
from storage.conversations import ConversationTable
from tests.support.api import conversation
from tests.support.tables import bury, put

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.usefixtures("dynamodb")
OTHER_USER = "it's another"


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=stdin)


def listed(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def stored(table: ConversationTable) -> None:
    """Two users in two workspaces."""
    put(table, *(conversation(id=f"mine-{number}") for number in range(3)))
    bury(table, conversation(id="other", userId=OTHER_USER), at="2024-12-02T00:00:00Z")
    put(table, conversation(id="busy"), workspace="demo-busy")


def damage(dynamodb: "DynamoDBClient") -> None:
    keys = {"pk": {"S": "demo#u"}, "sk": {"S": "2024-12-01T08:45:00.000Z#bad"}}
    dynamodb.put_item(TableName="ConversationsTable", Item={**keys, "document": {"S": "SECRET"}})


@pytest.mark.usefixtures("stored")
def test_users_and_workspaces_are_counted() -> None:
    names = ("userId", "workspaces", "conversations", "tombstones")
    rows = [(USER, 2, 4, 0), (OTHER_USER, 1, 0, 1)]
    assert listed("users") == [dict(zip(names, row, strict=True)) for row in rows]
    names = ("workspaceId", "users", "conversations", "tombstones")
    rows = [("demo", 2, 3, 1), ("demo-busy", 1, 1, 0)]
    assert listed("workspaces") == [dict(zip(names, row, strict=True)) for row in rows]
    shown = [line.split() for line in run("workspaces").stdout.splitlines()]
    assert shown == [[*names], *([str(value) for value in row] for row in rows)]


def test_an_empty_table_is_nothing_to_count() -> None:
    for command in ("users", "workspaces"):
        result = run(command)
        assert (result.exit_code, result.stdout) == (3, "")
        assert "error: The table is empty." in result.stderr


# find


@pytest.fixture
def customers(table: ConversationTable) -> None:
    contacts = (
        {"email": "Me@Example.com"},
        {"phone": "+49 (151) 23-45"},
        {"email": "other@example.com", "phone": "+15550101"},
        {"name": "me@example.com"},
        {"email": "jos\u00e9@example.com", "phone": "\u0660\u0661\u0662"},
        {"email": "x2@example.com"},
        {"email": "x\u00b2@example.com"},  # another address
        {"email": "gro\u00df@example.com", "name": "Gro\u00df"},
        {"email": "gross@example.com", "name": "Gross", "phone": "+1 555 0199"},
        {"phone": "+49 31 123 (home)", "name": "Jo"},
        {"email": "4931123@example.com"},
        {"phone": "4931123 @work"},
        {"phone": "+49 31 124 (home)"},
    )
    for number, contact in enumerate(contacts):
        put(table, conversation(id=f"id {number}", customer=contact))
    put(
        table,
        conversation(id="far", userId=OTHER_USER, customer={"email": "me@example.com"}),
        workspace="w",
    )


@pytest.mark.usefixtures("customers")
@pytest.mark.parametrize(
    ("customer", "ids"),
    [
        ("me@example.COM", {"id 0", "far"}),
        ("+491512345", {"id 1"}),
        ("+49 151 2345", {"id 1"}),
        ("+1 555 0101", {"id 2"}),
        ("jose\u0301@example.com", {"id 4"}),
        ("012", {"id 4"}),
        ("x2@example.com", {"id 5"}),
        ("GROSS@example.com", {"id 8"}),
        ("gro\u00df@example.com", {"id 7"}),
    ],
)
def test_a_customer_is_found_by_address_or_number(customer: str, ids: set[str]) -> None:
    found = listed("find", "--customer", customer)
    assert {row["_id"] for row in found} == ids
    shown = run("find", "--customer", customer)
    assert all(id_ in shown.stdout for id_ in ids)
    assert f"Found {len(ids)} conversation" in shown.stderr


@pytest.mark.usefixtures("customers")
def test_a_customer_who_is_not_there_is_said_to_be_absent() -> None:
    result = run("find", "--customer", "nobody@example.com")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "Found 0 conversations." in result.stderr


@pytest.mark.parametrize("customer", ["nobody", "", "+", "+49 30 123 (home)", "1234, 5678"])
def test_what_is_no_address_and_no_number_is_wrong_use(customer: str) -> None:
    result = run("find", "--customer", customer)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is neither an email address nor a phone number" in result.stderr
    assert "reads the whole table" not in result.stderr


def test_ids_and_json_do_not_go_together() -> None:
    result = run("find", "--customer", "me@example.com", "--ids", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Use either --ids or --json." in result.stderr


@pytest.mark.usefixtures("customers")
def test_an_operator_sees_whom_they_erase() -> None:
    customer = ("--customer", "gross@example.com")
    shown = run("find", *customer).stdout
    assert shown.splitlines()[0].split()[-3:] == ["name", "email", "phone"]
    assert re.search(r"id 8 .* Gross +gross@example.com +\+1 555 0199\n$", shown)
    (row,) = listed("find", *customer)
    assert [row[name] for name in ("name", "email", "phone")] == [
        *("Gross", "gross@example.com", "+1 555 0199")
    ]
    with_ids = run("find", *customer, "--ids")
    assert with_ids.stdout == f"--workspace demo --user {USER} --id 'id 8'\n"
    assert shown in with_ids.stderr


@pytest.mark.usefixtures("customers")
def test_a_number_that_cannot_be_compared_but_has_the_digits_is_named(
    table: ConversationTable,
) -> None:
    for options in ((), ("--ids",), ("--json",)):
        result = run("find", "--customer", "+49 (31) 123", *options)
        assert result.exit_code == 1
        assert "cannot be compared, and may be the customer's" in result.stderr
        for named in ("id 9 ", "Jo", "+49 31 123 (home)", "id 11 ", "4931123 @work"):
            assert named in result.stderr
            assert named not in result.stdout
        assert not {"id 10", "id 12"} & set(re.findall(r"id \d+", result.stderr))
        assert "Found 0 conversations." in result.stderr
    put(table, conversation(id="plain", customer={"phone": "4931-123"}))
    result = run("find", "--customer", "+4931123", "--ids")
    assert (result.exit_code, result.stdout) == (1, f"--workspace demo --user {USER} --id plain\n")
    assert run("find", "--customer", "+4931123000").exit_code == 3


@pytest.mark.usefixtures("customers")
def test_what_is_found_can_be_deleted() -> None:
    lines = run("find", "--customer", "me@example.com", "--ids").stdout.splitlines()
    assert len(lines) == 2  # one for each workspace and user
    for line in lines:
        deleted = run("delete", *shlex.split(line), "--purge", "--all-versions", "--yes")
        assert deleted.exit_code == 0
    assert run("find", "--customer", "me@example.com").exit_code == 3
    assert len(listed("workspaces")) == 1


def test_items_whose_keys_hold_no_ids_are_found_and_can_be_deleted(
    table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, conversation(id="1"))
    (item,) = dynamodb.scan(TableName="ConversationsTable")["Items"]
    plain = {"document": {"S": json.dumps(conversation(id="1"))}}
    keys = ("#victim", "nohash", "a#b#c", "it's #1", "line\nbreak", '"', f" #{USER}")
    for number, key in enumerate(keys):
        copy: Any = item | {"pk": {"S": key}} | (plain if number % 2 else {})
        dynamodb.put_item(TableName="ConversationsTable", Item=copy)
    copy = item | {"sk": {"S": "no id"}}
    dynamodb.put_item(TableName="ConversationsTable", Item=copy)
    result = run("find", "--customer", "customer@example.com", "--ids")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) == len(keys) + 2
    command = ["xargs", "-L", "1", sys.executable, "-c"]
    command.append("import json, sys; print(json.dumps(sys.argv[1:]))")
    read = subprocess.run(command, input=result.stdout_bytes, capture_output=True, check=True)
    for line, words in zip(lines, read.stdout.splitlines(), strict=True):
        assert shlex.split(line) == json.loads(words)
        deleted = run("delete", *json.loads(words), "--purge", "--all-versions", "--yes")
        assert deleted.exit_code == 0, deleted.output
    assert dynamodb.scan(TableName="ConversationsTable")["Items"] == []


def test_what_is_stored_below_a_malformed_key_and_is_no_conversation_is_named(
    dynamodb: "DynamoDBClient",
) -> None:
    options: Any = {zstd.CompressionParameter.checksum_flag: 1}
    for number, text in enumerate((b"null", b"[", b'{"customer":"x"}', b"{}", b"[" * 100_000)):
        item: Any = {"pk": {"S": "nohash"}, "sk": {"S": f"s{number}"}}
        item["document"] = {"B": zstd.compress(text, options=options)}
        dynamodb.put_item(TableName="ConversationsTable", Item=item)
    result = run("find", "--customer", "me@example.com")
    assert result.exit_code == 1, result.output
    assert result.stderr.count("error: The conversation at ('nohash', 's") == 5


def test_a_line_of_ids_is_no_longer_than_xargs_takes(table: ConversationTable) -> None:
    put(table, *(conversation(id=f"{number:0128}") for number in range(120)))
    lines = run("find", "--customer", "customer@example.com", "--ids").stdout.splitlines()
    assert [line.count("--id ") for line in lines] == [100, 20]


@pytest.mark.usefixtures("customers")
def test_a_damaged_conversation_that_may_be_the_customer_s_is_named(
    dynamodb: "DynamoDBClient",
) -> None:
    damage(dynamodb)
    result = run("find", "--customer", "me@example.com")
    assert result.exit_code == 1
    assert "demo#u" in result.stderr
    assert "SECRET" not in result.output
    assert "far" in result.stdout


# export


def test_an_export_of_a_malformed_workspace_is_still_json(dynamodb: "DynamoDBClient") -> None:
    workspace = 'a"b\\c\n'
    item: Any = {
        "pk": {"S": f"{workspace}#{USER}"},
        "sk": {"S": "2024-12-01T08:45:00.000Z#1"},
        "document": {"S": json.dumps(conversation(id="1"))},
    }
    dynamodb.put_item(TableName="ConversationsTable", Item=item)
    (line,) = run("export", "--all").stdout.splitlines()
    assert json.loads(line)["workspaceId"] == workspace


@pytest.mark.usefixtures("stored")
def test_an_export_of_everything_restores_a_table(dynamodb: "DynamoDBClient") -> None:
    exported = run("export", "--all")
    assert exported.exit_code == 0
    assert "Exported 4 conversations.\n" in exported.stderr
    items = dynamodb.scan(TableName="ConversationsTable")["Items"]
    before = [item for item in items if "document" in item]
    for item in items:
        key = {name: item[name] for name in ("pk", "sk")}
        dynamodb.delete_item(TableName="ConversationsTable", Key=key)
    result = run("load", "-", "--json", stdin=exported.stdout_bytes)
    assert json.loads(result.stdout)["files"][0]["loaded"] == 4
    after = dynamodb.scan(TableName="ConversationsTable")["Items"]
    assert sorted(after, key=str) == sorted(before, key=str)


@pytest.mark.usefixtures("stored")
def test_an_export_of_everything_can_be_of_one_user(table: ConversationTable) -> None:
    put(table, conversation(id="other", userId=OTHER_USER))
    lines = run("export", "--all", "--user", OTHER_USER).stdout.splitlines()
    (line,) = map(json.loads, lines)
    assert line["workspaceId"] == "demo"
    assert line["conversation"] == conversation(id="other", userId=OTHER_USER)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--workspace", "dmeo"), "in workspace dmeo"),
        (("--workspace", "demo", "--user", OTHER_USER), "in workspace demo"),  # a tombstone
        (("--all", "--user", "nobody"), "of user nobody is stored in this table"),
    ],
)
def test_an_export_of_nothing_says_so(arguments: tuple[str, ...], what: str) -> None:
    result = run("export", *arguments)
    assert (result.exit_code, result.stdout) == (3, "")
    assert re.search(f"^error: .*{what}", result.stderr, re.MULTILINE)


@pytest.mark.parametrize("arguments", [(), ("--all", "--workspace", "demo")])
def test_an_export_is_of_one_workspace_or_of_all(arguments: tuple[str, ...]) -> None:
    result = run("export", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "use either --workspace ID or --all" in result.stderr


# cost, pace, throttling


class Slow:
    """A DynamoDB client of a large table, whose second page is throttled at first."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.scans = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def describe_table(self, **request: Any) -> Any:
        answer = self._client.describe_table(**request)
        answer["Table"] |= {"ItemCount": 1_000_000, "TableSizeBytes": 4096 * 2_000_000 - 1}
        return answer

    def scan(self, **request: Any) -> Any:
        self.scans += 1
        if self.scans == 2:
            error: Any = {"Error": {"Code": "ProvisionedThroughputExceededException"}}
            raise ClientError(error | {"ResponseMetadata": {"HTTPStatusCode": 400}}, "Scan")
        answer = self._client.scan(**request, Limit=2)
        answer["ConsumedCapacity"] = {"CapacityUnits": 300.0}
        return answer


class Waits(Event):
    """Notes how long it is waited for, which passes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0)
        return False


@pytest.mark.usefixtures("stored")
def test_a_scan_states_its_cost_first_and_goes_on_after_a_throttle(
    dynamodb: "DynamoDBClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.progress._LINE_SECONDS", 0)
    slow: Any = Slow(dynamodb)
    monkeypatch.setattr("console.tables.aws.client", lambda *_, **__: slow)
    result = run("users", "--read-units", "100000", "--json")
    assert sum(row["conversations"] for row in json.loads(result.stdout)) == 4
    assert slow.scans > 3
    first, *progress = result.stderr.splitlines()
    for said in ("1,000,000 items", "2,000,000 read units", "0.25 USD", "0:00:20 at 100,000"):
        assert said in first
    assert re.fullmatch(r"Reading: 2 items, [\d,]+/s, 0%", progress[0])


@pytest.mark.usefixtures("stored")
def test_a_scan_keeps_to_the_read_units_that_it_may_use(dynamodb: "DynamoDBClient") -> None:
    waits = Waits()
    slow: Any = Slow(dynamodb)
    slow.scans = 2
    stored = StoredConversations(
        slow, "ConversationsTable", waits, clock=lambda: sum(waits.seconds)
    )
    pages = stored.scan("pk, sk", read_units=100)
    assert sum(len(page["Items"]) for page in pages) == 5
    assert waits.seconds == [3, 3, 3]  # 300 units each


def test_the_default_pace_is_a_thousand_read_units() -> None:
    said = run("workspaces").stderr
    assert "1 read unit, less than 0.01 USD, 0:00:01 at 1,000 units a second" in said
