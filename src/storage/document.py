"""Turns conversations into stored documents (canonical JSON, zstd or plain) and back."""

import json
import re
import sys
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from domain.errors import ConversationTooLargeError
from domain.query import Messages

if TYPE_CHECKING:
    from domain.conversation import Conversation
    from storage.items import Item

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAX_JSON_BYTES = 3_000_000  # fits a Lambda response even with every quote escaped
_OPTIONS: dict[int, int] = {zstd.CompressionParameter.checksum_flag: 1}
# Matches JSON's escapes. Group 1 is empty for a lone surrogate, which is half a character.
_ESCAPE = re.compile(
    r"(\\u(?i:d[89ab][0-9a-f]{2})\\u(?i:d[c-f][0-9a-f]{2})|\\[^u]|\\u(?!(?i:d[89a-f])))"
    r"|\\u(?i:d[89a-f][0-9a-f]{2})"
)
_NEXT_MESSAGE = b',{"direction":"'  # the first field of `domain.conversation.Message`
_CHECKSUM_FLAG = 0b100  # of the frame header descriptor, RFC 8878, section 3.1.1.1.1


def encode(conversation: "Conversation") -> bytes:
    """Compress the conversation to a zstd frame with content size and checksum.

    Raises:
        ConversationTooLargeError: its JSON is larger than a response can carry.
    """
    text = conversation.to_json()
    if len(text) > MAX_JSON_BYTES:
        raise ConversationTooLargeError(
            f"The conversation {conversation.id} takes {len(text):,} bytes of JSON; "
            f"at most {MAX_JSON_BYTES:,} fit a response."
        )
    return zstd.compress(text, options=_OPTIONS)


def read(item: "Item") -> bytes:
    """The canonical JSON of the conversation in an item.

    Raises:
        UnreadableConversationError: it is damaged.
    """
    try:
        return decode(item.document, item.id, item.user_id)
    except ValueError as error:
        raise item.unreadable(str(error)) from None


def decode(document: bytes | str, conversation_id: str, user_id: str) -> bytes:
    """The canonical JSON of the conversation with this id and user.

    Args:
        document: as `content` takes it.

    Raises:
        ValueError: the document is damaged, or holds another conversation.
    """
    text = content(document)
    ids = f'{{"_id":{encode_basestring(conversation_id)},"userId":{encode_basestring(user_id)},'
    if not text.startswith(ids.encode()):
        raise ValueError("it holds another conversation")
    return text


def content(document: bytes | str) -> bytes:
    """The canonical JSON in a document, whichever conversation it is.

    Args:
        document: a frame by `encode`, whose checksum must match; or plain JSON by a writer in
            another language, which is validated. Lone surrogates in it, which JavaScript can
            create by truncating a text, become U+FFFD.

    Raises:
        ValueError: the document is damaged.
    """
    if not isinstance(document, str):
        return _decompress(document)
    text = _canonical(document)
    if len(text) > MAX_JSON_BYTES:
        raise ValueError("its JSON is larger than a response can carry")
    return text


def without_lone_surrogates(text: str) -> str:
    """The JSON with U+FFFD in place of each escape of a lone surrogate. Its length is the same."""
    return _ESCAPE.sub(lambda match: match[1] or r"\ufffd", text)


def _canonical(text: str) -> bytes:
    from domain.conversation import Conversation  # loads pydantic, which no compressed one needs

    try:
        try:
            conversation = Conversation.from_json(text)
        except ValueError:
            conversation = Conversation.from_json(without_lone_surrogates(text))
        return conversation.to_json()
    except (TypeError, ValueError) as error:  # whose text could contain content
        raise ValueError(f"its text is not a valid conversation ({type(error).__name__})") from None


def _decompress(frame: bytes) -> bytes:
    try:
        size = zstd.get_frame_info(frame).decompressed_size
        # Bounds the memory that a frame can claim: one of 6 KB can expand to 200 MB.
        if size is None or size > MAX_JSON_BYTES or not frame[4] & _CHECKSUM_FLAG:
            raise ValueError("its frame declares no checksum, no size, or a size over the limit")
        decompressor = zstd.ZstdDecompressor()
        text = decompressor.decompress(frame, size + 1)
    except zstd.ZstdError:
        raise ValueError("its frame is damaged") from None
    if not decompressor.eof or decompressor.unused_data or len(text) != size:
        raise ValueError("its frame is cut off, or has further bytes after it")
    return text


def customer_of(document: bytes) -> dict[str, str]:
    """The customer in a conversation's canonical JSON."""
    # Neither marker can occur inside a string, where every quote is escaped.
    start = document.index(b',"customer":') + len(b',"customer":')
    found: dict[str, str] = json.loads(document[start : document.index(b',"messages":[', start)])
    return found


def keep_messages(document: bytes, messages: Messages) -> bytes:
    """A conversation's canonical JSON with all of its messages, the last one only, or none."""
    if messages == "all":
        return document
    # Neither marker can occur inside a string, where every quote is escaped.
    start = document.index(b',"messages":[') + len(b',"messages":[')
    end = document.rindex(b'],"createdAt":"')
    kept = b"" if messages == "none" else _last_of(document[start:end])
    return document[:start] + kept + document[end:]


def _last_of(messages: bytes) -> bytes:
    """The last message in the canonical JSON of an array, given without its brackets.

    Searches backwards for the marker of a message's start. Skips markers inside nested values:
    after such a marker, more brackets close than open.
    """
    end, depth = len(messages), 0
    while (start := messages.rfind(_NEXT_MESSAGE, 0, end)) != -1:
        # A marker cannot occur inside a string, so each piece has only whole strings.
        piece = messages[start + 1 : end].replace(rb"\\", b"").replace(rb"\"", b"")
        outside = b"".join(piece.split(b'"')[::2])
        depth += sum(map(outside.count, (b"{", b"["))) - sum(map(outside.count, (b"}", b"]")))
        if depth == 0:
            return messages[start + 1 :]
        end = start
    return messages
