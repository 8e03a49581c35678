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
_KEY = re.compile(r"[ -~]{1,1024}")  # AWS limit of a sort key: 1,024 bytes


def encode(position: Position, partition: Partition, query: ConversationQuery) -> str:
    """The cursor of the page that begins after this position, for this partition and query only.

    A digest of partition, sort, filters and position exposes cursors that were tampered with or
    belong to another query. It needs no secret: every read stays within the caller's partition.
    """
    question = [_VERSION, partition, position, *(getattr(query, name) for name in _FILTERS)]
    # A filter of a later release counts only if used, so that older cursors stay valid.
    for declared in _LATER_FILTERS:
        value = getattr(query, declared.name)
        if value != declared.default:
            question.append([declared.name, value])
    digest = sha256(json.dumps(question).encode()).hexdigest()[:16]
    return urlsafe_b64encode(json.dumps([digest, *position]).encode()).decode().rstrip("=")


def position_of(partition: Partition, query: ConversationQuery) -> Position | None:
    """The position in the query's cursor; `None` if it has no cursor.

    Raises:
        RequestError: `invalid_cursor`: `encode` did not make the cursor for this query.
    """
    if query.cursor is None:
        return None
    try:
        padded = query.cursor + "=" * (-len(query.cursor) % 4)
        _digest, *keys = json.loads(urlsafe_b64decode(padded))
        position = tuple(keys)
        if len(position) == position_size(query) and all(map(_KEY.fullmatch, position)):
            ge, lt = query.bounds
            within = (ge or "") <= position[0] and (lt is None or position[0] < lt)
            if within and encode(position, partition, query) == query.cursor:
                return position
    except (RecursionError, TypeError, ValueError):
        pass
    raise RequestError("invalid_cursor")
