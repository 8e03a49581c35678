"""Commands that scan the whole table. They show cost and progress, and limit the rate."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any
from unicodedata import decimal, normalize

import typer

from ops.console.errors import NOTHING_MATCHED, counted, fail, show_error
from ops.console.options import Json, Tables, print_rows, with_tables
from storage.items import DOCUMENTS, STATES, Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import QueryOutputTypeDef, ScanOutputTypeDef


ReadUnits = Annotated[
    int,
    typer.Option("--read-units", metavar="N", min=1, help="Maximum read units per second."),
]
_DOLLARS_A_UNIT = 0.125e-6  # on demand, us-east-1
_CENT = 0.01
_IDS_A_LINE = 100


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
    typer.echo(
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
    from ops.console.progress import Progressing

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


@with_tables
def find(
    customer: Annotated[
        str, typer.Option(metavar="EMAIL|PHONE", help="The email address or phone number.")
    ],
    ids: Annotated[
        bool, typer.Option("--ids", help="Print lines of arguments for `delete`.")
    ] = False,
    read_units: ReadUnits = 1000,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Find the conversations with a customer, in every workspace.

    Compares `customer.email` without regard to case, and only the digits of `customer.phone`. To
    delete what is found: look at it, save the ids, delete them.

        conversations find --customer me@example.com
        conversations find --customer me@example.com --ids > found
        xargs -L 1 .venv/bin/conversations delete --purge --all-versions --yes < found

    Exit codes: 0 found; 1 some conversations are damaged and may be the customer's (stderr names
    them); 2 wrong use or no table; 3 nothing matched.
    """
    from ops.tables.reading import document_of

    wanted = _contact(customer) or fail(f"{customer} is neither an email address nor a number.")
    found: list[dict[str, Any]] = []
    damaged = False
    for item in scan(tables, DOCUMENTS, read_units):
        document = document_of(item)
        if not document:
            continue
        if not isinstance(document, bytes):
            show_error(str(document))
            damaged = True
            continue
        conversation = json.loads(document)
        contacts = (conversation["customer"].get(name) for name in ("email", "phone"))
        if wanted in map(_contact, filter(None, contacts)):
            workspace, user = item.workspace_id, item.user_id
            row = {"workspaceId": workspace, "userId": user, "_id": conversation["_id"]}
            found.append(row | {"createdAt": conversation["createdAt"]})
    if ids:
        _print_arguments(found)
    else:
        print_rows(found, as_json=as_json)
    typer.echo(f"Found {counted(len(found), 'conversation')}.", err=True)
    if damaged or not found:
        raise typer.Exit(1 if damaged else NOTHING_MATCHED)


def _contact(text: str) -> str:
    """The form of an email address or phone number for comparison."""
    if "@" in text:
        return normalize("NFC", text).strip().casefold()
    return "".join(str(decimal(digit)) for digit in text if digit.isdecimal())


def _print_arguments(found: list[dict[str, Any]]) -> None:
    ids = defaultdict[tuple[str, str], list[str]](list)
    for row in found:
        ids[row["workspaceId"], row["userId"]].append(row["_id"])
    for (workspace, user), all_ids in ids.items():
        for start in range(0, len(all_ids), _IDS_A_LINE):  # xargs limits the length of a line
            words = ["--workspace", workspace, "--user", user]
            for id_ in all_ids[start : start + _IDS_A_LINE]:
                words += ["--id", id_]
            print(shlex.join(words))
