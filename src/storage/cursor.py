"""Position ⇄ opaque cursor. It names no partition, and is good for one question only."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields, replace
from hashlib import sha256

from domain.errors import InvalidCursorError
from storage.query import ConversationQuery, Partition, Position

_VERSION = 1
_FILTERS = ("sort", "agent_id", "pathway_id", "created_at", "updated_at")
_FREE = frozenset({"after", "limit", "messages"})  # may change from page to page
_KEY = re.compile(r"[ -~]{1,1024}")  # AWS limit of a sort key: 1,024 bytes


def encode(position: Position, partition: Partition, query: ConversationQuery) -> str:
    """The cursor that goes on after a position of the query in the partition.

    Its digest covers partition, sort, filters and position: a cursor of another question, or a
    tampered one, shows. It needs no secret, since every read is within the caller's partition.
    """
    question = [_VERSION, partition, position, *(getattr(query, name) for name in _FILTERS)]
    # A filter added later counts only where it is used, so that cursors handed out before hold.
    for field in fields(query):
        value = getattr(query, field.name)
        if field.name not in _FREE.union(_FILTERS) and value != field.default:
            question.append([field.name, value])
    digest = sha256(json.dumps(question).encode()).hexdigest()[:16]
    return urlsafe_b64encode(json.dumps([digest, *position]).encode()).decode().rstrip("=")


def resume(cursor: str, partition: Partition, query: ConversationQuery) -> ConversationQuery:
    """The query, going on where the cursor says.

    Raises:
        InvalidCursorError: the cursor is not one that `encode` made for this question.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        _digest, *keys = json.loads(urlsafe_b64decode(padded))
        position = tuple(keys)
        if len(position) == len(query.key_names) and all(map(_KEY.fullmatch, position)):
            ge, lt = query.bounds
            within = (ge or "") <= position[0] and (lt is None or position[0] < lt)
            if within and encode(position, partition, query) == cursor:
                return replace(query, after=position)
    except (RecursionError, TypeError, ValueError):
        pass
    raise InvalidCursorError(
        "The cursor is damaged, or belongs to another user, workspace, sort or filter. "
        "Take it from the Link header, or begin again without one."
    )
