"""Turns positions into opaque cursors and back. A cursor is valid for one query only."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import fields
from hashlib import sha256

from domain.errors import RequestError
from domain.query import PARAMETERS, ConversationQuery, Position
from storage.items import Partition, position_size

_VERSION = 1
_FILTERS = ("sort", "agent_id", "pathway_id", "created_at", "updated_at")  # of 0.1.0
_LATER_FILTERS = [
    declared
    for declared in fields(ConversationQuery)
    if not PARAMETERS[declared.name].varies and not declared.name.startswith(_FILTERS)
]
_TEXT = re.compile(r"[ -~]{0,1024}")  # AWS limit of a sort key: 1,024 bytes


def encode(texts: tuple[str, ...], partition: Partition, query: ConversationQuery) -> str:
    """The cursor that holds these texts, such as a position, for this partition and query only.

    A digest of partition, sort, filters and texts exposes cursors that were tampered with or
    belong to another query. It needs no secret: every read stays within the caller's partition.
    """
    question = [_VERSION, partition, texts, *(getattr(query, name) for name in _FILTERS)]
    # A filter of a later release counts only if used, so that older cursors stay valid.
    for declared in _LATER_FILTERS:
        value = getattr(query, declared.name)
        if value != declared.default:
            question.append([declared.name, value])
    digest = sha256(json.dumps(question).encode()).hexdigest()[:16]
    return urlsafe_b64encode(json.dumps([digest, *texts]).encode()).decode().rstrip("=")


def texts_of(partition: Partition, query: ConversationQuery) -> tuple[str, ...]:
    """What `encode` was given for the query's cursor.

    Raises:
        RequestError: `invalid_cursor`: `encode` did not make the cursor for this query.
    """
    try:
        padded = f"{query.cursor}{'=' * (-len(query.cursor or '') % 4)}"
        _digest, *found = json.loads(urlsafe_b64decode(padded))
        texts = tuple(found)
        if all(map(_TEXT.fullmatch, texts)) and encode(texts, partition, query) == query.cursor:
            return texts
    except (RecursionError, TypeError, ValueError):
        pass
    raise RequestError("invalid_cursor")


def position_of(partition: Partition, query: ConversationQuery) -> Position | None:
    """The position in the query's cursor; `None` if it has no cursor.

    Raises:
        RequestError: as `texts_of`, or the position is outside the query's bounds.
    """
    if query.cursor is None:
        return None
    position = texts_of(partition, query)
    ge, lt = query.bounds
    if (
        len(position) == position_size(query)
        and all(position)
        and (ge or "") <= position[0]
        and (lt is None or position[0] < lt)
    ):
        return position
    raise RequestError("invalid_cursor")
