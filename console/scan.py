"""Commands that scan the whole table. They show cost and progress, and limit the rate."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Annotated

import typer

from console.errors import NOTHING_MATCHED, counted, fail
from console.options import Json, Tables, print_rows, with_tables
from console.terminal import tell
from storage.items import STATES, Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryOutputTypeDef, ScanOutputTypeDef


ReadUnits = Annotated[
    int,
    typer.Option("--read-units", metavar="N", min=1, help="Maximum read units per second."),
]
_DOLLARS_A_UNIT = 0.125e-6  # on demand, us-east-1
_CENT = 0.01


def scan(
    tables: Tables,
    attributes: str,
    read_units: int,
    workspace: str | None = None,
    *,
    quiet: bool = False,
) -> Iterator[Item]:
    """All items of the table or of a workspace, after showing what the scan costs.

    Args:
        attributes: those to read, as `storage.items` names them.
        read_units: the most to use per second.
        quiet: show no bar.
    """
    table = tables.conversations
    items, units = table.scan_cost()
    dollars = units * _DOLLARS_A_UNIT
    tell(
        f"This reads the whole table: about {counted(items, 'item')} (DynamoDB's count, up to six "
        f"hours old), {counted(units, 'read unit')}, "
        f"{f'{dollars:,.2f}' if dollars >= _CENT else 'less than 0.01'} USD, "
        f"{timedelta(seconds=ceil(units / read_units))} at {read_units:,} units a second.",
        err=True,
    )
    return items_of(table.scan(attributes, read_units, workspace), items, quiet=quiet)


def items_of(
    pages: "Iterator[QueryOutputTypeDef] | Iterator[ScanOutputTypeDef]",
    total: int = 0,
    *,
    quiet: bool = False,
) -> Iterator[Item]:
    """The items of pages, with progress on stderr.

    Args:
        total: the number of items to be read, before any filter; 0 if unknown.
        quiet: show no bar.
    """
    from console.progress import Progressing

    read = 0
    with Progressing("Reading", total, "item", quiet=quiet) as progress:
        for page in pages:
            read += page["ScannedCount"]
            progress.update(read, read)
            yield from map(Item, page["Items"])


@with_tables
def users(read_units: ReadUnits = 1000, as_json: Json = False, *, tables: Tables) -> None:
    """Count workspaces, conversations and tombstones by user."""
    _print_counts(tables, read_units, by="userId", other="workspaces", as_json=as_json)


@with_tables
def workspaces(read_units: ReadUnits = 1000, as_json: Json = False, *, tables: Tables) -> None:
    """Count users, conversations and tombstones by workspace."""
    _print_counts(tables, read_units, by="workspaceId", other="users", as_json=as_json)


def _print_counts(tables: Tables, read_units: int, *, by: str, other: str, as_json: bool) -> None:

    kept, deleted = Counter[str](), Counter[str]()
    others = defaultdict[str, set[str]](set)
    for item in scan(tables, STATES, read_units):
        workspace, user = item.workspace_id, item.user_id
        name, beside = (user, workspace) if by == "userId" else (workspace, user)
        (deleted if item.is_deleted else kept)[name] += 1
        others[name].add(beside)
    rows = [
        {
            by: name,
            other: len(others[name]),
            "conversations": kept[name],
            "tombstones": deleted[name],
        }
        for name in sorted(others)
    ]
    print_rows(rows, as_json=as_json)
    if not rows:
        fail("The table is empty.", code=NOTHING_MATCHED)
