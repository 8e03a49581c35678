import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import RequestError
from domain.query import PARAMETERS, ConversationQuery
from storage import cursor
from storage.items import Partition

POSITION = ("2024-12-01T08:45:00.000Z#675c8e368824aa5f130b94d6",)
HERE = Partition("demo#674e29976b6acbac106d2651")
QUERY = ConversationQuery(agent_id="a", created_at_ge="2024-01-01T00:00:00.000Z")


def refused(text: str, partition: Partition = HERE, query: ConversationQuery = QUERY) -> bool:
    try:
        cursor.position_of(partition, replace(query, cursor=text))
    except RequestError:
        return True
    return False


def test_a_cursor_goes_on_after_its_position() -> None:
    encoded = cursor.encode(POSITION, HERE, QUERY)
    assert cursor.position_of(HERE, replace(QUERY, cursor=encoded)) == POSITION


def test_a_cursor_of_the_index_goes_on_after_its_position() -> None:
    query = ConversationQuery(sort="updatedAt")
    encoded = cursor.encode(POSITION * 2, HERE, query)
    assert cursor.position_of(HERE, replace(query, cursor=encoded)) == POSITION * 2


def test_limit_and_messages_may_change_between_pages() -> None:
    encoded = cursor.encode(POSITION, HERE, replace(QUERY, limit=3, messages="none"))
    assert not refused(encoded, query=replace(QUERY, limit=4, messages="last"))


@pytest.mark.parametrize("partition", ["demo#other", "other#674e29976b6acbac106d2651"])
def test_a_cursor_of_another_user_or_workspace_is_refused(partition: str) -> None:
    assert refused(cursor.encode(POSITION, Partition(partition), QUERY))


@pytest.mark.parametrize(
    "other",
    [
        {"sort": "createdAt"},
        {"sort": "-updatedAt"},
        {"agent_id": None},
        {"agent_id": None, "pathway_id": "a"},
        {"created_at_ge": None},
        {"created_at_ge": None, "created_at_lt": "2024-01-01T00:00:00.000Z"},
        {"updated_at_ge": "2024-01-01T00:00:00.000Z"},
    ],
)
def test_a_cursor_of_another_sort_or_filter_is_refused(other: dict[str, Any]) -> None:
    assert refused(cursor.encode(POSITION, HERE, QUERY), query=replace(QUERY, **other))


@given(st.integers(0, 200), st.characters(codec="utf-8"))
def test_a_tampered_cursor_is_refused(place: int, character: str) -> None:
    encoded = cursor.encode(POSITION, HERE, QUERY)
    place %= len(encoded)
    tampered = encoded[:place] + character + encoded[place + 1 :]
    assert refused(tampered) == (tampered != encoded)


@given(st.text() | st.binary().map(lambda noise: urlsafe_b64encode(noise).decode()))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    assert refused(text)


def encoded(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "value", [None, [], [1], ["x"], {"a": 1}, ["x", 1], ["x", None], ["x", ["y"]], ["x", "y", "z"]]
)
def test_json_that_is_no_cursor_is_refused(value: object) -> None:
    assert refused(encoded(value))


@pytest.mark.parametrize("addition", ["=", " ", "\n", "."])
def test_a_second_spelling_of_a_cursor_is_refused(addition: str) -> None:
    assert refused(cursor.encode(POSITION, HERE, QUERY) + addition)


def test_a_forged_position_outside_the_bounds_or_longer_than_a_key_is_refused() -> None:
    for position in ("2023-12-31T00:00:00.000Z#a", "2024-12-31T00:00:00.000Z#" + "a" * 1000, ""):
        assert refused(cursor.encode((position,), HERE, QUERY))


def test_a_cursor_names_no_partition() -> None:
    encoded = cursor.encode(POSITION, HERE, QUERY)
    content = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    assert "demo" not in content
    assert "674e29976b6acbac106d2651" not in content


STORED = {
    "-createdAt": (
        "WyJkMjEzZjBkM2E1YmQ1MTAzIiwgIjIwMjQtMTItMDFUMDg6NDU6MDAuMDAwWiM2NzVjOGUzNjg4MjRhYTVm"
        "MTMwYjk0ZDYiXQ"
    ),
    "createdAt": (
        "WyI3MWFhYTNlZDlhOWI5NWY3IiwgIjIwMjQtMTItMDFUMDg6NDU6MDAuMDAwWiM2NzVjOGUzNjg4MjRhYTVm"
        "MTMwYjk0ZDYiXQ"
    ),
    "-updatedAt": (
        "WyJiMGY3NWYzODU0ZDFlNGRhIiwgIjIwMjQtMTItMDFUMDg6NDU6MDAuMDAwWiM2NzVjOGUzNjg4MjRhYTVm"
        "MTMwYjk0ZDYiLCAiMjAyNC0xMi0wMVQwODo0NTowMC4wMDBaIzY3NWM4ZTM2ODgyNGFhNWYxMzBiOTRkNiJd"
    ),
    "updatedAt": (
        "WyI4OGExMTBmYzlkNDRiMDBlIiwgIjIwMjQtMTItMDFUMDg6NDU6MDAuMDAwWiM2NzVjOGUzNjg4MjRhYTVm"
        "MTMwYjk0ZDYiLCAiMjAyNC0xMi0wMVQwODo0NTowMC4wMDBaIzY3NWM4ZTM2ODgyNGFhNWYxMzBiOTRkNiJd"
    ),
}


@pytest.mark.parametrize("sort", STORED)
def test_a_cursor_of_0_1_0_is_still_good(sort: Any) -> None:
    query = ConversationQuery(
        sort=sort,
        agent_id="agent",
        pathway_id="pathway",
        created_at_ge="2024-01-01T00:00:00.000Z",
        created_at_lt="2025-01-01T00:00:00.000Z",
        updated_at_ge="2024-01-01T00:00:00.000Z",
    )
    position = POSITION * (2 if query.by_updated else 1)
    assert cursor.encode(position, HERE, query) == STORED[sort]
    assert cursor.position_of(HERE, replace(query, cursor=STORED[sort])) == position


def test_only_position_limit_and_messages_may_change_between_pages() -> None:
    digested = {name for name, parameter in PARAMETERS.items() if not parameter.varies}
    moment = "2024-06-01T00:00:00.000Z"
    changed: dict[str, Any] = {
        **dict.fromkeys(
            ("created_at_ge", "created_at_lt", "updated_at_ge", "updated_at_lt"), moment
        ),
        "sort": "createdAt",
        "agent_id": "another",
        "pathway_id": "another",
        "deleted": "include",
        "customer_email": "a@b.c",
        "customer_phone": "1",
        "sync": "true",
    }
    assert set(changed) == digested, "a new filter needs a value here"
    handed_out = cursor.encode(POSITION, HERE, QUERY)
    assert set(PARAMETERS) - digested == {"cursor", "limit", "messages"}
    for name in digested:
        assert refused(handed_out, query=replace(QUERY, **{name: changed[name]})), name


def test_a_filter_added_later_is_covered_without_ending_older_cursors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_out = cursor.encode(POSITION, HERE, ConversationQuery())

    @dataclass(frozen=True)
    class Later(ConversationQuery):
        tag: str | None = None

    (tag,) = (declared for declared in fields(Later) if declared.name == "tag")
    monkeypatch.setattr(cursor, "_LATER_FILTERS", [*cursor._LATER_FILTERS, tag])
    assert not refused(handed_out, query=Later())
    assert refused(handed_out, query=Later(tag="a"))
    tagged = cursor.encode(POSITION, HERE, Later(tag="a"))
    assert not refused(tagged, query=Later(tag="a"))
    assert refused(tagged, query=Later(tag="b"))
