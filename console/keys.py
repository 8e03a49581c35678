"""`conversations keys`: the commands for API keys."""

import re
import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from console.errors import NOTHING_MATCHED, fail, warn
from console.options import (
    Json,
    OfUser,
    Tables,
    User,
    print_json,
    print_rows,
    with_tables,
    workspace_id,
)
from console.terminal import show, tell
from domain import api_key
from domain.api_key import ApiKey
from domain.errors import StoreError
from domain.timestamp import now, to_instant

app = typer.Typer(
    rich_markup_mode=None,
    help="""Issue, list, grant, ungrant, revoke and rotate API keys.

    A key identifies one user, and grants workspaces. Only its hash is stored, so it is shown once.
    Changes to a key take effect within 60 seconds.""",
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

KeyId = Annotated[
    str, typer.Argument(metavar="KEY_ID", help="The id that `keys list` shows, or the key itself.")
]
Workspaces = Annotated[
    list[str],
    typer.Option(
        "--workspace", metavar="ID", parser=workspace_id, help="A workspace. May be repeated."
    ),
]
Expires = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="When the key ends: 2030-01-31 (its first instant, UTC) or 2030-01-31T18:00:00+01:00.",
    ),
]


@app.command()
@with_tables
def issue(
    user: User,
    workspace: Workspaces,
    expires: Expires = None,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Issue a key to a user, and show it once, with a curl line that uses it.

    conversations keys issue --user USER --workspace my-workspace
    """
    key, issued = _new(user, frozenset(workspace), _instant(expires))
    _store_and_show(key, issued, tables, as_json=as_json)
    _warn_of_empty(user, workspace, tables)


@app.command("list")
@with_tables
def list_keys(user: OfUser = None, as_json: Json = False, *, tables: Tables) -> None:
    """List the keys, with their users and grants.

    Exit codes: 0 listed; 2 wrong use or no table; 3 there are none.
    """
    keys = [key for key in tables.issued_keys() if user in (None, key.user_id)]
    keys.sort(key=lambda key: (key.user_id, key.created_at, key.key_id))
    rows = [*map(_to_json if as_json else _to_row, keys)]
    print_rows(rows, as_json=as_json, colours=[*map(_colour, keys)])
    if not keys:
        tell("There are no keys" + (f" of user {user}." if user else "."), err=True)
        raise typer.Exit(NOTHING_MATCHED)


@app.command()
@with_tables
def grant(key_id: KeyId, workspace: Workspaces, as_json: Json = False, *, tables: Tables) -> None:
    """Let a key read more workspaces."""
    key = _find_active(key_id, tables)
    tables.api_keys.grant(key.key_hash, frozenset(workspace))
    _report(replace(key, workspace_ids=key.workspace_ids | set(workspace)), as_json=as_json)
    _warn_of_empty(key.user_id, workspace, tables)


@app.command()
@with_tables
def ungrant(key_id: KeyId, workspace: Workspaces, as_json: Json = False, *, tables: Tables) -> None:
    """Remove workspaces from those that a key may read. To remove the last one, revoke the key."""
    key = _find_active(key_id, tables)
    removed, kept = key.workspace_ids & set(workspace), key.workspace_ids - set(workspace)
    if not removed:
        fail(f"{key.key_id} grants none of these workspaces.", code=NOTHING_MATCHED)
    if not kept:
        fail(
            f"{key.key_id} grants nothing else.",
            f"end it instead: conversations keys revoke {key.key_id}",
        )
    tables.api_keys.ungrant(key.key_hash, removed)
    _report(replace(key, workspace_ids=kept), as_json=as_json)


@app.command()
@with_tables
def revoke(key_id: KeyId, as_json: Json = False, *, tables: Tables) -> None:
    """End a key for good. It stops working within 60 seconds.

    If you know only the leaked key itself: `conversations keys revoke tk_…`
    """
    key = _find(key_id, tables)
    at = key.revoked_at or now()
    tables.api_keys.revoke(key.key_hash, at)
    _report(replace(key, revoked_at=at), as_json=as_json)


@app.command()
@with_tables
def rotate(
    key_id: KeyId,
    overlap: Annotated[
        str,
        typer.Option(metavar="DURATION", help="How long the old one still works: 30m, 24h, 7d."),
    ] = "24h",
    expires: Expires = None,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Issue a key to replace another one, which ends after an overlap.

    The new key has the same user, workspaces and expiry. `--expires` sets another expiry; it is
    required if the old key would expire within the overlap.
    """
    ends = _after(overlap)
    given = _instant(expires)
    old = _find_active(key_id, tables)
    expires_at = given or old.expires_at
    if not given and old.expires_at and old.expires_at <= ends:
        fail(
            f"{old.key_id} ends within the overlap, at {old.expires_at}, and so would the new key.",
            "use --expires DATE to say when the new one ends.",
        )
    key, issued = _new(old.user_id, old.workspace_ids, expires_at)
    _store_and_show(key, issued, tables, as_json=as_json)
    ends = min(ends, old.expires_at or ends)
    tables.api_keys.expire(old.key_hash, ends)  # last, so that a failure leaves the old key working
    if not as_json:
        tell()
        tell(f"{old.key_id} works until {ends}.")
        if expires_at and not given:
            tell(f"The new key ends when the old one would have: {expires_at}.")


def _new(user: str, workspaces: frozenset[str], expires_at: str | None) -> tuple[str, ApiKey]:
    key = api_key.generate()
    key_id = f"key_{secrets.token_hex(6)}"
    key_hash = api_key.hash_of(key)
    return key, ApiKey(key_hash, key_id, user, workspaces, now(), expires_at)


def _warn_of_empty(user: str, workspaces: list[str], tables: Tables) -> None:
    """Warn of workspaces without conversations of the user: they may be mistyped."""
    if not (tables.stack or tables.conversations_table):
        return
    with suppress(StoreError):  # an operator of keys may lack the right to read conversations
        for workspace in workspaces:
            if next(tables.conversations.states(workspace, user), None) is None:
                warn(f"workspace {workspace} holds no conversation of user {user}.")


def _find(key_id: str, tables: Tables) -> ApiKey:
    if key_id.startswith(api_key.PREFIX):
        found = tables.api_keys.find(api_key.hash_of(key_id), consistent=True)
        return found or fail("No such key was issued here.", code=NOTHING_MATCHED)
    named = [key for key in tables.issued_keys() if key.key_id == key_id]
    if not named:
        fail(f"There is no key {key_id}.", "see: conversations keys list", NOTHING_MATCHED)
    return named[0]


def _find_active(key_id: str, tables: Tables) -> ApiKey:
    key = _find(key_id, tables)
    if not key.is_active(now()):
        fail(f"{key.key_id} has ended already.", "issue a new one: conversations keys issue")
    return key


def _instant(expires: str | None) -> str | None:
    if expires is None:
        return None
    try:
        instant = to_instant(
            f"{expires}T00:00:00Z" if len(expires) == len("2030-01-31") else expires
        )
    except ValueError:
        fail(
            "--expires is not a date.",
            "use 2030-01-31, for example, or an RFC 3339 timestamp with an offset.",
        )
    if instant <= now():
        fail("--expires is in the past.")
    return instant


def _after(overlap: str) -> str:
    match = re.fullmatch(r"(\d{1,4})([mhd])", overlap)
    if not match:
        fail("--overlap is not a duration.", "use a number and a unit: 30m, 24h or 7d.")
    end = datetime.now(UTC) + timedelta(**{_UNITS[match[2]]: int(match[1])})
    return to_instant(end.isoformat())


def _store_and_show(key: str, issued: ApiKey, tables: Tables, *, as_json: bool) -> None:
    """Store the key, and show it once. Revokes it if it cannot be shown."""
    tables.api_keys.put(issued)
    try:
        _show(key, issued, tables, as_json=as_json)
    except OSError:
        tables.api_keys.revoke(issued.key_hash, now())
        raise


def _show(key: str, issued: ApiKey, tables: Tables, *, as_json: bool) -> None:
    if as_json:
        print_json({"key": key, **_to_json(issued)})
        return
    workspace = min(issued.workspace_ids)
    show(
        f"""{key}

Save it now: only its hash is stored, and it is not shown again.
{_line(issued)}

Try it
  curl -sS {tables.url} -H 'x-api-key: {key}' -H 'x-workspace-id: {workspace}'"""
    )


def _report(key: ApiKey, *, as_json: bool) -> None:
    if as_json:
        print_json(_to_json(key))
    else:
        show(_line(key))


def _line(key: ApiKey) -> str:
    workspaces = ", ".join(sorted(key.workspace_ids))
    return f"{key.key_id}: user {key.user_id}, workspaces {workspaces}, {_state(key)}"


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return f"revoked {key.revoked_at}"
    if key.expires_at is None:
        return "never expires"
    return f"{'expires' if key.is_active(now()) else 'expired'} {key.expires_at}"


def _to_json(key: ApiKey) -> dict[str, Any]:
    return {
        "keyId": key.key_id,
        "userId": key.user_id,
        "workspaceIds": sorted(key.workspace_ids),
        "createdAt": key.created_at,
        "expiresAt": key.expires_at,
        "revokedAt": key.revoked_at,
        "active": key.is_active(now()),
    }


def _colour(key: ApiKey) -> str:
    if key.is_active(now()):
        return "green"
    return "red" if key.revoked_at else "yellow"


def _to_row(key: ApiKey) -> dict[str, str]:
    return {
        "keyId": key.key_id,
        "created": key.created_at[:10],
        "state": _state(key),
        "userId": key.user_id,
        "workspaces": ",".join(sorted(key.workspace_ids)),
    }
