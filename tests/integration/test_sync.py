"""The guides' loop for incremental sync, against updates that go on, and an index that lags."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import Any, Self

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers import list_conversations
from ops.local.docs_site import DOCS
from storage.conversations import ConversationTable
from tests.support.api import Api, conversation
from tests.support.budget import examples
from tests.support.tables import bury, embedded_dynamodb, put

GUIDES = DOCS / "guides.md"
START = datetime(2024, 12, 1, tzinfo=UTC)
LAG = timedelta(seconds=5)

Sync = Callable[[httpx.Client, dict[str, Any], datetime], datetime]


def guides_sync(clock: Callable[[], datetime]) -> Sync:
    """The guides' `sync`, for which it is as late as `clock` says."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromisoformat(clock().astimezone(tz).isoformat())

    blocks = re.findall(r"```python\n(.*?)```", GUIDES.read_text(), re.DOTALL)
    (pages,) = (block for block in blocks if "def conversations(" in block)
    (changes,) = (block for block in blocks if "def sync(" in block)
    names: dict[str, Any] = {"URL": "/v1/api/conversations"}
    exec(pages.partition("\n\n\n")[0] + "\n" + changes, names)  # noqa: S102 - the guides' own code
    names["datetime"] = Clock

    def sync(api: httpx.Client, copy: dict[str, Any], since: datetime) -> datetime:
        names["api"] = api
        result: datetime = names["sync"](copy, since)
        return result

    return sync


class LaggingIndex:
    """A DynamoDB client whose index shows each update up to `LAG` after it was written."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.clock = START

    def query(self, **request: Any) -> Any:
        answer = self.client.query(**request)
        if "IndexName" in request:
            answer["Items"] = [
                item for item in answer["Items"] if self.shows(item["updatedKey"]["S"])
            ]
        return answer

    def shows(self, key: str) -> bool:
        lag = LAG * Random(key).random()
        return datetime.fromisoformat(key.partition("#")[0]) + lag <= self.clock


def over_http(api: Api) -> httpx.Client:
    """A client whose requests the endpoint's handler answers."""

    def answer(request: httpx.Request) -> httpx.Response:
        parameters: dict[str, Any] = dict(request.url.params)
        served = api.get(**parameters)
        sent = {name: served.headers[name] for name in served.headers if name != "content-encoding"}
        return httpx.Response(served.status, headers=sent, content=served.body)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="https://api.example")


@settings(max_examples=examples(15))
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_the_loop_of_the_guides_misses_no_update_and_no_deletion(seed: int, page: int) -> None:
    random = Random(seed)
    with embedded_dynamodb() as dynamodb, pytest.MonkeyPatch.context() as patch:
        lagging = LaggingIndex(dynamodb)
        table = ConversationTable(dynamodb, "ConversationsTable")
        read = ConversationTable(lagging, "ConversationsTable")  # type: ignore[arg-type]
        patch.setattr(list_conversations, "table", lambda: read)
        truth: dict[str, Any] = {}

        def write() -> None:
            """Something changes, now and then between two pages too."""
            lagging.clock += timedelta(seconds=random.choice([0, 1, 3]))
            now = lagging.clock.isoformat().replace("+00:00", "Z")
            id_ = f"c{random.randrange(8)}"
            if id_ in truth and random.random() < 0.3:
                bury(table, truth.pop(id_), at=now)
                return
            truth[id_] = conversation(id=id_, updatedAt=now, agentId=str(random.random()))
            put(table, truth[id_])

        api = Api()
        get = api.get

        def get_and_write(*args: Any, **kwargs: Any) -> Any:
            answer = get(*args, **kwargs | {"limit": str(page)})
            if random.random() < 0.3:
                write()
            return answer

        patch.setattr(api, "get", get_and_write)
        sync, copy, since = guides_sync(lambda: lagging.clock), dict[str, Any](), START
        for _ in range(4):
            for _ in range(random.randrange(6)):
                write()
            since = sync(over_http(api), copy, since)
        patch.setattr(api, "get", get)
        lagging.clock += LAG + timedelta(seconds=1)
        sync(over_http(api), copy, since)
        assert copy == truth


def test_an_update_of_the_future_hides_no_later_change(api: Api, table: ConversationTable) -> None:
    clock = START + timedelta(days=1)
    sync, copy = guides_sync(lambda: clock), dict[str, Any]()
    put(table, conversation(id="future", updatedAt="2999-01-01T00:00:00Z"))
    since = sync(over_http(api), copy, START)
    later = conversation(id="later", updatedAt=clock.isoformat().replace("+00:00", "Z"))
    put(table, later)
    clock += timedelta(hours=1)
    assert sync(over_http(api), copy, since) == clock
    assert copy["later"] == later
    assert copy.keys() == {"future", "later"}


def test_a_whole_pass_finds_late_writes_and_deletions(
    api: Api, table: ConversationTable, dynamodb: Any
) -> None:
    sync, copy = guides_sync(lambda: START + timedelta(days=1)), dict[str, Any]()
    put(table, conversation(id="gone"), conversation(id="late", updatedAt="2024-11-01T00:00:00Z"))
    since = sync(over_http(api), copy, START - timedelta(days=365))
    late = conversation(id="late", agentId="new", updatedAt="2024-11-02T00:00:00Z")
    put(table, late)
    gone = {
        "pk": {"S": f"demo#{late['userId']}"},
        "sk": {"S": "2024-12-01T08:45:00.000Z#gone"},
    }
    dynamodb.delete_item(TableName="ConversationsTable", Key=gone)
    sync(over_http(api), copy, since)
    assert copy["late"] != late  # too old for the loop to ask for
    there = {listed["_id"]: listed["updatedAt"] for listed in api.get(messages="none").json}
    copy = {id_: copy[id_] for id_ in copy if id_ in there}
    oldest = min(at for id_, at in there.items() if copy.get(id_, {}).get("updatedAt") != at)
    sync(over_http(api), copy, datetime.fromisoformat(oldest))
    assert copy == {"late": late}
