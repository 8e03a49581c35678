import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.conversation import Conversation
from domain.query import Messages
from domain.timestamp import to_utc
from storage.document import keep_messages
from tests.support.api import DOCUMENTED, conversation
from tests.support.budget import examples
from tests.support.strategies import conversations, json_values, messages, texts

MESSAGE = DOCUMENTED["messages"][0]  # type: ignore[index]


def canonical(**fields: Any) -> Any:
    return json.loads(Conversation.from_json(json.dumps(conversation(**fields))).to_json())


def test_the_documented_example_comes_out_byte_for_byte() -> None:
    text = json.dumps(DOCUMENTED, separators=(",", ":"))
    assert Conversation.from_json(text).to_json().decode() == text


@given(conversations)
def test_a_conversation_comes_out_as_it_went_in(given_: dict[str, Any]) -> None:
    written = json.loads(Conversation.from_json(json.dumps(given_)).to_json())
    for part in (given_, *given_["messages"]):
        part |= {name: to_utc(part[name]) for name in ("createdAt", "updatedAt")}
    assert written == given_
    assert list(written) == list(DOCUMENTED)
    for message, original in zip(written["messages"], given_["messages"], strict=True):
        assert list(message) == [*MESSAGE, *(name for name in original if name not in MESSAGE)]


def test_fields_outside_the_contract_are_left_out() -> None:
    made = canonical(apiKey="secret", workspaceId="w", pk="x", customer={"name": "N", "card": "1"})
    assert list(made) == list(DOCUMENTED)
    assert made["customer"] == {"name": "N"}


def test_a_customer_s_null_is_an_absent_field() -> None:
    assert canonical(customer={"name": None, "phone": "1"})["customer"] == {"phone": "1"}


def test_further_fields_of_a_message_are_kept_nulls_included() -> None:
    further = {"id": "x", "created_at": None, "model_config": [1], "media": {"url": None}}
    message = conversation()["messages"][0] | further
    assert canonical(messages=[message])["messages"] == [message]


@pytest.mark.parametrize(
    "fields",
    [
        *({name: None} for name in DOCUMENTED),
        *({name: 1} for name in DOCUMENTED),
        *({"messages": [{**MESSAGE, name: None}]} for name in MESSAGE),
        {"id": "a#b"},
        {"id": ""},
        {"id": "i" * 129},
        {"userId": "é"},
        {"createdAt": "2024-12-01"},
        {"updatedAt": "2024-12-01T08:45:00"},
        {"customer": {"name": 1}},
        {"messages": {}},
        {"messages": [None]},
        {"messages": [{**MESSAGE, "sent": "true"}]},
        {"messages": [{**MESSAGE, "sent": 1}]},
        {"messages": [{**MESSAGE, "score": float("nan")}]},
        {"messages": [{**MESSAGE, "score": float("inf")}]},
    ],
)
def test_what_is_no_conversation_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Conversation.from_json(json.dumps(conversation(**fields)))


@pytest.mark.parametrize("missing", DOCUMENTED)
def test_every_field_is_required(missing: str) -> None:
    fields = conversation()
    del fields[missing]
    with pytest.raises(ValueError, match=missing):
        Conversation.from_json(json.dumps(fields))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '"x"', '{"_id":"\\ud800"}', "[" * 100_000])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Conversation.from_json(text)


def test_a_lone_surrogate_is_refused() -> None:
    made = Conversation.model_validate(conversation(agentId="\ud800"))
    with pytest.raises(ValueError, match="surrogate"):
        made.to_json()


@given(conversations)
def test_messages_can_be_cut_to_the_last_or_none(given_: dict[str, Any]) -> None:
    whole = Conversation.from_json(json.dumps(given_)).to_json()
    every = json.loads(whole)["messages"]
    kept: dict[Messages, list[Any]] = {"all": every, "last": every[-1:], "none": []}
    for which, expected in kept.items():
        cut = keep_messages(whole, which)
        assert json.loads(cut) == {**json.loads(whole), "messages": expected}
        assert which == "all" or keep_messages(cut, which) == cut


def last_by_decoding(elements: str) -> str:
    """The last element, found by decoding each."""
    start = end = 0
    while end < len(elements):
        start = end
        end = json.JSONDecoder().raw_decode(elements, start)[1] + len(",")
    return elements[start:]


# Texts and nested values that look like the beginning of a message.
begun = st.sampled_from(
    [',{"direction":"', '{"direction":"', "},{", "\\", '"', '\\"', "]}", "[{", ",{", "\n"]
)
lookalike_texts = st.lists(begun | texts, max_size=5).map("".join)
lookalike_values: st.SearchStrategy[Any] = st.recursive(
    lookalike_texts | json_values,
    lambda inner: st.lists(
        inner | st.builds(lambda value: {"direction": "in", "x": value}, inner), max_size=4
    ),
    max_leaves=10,
)
lookalikes = st.builds(
    lambda message, text, value: message | {"direction": text, "message": text, "more": value},
    messages,
    lookalike_texts,
    lookalike_values,
)


@settings(max_examples=examples(500))
@given(st.lists(lookalikes | messages, max_size=6))
def test_the_last_message_is_byte_for_byte_the_one_that_decoding_finds(
    given_: list[dict[str, Any]],
) -> None:
    whole = Conversation.from_json(json.dumps(conversation(messages=given_))).to_json()
    start, end = whole.index(b"[") + 1, whole.rindex(b"]")
    last = last_by_decoding(whole[start:end].decode()).encode()
    assert keep_messages(whole, "last") == whole[:start] + last + whole[end:]


def seconds(call: Callable[[], object]) -> float:
    """The CPU that a call takes, at best."""
    took = []
    for _ in range(5):
        begun = time.process_time()
        call()
        took.append(time.process_time() - begun)
    return min(took)


def test_the_last_of_many_messages_is_found_without_decoding_all() -> None:
    nested = {**MESSAGE, "x": [0, *[{"direction": "in"}] * 100]}
    whole = Conversation.model_validate(
        conversation(messages=[MESSAGE] * 10_000 + [nested])
    ).to_json()
    assert json.loads(keep_messages(whole, "last"))["messages"] == [nested]
    assert seconds(lambda: keep_messages(whole, "last")) < seconds(lambda: json.loads(whole)) / 4


def test_text_that_looks_like_the_messages_does_not_mislead_the_cut() -> None:
    marks = ',"messages":[{"a":1}],"createdAt":"'
    nested = {**MESSAGE, "message": marks, "messages": [MESSAGE], "createdAt2": marks}
    whole = Conversation.model_validate(
        conversation(
            pathwayId=marks, agentId=marks, customer={"name": ","}, messages=[MESSAGE, nested]
        )
    ).to_json()
    assert json.loads(keep_messages(whole, "last"))["messages"] == [nested]
    assert json.loads(keep_messages(whole, "none"))["messages"] == []
