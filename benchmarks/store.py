"""DynamoDB for reading only: canned pages of 1 MB behind a loopback address."""

import json
import math
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from zlib import crc32

from dev.local.ports import HttpServer

_PAGE_BYTES = 1_048_576  # AWS limit: what one Query reads
_UNIT_BYTES = 4096

Item = Mapping[str, Any]
"""An item as boto3's client has it: `{"S": "text"}`, `{"B": b"bytes"}`."""


@dataclass(frozen=True)
class Table:
    """A partition, in pages.

    Attributes:
        pages: DynamoDB's answers by the start key of the page (JSON; empty for the first).
        read_units: what reading all of it takes, eventually consistent.
    """

    pages: Mapping[str, bytes]
    read_units: float


def table(items: Iterable[Item], attributes: Collection[str] = ()) -> Table:
    """The partition of these items, in the order given.

    Args:
        attributes: those that the reader asks for; all if empty.
    """
    pages: dict[str, bytes] = {}
    units, start = 0.0, ""
    page: list[Item] = []
    size = 0
    for item in items:
        if page and size + item_bytes(item) > _PAGE_BYTES:
            last = {name: page[-1][name] for name in ("pk", "sk")}
            pages[start] = _answer(page, attributes, last)
            units += _units(size)
            start, page, size = _start(last), [], 0
        page.append(item)
        size += item_bytes(item)
    pages[start] = _answer(page, attributes, None)
    return Table(pages, units + _units(size))


def item_bytes(item: Item) -> int:
    """The size that DynamoDB counts.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "B":
            return len(content)
        case "M":
            return 3 + len(content) + item_bytes(content)
        case "L":
            return 3 + len(content) + sum(map(_value_bytes, content))
        case _:
            return 1  # a Boolean or null; there are no numbers here


def _units(size: int) -> float:
    return math.ceil(size / _UNIT_BYTES) / 2


def _answer(items: list[Item], attributes: Collection[str], last: Item | None) -> bytes:
    asked = [
        {name: item[name] for name in item if not attributes or name in attributes}
        for item in items
    ]
    answer: dict[str, Any] = {"Count": len(items), "Items": asked, "ScannedCount": len(items)}
    if last:
        answer["LastEvaluatedKey"] = last
    return to_json(answer)


def to_json(answer: object) -> bytes:
    """An answer as DynamoDB sends it."""
    text = json.dumps(
        answer, separators=(",", ":"), ensure_ascii=False, default=lambda it: b64encode(it).decode()
    )
    return text.encode()


def _start(key: Any) -> str:
    return json.dumps(key, sort_keys=True)


class Store(HttpServer):
    """Answers Query with the pages of a table, and GetItem with the one item of another."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.items: dict[str, bytes] = {}
        super().__init__(_Request)

    @property
    def address(self) -> str:
        """For `AWS_ENDPOINT_URL_DYNAMODB`."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, request: Mapping[str, Any]) -> bytes:
        """The canned answer to a request."""
        name = request["TableName"]
        if "Key" in request:
            return self.items[name]
        start = request.get("ExclusiveStartKey")
        return self.tables[name].pages[_start(start) if start else ""]


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Store

    def do_POST(self) -> None:
        """A call of DynamoDB's API."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = self.server.answer(request)
        head = (
            "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Mon, 02 Dec 2024 08:45:00 GMT\r\n"
            f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(body)}\r\n"
            "Connection: keep-alive\r\n"
            "x-amzn-RequestId: HB9KJ5H4DD2SC3NC2UM6N9V4LVVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
            f"x-amz-crc32: {crc32(body)}\r\n\r\n"
        )
        self.wfile.write(head.encode() + body)

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""
