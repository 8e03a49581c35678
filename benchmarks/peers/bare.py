"""Floor: a handler that does nothing."""

from typing import Any


def handler(_event: dict[str, Any], _context: object) -> dict[str, Any]:
    """An empty list."""
    return {"statusCode": 200, "body": "[]", "isBase64Encoded": False}
