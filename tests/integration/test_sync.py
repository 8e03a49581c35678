"""Sync over the endpoint's handler: follow `next`, then `monitor`."""

import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from handlers import list_conversations
from storage.conversations import ConversationTable
from tests.support.api import Answer, Api, assert_problem, conversation
from tests.support.tables import bury, put


class Clock:
    """The functions' clock, which tests move."""

    def __init__(self, now: str) -> None:
        self.now = now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock("2024-12-01T12:00:00.000Z")
    monkeypatch.setattr(list_conversations, "now", lambda: clock.now)
    return clock


def state(id_: str, updated_at: str, **fields: Any) -> dict[str, Any]:
    return conversation(id=id_, updatedAt=updated_at, **fields)


def link_of(answer: Answer) -> tuple[str, dict[str, Any]]:
    """The relation and the query parameters of the one `Link`."""
    match = re.fullmatch(r'<(.*)>; rel="(\w+)"', answer.headers["link"])
    assert match, answer.headers["link"]
    return match[2], dict(parse_qsl(urlsplit(match[1]).query, strict_parsing=True))


def round_of(api: Api, **parameters: Any) -> tuple[list[Answer], dict[str, Any]]:
    """The responses of a round, and the parameters of its `monitor` link."""
    answers: list[Answer] = []
    relation = "next"
    while relation == "next":
        answers.append(api.get("demo", **parameters))
        assert answers[-1].status == 200, answers[-1].body
        relation, parameters = link_of(answers[-1])
    assert relation == "monitor"
    return answers, parameters


def ids(answers: list[Answer]) -> list[str]:
    return [id_ for answer in answers for id_ in answer.ids]


@pytest.fixture
def some(table: ConversationTable, clock: Clock) -> Clock:
    put(
        table,
        state("c1", "2024-12-01T10:00:00Z"),
        state("c2", "2024-12-01T11:00:00Z"),
        state("c3", "2024-12-01T11:59:30Z"),
    )
    return clock


@pytest.mark.parametrize("limit", [{}, {"limit": "1"}, {"limit": "2"}, {"limit": "3"}])
@pytest.mark.usefixtures("some")
def test_a_round_lists_everything_once_oldest_first_and_ends_with_monitor(
    api: Api, table: ConversationTable, limit: dict[str, Any]
) -> None:
    bury(table, state("c1", "2024-12-01T10:00:00Z"), at="2024-12-01T11:30:00+00:00")
    answers, monitor = round_of(api, sync="true", **limit)
    assert ids(answers) == ["c2", "c1", "c3"]
    assert monitor == {"sync": "true", **limit, "cursor": monitor["cursor"]}


@pytest.mark.parametrize("limit", [{}, {"limit": "1"}])
def test_the_monitor_link_lists_what_changed_since_a_minute_before(
    api: Api, table: ConversationTable, some: Clock, limit: dict[str, Any]
) -> None:
    _, monitor = round_of(api, sync="true", messages="none", **limit)
    some.now = "2024-12-01T12:10:00.000Z"
    put(table, state("c2", "2024-12-01T12:05:00Z"), state("c4", "2024-12-01T11:58:00Z"))
    bury(table, state("c1", "2024-12-01T10:00:00Z"), at="2024-12-01T12:06:00+00:00")
    answers, _ = round_of(api, **monitor)
    # c4 is older than the overlap: written late, and not reported.
    assert ids(answers) == ["c3", "c2", "c1"]
    assert "deletedAt" in answers[-1].json[-1]


@pytest.mark.usefixtures("clock")
def test_a_round_with_nothing_in_it_keeps_where_it_began(
    api: Api, table: ConversationTable
) -> None:
    _, monitor = round_of(api, sync="true")
    put(table, state("old", "2001-01-01T00:00:00Z"))
    answers, _ = round_of(api, **monitor)
    assert ids(answers) == ["old"]  # the first round has seen nothing, so nothing is too old


def test_an_address_stays_the_same_for_a_day_while_nothing_changes(api: Api, some: Clock) -> None:
    _, monitor = round_of(api, sync="true", limit="100")
    (first,), monitor = round_of(api, **monitor)
    some.now = "2024-12-01T23:59:00.000Z"
    same = api.get("demo", **monitor, headers={"if-none-match": first.headers["etag"]})
    assert (same.status, same.headers["link"]) == (304, first.headers["link"])
    some.now = "2024-12-02T00:01:00.000Z"
    other = api.get("demo", **monitor, headers={"if-none-match": first.headers["etag"]})
    assert other.status == 200


def test_a_first_page_of_several_is_never_a_304(api: Api, some: Clock) -> None:
    first = api.get("demo", sync="true", limit="1")
    some.now = "2024-12-01T12:00:00.001Z"
    again = api.get(
        "demo", sync="true", limit="1", headers={"if-none-match": first.headers["etag"]}
    )
    assert again.status == 200


def test_an_address_is_good_for_87_days_and_then_gone(api: Api, some: Clock) -> None:
    _, monitor = round_of(api, sync="true")
    some.now = "2025-02-26T12:00:00.000Z"  # 87 days later
    assert api.get("demo", **monitor).status == 200
    some.now = "2025-02-28T00:00:00.000Z"
    detail = assert_problem(api.get("demo", **monitor), 410, "sync_expired")
    assert "sync=true" in detail


def test_the_age_counts_from_the_round_before_on_every_page(
    api: Api, table: ConversationTable, some: Clock
) -> None:
    """A copy filled on day 0, followed on day 80: a round that ends after day 89 is no good."""
    _, monitor = round_of(api, sync="true", limit="1")
    some.now = "2025-02-19T12:00:00.000Z"
    put(table, state("c2", "2025-02-19T11:59:00Z"), state("c1", "2025-02-19T11:59:00Z"))
    relation, following = link_of(api.get("demo", **monitor))
    assert relation == "next"
    some.now = "2025-02-27T23:00:00.000Z"
    assert api.get("demo", **following).status == 200
    some.now = "2025-02-28T00:00:00.000Z"
    assert_problem(api.get("demo", **following), 410, "sync_expired")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYNC_GENERATION", "2"),
        ("AWS_DEFAULT_REGION", "eu-central-1"),
        ("CONVERSATIONS_TABLE", "RestoredTable"),
    ],
)
@pytest.mark.usefixtures("some")
def test_another_table_or_generation_ends_every_copy(
    api: Api, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    following = link_of(api.get("demo", sync="true", limit="1"))[1]
    _, monitor = round_of(api, sync="true")
    monkeypatch.setenv(name, value)
    for parameters in (following, monitor):
        assert_problem(api.get("demo", **parameters), 410, "sync_expired")


@pytest.mark.usefixtures("some")
def test_a_damaged_cursor_is_a_400_even_in_another_generation(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, monitor = round_of(api, sync="true")
    monkeypatch.setenv("SYNC_GENERATION", "2")
    monitor["cursor"] = monitor["cursor"][:-2] + "AA"
    assert_problem(api.get("demo", **monitor), 400, "invalid_cursor")


@pytest.mark.usefixtures("some")
def test_cursors_of_sync_and_of_lists_are_not_mixed(api: Api) -> None:
    as_list: dict[str, Any] = {"sort": "updatedAt", "deleted": "include", "limit": "1"}
    page = api.get("demo", **as_list)
    synced = api.get("demo", sync="true", limit="1")
    assert_problem(
        api.get("demo", sync="true", limit="1", cursor=page.cursor), 400, "invalid_cursor"
    )
    assert_problem(api.get("demo", **as_list, cursor=synced.cursor), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "beside",
    [
        {"sort": "updatedAt"},
        {"deleted": "include"},
        {"agentId": "a"},
        {"updatedAtGe": "2024-12-01T00:00:00Z"},
        {"customerEmail": "a@b.c"},
    ],
)
def test_sync_goes_together_with_limit_messages_and_cursor_only(
    api: Api, beside: dict[str, Any]
) -> None:
    detail = assert_problem(api.get("demo", sync="true", **beside), 400, "invalid_parameter")
    (name,) = beside
    assert f"remove {name}, or sync" in detail
    assert api.get("demo", sync="true", messages="none", limit="2").status == 200


@pytest.mark.parametrize("value", ["", "false", "True", "1"])
def test_sync_is_true_or_absent(api: Api, value: str) -> None:
    detail = assert_problem(api.get("demo", sync=value), 400, "invalid_parameter")
    assert detail == "The query parameter sync must be true."


@pytest.mark.parametrize("updated_key", ["zzz", "0", "2024-12-01T11:59:30Z#c9"])
@pytest.mark.usefixtures("some")
def test_an_updated_key_that_is_no_instant_does_no_harm(
    api: Api, table: ConversationTable, updated_key: str
) -> None:
    item = table._client.scan(TableName=table._name)["Items"][0]
    item["updatedKey"] = {"S": updated_key}
    table._client.put_item(TableName=table._name, Item=item)
    answers, monitor = round_of(api, sync="true", limit="1")
    assert sorted(ids(answers)) == ["c1", "c2", "c3"]
    round_of(api, **monitor)
