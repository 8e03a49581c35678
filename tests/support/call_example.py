"""Calls the examples in Python: a JSON array with function and arguments a line, and a line back.

Its twin for the examples in Node is `call_example.mjs`.
"""

import json
import os
import sys
from base64 import b64decode
from datetime import UTC, datetime
from functools import reduce
from operator import getitem
from typing import Any

import boto3

import delete_conversation as deletes
import put_conversation as puts

# What a caller may pass, and JSON cannot say.
VALUES = {
    "not a number": float("nan"),
    "infinity": float("inf"),
    "nothing": None,
    "a time": datetime.fromtimestamp(0, UTC),
    "bytes": b"\0",
}


def instant(text: Any) -> str:
    return puts.instant(text, "timestamp")


def put(workspace_id: Any, document: str) -> bool:
    """The document is bytes in base64."""
    return puts.put(client, table, workspace_id, puts.parse(b64decode(document)))


def put_with(workspace_id: Any, conversation: Any, path: list[Any], value: str) -> bool:
    """With another value at a path in the conversation."""
    *outer, name = path
    reduce(getitem, outer, conversation)[name] = VALUES[value]
    return puts.put(client, table, workspace_id, conversation)


def remove(*given: Any) -> bool:
    return deletes.remove(client, table, *given)


FUNCTIONS: dict[str, Any] = {
    "instant": instant,
    "put": put,
    "put_with": put_with,
    "remove": remove,
}

if __name__ == "__main__":
    client = boto3.client("dynamodb", config=deletes.QUICKLY)
    table = os.environ["CONVERSATIONS_TABLE"]
    for line in sys.stdin:
        function, *given = json.loads(line)
        try:
            answer = {"returned": FUNCTIONS[function](*given)}
        except Exception as error:  # noqa: BLE001 - the test looks at any
            answer = {"error": str(error)}
        print(json.dumps(answer), flush=True)
