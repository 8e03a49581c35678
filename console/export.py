"""`conversations export`: conversations as JSON lines."""

import json
import sys
from typing import Annotated

import typer

from console.errors import NOTHING_MATCHED, counted, fail, show_error, warn
from console.options import WORKSPACE, OfUser, Tables, with_tables
from console.scan import ReadUnits, items_of, scan
from console.terminal import show, tell


@with_tables
def export(
    workspace: Annotated[str | None, WORKSPACE] = None,
    user: OfUser = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Export every workspace; each line names its own.")
    ] = False,
    read_units: ReadUnits = 1000,
    *,
    tables: Tables,
) -> None:
    """Export conversations to stdout, as JSON lines.

    Loading them gives back what was stored. Tombstones of deleted conversations are left out.

        conversations export --workspace my-workspace | gzip > my-workspace.json.gz
        conversations load my-workspace.json.gz --workspace another

    With `--all`, a line is `{"workspaceId": …, "conversation": …}`, which `load` takes without
    `--workspace`:

        conversations export --all > everything.json
        conversations load everything.json --conversations-table another

    Unless both `--workspace` and `--user` are given, this reads the whole table.

    Exit codes: 0 all written; 1 some are damaged (stderr names them); 2 wrong use or no table;
    3 nothing matched.
    """
    from console.tables.reading import document_of
    from storage.items import DOCUMENTS

    if everything == bool(workspace):
        fail("Which workspace?", "use either --workspace ID or --all.")
    on_terminal = sys.stdout.isatty()  # where a progress bar would mix with the lines
    if workspace and user:
        pages = tables.conversations.query(workspace, user, DOCUMENTS)
        items = items_of(pages, quiet=on_terminal)
    else:
        items = scan(tables, DOCUMENTS, read_units, workspace, quiet=on_terminal)
    written, damaged, literal = 0, 0, 0
    for item in items:
        if user not in (None, item.user_id):
            continue
        document = document_of(item)
        if not document:
            continue
        if not isinstance(document, bytes):
            show_error(str(document))
            damaged += 1
            continue
        literal += b'{"$' in document  # in a string, the quote would have a backslash
        if everything:
            document = b'{"workspaceId":%s,"conversation":%s}' % (
                json.dumps(item.workspace_id).encode(),
                document,
            )
        if on_terminal:
            show(document.decode())
        else:
            sys.stdout.buffer.write(document + b"\n")
        written += 1
    sys.stdout.buffer.flush()
    if literal:
        names = f"{counted(literal, 'conversation')} with field names that begin with $"
        warn(f"the export holds {names}: load it with --plain.")
    if not written and not damaged:
        fail(
            f"No conversation{f' of user {user}' if user else ''} is stored in "
            f"{f'workspace {workspace}' if workspace else 'this table'}.",
            "`conversations workspaces` and `conversations users` list what there is.",
            NOTHING_MATCHED,
        )
    tell(f"Exported {counted(written, 'conversation')}.", err=True)
    raise typer.Exit(1 if damaged else 0)
