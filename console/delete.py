"""`conversations delete`: removes a user's conversations, or everything stored about a user."""

from typing import Annotated

import typer

from console.errors import fail
from console.options import WORKSPACE, Json, Tables, item, user_id, with_tables
from console.scan import ReadUnits
from storage.items import Item


@with_tables
def delete(
    workspace: Annotated[str | None, WORKSPACE] = None,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            parser=user_id,
            help="The user. Required, except with --purge --tombstones.",
        ),
    ] = None,
    all_workspaces: Annotated[
        bool, typer.Option("--all-workspaces", help="Erase the user: API keys, every item.")
    ] = False,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this conversation. May be repeated."),
    ] = None,
    created_at: Annotated[
        str, typer.Option(metavar="TIME", help="With one --id: the item with this `createdAt`.")
    ] = "",
    all_versions: Annotated[
        bool, typer.Option("--all-versions", help="With --id: the items with any `createdAt`.")
    ] = False,
    items: Annotated[
        list[Item] | None,
        typer.Option(
            "--item",
            metavar="KEY",
            parser=item,
            help="With --purge: the item with this partition and sort key, "
            """'["PK","SK"]', even malformed ones. May be repeated.""",
        ),
    ] = None,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="Remove items for good, tombstones too, and leave no new ones."
        ),
    ] = False,
    tombstones: Annotated[
        bool, typer.Option("--tombstones", help="With --purge: remove tombstones only.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    read_units: ReadUnits = 1000,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Delete a user's conversations, after showing how many match and asking.

    Each leaves a tombstone, which tells sync clients (`sync=true`) about it for 90 days. With
    `--purge` nothing is left, and sync clients do not notice. Use it before loading the same
    conversations again, or for the old item of a conversation whose `createdAt` was corrected:

        conversations delete --workspace W --user USER --id ID --created-at TIME --purge

    `--all-workspaces` erases the user: first the API keys, then every conversation and tombstone
    in every workspace. Nothing is left:

        conversations delete --user USER --all-workspaces

    It scans again until nothing is left, and names what it cannot remove. An item whose key holds
    no valid ids is named by its partition and sort key, as `find --ids` prints it:

        conversations delete --purge --item '["PK","SK"]'

    The table's backups (point-in-time recovery) keep them for up to 35 more days. Remove exported
    files and rejects files yourself.

    Without `--workspace` and `--user`, `--purge --tombstones` removes all tombstones of the table;
    a rollback to 0.1.0 needs this. Repeat it until it finds none.

    Exit codes: 0 done; 1 declined, or something of the user is or may be left
    (stderr names it); 2 wrong use, no table, or
    no answer to the prompt; 3 nothing matched; 130 interrupted.
    """
    from console.deleting import Deleter, versions
    from console.erasing import erase

    deleter = Deleter(tables=tables, read_units=read_units, yes=yes, as_json=as_json)
    if (created_at and not ids) or (all_versions and not (ids or items)):
        fail("--created-at and --all-versions need --id.")
    if all_workspaces:
        if not user or workspace or ids or items or purge or tombstones:
            fail("--all-workspaces needs --user, and no other option that selects items.")
        erase(deleter, user)
    elif items:
        if not purge or workspace or user or ids or tombstones:
            fail("--item needs --purge, and no other option that selects items.")
        deleter.remove(deleter.find_at(items), "by key", purge=True, tombstones=False)
    elif tombstones and not purge:
        fail("--tombstones requires --purge.")
    elif tombstones and not (workspace or user or ids):
        deleter.purge_all_tombstones()
    elif not (workspace and user):
        fail("Whose conversations?", "use --workspace ID and --user ID.")
    else:
        found = deleter.find(workspace, user, purge=purge, tombstones=tombstones)
        if ids:
            found = versions(found, ids, created_at, all_versions=all_versions, purge=purge)
        whose = f"of user {user} in workspace {workspace}"
        deleter.remove(found, whose, purge=purge, tombstones=tombstones)
