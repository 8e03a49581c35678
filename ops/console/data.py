"""The console's commands on conversations: load, export, delete and get."""

import gzip
import json
import sys
from base64 import b64decode
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import typer

from domain.caller import WORKSPACE_ID, Caller, require_id
from ops.console.options import Tables, fail, with_tables

if TYPE_CHECKING:
    from ops.console.loading import Summary, Write
    from storage.conversations import Item

Workspace = Annotated[str, typer.Option(metavar="ID", help="The workspace.")]
User = Annotated[str, typer.Option(metavar="ID", help="The user, as `userId` has it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]


@with_tables
def load(  # noqa: PLR0913, PLR0917 - a command's arguments are its options
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="`-` is stdin."),
    ],
    workspace: Workspace,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is stored, even by something older.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the files only. Needs no table.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first record that cannot be loaded.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="No Extended JSON: take names such as `$oid` literally."),
    ] = False,
    as_json: Json = False,
    *,
    tables: Tables,
) -> None:
    """Load conversations from files into a workspace.

    Takes what mongoexport writes: JSON lines or `--jsonArray`, Extended JSON canonical or relaxed,
    pretty or not; plain JSON as well, and all of it with gzip. From MongoDB to a first answer:

        mongoexport --uri URI --collection conversations --out conversations.json
        conversations load conversations.json --workspace my-workspace --dry-run
        conversations load conversations.json --workspace my-workspace
        conversations keys issue --user USER --workspace my-workspace

    The last one prints a key, and the curl line to use it.

    Every record needs `_id`, `userId`, `pathwayId`, `agentId`, `customer`, `messages`, `createdAt`
    and `updatedAt`. Fields that are none of a conversation are left out, and counted.

    A stored conversation is replaced by a newer one only (`updatedAt`). So repeating a load changes
    nothing, and after Ctrl-C or a failure the same command goes on. `_id` and `createdAt` make the
    key: a conversation whose `createdAt` has changed is another one; `conversations delete --id`
    removes both.

    What cannot be loaded goes to FILE.rejects (FILE.rejects-2 the next time), each record below a
    line with the reason. Mend them there, and load that file.

    Exit codes: 0 all loaded, 1 some rejected, 2 wrong use or no table, 130 interrupted.
    """
    from ops.console import loading  # noqa: PLC0415 - help need not wait for it

    check_workspace(workspace)
    for file in files:
        if file != Path("-") and not file.exists():
            fail(f"There is no file {file}.")
        if file.is_dir():
            fail(f"{file} is a folder. Name the files in it.")
    write: Write | None = None
    if not dry_run:
        table = tables.conversations
        write = table.put if overwrite else table.put_newer
    how = loading.Load(workspace_id=workspace, write=write, literal=plain, strict=strict)
    summaries: list[Summary] = []

    def tell(summary: "Summary") -> None:
        summaries.append(summary)
        if not as_json:
            _print(summary, dry_run=dry_run)

    code = loading.load(files, how, tables.stop, tell)
    if as_json:
        print(json.dumps({"files": [_to_json(summary) for summary in summaries]}, indent=2))
    raise typer.Exit(code)


def _print(summary: "Summary", *, dry_run: bool) -> None:
    print(f"{summary.name}: {summary.records:,} records in {summary.seconds:,.1f} s")
    print(f"  {'valid' if dry_run else 'loaded':9}{summary.loaded:>12,}")
    if not dry_run:
        print(f"  skipped  {summary.skipped:>12,}   stored already, the same or newer")
    where = f"   see {summary.rejects}" if summary.rejects else ""
    print(f"  rejected {summary.rejected:>12,}{where}")
    if summary.left_out:
        names = (f"{name} ({count:,})" for name, count in summary.left_out.most_common())
        print(f"  Fields left out: {', '.join(names)}")
    if summary.problem:
        typer.echo(f"  {summary.problem}", err=True)


def _to_json(summary: "Summary") -> dict[str, Any]:
    return {
        "file": summary.name,
        "records": summary.records,
        "loaded": summary.loaded,
        "skipped": summary.skipped,
        "rejected": summary.rejected,
        "rejects": summary.rejects and str(summary.rejects),
        "leftOut": dict(summary.left_out.most_common()),
        "problem": summary.problem or None,
        "seconds": summary.seconds,
    }


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

    Loading them gives back what was stored.

        conversations export --workspace my-workspace | gzip > my-workspace.json.gz
        conversations load my-workspace.json.gz --workspace another

    Without `--user` the whole table is read, other workspaces included.

    Exit codes: 0 all written, 1 some are damaged (stderr names them), 2 wrong use or no table.
    """
    from rich.console import Console  # noqa: PLC0415 - help need not wait for it
    from rich.progress import track  # noqa: PLC0415 - as above

    check_workspace(workspace)
    if user is not None:
        check_user(user)
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


@with_tables
def delete(  # noqa: PLR0913, PLR0917 - as above
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
    typer.echo(_intention(workspace, user, [key["sk"]["S"] for key in found]), err=True)
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
    return key["sk"]["S"].partition("#")[2]


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


@with_tables
def get(
    workspace: Workspace,
    user: User,
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=VALUE]…", help="Query parameters, such as `limit=10`."),
    ] = None,
    *,
    tables: Tables,
) -> None:
    """Show what the endpoint answers to a user, for support.

    It runs the endpoint's own code, on this machine, as the user, whatever workspaces the user's
    keys grant (`keys list` shows those):

        conversations get --workspace my-workspace --user USER limit=10 sort=-updatedAt

    Exit codes: 0 shown, 1 the endpoint answers with an error, 2 wrong use or no table.
    """
    check_user(user)
    pairs = [one.partition("=") for one in query or ()]
    if not all(equals for _, equals, _ in pairs):
        fail("A query parameter looks like limit=10.")
    parameters = urlencode([(name, value) for name, _, value in pairs])
    status, headers, body = _answer(tables, workspace, user, parameters)
    if status != HTTPStatus.OK:
        typer.echo(f"{status}: {json.loads(body)['detail']}", err=True)
        raise typer.Exit(1)
    print(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    if link := headers.get("link"):
        cursor = dict(parse_qsl(urlsplit(link.partition("<")[2].partition(">")[0]).query))["cursor"]
        typer.echo(f"More follow: add cursor={cursor}", err=True)


def _answer(
    tables: Tables, workspace: str, user: str, query: str
) -> tuple[int, dict[str, str], bytes]:
    """The endpoint's answer: status, headers with their names in lower case, and body."""
    from ops.local import template  # noqa: PLC0415 - help need not wait for it
    from ops.local.events import Request, proxy_event  # noqa: PLC0415 - as above
    from ops.local.functions import Functions  # noqa: PLC0415 - as above

    tables.conversations.check()
    deployment = template.load()
    (((method, path), function),) = deployment.api.routes.items()
    headers = (
        ("Host", "localhost"),
        ("x-workspace-id", workspace),
        ("x-api-key", "none"),
        ("Accept-Encoding", "gzip"),
    )
    event = proxy_event(Request(method, path, query, headers), deployment.api.stage)
    caller = Caller(user, frozenset({workspace}), "console")
    event["requestContext"]["authorizer"] = caller.to_context()
    answer = Functions(deployment.functions, tables.variables).invoke(function, event)
    received = {name.lower(): value[0] for name, value in answer["multiValueHeaders"].items()}
    body = answer["body"]
    if answer["isBase64Encoded"]:
        return answer["statusCode"], received, gzip.decompress(b64decode(body))
    return answer["statusCode"], received, body.encode()


def check_workspace(workspace: str) -> None:
    """Ends the command if it is no workspace id."""
    try:
        require_id(workspace, WORKSPACE_ID)
    except ValueError:
        fail("--workspace takes 1 to 64 letters, digits, _ and -.")


def check_user(user: str) -> None:
    """Ends the command if it is no user id."""
    try:
        require_id(user)
    except ValueError:
        fail("--user takes 1 to 128 printable ASCII characters without #.")
