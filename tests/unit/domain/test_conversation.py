import json
from typing import Any

import pytest
from hypothesis import given

from dev.local.demo import DOCUMENTED
from domain.conversation import Conversation
from domain.timestamp import to_utc
from tests.support.api import conversation
from tests.support.strategies import conversations

MESSAGE = DOCUMENTED["messages"][0]


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
    kept = canonical(apiKey="secret", workspaceId="w", pk="x", customer={"name": "N", "card": "1"})
    assert list(kept) == list(DOCUMENTED)
    assert kept["customer"] == {"name": "N"}


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_know_is_refused(number: str) -> None:
    text = json.dumps(conversation(messages=[MESSAGE | {"more": 123.5}]))
    assert Conversation.from_json(text)
    with pytest.raises(ValueError, match=r"expected|invalid number"):
        Conversation.from_json(text.replace("123.5", number))


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
    with_surrogate = Conversation.model_validate(conversation(agentId="\ud800"))
    with pytest.raises(ValueError, match="surrogate"):
        with_surrogate.to_json()
