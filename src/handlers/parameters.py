"""Parse the request's parameters, and explain what is wrong with them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from aws_lambda_powertools.event_handler.openapi.params import Header
from pydantic import BeforeValidator, Field, ValidationError

from domain import query
from domain.caller import WORKSPACE_ID
from domain.errors import RequestError
from domain.query import ConversationQuery

_RULES = query.rules()


def _once(values: object) -> object:
    """Treat a header that is sent twice with the same value as sent once."""
    return values[0] if isinstance(values, list) and len(set(values)) == 1 else values


WorkspaceId = Annotated[
    Annotated[str, Field(pattern=WORKSPACE_ID), BeforeValidator(_once)],
    Header(alias="x-workspace-id", description="Workspace identifier for the API."),
]


def query_of(event: Mapping[str, Any]) -> ConversationQuery:
    """The query that an event's parameters describe.

    They are read from the raw event: Powertools would drop unknown names and all but one of
    repeated values, but a mistyped filter must never return everything.

    Raises:
        RequestError: `invalid_parameter`, `invalid_cursor` or `unknown_parameter`.
    """
    given: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    known = {name: values for name, values in given.items() if name in _RULES}
    for name, values in known.items():
        if len(set(values)) != 1:  # connectors append their own `limit` to a link that has it
            raise _wrong(name, f"was sent {len(values)} times; send it once")
    try:
        asked = ConversationQuery.model_validate({name: known[name][0] for name in known})
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0])
        # One error comes with its own text: a well-formed timestamp whose date does not exist.
        said = wrong.get("ctx", {}).get("error") or f"must be {_RULES[name]}"
        raise _wrong(name, str(said)) from None
    for name in given:
        if name not in _RULES:
            raise _unknown(name)
    for name, (ge, lt) in (("createdAt", asked.created_at), ("updatedAt", asked.updated_at)):
        if ge is not None and lt is not None and ge > lt:
            raise RequestError("invalid_parameter", f"{name}Ge must not be later than {name}Lt.")
    return asked


def _wrong(name: str, said: str) -> RequestError:
    code = "invalid_cursor" if name == "cursor" else "invalid_parameter"
    return RequestError(code, f"The query parameter {name} {said}.")


def _unknown(name: str) -> RequestError:
    # A longer name could be a key or a cursor sent without its parameter's name.
    is_short = re.fullmatch(r"[\w.\[\]-]{1,24}", name)
    what = f"There is no query parameter {name}" if is_short else "A query parameter is unknown"
    return RequestError("unknown_parameter", f"{what}. Use only {', '.join(_RULES)}.")


def require_one_api_key(event: Mapping[str, Any]) -> None:
    """Refuse different API keys: the authorizer may have checked either of them.

    Raises:
        RequestError: `invalid_parameter`: different keys were sent.
    """
    if len(set(event["multiValueHeaders"].get("x-api-key", ()))) > 1:
        raise RequestError("invalid_parameter", "The x-api-key header must be sent once.")
