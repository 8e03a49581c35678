"""Examples of every error code, by the table of `handlers.problems`."""

from typing import Any

from handlers.problems import PROBLEMS, to_body

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"


def examples() -> dict[str, dict[str, Any]]:
    """The body of a problem for each code."""
    return {code: to_body(code, row.detail, REQUEST_ID) for code, row in PROBLEMS.items()}
