"""Parses the parameters of the list, and explains what is wrong with them."""

import re
from typing import Any

from aws_lambda_powertools.utilities.validation import SchemaValidationError, validate

from domain.caller import WORKSPACE_ID
from domain.errors import RequestError
from domain.query import PARAMETERS, ConversationQuery
from handlers.endpoint import Values

_BESIDE_SYNC = {"sync", "limit", "messages", "cursor"}
_FIELDS = {parameter.name: name for name, parameter in PARAMETERS.items()}


def workspace_of(headers: Values) -> str:
    """The workspace that the `x-workspace-id` header names.

    Raises:
        RequestError: `missing_workspace` or `invalid_workspace`.
    """
    named = set(headers.get("x-workspace-id", ()))
    if not named:
        raise RequestError("missing_workspace")
    if len(named) > 1:
        raise RequestError("invalid_workspace")
    (workspace_id,) = named
    try:
        # `validate` compiles the schema at each call, which takes four times as long for a schema
        # of all headers.
        validate(event=workspace_id, schema={"type": "string", "pattern": WORKSPACE_ID})
    except SchemaValidationError:  # its text holds the value, which can be a key sent by mistake
        raise RequestError("invalid_workspace") from None
    return workspace_id


def query_of(given: Values) -> ConversationQuery:
    """The query that the parameters describe.

    Raises:
        RequestError: `invalid_parameter`, `invalid_cursor` or `unknown_parameter`.
    """
    for name, texts in given.items():
        # Identical values are fine: connectors append their own `limit` to a link that has it.
        if name in _FIELDS and len(set(texts)) > 1:
            raise _wrong(name, f"was sent {len(texts)} times; send it once")
    values: dict[str, Any] = {}
    for field, parameter in PARAMETERS.items():
        if parameter.name in given:
            try:
                values[field] = parameter.parse(given[parameter.name][0])
            except ValueError as error:
                raise _wrong(parameter.name, str(error) or f"must be {parameter.rule}") from None
    for name in given:
        if name not in _FIELDS:
            raise _unknown(name)
    if "sync" in values:
        values |= {"sort": "updatedAt", "deleted": "include"}
    query = ConversationQuery(**values)
    _check_together(query, given)
    return query


def _check_together(query: ConversationQuery, given: Values) -> None:
    """Check that the parameters, each of which is fine, go together.

    Raises:
        RequestError: `invalid_parameter`.
    """
    beside_sync = " and ".join(name for name in given if name not in _BESIDE_SYNC)
    if query.sync and beside_sync:
        only = "goes together with limit, messages and cursor only"
        raise _wrong("sync", f"{only}; remove {beside_sync}, or sync")
    if query.of_customer and query.deleted == "include":
        name = "customerEmail" if query.customer_email else "customerPhone"
        reason = "because a tombstone has no customer"
        raise _wrong(name, f"cannot be combined with deleted=include, {reason}")
    for name, (ge, lt) in (("createdAt", query.created_at), ("updatedAt", query.updated_at)):
        if ge is not None and lt is not None and ge > lt:
            raise RequestError("invalid_parameter", f"{name}Ge must not be later than {name}Lt.")


def _wrong(name: str, said: str) -> RequestError:
    detail = f"The query parameter {name} {said}."
    return RequestError("invalid_cursor" if name == "cursor" else "invalid_parameter", detail)


def _unknown(name: str) -> RequestError:
    # A longer name could be a key or a cursor sent without its parameter's name.
    is_short = re.fullmatch(r"[\w.\[\]-]{1,24}", name)
    what = f"There is no query parameter {name}" if is_short else "A query parameter is unknown"
    return RequestError("unknown_parameter", f"{what}. Use only {', '.join(_FIELDS)}.")
