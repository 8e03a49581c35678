"""Lists of the conversations with one customer."""

from typing import Any

import pytest

from storage.conversations import ConversationTable
from tests.support.api import Api, Context, assert_problem, conversation
from tests.support.tables import bury, put, put_many

ANNA = {"name": "Anna", "email": "Anna@Example.org ", "phone": "+49 (30) 123-456"}


def created(number: int) -> str:
    return f"2024-12-01T{number // 60:02}:{number % 60:02}:00Z"


def of(customer: dict[str, str], id_: str, number: int = 0) -> dict[str, Any]:
    return conversation(
        id=id_, createdAt=created(number), updatedAt=created(number), customer=customer
    )


@pytest.fixture
def stored(table: ConversationTable) -> ConversationTable:
    put(
        table,
        of(ANNA, "c1", 1),
        of({"email": "anna@example.org"}, "c2", 2),
        of({"email": "änna@example.org", "phone": "0049 30 123456"}, "c3", 3),
        of({"email": "anna@example.com", "phone": "4930123456"}, "c4", 4),
        of({}, "c5", 5),
        of({"name": "anna@example.org", "phone": "+49 30 123456 (home)"}, "c6", 6),
    )
    return table


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"customerEmail": "anna@example.org"}, ["c2", "c1"]),
        ({"customerEmail": " ANNA@EXAMPLE.ORG"}, ["c2", "c1"]),
        ({"customerEmail": "a\u0308nna@example.org"}, ["c3"]),
        ({"customerEmail": "nobody@example.org"}, []),
        ({"customerPhone": "+49 30 123456"}, ["c4", "c1"]),
        ({"customerPhone": " 49 30 123456"}, ["c4", "c1"]),  # a `+` that was not written as %2B
        ({"customerPhone": "٤٩30123456"}, ["c4", "c1"]),
        ({"customerPhone": "004930123456"}, ["c3"]),
        ({"customerPhone": "+49 30 123456", "customerEmail": "anna@example.org"}, ["c1"]),
        ({"customerPhone": "+49 30 123456", "sort": "createdAt"}, ["c1", "c4"]),
        ({"customerPhone": "+49 30 123456", "createdAtLt": created(4)}, ["c1"]),
        ({"customerPhone": "+49 30 123456", "messages": "none"}, ["c4", "c1"]),
    ],
)
def test_only_conversations_with_the_customer_are_listed(
    api: Api, question: dict[str, Any], expected: list[str]
) -> None:
    whole = api.get(**question)
    assert whole.ids == expected
    assert "link" not in whole.headers
    for limit in ("1", "2", "1000"):
        pages = api.pages(**question, limit=limit)
        assert [id_ for page in pages for id_ in page.ids] == expected


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"customerEmail": ""}, "The query parameter customerEmail must be one e-mail address"),
        ({"customerEmail": "  "}, "The query parameter customerEmail must be one e-mail address"),
        ({"customerPhone": "-"}, "The query parameter customerPhone must be one phone number"),
        ({"customerPhone": "1 ext. 5"}, "The query parameter customerPhone must be one phone"),
        ({"customerPhone": "1", "deleted": "include"}, "because a tombstone has no customer"),
        ({"customerEmail": "a@b", "deleted": "include"}, "because a tombstone has no customer"),
        ({"customerEmail": "a@b", "sync": "true"}, "remove customerEmail, or sync"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    api: Api, question: dict[str, Any], said: str
) -> None:
    assert said in assert_problem(api.get(**question), 400, "invalid_parameter")


def test_a_cursor_is_good_for_the_same_customer_however_spelled(
    api: Api, stored: ConversationTable
) -> None:
    assert stored
    cursor = api.get(customerEmail="anna@example.org", limit="1").cursor
    assert api.get(customerEmail="ANNA@example.org", limit="1", cursor=cursor).ids == ["c1"]
    other = api.get(customerEmail="anna@example.com", limit="1", cursor=cursor)
    assert_problem(other, 400, "invalid_cursor")


def test_a_page_is_filled_from_what_is_rare_and_passes_tombstones(
    api: Api, table: ConversationTable
) -> None:
    many = [
        of({"email": f"c{number}@example.org"}, f"d{number:03}", number) for number in range(300)
    ]
    rare = [of(ANNA, f"a{number}", number * 100) for number in range(3)]
    put_many(table, [*many, *rare])
    bury(table, many[250], at="2024-12-02T00:00:00+00:00")
    pages = api.pages(customerEmail="anna@example.org", limit="2")
    assert [page.ids for page in pages][:2] == [["a2", "a1"], ["a0"]]
    assert not any(page.ids for page in pages[2:])


def test_a_page_that_runs_out_of_time_continues_after_what_it_has_examined(
    api: Api, table: ConversationTable
) -> None:
    put_many(table, [of({}, f"d{number:03}", number) for number in range(20)])
    put(table, of(ANNA, "a", 0))
    late = api.get(customerEmail="anna@example.org", limit="5", context=Context(28, 28, 28, 1))
    assert late.ids == []
    assert late.cursor
    seen: list[str] = []
    cursor: str | None = late.cursor
    while cursor:
        page = api.get(customerEmail="anna@example.org", limit="5", cursor=cursor)
        seen += page.ids
        cursor = page.cursor
    assert seen == ["a"]


def test_a_whole_list_that_runs_out_of_time_is_refused(api: Api, table: ConversationTable) -> None:
    put_many(table, [of({}, f"d{number:03}", number) for number in range(20)])
    late = api.get(customerEmail="anna@example.org", context=Context(28, 28, 28, 1))
    assert_problem(late, 413, "response_too_large")
