"""The query parameters of the list, each declared once, and the query that they make up."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from domain.contact import comparable_email, comparable_phone
from domain.timestamp import READABLE, RFC_3339, to_instant

Sort = Literal["-createdAt", "createdAt", "-updatedAt", "updatedAt"]
Messages = Literal["all", "last", "none"]
Deleted = Literal["exclude", "include"]
Range = tuple[str | None, str | None]
"""Two instants: from the first, inclusive, to the second, exclusive; `None` is no bound."""
Position = tuple[str, ...]
"""Where a page ends: the values of the sort keys of the last item read."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter.

    Attributes:
        parse: returns the value of a text. Raises `ValueError` if the text breaks the rule; an
            error with a text of its own says more precisely what the value must be.
        schema: its JSON Schema, without default and description.
        rule: what the value must be, the end of the sentence "The query parameter … must be …".
        description: for the reference, in Markdown.
        varies: whether it may change from page to page. A cursor is valid for one value of each
            parameter that may not.
    """

    name: str
    parse: Callable[[str], object]
    schema: Mapping[str, Any]
    rule: str
    description: str
    varies: bool = False


def _declare(parameter: Parameter, default: str | None = None) -> Any:
    return field(default=default, metadata={"parameter": parameter})


def _limit(text: str) -> int:
    # Not `int` alone, which takes `1_0`, ` 1`, `+1` and the digits of other scripts.
    if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= 1000:
        raise ValueError
    return int(text)


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _comparable(form_of: Callable[[str], str | None]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if form := form_of(text):
            return form
        raise ValueError

    return parse


def _identifier(name: str, description: str) -> Any:
    schema = {"type": "string", "minLength": 1}
    return _declare(Parameter(name, _not_empty, schema, "one identifier, not empty", description))


def _instant(name: str, description: str) -> Any:
    def parse(text: str) -> str:
        if not re.fullmatch(READABLE, text, re.ASCII):
            raise ValueError
        return to_instant(text)

    rule = (
        "one RFC 3339 timestamp with an offset, such as 2024-12-01T08:45:00Z; "
        "write a + in it as %2B"
    )
    schema = {"type": "string", "format": "date-time", "pattern": RFC_3339}
    return _declare(Parameter(name, parse, schema, rule, description))


def _choice(
    name: str,
    values: tuple[str, ...],
    default: str | None,
    description: str,
    *,
    varies: bool = False,
) -> Any:
    def parse(text: str) -> str:
        if text not in values:
            raise ValueError
        return text

    rule = " or ".join(filter(None, (", ".join(values[:-1]), values[-1])))
    schema = {"type": "string", "enum": [*values]}
    return _declare(Parameter(name, parse, schema, rule, description, varies), default)


@dataclass(frozen=True, slots=True)
class ConversationQuery:
    """Which conversations of a user in a workspace are listed, how many, and in which order."""

    limit: int | None = _declare(
        Parameter(
            "limit",
            _limit,
            {"type": "integer", "minimum": 1, "maximum": 1000},
            "one whole number from 1 to 1000",
            "Return a page of at most this many conversations. Without it, return all.",
            varies=True,
        )
    )
    cursor: str | None = _declare(
        Parameter(
            "cursor",
            _not_empty,
            {"type": "string", "minLength": 1},
            "one cursor, taken from a Link header",
            "Where the page begins: opaque, from the previous page's `Link` header. Valid for the "
            "same user, workspace, filters and sort; `limit` and `messages` may change.",
            varies=True,
        )
    )
    agent_id: str | None = _identifier("agentId", "Only conversations with this exact agent id.")
    pathway_id: str | None = _identifier(
        "pathwayId", "Only conversations with this exact pathway id."
    )
    created_at_ge: str | None = _instant(
        "createdAtGe", "Only conversations created at this time or later."
    )
    created_at_lt: str | None = _instant(
        "createdAtLt", "Only conversations created before this time."
    )
    updated_at_ge: str | None = _instant(
        "updatedAtGe", "Only conversations updated at this time or later."
    )
    updated_at_lt: str | None = _instant(
        "updatedAtLt", "Only conversations updated before this time."
    )
    sort: Sort = _choice(
        "sort",
        ("-createdAt", "createdAt", "-updatedAt", "updatedAt"),
        "-createdAt",
        "The order: `-createdAt` lists the newest first, `-updatedAt` the most recently updated "
        "first, as an inbox does. Use `updatedAt` for sync.",
    )
    messages: Messages = _choice(
        "messages",
        ("all", "last", "none"),
        "all",
        "Which messages each conversation has: `all`, only the `last`, or `none` (an empty array).",
        varies=True,
    )
    deleted: Deleted = _choice(
        "deleted",
        ("exclude", "include"),
        "exclude",
        "Whether to list deleted conversations too, as tombstones. For sync.",
    )

    customer_email: str | None = _declare(
        Parameter(
            "customerEmail",
            _comparable(comparable_email),
            {"type": "string", "minLength": 1},
            "one e-mail address, not empty",
            "Only conversations whose customer has this e-mail address. Upper and lower case and "
            "blanks around it do not matter.",
        )
    )
    customer_phone: str | None = _declare(
        Parameter(
            "customerPhone",
            _comparable(comparable_phone),
            {"type": "string", "minLength": 1},
            "one phone number of digits, without other text; blanks, dashes, dots, slashes, "
            "parentheses and a leading + may be in it",
            "Only conversations whose customer has this phone number. Only the digits are "
            "compared: `+49 30 123` is `49-30-123`, and `0049 30 123` is another.",
        )
    )
    sync: Literal["true"] | None = _choice(
        "sync",
        ("true",),
        None,
        "Keep a copy: list everything by `updatedAt`, tombstones included. The last response has a "
        '`Link` with `rel="monitor"`: follow it later for what has changed. Only with `limit`, '
        "`messages` and `cursor`.",
    )

    @property
    def of_customer(self) -> bool:
        """Whether only conversations with one customer are listed."""
        return self.customer_email is not None or self.customer_phone is not None

    @property
    def by_updated(self) -> bool:
        """Whether the list is sorted by `updatedAt`."""
        return self.sort.endswith("updatedAt")

    @property
    def created_at(self) -> Range:
        return self.created_at_ge, self.created_at_lt

    @property
    def updated_at(self) -> Range:
        return self.updated_at_ge, self.updated_at_lt

    @property
    def bounds(self) -> Range:
        """The time range of the field that the list is sorted by."""
        return self.updated_at if self.by_updated else self.created_at


PARAMETERS: Mapping[str, Parameter] = {
    declared.name: declared.metadata["parameter"] for declared in fields(ConversationQuery)
}
"""The parameters, in the order of their declaration, by the name of their field."""
