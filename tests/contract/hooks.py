"""What OpenAPI cannot say of valid requests, for schemathesis, which loads this file."""

from itertools import cycle
from typing import Any

import schemathesis
from schemathesis.generation import GenerationMode

_WORKSPACES = cycle(("demo", "demo-busy", "demo-mine"))


@schemathesis.hook
def map_case(_context: object, case: Any) -> Any:
    """Makes what is valid by its schema valid altogether, and the key's workspace of it."""
    if case.meta.generation.mode is not GenerationMode.POSITIVE:
        return case
    query = case.query or {}
    query.pop("cursor", None)  # only the API makes them, and for one question each
    for time in ("createdAt", "updatedAt"):
        ge, lt = f"{time}Ge", f"{time}Lt"
        if ge in query and lt in query:
            query[lt] = query[ge]  # it must not be the earlier one
    if "customerEmail" in query:
        query["customerEmail"] = f"{query['customerEmail']}@example.org"  # blanks alone are refused
    if "customerPhone" in query:
        query["customerPhone"] = "+49 30 123456"
    if "customerEmail" in query or "customerPhone" in query:
        query.pop("deleted", None)  # a tombstone has no customer
    if query.keys() - {"sync", "limit", "messages"}:
        query.pop("sync", None)
    if case.headers.get("x-workspace-id"):
        case.headers["x-workspace-id"] = next(_WORKSPACES)
    return case


@schemathesis.hook
def before_add_examples(_context: object, examples: list[Any]) -> None:
    """Keeps `sync` out of an example that has every parameter; `map_case` does not see those."""
    for case in examples:
        if len(case.query) > 1:
            case.query.pop("sync", None)
