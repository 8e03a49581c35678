"""Deleting with tombstones while others write, and while answers are lost."""

from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from console.tables import aws
from console.tables.conversations import StoredConversations
from dev.local.demo import DOCUMENTED, USER
from domain.conversation import Conversation
from domain.errors import StoreUnavailableError, UnreadableConversationError
from storage.conversations import ConversationTable
from storage.items import STATES, Item, pack
from tests.support.api import conversation
from tests.support.tables import put

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient

ITEM = pack("demo", Conversation.model_validate(DOCUMENTED))
NOW = datetime(2025, 1, 1, tzinfo=UTC).timestamp()


class Clock(Event):
    """A virtual clock, whose waits pass at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW

    def wait(self, timeout: float | None = None) -> bool:
        self.now += timeout or 0
        return self.is_set()


class Client:
    """The client, before or after whose calls something happens once."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._client = client
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}
        self.calls: list[str] = []
        self.consistent: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        def call(**arguments: Any) -> Any:
            self.calls.append(name)
            self.consistent.append(arguments.get("ConsistentRead", False))
            self.before.pop(name, lambda: None)()
            answer = getattr(self._client, name)(**arguments)
            self.after.pop(name, lambda: None)()
            return answer

        return call


def lost() -> None:
    raise ReadTimeoutError(endpoint_url="https://example.com")


def throttled() -> None:
    response: Any = {
        "Error": {"Code": "ThrottlingException"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    raise ClientError(response, "PutItem")


@pytest.fixture
def client(dynamodb: "DynamoDBClient") -> Client:
    return Client(dynamodb)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stored(client: Client, clock: Clock) -> StoredConversations:
    faulty: Any = client
    return StoredConversations(
        faulty, "ConversationsTable", clock, clock=lambda: clock.now, uniform=max
    )


def items(dynamodb: "DynamoDBClient") -> list[Any]:
    return dynamodb.scan(TableName="ConversationsTable")["Items"]


def test_what_is_to_be_deleted_is_read_consistently(
    stored: StoredConversations, table: ConversationTable, client: Client
) -> None:
    put(table, DOCUMENTED)
    assert len([*stored.states("demo", USER)]) == 1
    stored.delete(ITEM)
    assert client.calls == ["query", "get_item", "put_item"]
    assert client.consistent == [True, True, False]


def test_a_tombstone_has_the_keys_and_filters_of_its_conversation_and_no_document(
    stored: StoredConversations, table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, DOCUMENTED)
    stored.delete(ITEM)
    at = "2025-01-01T00:00:00.000Z"
    kept = {name: ITEM.attributes[name] for name in ("pk", "sk", "agentId", "pathwayId")}
    assert items(dynamodb) == [
        {
            **kept,
            "deletedAt": {"S": at},
            "updatedKey": {"S": f"{at}#{DOCUMENTED['_id']}"},
            "expiresAt": {"N": "1743465600"},  # 2025-04-01T00:00:00Z, 90 days later
        }
    ]


@pytest.mark.parametrize(
    ("updated_at", "deleted_at"),
    [
        ("2024-12-31T23:59:59.999Z", "2025-01-01T00:00:00.000Z"),
        ("2025-01-01T00:00:00.000Z", "2025-01-01T00:00:00.001Z"),
        ("2030-01-01T00:00:00.9996Z", "2030-01-01T00:00:01.000Z"),
    ],
)
def test_the_order_never_runs_backwards(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    updated_at: str,
    deleted_at: str,
) -> None:
    put(table, conversation(updatedAt=updated_at))
    stored.delete(ITEM)
    (item,) = items(dynamodb)
    assert item["deletedAt"] == {"S": deleted_at}
    assert item["expiresAt"] == {"N": "1743465600"}


def test_what_is_missing_or_deleted_already_is_left_as_it_is(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    client: Client,
    clock: Clock,
) -> None:
    stored.delete(ITEM)
    assert items(dynamodb) == []
    put(table, DOCUMENTED)
    stored.delete(ITEM)
    (first,) = items(dynamodb)
    clock.now += 3600
    stored.delete(ITEM)
    assert items(dynamodb) == [first]
    assert client.calls.count("put_item") == 1


def test_an_item_without_updated_key_is_deleted(
    stored: StoredConversations, dynamodb: "DynamoDBClient"
) -> None:
    old = {
        name: value
        for name, value in ITEM.attributes.items()
        if name not in ("updatedKey", "agentId")
    }
    dynamodb.put_item(TableName="ConversationsTable", Item=old)
    stored.delete(ITEM)
    (item,) = items(dynamodb)
    assert item["deletedAt"] == {"S": "2025-01-01T00:00:00.000Z"}
    assert "agentId" not in item


def test_a_purge_between_reading_and_writing_is_not_undone(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    client: Client,
) -> None:
    put(table, DOCUMENTED)
    client.after["get_item"] = lambda: stored.purge([ITEM])
    stored.delete(ITEM)
    assert items(dynamodb) == []
    assert client.calls.count("get_item") == 2


def test_a_newer_state_between_reading_and_writing_is_deleted_by_a_newer_tombstone(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    client: Client,
) -> None:
    put(table, DOCUMENTED)
    newer = conversation(agentId="newer", updatedAt="2025-01-01T00:00:30Z")
    client.after["get_item"] = lambda: put(table, newer)
    stored.delete(ITEM)
    (item,) = items(dynamodb)
    assert item["deletedAt"] == {"S": "2025-01-01T00:00:30.001Z"}
    assert item["agentId"] == {"S": "newer"}


def test_an_answer_lost_after_the_write_leaves_one_tombstone(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    client: Client,
) -> None:
    put(table, DOCUMENTED)
    client.after["put_item"] = lost
    stored.delete(ITEM)
    (item,) = items(dynamodb)
    assert item["deletedAt"] == {"S": "2025-01-01T00:00:00.000Z"}
    assert client.calls == ["get_item", "put_item", "get_item"]


def test_each_attempt_is_stamped_anew_after_its_wait(
    stored: StoredConversations,
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    client: Client,
    clock: Clock,
) -> None:
    put(table, DOCUMENTED)

    def slow() -> None:
        clock.now += 100
        throttled()

    client.before["put_item"] = slow
    stored.delete(ITEM)
    (item,) = items(dynamodb)
    assert item["deletedAt"] == {"S": "2025-01-01T00:01:40.050Z"}


def test_an_attempt_to_write_ends_within_20_seconds() -> None:
    client: Any = aws.client(None, "us-east-1", attempts=1)
    config = client.meta.config
    assert config.connect_timeout + config.read_timeout <= 20
    assert config.retries["total_max_attempts"] == 1


def test_an_answer_cut_off_is_not_taken_for_a_missing_item(
    stored: StoredConversations, client: Client, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut: dict[str, Any] = {"ResponseMetadata": {"HTTPStatusCode": 200}}
    monkeypatch.setattr(client, "get_item", lambda **_: cut, raising=False)
    with pytest.raises(StoreUnavailableError, match="IncompleteAnswer"):
        stored.delete(ITEM)
    assert clock.now > NOW + 300


def test_a_conversation_that_came_back_outlives_the_purge_of_tombstones(
    stored: StoredConversations, table: ConversationTable, dynamodb: "DynamoDBClient"
) -> None:
    put(table, DOCUMENTED)
    stored.delete(ITEM)
    (page,) = stored.scan(STATES, 1000)
    put(table, conversation(updatedAt="2026-01-01T00:00:00Z"))
    tombstone = Item(page["Items"][0])
    stored.purge_tombstone(tombstone)
    assert "document" in items(dynamodb)[0]
    stored.delete(ITEM)
    stored.purge_tombstone(tombstone)
    assert items(dynamodb) == []


def test_what_no_instant_can_follow_is_named(
    stored: StoredConversations, table: ConversationTable
) -> None:
    put(table, conversation(updatedAt="9999-12-31T23:59:59.999Z"))
    with pytest.raises(UnreadableConversationError, match="no tombstone can be newer"):
        stored.delete(ITEM)
