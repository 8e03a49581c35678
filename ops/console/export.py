"""`conversations export`: the conversations of a workspace as JSON lines."""

import sys
from typing import Annotated

import typer

from ops.console.options import Tables, Workspace, with_tables


@with_tables
def export(
    workspace: Workspace,
    user: Annotated[
        str | None, typer.Option(metavar="ID", help="Of this user only; else of all of them.")
    ] = None,
    *,
    tables: Tables,
) -> None:
    """Write the conversations of a workspace to stdout, one JSON object a line.

    Loading them gives back what was stored. Tombstones of deleted conversations are left out.

        conversations export --workspace my-workspace | gzip > my-workspace.json.gz
        conversations load my-workspace.json.gz --workspace another

    Without `--user` the whole table is read, other workspaces included.

    Exit codes: 0 all written, 1 some are damaged (stderr names them), 2 wrong use or no table.
    """
    from rich.console import Console
    from rich.progress import track

    damaged, literal = 0, 0
    console = Console(stderr=True)
    for document in track(
        tables.conversations.documents(workspace, user),
        "Exported",
        console=console,
        disable=not console.is_terminal,
    ):
        if isinstance(document, bytes):
            sys.stdout.buffer.write(document + b"\n")
            literal += b'{"$' in document  # in a string, the quote would have a backslash
        else:
            typer.echo(str(document), err=True)
            damaged += 1
    sys.stdout.buffer.flush()
    if literal:
        typer.echo(f"{literal:,} hold names that begin with $: load them with --plain.", err=True)
    raise typer.Exit(1 if damaged else 0)
