"""Conversations as hypothesis makes them up, and as a seed does."""

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.support import reference
from tests.support.reference import JSON

ids = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="#"),
    min_size=1,
    max_size=128,
)
# What UTF-8, and so JSON, can carry: everything but lone surrogates.
texts = st.text(st.characters(codec="utf-8"), max_size=40)
timestamps = st.builds(
    lambda moment, fraction, zone: moment.isoformat(timespec="seconds")[:19] + fraction + zone,
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.just(UTC)),
    st.from_regex(r"(\.[0-9]{1,9})?", fullmatch=True),
    st.sampled_from(["Z", "+00:00", "+02:00", "-11:30", "+0000", "+02"]),
)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
_MESSAGE_FIELDS = {
    "direction": texts,
    "sent": st.booleans(),
    "message": texts,
    "status": texts,
    "_id": texts,
    "createdAt": timestamps,
    "updatedAt": timestamps,
}
messages = st.builds(
    lambda known, further: known | {k: v for k, v in further.items() if k not in known},
    st.fixed_dictionaries(_MESSAGE_FIELDS),
    st.dictionaries(texts, json_values, max_size=3),
)
conversations = st.fixed_dictionaries(
    {
        "_id": ids,
        "userId": ids,
        "pathwayId": texts,
        "agentId": texts,
        "customer": st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("name", "email", "phone"), texts)
        ),
        "messages": st.lists(messages, max_size=4),
        "createdAt": timestamps,
        "updatedAt": timestamps,
    }
)

_ID_CHARACTERS = "".join(chr(code) for code in range(32, 127) if chr(code) != "#")
_IDS = [
    *("a", "A", "aa", "a ", " a", " ", '"', "\\", '\\"', "-", "~", "0", "00", "!", "'", "%2B", "+"),
]
_TEXTS = [
    *("", "a", "A", "b", "a b", "a#b", "&limit=1", "é", "e\u0301", "客服 👍🏽", '"', "\\", "+"),
]
_SAID = [
    *("", "hello", "x" * 400, '"],"createdAt":"', '","messages":[', "\\", '\\"', "]}", "\u2028"),
    *("\u0000\n\t\u007f", "größe M", "👍🏽" * 20, "Ünï" * 60),
]
_FURTHER = [
    *(None, True, 0, -1, 2**63, 2.5, 1e300, "", "[", [], {}, [None, {"b": [1.0, "]"]}]),
    {"createdAt": '],"createdAt":"', "messages": []},
]
_FURTHER_NAMES = ["id", "created_at", "", "é", '"', "attachments", "userId", "messages", "__v"]
_EMAILS = [
    *("a@b.c", "A@b.C", " a@b.c ", "\u00e4@b.c", "A\u0308@b.c", "aa@b.c", "a@b.c.", "\u00df@b.c"),
]
_NUMBERS = [
    *("+49 30 1", "(4930) 1", "49-30-1", "0049301", "1", "49301 x"),
    "\u0664\u0669\u0663\u0660\u0661",
]
_START = datetime(1, 1, 1)
_END = datetime(9999, 12, 31, 23, 59, 59, 999_000)
_LEAP_DAY = datetime(2024, 2, 29, 23, 59, 59, 999_000)
_OFFSETS = [0, 0, 120, -330, 345, 840, -1439, 1439]  # in minutes
_SORTS = ["-createdAt", "createdAt", "-updatedAt", "updatedAt"]
_FILTERS = [
    *("agentId", "pathwayId", "customerEmail", "customerPhone"),
    *("createdAtGe", "createdAtLt", "updatedAtGe", "updatedAtLt"),
]
_BOUNDS = ["createdAtGe", "createdAtLt", "updatedAtGe", "updatedAtLt"]


class Maker:
    """Conversations and questions from a seed, which share ids, instants and texts.

    For tests that need many data sets a second. Nothing is made smaller when one fails.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        anywhere = _START + random.random() * (_END - _START)
        moments = random.sample([_START, _END, _LEAP_DAY, anywhere], random.randrange(1, 4))
        # Neighbours, so that bounds have something on both sides.
        near = [moment + timedelta(milliseconds=1) for moment in moments if moment != _END]
        self.moments = moments + near
        self.ids = random.sample(_IDS, 3)
        self.agents = random.choices(_TEXTS, k=2)
        self.pathways = random.choices(_TEXTS, k=2)

    def id(self) -> str:
        """An id, which often is the prefix of another, or goes on from one."""
        draw = self.random.random()
        if draw < 0.3:
            drawn = self.random.choice(_IDS)
        elif draw < 0.7:
            drawn = self.random.choice(self.ids) + self.random.choice(_ID_CHARACTERS)
        elif draw < 0.85:
            drawn = "".join(self.random.choices(string.hexdigits[:16], k=24))
        else:
            length = self.random.choice((1, 2, 60, 128))
            drawn = "".join(self.random.choices(_ID_CHARACTERS, k=length))
        self.ids.append(drawn[:127])
        return drawn

    def timestamp(self, not_before: str = "") -> str:
        """One of few instants in some spelling; if none is late enough, the earliest allowed."""
        moment = self.random.choice(self.moments)
        spelling = self._spelling(moment)
        return spelling if reference.instant(spelling) >= not_before else not_before

    def _spelling(self, moment: datetime) -> str:
        milliseconds = f"{moment.microsecond // 1000:03}"
        shortest = len(milliseconds.rstrip("0"))
        digits = self.random.choice((shortest, 3, self.random.randint(shortest, 9)))
        fraction = milliseconds + "".join(self.random.choices(string.digits, k=6))
        fraction = "." + fraction[:digits] if digits else ""
        minutes = self.random.choice(_OFFSETS)
        try:
            local = moment + timedelta(minutes=minutes)
        except OverflowError:  # no such year there
            local, minutes = moment, 0
        hours, rest = divmod(abs(minutes), 60)
        colon = self.random.choice((":", ":", ""))
        zone = f"{'-' if minutes < 0 else '+'}{hours:02}{colon}{rest:02}"
        if minutes == 0:
            zone = self.random.choice(("Z", "Z", "Z", "z", "+00:00", "-00:00", "+0000", "+00"))
        return local.isoformat(timespec="seconds") + fraction + zone

    def conversation(self, user: str, id_: str) -> JSON:
        """A conversation of the user, its fields in any order, some unknown ones among them."""
        random = self.random
        customer = {
            "phone": random.choice(_NUMBERS + _SAID),
            "name": random.choice(_SAID),
            "email": random.choice(_EMAILS + _SAID),
            "title": random.choice(_SAID),
        }
        fields = {
            "_id": id_,
            "userId": user,
            "pathwayId": random.choice(self.pathways),
            "agentId": random.choice(self.agents),
            "customer": dict(random.sample(list(customer.items()), random.randrange(5))),
            "messages": [self.message() for _ in range(random.choice((0, 1, 1, 2, 3)))],
            "createdAt": self.timestamp(),
            "updatedAt": self.timestamp(),
            **self._further("workspaceId", "__v"),
        }
        return dict(random.sample(list(fields.items()), len(fields)))

    def message(self) -> JSON:
        """A message with additional fields."""
        fields = {
            "direction": self.random.choice(("inbound", "outbound")),
            "sent": self.random.random() < 0.5,
            "message": self.random.choice(_SAID),
            "status": self.random.choice(("approved", "", "new word")),
            "_id": self.random.choice(_TEXTS),
            "createdAt": self.timestamp(),
            "updatedAt": self.timestamp(),
            **self._further(*_FURTHER_NAMES),
        }
        return dict(self.random.sample(list(fields.items()), len(fields)))

    def _further(self, *names: str) -> JSON:
        count = self.random.choice((0, 0, 1, 2))
        return {name: self.random.choice(_FURTHER) for name in self.random.sample(names, count)}

    def question(self) -> dict[str, str]:
        """A question: what stays the same from page to page."""
        random = self.random
        question = {"sort": random.choice(_SORTS)} if random.random() < 0.8 else {}
        often = random.choice((0.0, 0.1, 0.3))
        for name in ("agentId", "pathwayId", *_BOUNDS):
            if random.random() < often:
                question[name] = self.filter(name)
        if random.random() < 0.3:
            name = random.choice(("customerEmail", "customerPhone"))
            question[name] = self.filter(name)
        if random.random() < 0.4:
            question["deleted"] = random.choice(("include", "include", "exclude"))
        return question

    def filter(self, name: str) -> str:
        if name in _BOUNDS:
            return self.timestamp()
        if name == "customerEmail":
            return self.random.choice(_EMAILS)
        if name == "customerPhone":
            return self.random.choice([number for number in _NUMBERS if "x" not in number])
        known = self.agents if name == "agentId" else self.pathways
        return self.random.choice([*filter(None, known), "unknown"])

    def other(self, question: dict[str, str]) -> dict[str, str]:
        """Another question: with another sort, or another filter, or one less."""
        name = self.random.choice(["sort", "sort", "sort", *_FILTERS])
        if name == "sort":
            now = question.get("sort", reference.DEFAULT_SORT)
            return question | {"sort": self.random.choice([sort for sort in _SORTS if sort != now])}
        other = question | {name: self.filter(name)}
        if name in question and _meaning(name, other) == _meaning(name, question):
            del other[name]
        return other

    def page(self, *, long: bool = False) -> dict[str, str]:
        """The parameters that may change from page to page."""
        limits = ("8", "20", "1000", "") if long else ("1", "2", "3", "4", "5", "8", "1000", "")
        page = {"limit": self.random.choice(limits)}
        page["messages"] = self.random.choice(("", "all", "last", "none"))
        return {name: value for name, value in page.items() if value}


def _meaning(name: str, question: dict[str, str]) -> str | None:
    forms: dict[str, Callable[[str], str | None]] = {
        **dict.fromkeys(_BOUNDS, reference.instant),
        "customerEmail": reference.same_email,
        "customerPhone": reference.same_number,
    }
    return forms.get(name, str)(question[name])
