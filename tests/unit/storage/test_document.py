import json
import re
from typing import Any

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from domain.conversation import Conversation
from domain.errors import ConversationTooLargeError
from storage import document
from tests.support.api import DOCUMENTED, DOCUMENTED_USER, conversation
from tests.support.strategies import conversations

EXAMPLE = Conversation.model_validate(DOCUMENTED)
CHECKSUM: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}


def decode(stored: bytes | str) -> bytes:
    return document.decode(stored, EXAMPLE.id, EXAMPLE.user_id)


@given(conversations)
def test_a_conversation_survives_the_document(fields: dict[str, Any]) -> None:
    made = Conversation.from_json(json.dumps(fields))
    stored = document.encode(made)
    assert document.decode(stored, made.id, made.user_id) == made.to_json()
    plain = json.dumps(fields, indent=1)
    assert document.decode(plain, made.id, made.user_id) == made.to_json()


MESSAGE = DOCUMENTED["messages"][0]  # type: ignore[index]


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
        (zstd.compress(b"a" * 3_000_001, options=CHECKSUM), "too large"),
        (zstd.compress(b"", options=CHECKSUM), "another conversation"),
        (zstd.compress(b"[]", options=CHECKSUM), "another conversation"),
        (b"", "damaged"),
        (b"not a frame", "damaged"),
        ("", "no conversation"),
        ("{", "no conversation"),
        ("{}", "no conversation"),
        ("[" * 100_000, "no conversation"),
        (json.dumps(conversation(createdAt="secret")), "no conversation"),
        (json.dumps(conversation(createdAt="0000-01-01T00:00:00Z")), "no conversation"),
        (plain(x=nested(199)), "no conversation"),
        (plain(x=0).replace('"x": 0', f'"x": 1{"0" * 4300}'), "no conversation"),
        (plain(x=0).replace('"x": 0', '"x": 1e400'), "no conversation"),
        (f"{plain(x=0)}\ud83d", "no conversation"),
        (plain(x=0).replace('"x": 0', '"x": "\\ud83x"'), "no conversation"),
        (plain(x=0).replace('"x": 0', '"x": "\\u12"'), "no conversation"),
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


@pytest.mark.parametrize(
    "fields", [{"id": "675c8e368824aa5f130b94d"}, {"userId": DOCUMENTED_USER[:-1]}]
)
def test_a_document_of_another_conversation_is_refused(fields: dict[str, Any]) -> None:
    other = document.encode(Conversation.model_validate(conversation(**fields)))
    with pytest.raises(ValueError, match="another conversation"):
        decode(other)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = zstd.compress(bytes(200_000_000), options=CHECKSUM)
    assert len(bomb) < 20_000
    with pytest.raises(ValueError, match="too large"):
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
