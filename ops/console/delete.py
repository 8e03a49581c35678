"""`conversations delete`: a user's conversations in a workspace, and their API keys."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ops.console.options import (
    Json,
    Tables,
    User,
    Workspace,
    check_user,
    check_workspace,
    fail,
    with_tables,
)
from storage import layout

if TYPE_CHECKING:
    from storage.layout import Item


@with_tables
def delete(
    workspace: Workspace,
    user: User,
    ids: Annotated[
        list[str] | None,
        typer.Option("--id", metavar="ID", help="Only this conversation. May be repeated."),
    ] = None,
    with_keys: Annotated[
        bool, typer.Option("--with-keys", help="The user's API keys, too, of every workspace.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Delete a user's conversations in a workspace, after saying which, and asking.

    For a request for erasure, repeat it for each of the user's workspaces:

        conversations delete --workspace my-workspace --user USER --with-keys

    The table's backups (point-in-time recovery) hold them for up to 35 days more, and so do files
    that were exported or rejected.

    Exit codes: 0 done, or nothing to do; 1 not confirmed; 2 wrong use or no table.
    """
    check_workspace(workspace)
    check_user(user)
    if ids and with_keys:
        fail("--with-keys is for all of a user's conversations: leave out --id.")
    found = list(tables.conversations.keys(workspace, user))
    if ids:
        found = [key for key in found if _id(key) in ids]
        for absent in set(ids).difference(map(_id, found)):
            typer.echo(f"There is no conversation {absent}.", err=True)
    keys = [key for key in tables.issued_keys() if key.user_id == user] if with_keys else []
    typer.echo(_intention(workspace, user, [layout.key_values(key)[1] for key in found]), err=True)
    for key in keys:
        typer.echo(
            f"API key {key.key_id}, workspaces {', '.join(sorted(key.workspace_ids))}", err=True
        )
    if (found or keys) and not yes:
        _confirm()
    for key in keys:  # first, so that nobody comes for the rest
        tables.api_keys.delete(key.key_hash)
    tables.conversations.delete(found)
    if as_json:
        print(json.dumps({"conversations": len(found), "keys": len(keys)}))
    else:
        print(f"Deleted {len(found):,} conversations and {len(keys):,} keys.")


def _id(key: "Item") -> str:
    return layout.id_of(layout.key_values(key)[1])


def _intention(workspace: str, user: str, sort_keys: Sequence[str]) -> str:
    text = f"{len(sort_keys):,} conversations of user {user} in workspace {workspace}"
    if sort_keys:
        text += f", created from {sort_keys[0][:10]} to {sort_keys[-1][:10]}"
    return text


def _confirm() -> None:
    try:
        sure = typer.confirm("Delete them for good?", err=True)
    except typer.Abort:
        fail("\nNobody answered, so nothing is deleted. --yes answers.")
    if not sure:
        typer.echo("Nothing is deleted.", err=True)
        raise typer.Exit(1)
