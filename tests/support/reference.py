"""The contract in plain Python: which conversations a list holds, in what order and in what form.

It reads like docs/reference/contract.md, and shares no code with src/, so that the two can differ.
A conversation is a JSON object as it was written, with a `deletedAt` besides once it is deleted; a
question is a request's query parameters, where a repetition of the same value does not count.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from unicodedata import normalize

JSON = dict[str, Any]
Question = Mapping[str, str]
Place = tuple[str, str]

FIELDS = ["_id", "userId", "pathwayId", "agentId", "customer", "messages", "createdAt", "updatedAt"]
CUSTOMER_FIELDS = ["name", "email", "phone"]
MESSAGE_FIELDS = ["direction", "sent", "message", "status", "_id", "createdAt", "updatedAt"]
DEFAULT_SORT = "-createdAt"


def listed(conversations: Iterable[JSON], question: Question, after: Place | None) -> list[JSON]:
    """The conversations asked for, in order and as a client sees them, whatever the limit.

    Args:
        after: the place of the last conversation of the page before; `None` on the first page.
    """
    found = [conversation for conversation in conversations if asked_for(conversation, question)]
    found.sort(
        key=lambda conversation: place(conversation, question), reverse=newest_first(question)
    )
    if after is not None:
        found = [
            conversation
            for conversation in found
            if (
                place(conversation, question) < after
                if newest_first(question)
                else place(conversation, question) > after
            )
        ]
    return [shown(conversation, question.get("messages", "all")) for conversation in found]


def page(listed: list[JSON], question: Question) -> list[JSON]:
    """What a page holds of the conversations that follow the page before."""
    return listed[: int(question["limit"])] if "limit" in question else listed


def refused(question: Question) -> bool:
    """Whether a range ends before it begins, or a tombstone should have a customer."""
    customer = "customerEmail" in question or "customerPhone" in question
    if customer and question.get("deleted") == "include":
        return True
    return any(
        instant(question[f"{name}Ge"]) > instant(question[f"{name}Lt"])
        for name in ("createdAt", "updatedAt")
        if f"{name}Ge" in question and f"{name}Lt" in question
    )


def asked_for(conversation: JSON, question: Question) -> bool:
    """Whether the filters let the conversation pass."""
    if "deletedAt" in conversation and question.get("deleted") != "include":
        return False
    for name in ("agentId", "pathwayId"):
        if name in question and conversation[name] != question[name]:
            return False
    for parameter, name, form in (
        ("customerEmail", "email", same_email),
        ("customerPhone", "phone", same_number),
    ):
        stored = conversation["customer"].get(name, "")
        if parameter in question and form(stored) != form(question[parameter]):
            return False
    for name in ("createdAt", "updatedAt"):
        moment = instant(conversation[name])
        if f"{name}Ge" in question and moment < instant(question[f"{name}Ge"]):
            return False
        if f"{name}Lt" in question and moment >= instant(question[f"{name}Lt"]):
            return False
    return True


def newest_first(question: Question) -> bool:
    return question.get("sort", DEFAULT_SORT).startswith("-")


def same_email(address: str) -> str:
    """A text that equal addresses share."""
    return normalize("NFC", normalize("NFC", address.strip()).lower())


def same_number(number: str) -> str | None:
    """A text that equal numbers share; `None` for what is no number."""
    digits = re.sub(r"[\s().\-/\u2010-\u2015\u200b]|^[\s(]*\+", "", number)
    if not re.fullmatch(r"\d+", digits):
        return None
    return "".join(str(int(digit)) for digit in digits)


def next_lower(lower: str, start: str, newest: str | None) -> str:
    """From which instant on the round after one of sync lists; "" for everything.

    Args:
        lower: the same of the round itself, which began at `start` and listed up to `newest`.
    """
    if newest is None:
        return lower
    moment = datetime.fromisoformat(min(start, newest)[:-1])
    try:
        earlier = (moment - timedelta(seconds=60)).isoformat(timespec="milliseconds") + "Z"
    except OverflowError:
        earlier = "0001-01-01T00:00:00.000Z"
    return max(lower, earlier)


def place(conversation: JSON, question: Question) -> Place:
    """What the list is sorted by: the instant, and among equals the `_id`."""
    name = question.get("sort", DEFAULT_SORT).removeprefix("-")
    return instant(conversation[name]), conversation["_id"]


def shown(conversation: JSON, messages: str) -> JSON:
    """The conversation with the documented fields only, in the order of the example."""
    if "deletedAt" in conversation:
        return {name: conversation[name] for name in ("_id", "updatedAt", "deletedAt")}
    kept = {
        "all": conversation["messages"],
        "last": conversation["messages"][-1:],
        "none": [],
    }[messages]
    customer = conversation["customer"]
    return {name: conversation[name] for name in FIELDS} | {
        "customer": {name: customer[name] for name in CUSTOMER_FIELDS if name in customer},
        "messages": [_shown_message(message) for message in kept],
        **_shown_timestamps(conversation),
    }


def _shown_message(message: JSON) -> JSON:
    """The message with all of its fields, the documented ones first."""
    return {name: message[name] for name in MESSAGE_FIELDS} | message | _shown_timestamps(message)


def _shown_timestamps(record: JSON) -> JSON:
    """Both timestamps in UTC, to the digit."""
    timestamps = {}
    for name in ("createdAt", "updatedAt"):
        second, fraction = in_utc(record[name])
        timestamps[name] = f"{second}.{fraction}Z" if fraction else f"{second}Z"
    return timestamps


def instant(timestamp: str) -> str:
    """The timestamp in UTC, cut to milliseconds: `2024-12-01T08:45:00.000Z`. Sorts as text."""
    second, fraction = in_utc(timestamp)
    return f"{second}.{(fraction + '000')[:3]}Z"


_TIMESTAMP = re.compile(r"(.{19})(?:\.(\d+))?(?:[Zz]|([+-])(\d\d)(?::?(\d\d))?)")


def in_utc(timestamp: str) -> tuple[str, str]:
    """The second in UTC, such as `2024-12-01T08:45:00`, and the digits of its fraction."""
    match = _TIMESTAMP.fullmatch(timestamp)
    assert match, timestamp
    second, fraction, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    local = datetime.fromisoformat(second)
    utc = local + offset if sign == "-" else local - offset
    return utc.isoformat(), fraction or ""
