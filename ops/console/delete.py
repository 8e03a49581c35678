"""`conversations delete`: a user's conversations in a workspace, and their API keys."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import UnreadableConversationError
from domain.timestamp import to_instant
from ops.console import whole_table
from ops.console.errors import counted, fail
from ops.console.options import WORKSPACE, Json, OfUser, Tables, with_tables
from storage import layout

if TYPE_CHECKING:
    from storage.layout import Item


@with_tables
def delete(
    workspace: Annotated[str | None, WORKSPACE] = None,
    user: OfUser = None,
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
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove items, tombstones too, and leave none.")
    ] = False,
    tombstones: Annotated[
        bool, typer.Option("--tombstones", help="With --purge: remove tombstones only.")
    ] = False,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="Purge, and the user's API keys of all workspaces.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Delete a user's conversations in a workspace, after saying which, and asking.

    Each leaves a tombstone, which tells sync clients of it (`deleted=include`) for 90 days. With
    `--purge` nothing is left, and sync clients do not hear of it: for what is loaded again at once,
    and for the old item of a conversation whose `createdAt` was corrected:

        conversations delete --workspace W --user USER --id ID --created-at TIME --purge

    A request for erasure purges, since a tombstone's key holds the user's id. Repeat it for each of
    the user's workspaces:

        conversations delete --workspace W --user USER --with-keys

    The table's backups (point-in-time recovery) hold them for up to 35 days more, and so do files
    that were exported or rejected.

    Without `--workspace` and `--user`, `--purge --tombstones` removes all tombstones of the table,
    as a rollback to 0.1.0 needs. Repeat it until it finds none.

    Exit codes: 0 done, or nothing to do; 1 not confirmed; 2 wrong use or no table.
    """
    if tombstones and (with_keys or not purge):
        fail("--tombstones goes with --purge, and without --with-keys.")
    if tombstones and not (workspace or user or ids):
        _purge_all_tombstones(tables, yes=yes, as_json=as_json)
        return
    if not (workspace and user):
        fail("Whose conversations?", "say --workspace ID and --user ID.")
    if ids and with_keys:
        fail("--with-keys is for all of a user's conversations: leave out --id.")
    purge = purge or with_keys
    found = [
        item
        for item in tables.conversations.states(workspace, user)
        if layout.is_deleted(item) == tombstones or (purge and not tombstones)
    ]
    if ids or created_at:
        found = _versions(found, ids or [], created_at, all_versions=all_versions, purge=purge)
    keys = [key for key in tables.issued_keys() if key.user_id == user] if with_keys else []
    typer.echo(_intention(workspace, user, found), err=True)
    if purge and found:
        typer.echo("Copies that clients keep by sync will not hear of it.", err=True)
    for key in keys:
        typer.echo(
            f"API key {key.key_id}, workspaces {', '.join(sorted(key.workspace_ids))}", err=True
        )
    if (found or keys) and not yes:
        _confirm()
    for key in keys:  # first, so that nobody comes for the rest
        tables.api_keys.delete(key.key_hash)
    if purge and not tombstones:
        tables.conversations.purge(found)
    else:
        remove = tables.conversations.purge_tombstone if purge else tables.conversations.delete
        _each(remove, found)
    if as_json:
        print(json.dumps({"conversations": len(found), "keys": len(keys)}))
    else:
        what = "tombstones" if tombstones else "conversations"
        print(f"{'Purged' if purge else 'Deleted'} {len(found):,} {what} and {len(keys):,} keys.")


def _purge_all_tombstones(tables: Tables, *, yes: bool, as_json: bool) -> None:
    pages = whole_table.scan(tables.conversations)
    typer.echo("It removes all tombstones: copies that miss a deletion must list anew.", err=True)
    if not yes:
        _confirm()
    count = 0
    for page in pages:
        found = [item for item in page if layout.is_deleted(item)]
        _each(tables.conversations.purge_tombstone, found)
        count += len(found)
    print(json.dumps({"tombstones": count}) if as_json else f"Purged {count:,} tombstones.")


def _each(remove: Callable[["Item"], None], items: Iterable["Item"]) -> None:
    from ops.tables.aws import THREADS

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(remove, items):
                pass
    except UnreadableConversationError as error:
        fail(f"{error} Remove it with --purge.")


def _versions(
    items: Sequence["Item"], ids: Sequence[str], created_at: str, *, all_versions: bool, purge: bool
) -> "list[Item]":
    """The items with these ids; ends the command where it would be unclear which are meant."""
    found = [item for item in items if _id(item) in ids]
    for absent in set(ids).difference(map(_id, found)):
        typer.echo(f"There is no conversation {absent}.", err=True)
    several = [item for item in found if [*map(_id, found)].count(_id(item)) > 1]
    if created_at and not (len(ids) == 1 and not all_versions):
        fail("--created-at goes with one --id, and without --all-versions.")
    if created_at and several and not purge:
        fail("A tombstone would remove the other version from copies, too: add --purge.")
    if created_at:
        try:
            start = f"{to_instant(created_at)}#"
        except ValueError:
            fail("--created-at takes a timestamp such as 2024-12-01T08:45:00Z.")
        return [item for item in found if layout.key_values(item)[1].startswith(start)]
    if several and not all_versions:
        for item in several:
            state = ", deleted" if layout.is_deleted(item) else ""
            typer.echo(f"{_id(item)}, created {_created_at(item)}{state}", err=True)
        fail("Which of them? Say --created-at TIME with --purge, or --all-versions.")
    return found


def _id(item: "Item") -> str:
    return layout.id_of(layout.key_values(item)[1])


def _created_at(item: "Item") -> str:
    return layout.key_values(item)[1].partition("#")[0]


def _intention(workspace: str, user: str, items: Sequence["Item"]) -> str:
    gone = sum(map(layout.is_deleted, items))
    text = f"{len(items) - gone:,} conversations"
    if gone:
        text += f" and {gone:,} tombstones"
    text += f" of user {user} in workspace {workspace}"
    if items:
        text += f", created from {_created_at(items[0])[:10]} to {_created_at(items[-1])[:10]}"
    return text


def _confirm() -> None:
    try:
        sure = typer.confirm("Delete them for good?", err=True)
    except typer.Abort:
        fail("\nNobody answered, so nothing is deleted. --yes answers.")
    if not sure:
        typer.echo("Nothing is deleted.", err=True)
        raise typer.Exit(1)
