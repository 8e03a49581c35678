"""The query parameters of the list."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from domain.timestamp import READABLE, RFC_3339, to_instant

Sort = Literal["-createdAt", "createdAt", "-updatedAt", "updatedAt"]
Messages = Literal["all", "last", "none"]
Deleted = Literal["exclude", "include"]
Range = tuple[str | None, str | None]
"""Two instants: from the first, inclusive, to the second, exclusive; `None` is no bound."""
Position = tuple[str, ...]
"""Where a page ends: the values of the sort keys of the last item read."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a parameter must be: the end of the sentence "The query parameter … must be …"."""

    text: str


def _to_int(value: object) -> object:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    return value


_Absent = SkipJsonSchema[None]
_Id = Annotated[Annotated[str, Field(min_length=1)] | _Absent, Rule("one identifier, not empty")]
_Instant = Annotated[
    Annotated[
        str,
        Field(
            pattern=READABLE,
            # A wider pattern would break clients that were generated from an earlier one.
            json_schema_extra={"format": "date-time", "pattern": RFC_3339},
        ),
        AfterValidator(to_instant),
    ]
    | _Absent,
    Rule(
        "one RFC 3339 timestamp with an offset, such as 2024-12-01T08:45:00Z; "
        "write a + in it as %2B"
    ),
]


class ConversationQuery(BaseModel):
    """Which conversations of a user in a workspace are listed, how many, and in which order.

    A field's alias is the parameter's name. Its `Rule` tells a client what the value must be.
    """

    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)

    limit: Annotated[
        Annotated[int, Field(ge=1, le=1000, strict=True), BeforeValidator(_to_int)] | _Absent,
        Rule("one whole number from 1 to 1000"),
    ] = Field(
        default=None,
        description="Return a page of at most this many conversations. Without it, return all.",
    )
    cursor: Annotated[
        Annotated[str, Field(min_length=1)] | _Absent, Rule("one cursor, taken from a Link header")
    ] = Field(
        default=None,
        description="Where the page begins: opaque, from the previous page's `Link` header. "
        "Valid for the same user, workspace, filters and sort; `limit` and `messages` may change.",
    )
    agent_id: _Id = Field(default=None, description="Only conversations with this exact agent id.")
    pathway_id: _Id = Field(
        default=None, description="Only conversations with this exact pathway id."
    )
    created_at_ge: _Instant = Field(
        default=None, description="Only conversations created at this time or later."
    )
    created_at_lt: _Instant = Field(
        default=None, description="Only conversations created before this time."
    )
    updated_at_ge: _Instant = Field(
        default=None, description="Only conversations updated at this time or later."
    )
    updated_at_lt: _Instant = Field(
        default=None, description="Only conversations updated before this time."
    )
    sort: Annotated[Sort, Rule("-createdAt, createdAt, -updatedAt or updatedAt")] = Field(
        default="-createdAt",
        description="The order: `-createdAt` lists the newest first, `-updatedAt` the most "
        "recently updated first, as an inbox does. Use `updatedAt` for sync.",
    )
    messages: Annotated[Messages, Rule("all, last or none")] = Field(
        default="all",
        description="Which messages each conversation has: `all`, only the `last`, or `none` "
        "(an empty array).",
    )
    deleted: Annotated[Deleted, Rule("exclude or include")] = Field(
        default="exclude",
        description="Whether to list deleted conversations too, as tombstones. For sync.",
    )

    @property
    def by_updated(self) -> bool:
        """Whether the list is sorted by `updatedAt`, and so read from the index."""
        return self.sort in ("-updatedAt", "updatedAt")

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


def rules() -> dict[str, str]:
    """What each parameter must be, by its name."""
    return {
        field.alias or name: rule.text
        for name, field in ConversationQuery.model_fields.items()
        for rule in field.metadata
        if isinstance(rule, Rule)
    }
