import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.local.demo import DOCUMENTED, USER
from domain.conversation import Conversation, Message
from domain.errors import ConversationTooLargeError
from domain.query import Messages
from storage import document
from tests.support.api import conversation
from tests.support.budget import examples
from tests.support.strategies import conversations, json_values, messages, texts

EXAMPLE = Conversation.model_validate(DOCUMENTED)
CHECKSUM: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}


def decode(stored: bytes | str) -> bytes:
    return document.decode(stored, EXAMPLE.id, EXAMPLE.user_id)


@given(conversations)
def test_a_conversation_survives_the_document(fields: dict[str, Any]) -> None:
    whole = Conversation.from_json(json.dumps(fields))
    stored = document.encode(whole)
    assert document.decode(stored, whole.id, whole.user_id) == whole.to_json()
    plain = json.dumps(fields, indent=1)
    assert document.decode(plain, whole.id, whole.user_id) == whole.to_json()


MESSAGE = DOCUMENTED["messages"][0]


def plain(**fields: Any) -> str:
    """A document as other languages write it: its one message with further fields."""
    return json.dumps(conversation(messages=[{**MESSAGE, **fields}]))


@given(st.text(st.sampled_from('\ud83d\udbff\ude00\udc00\ue000\\/"udD83e0é\n')))
def test_a_lone_surrogate_in_plain_json_is_read_as_the_replacement_character(text: str) -> None:
    joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    expected = re.sub("[\ud800-\udfff]", "\ufffd", joined)
    for stored in (plain(message=text), plain(message=text).replace("\\ud", "\\uD")):
        (message,) = json.loads(decode(stored))["messages"]
        assert message["message"].replace("\\uD", "\\ud") == expected.replace("\\uD", "\\ud")


def test_the_half_of_an_emoji_in_a_name_is_replaced_too() -> None:
    (message,) = json.loads(decode(plain(**{"a\ud83d": 1})))["messages"]
    assert message["a\ufffd"] == 1


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_what_the_layout_allows_is_read() -> None:
    fields = {"deep": nested(100), "long": 10**4299, "large": -1.7e308}
    (message,) = json.loads(decode(plain(**fields)))["messages"]
    assert message == MESSAGE | fields


def test_a_flipped_bit_is_never_read_as_something_else() -> None:
    stored, text = document.encode(EXAMPLE), EXAMPLE.to_json()
    refused = 0
    for bit in range(len(stored) * 8):
        damaged = bytearray(stored)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(bytes(damaged)) == text  # a bit that zstd does not use
        except ValueError:
            refused += 1
    assert refused > len(stored) * 7


def test_a_document_cut_off_anywhere_or_followed_by_something_is_refused() -> None:
    stored = document.encode(EXAMPLE)
    for damaged in (*(stored[:length] for length in range(len(stored))), stored + b"x"):
        with pytest.raises(ValueError, match="frame"):
            decode(damaged)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (zstd.compress(EXAMPLE.to_json()), "declares no checksum"),
        (zstd.compress(b"a" * 3_000_001, options=CHECKSUM), "size over the limit"),
        (zstd.compress(b"", options=CHECKSUM), "another conversation"),
        (zstd.compress(b"[]", options=CHECKSUM), "another conversation"),
        (b"", "damaged"),
        (b"not a frame", "damaged"),
        ("", "not a valid conversation"),
        ("{", "not a valid conversation"),
        ("{}", "not a valid conversation"),
        ("[" * 100_000, "not a valid conversation"),
        (json.dumps(conversation(createdAt="secret")), "not a valid conversation"),
        (json.dumps(conversation(createdAt="0000-01-01T00:00:00Z")), "not a valid conversation"),
        (plain(x=nested(199)), "not a valid conversation"),
        (plain(x=0).replace('"x": 0', f'"x": 1{"0" * 4300}'), "not a valid conversation"),
        (plain(x=0).replace('"x": 0', '"x": 1e400'), "not a valid conversation"),
        (f"{plain(x=0)}\ud83d", "not a valid conversation"),
        (plain(x=0).replace('"x": 0', '"x": "\\ud83x"'), "not a valid conversation"),
        (plain(x=0).replace('"x": 0', '"x": "\\u12"'), "not a valid conversation"),
        (json.dumps(conversation(id="other")), "another conversation"),
        (json.dumps(conversation(userId="other")), "another conversation"),
        (json.dumps(conversation(agentId="a" * 3_000_001)), "larger than a response"),
    ],
)
def test_a_damaged_document_is_refused_without_its_content(
    stored: bytes | str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        decode(stored)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("fields", [{"id": "675c8e368824aa5f130b94d"}, {"userId": USER[:-1]}])
def test_a_document_of_another_conversation_is_refused(fields: dict[str, Any]) -> None:
    other = document.encode(Conversation.model_validate(conversation(**fields)))
    with pytest.raises(ValueError, match="another conversation"):
        decode(other)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstd.compress(bytes(200_000_000), options=CHECKSUM)
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="size over the limit"):
        decode(bomb)


def test_a_frame_of_unknown_size_is_refused() -> None:
    compressor = zstd.ZstdCompressor(options=CHECKSUM)
    frame = compressor.compress(EXAMPLE.to_json()) + compressor.flush()
    with pytest.raises(ValueError, match="no size"):
        decode(frame)


def test_a_conversation_too_large_for_a_response_is_refused_by_name() -> None:
    large = Conversation.model_validate(conversation(agentId="a" * 3_000_000))
    with pytest.raises(ConversationTooLargeError, match=EXAMPLE.id):
        document.encode(large)


def test_the_marker_of_a_message_is_the_first_field_of_the_model() -> None:
    name, first = next(iter(Message.model_fields.items()))
    assert f',{{"{first.alias or name}":"'.encode() == document._NEXT_MESSAGE


@given(conversations)
def test_messages_can_be_cut_to_the_last_or_none(given_: dict[str, Any]) -> None:
    whole = Conversation.from_json(json.dumps(given_)).to_json()
    every = json.loads(whole)["messages"]
    kept: dict[Messages, list[Any]] = {"all": every, "last": every[-1:], "none": []}
    for which, expected in kept.items():
        cut = document.keep_messages(whole, which)
        assert json.loads(cut) == {**json.loads(whole), "messages": expected}
        assert which == "all" or document.keep_messages(cut, which) == cut


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
    assert document.keep_messages(whole, "last") == whole[:start] + last + whole[end:]


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
    assert json.loads(document.keep_messages(whole, "last"))["messages"] == [nested]
    assert (
        seconds(lambda: document.keep_messages(whole, "last"))
        < seconds(lambda: json.loads(whole)) / 4
    )


def test_text_that_looks_like_the_messages_does_not_mislead_the_cut() -> None:
    marks = ',"messages":[{"a":1}],"createdAt":"'
    nested = {**MESSAGE, "message": marks, "messages": [MESSAGE], "createdAt2": marks}
    whole = Conversation.model_validate(
        conversation(
            pathwayId=marks, agentId=marks, customer={"name": ","}, messages=[MESSAGE, nested]
        )
    ).to_json()
    assert json.loads(document.keep_messages(whole, "last"))["messages"] == [nested]
    assert json.loads(document.keep_messages(whole, "none"))["messages"] == []
