"""Reads of the whole table, which say first what they cost."""

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ops.tables.conversations import StoredConversations
    from storage.layout import Item

_BYTES_PER_UNIT = 4096  # AWS: a consistent read of 4 KB
_USD_PER_UNIT = 0.125e-6  # on demand, us-east-1: docs/costs-and-limits.md
_BYTES_PER_SECOND = 10_000_000  # one Scan after another, each of 1 MB


def scan(table: "StoredConversations") -> "Iterator[list[Item]]":
    """All items of the table in pages, as `table.scan()`.

    Says on stderr what that costs before it returns, and reads the first page after.
    """
    items, size = table.size()
    units = ceil(size / _BYTES_PER_UNIT)
    typer.echo(
        f"This reads the whole table: about {items:,} items, {size / 1e6:,.1f} MB, "
        f"{units:,} read units ({units * _USD_PER_UNIT:,.2f} USD), "
        f"{ceil(size / _BYTES_PER_SECOND):,} s. DynamoDB counts every six hours.",
        err=True,
    )
    return table.scan()
