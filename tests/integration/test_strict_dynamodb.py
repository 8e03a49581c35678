"""Pages, filters and sorts against an emulator that refuses what DynamoDB refuses."""

import itertools
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.local.demo import USER
from domain.conversation import Conversation
from domain.errors import ConversationTooLargeError
from domain.timestamp import to_instant
from storage.conversations import ConversationTable
from storage.dynamodb import client
from tests.support.api import Answer, Api, conversation
from tests.support.budget import examples
from tests.support.tables import TABLES, forget_clients, put


@pytest.fixture(scope="module")
def strict(ministack: str) -> Iterator[ConversationTable]:
    """A table of the emulator; the endpoint reads it too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", ministack)
        dynamodb = client()
        for name, definition in TABLES.items():
            # The tests of another file may have created them.
            with suppress(dynamodb.exceptions.ResourceInUseException):
                dynamodb.create_table(TableName=name, **definition)
        forget_clients()
        yield ConversationTable(dynamodb, "ConversationsTable")
    forget_clients()


WORKSPACES = (f"w{number}" for number in itertools.count())

# Few instants, so that they meet: at bounds, and as ties between conversations.
instants = st.sampled_from(
    [
        "2024-12-01T08:45:00Z",
        "2024-12-01T08:45:00.001Z",
        "2024-12-01T08:45:00.0015Z",
        "2024-12-01T10:45:01+02:00",
        "2024-12-01T08:45:02.9Z",
        "2024-12-02T00:00:00Z",
        "2023-12-31T23:59:59-05:00",
    ]
)
stored = st.lists(
    st.fixed_dictionaries(
        {
            "createdAt": instants,
            "updatedAt": instants,
            "agentId": st.sampled_from("ab"),
            "pathwayId": st.sampled_from("pq"),
        }
    ),
    max_size=12,
)
sorts = st.sampled_from(["-createdAt", "createdAt", "-updatedAt", "updatedAt"])
bounds = st.fixed_dictionaries(
    {},
    optional={
        f"{name}{end}": instants for name in ("createdAt", "updatedAt") for end in ("Ge", "Lt")
    },
).filter(
    lambda bounds: all(
        to_instant(bounds.get(f"{name}Ge", "2000-01-01T00:00:00Z"))
        <= to_instant(bounds.get(f"{name}Lt", "2999-01-01T00:00:00Z"))
        for name in ("createdAt", "updatedAt")
    )
)
filters = st.fixed_dictionaries(
    {}, optional={"agentId": st.sampled_from("abc"), "pathwayId": st.sampled_from("pq")}
)


def expected(conversations: list[dict[str, Any]], question: dict[str, str]) -> list[str]:
    """The ids that the contract promises, in order."""

    def asked_for(stored: dict[str, Any]) -> bool:
        for name in ("agentId", "pathwayId"):
            if stored[name] != question.get(name, stored[name]):
                return False
        for name in ("createdAt", "updatedAt"):
            instant = to_instant(stored[name])
            if not (
                to_instant(question.get(f"{name}Ge", stored[name]))
                <= instant
                < to_instant(question.get(f"{name}Lt", "2999-01-01T00:00:00Z"))
            ):
                return False
        return True

    chosen = list(filter(asked_for, conversations))
    sort = question.get("sort", "-createdAt")
    chosen.sort(
        key=lambda stored: (to_instant(stored[sort.removeprefix("-")]), stored["_id"]),
        reverse=sort.startswith("-"),
    )
    return [stored["_id"] for stored in chosen]


@settings(max_examples=examples(150))
@given(stored, sorts, bounds, filters, st.integers(1, 5))
def test_the_pages_together_are_the_whole_list_in_order(
    strict: ConversationTable,
    rows: list[dict[str, str]],
    sort: str,
    bounds: dict[str, str],
    filters: dict[str, str],
    limit: int,
) -> None:
    workspace = next(WORKSPACES)
    conversations = [conversation(id=f"c{number}", **row) for number, row in enumerate(rows)]
    put(strict, *conversations, workspace=workspace)
    api = Api(workspaces=workspace)
    question: dict[str, Any] = {"sort": sort, **bounds, **filters}
    whole = api.get(workspace, **question)
    assert whole.ids == expected(conversations, question)
    assert "link" not in whole.headers
    pages = api.pages(workspace, limit=str(limit), **question)
    assert list(itertools.chain.from_iterable(page.json for page in pages)) == whole.json
    # Every page is full but the last. That one is empty if there is nothing at all, or if the page
    # before it became full at the end of a read, and only what the filter rejects came after.
    assert {len(page.json) for page in pages[:-1]} <= {limit}
    others = question.keys() - {"sort"} - {f"{sort.removeprefix('-')}{end}" for end in ("Ge", "Lt")}
    assert pages[-1].json or len(pages) == 1 or others


writes = st.lists(
    st.tuples(st.sampled_from(["add", "update", "delete"]), st.integers(0, 20), instants),
    max_size=4,
)


def walk(
    api: Api, workspace: str, question: dict[str, Any], between: Callable[[], None]
) -> list[str]:
    """The ids of all pages in turn, with something happening between them."""
    seen: list[str] = []
    cursor: dict[str, Any] = {}
    for _ in range(200):
        page: Answer = api.get(workspace, **question, **cursor)
        seen += page.ids
        if page.cursor is None:
            return seen
        cursor = {"cursor": page.cursor}
        between()
    pytest.fail("the pages have no end")


@settings(max_examples=examples(100))
@given(
    stored, st.sampled_from(["createdAt", "-createdAt", "updatedAt"]), st.integers(1, 3), st.data()
)
def test_what_exists_throughout_is_seen_while_others_come_change_and_go(
    strict: ConversationTable,
    rows: list[dict[str, str]],
    sort: str,
    limit: int,
    data: st.DataObject,
) -> None:
    workspace = next(WORKSPACES)
    table: dict[str, dict[str, Any]] = {}

    def write(written: dict[str, Any]) -> None:
        table[written["_id"]] = written
        put(strict, written, workspace=workspace)

    for number, row in enumerate(rows):
        write(conversation(id=f"c{number}", **row))
    throughout = set(table)
    clock = itertools.count()

    def between() -> None:
        for kind, which, instant in data.draw(writes):
            if (tick := next(clock)) >= 30:
                return  # or an updatedAt order would go on for ever
            if kind == "add":
                write(conversation(id=f"n{tick}", createdAt=instant, updatedAt=instant))
            elif table:
                id_ = sorted(table)[which % len(table)]
                if kind == "update":
                    later = f"2025-01-01T00:00:{tick:02}Z"
                    write(table[id_] | {"updatedAt": later})
                else:
                    delete(strict, workspace, table.pop(id_))
                    throughout.discard(id_)

    seen = walk(Api(workspaces=workspace), workspace, {"sort": sort, "limit": str(limit)}, between)
    times = [seen.count(id_) for id_ in sorted(throughout)]
    assert all(count >= 1 if sort == "updatedAt" else count == 1 for count in times)


def delete(table: ConversationTable, workspace: str, written: dict[str, Any]) -> None:
    key = f"{to_instant(written['createdAt'])}#{written['_id']}"
    table._client.delete_item(
        TableName="ConversationsTable",
        Key={"pk": {"S": f"{workspace}#{USER}"}, "sk": {"S": key}},
    )


def test_a_conversation_just_under_400_kb_is_stored_and_read_and_one_just_over_is_refused(
    strict: ConversationTable,
) -> None:
    workspace = next(WORKSPACES)
    noise = random.Random(1).randbytes(420_000).hex()

    def with_text(length: int) -> Conversation:
        message = conversation()["messages"][0] | {"message": noise[:length]}
        return Conversation.model_validate(conversation(messages=[message]))

    def refusal(length: int) -> str:
        try:
            put(strict, with_text(length), workspace=workspace)
        except ConversationTooLargeError as error:
            return str(error)
        return ""

    largest = bisect_left(range(len(noise)), 1, key=lambda length: bool(refusal(length))) - 1
    assert "409,60" in refusal(largest + 1)  # the first that is refused is over by a few bytes
    put(strict, with_text(largest), workspace=workspace)
    answer = Api(workspaces=workspace).get(workspace)
    assert answer.body == b"[" + with_text(largest).to_json() + b"]"
