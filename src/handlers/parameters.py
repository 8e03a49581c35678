"""The request's parameters: their types, and what is said of a wrong one."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.middlewares import openapi_validation
from aws_lambda_powertools.event_handler.openapi.compat import is_scalar_field
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.params import Header, Query
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.json_schema import SkipJsonSchema

from domain.caller import WORKSPACE_ID
from domain.conversation import Messages as KeptMessages
from domain.errors import (
    ConversationsError,
    InvalidCursorError,
    InvalidParameterError,
    InvalidWorkspaceError,
    MissingWorkspaceError,
    UnknownParameterError,
)
from domain.timestamp import RFC_3339, to_instant
from storage.query import Sort as Order

_ID = "one identifier, not empty"
_TIMESTAMP = (
    "one RFC 3339 timestamp with an offset, such as 2024-12-01T08:45:00Z; a + in it is written %2B"
)
RULES = {
    "limit": "one whole number from 1 to 1000",
    "cursor": "one cursor, taken from a Link header",
    "agentId": _ID,
    "pathwayId": _ID,
    "createdAtGe": _TIMESTAMP,
    "createdAtLt": _TIMESTAMP,
    "updatedAtGe": _TIMESTAMP,
    "updatedAtLt": _TIMESTAMP,
    "sort": "one of -createdAt, createdAt, -updatedAt and updatedAt",
    "messages": "one of all, last and none",
}


# Powertools asks it twice of every parameter of every request: 8 % of what a small one takes.
openapi_validation.is_scalar_field = cache(is_scalar_field)  # type: ignore[attr-defined]


def _digits(value: object) -> int:
    if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    raise ValueError("decimal digits only")


def _once(values: object) -> object:
    """A header that is sent twice with the same value is sent once."""
    return values[0] if isinstance(values, list) and len(set(values)) == 1 else values


Absent = SkipJsonSchema[None]
_Text = Annotated[str, Field(min_length=1)]
_Instant = Annotated[
    str,
    Field(pattern=RFC_3339, json_schema_extra={"format": "date-time"}),
    AfterValidator(to_instant),
]

WorkspaceId = Annotated[
    Annotated[str, Field(pattern=WORKSPACE_ID), BeforeValidator(_once)],
    Header(alias="x-workspace-id", description="Workspace identifier for the API."),
]
Limit = Annotated[
    Annotated[int, Field(ge=1, le=1000), BeforeValidator(_digits)] | Absent,
    Query(description="Asks for a page of at most so many conversations. Absent: all of them."),
]
Cursor = Annotated[
    _Text | Absent,
    Query(
        description="Where the page begins: opaque, from the `Link` header of the page before. "
        "Good for the same user, workspace, filters and sort."
    ),
]
AgentId = Annotated[_Text | Absent, Query(alias="agentId", description="Only of this agent.")]
PathwayId = Annotated[_Text | Absent, Query(alias="pathwayId", description="Only of this pathway.")]
CreatedAtGe = Annotated[
    _Instant | Absent, Query(alias="createdAtGe", description="Only created at this time or later.")
]
CreatedAtLt = Annotated[
    _Instant | Absent, Query(alias="createdAtLt", description="Only created before this time.")
]
UpdatedAtGe = Annotated[
    _Instant | Absent, Query(alias="updatedAtGe", description="Only updated at this time or later.")
]
UpdatedAtLt = Annotated[
    _Instant | Absent, Query(alias="updatedAtLt", description="Only updated before this time.")
]
Sort = Annotated[
    Order, Query(description="The order. `-updatedAt` is an inbox; `updatedAt` is for sync.")
]
Messages = Annotated[
    KeptMessages,
    Query(description="Which messages each conversation holds: all, the last one, or none."),
]


def merge_headers(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with the values of headers whose names differ in case under one name."""
    merged: dict[str, list[str]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        merged.setdefault(name.lower(), []).extend(values)
    return {**event, "multiValueHeaders": merged}


def refuse_unknown(event: Mapping[str, Any]) -> None:
    """Passes if the request's parameters are known, and its API key is one.

    Raises:
        UnknownParameterError: a query parameter does not exist.
        InvalidParameterError: two API keys were sent.
    """
    for name in event.get("multiValueQueryStringParameters") or {}:
        if name not in RULES:
            # A longer name could be a key or a cursor that lost its parameter.
            named = (
                f"query parameter {name}" if re.fullmatch(r"[\w.-]{1,24}", name) else "parameter"
            )
            raise UnknownParameterError(f"There is no {named}; there are {', '.join(RULES)}.")
    if len(set(event["multiValueHeaders"].get("x-api-key", ()))) > 1:
        raise InvalidParameterError("The x-api-key header must be sent once.")


def between(name: str, ge: str | None, lt: str | None) -> tuple[str | None, str | None]:
    """The bounds of a range.

    Raises:
        InvalidParameterError: the range ends before it begins.
    """
    if ge is not None and lt is not None and ge > lt:
        raise InvalidParameterError(f"{name}Ge must not be later than {name}Lt.")
    return ge, lt


def explain(error: RequestValidationError) -> ConversationsError:
    """What is wrong with the first parameter that fails validation, without its value."""
    first = error.errors()[0]
    match first["loc"][:2]:
        case ("query", "cursor"):
            return InvalidCursorError(f"The query parameter cursor must be {RULES['cursor']}.")
        case ("query", name):
            return InvalidParameterError(f"The query parameter {name} must be {RULES[name]}.")
        case _ if first["type"] == "missing":
            return MissingWorkspaceError("The x-workspace-id header is required.")
        case _:
            return InvalidWorkspaceError(
                "The x-workspace-id header must be one workspace identifier: "
                "1 to 64 letters, digits, underscores or hyphens."
            )
