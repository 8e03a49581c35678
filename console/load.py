"""`conversations load`: files of conversations into a workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.errors import counted, fail, show_error
from console.options import WORKSPACE, Json, Tables, print_json, with_tables
from console.terminal import tell

if TYPE_CHECKING:
    from console.writer import Summary, Write

_SHOWN_REASONS = 3


@with_tables
def load(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="`-` is stdin."),
    ],
    workspace: Annotated[str | None, WORKSPACE] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is stored, even with an older state.")
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

    Takes what mongoexport writes: JSON lines or `--jsonArray`, canonical or relaxed Extended JSON,
    pretty or not. Takes plain JSON too, and any file may be gzipped. In JSON lines, a line is one
    record; a damaged one, or one with several objects, is rejected. An array or a pretty file is
    read up to the first record whose end cannot be told, and the summary says where that is. Half
    characters (lone surrogates) become U+FFFD. From MongoDB to a first response:

        mongoexport --uri URI --collection conversations --out conversations.json
        conversations load conversations.json --workspace my-workspace --dry-run
        conversations load conversations.json --workspace my-workspace
        conversations keys issue --user USER --workspace my-workspace

    The last one prints a key, and the curl line to use it.

    Every record needs `_id`, `userId`, `pathwayId`, `agentId`, `customer`, `messages`, `createdAt`
    and `updatedAt`. Other fields are dropped and counted.

    A stored conversation is replaced only by a newer one (`updatedAt`). So repeating a load changes
    nothing, and after Ctrl-C or a failure the same command continues. `_id` and `createdAt` form
    the key: a conversation whose `createdAt` has changed is another item; `conversations delete
    --id ID --created-at TIME --purge` removes the old one.

    For 90 days, a deleted conversation stays deleted unless the record is newer than the deletion.
    After that, loading an old export brings it back; `--overwrite` does so at once.

    Rejected records go to FILE.rejects (FILE.rejects-2 the next time), each below a line with the
    reason. Keep these lines, because they separate the records. Fix the records and load that file.

    The lines of `conversations export --all` name their workspaces: load them without
    `--workspace`. With it, a line that names another workspace is rejected.

    Exit codes: 0 all loaded; 1 some rejected, or a file empty or damaged; 2 wrong use or no table;
    130 interrupted.
    """
    from console import loading

    if files.count(Path("-")) > 1:
        fail("Standard input can be loaded once only.")
    for file in files:
        if file != Path("-") and not file.exists():
            fail(f"There is no file {file}.")
        if file.is_dir():
            fail(f"{file} is a folder.", "name the files in it.")
    write: Write | None = None
    held_something = False
    if not dry_run:
        table = tables.conversations
        write = table.put if overwrite else table.put_newer
        held_something = not table.is_empty()
    loader = loading.Loader(workspace_id=workspace, write=write, literal=plain, strict=strict)
    summaries: list[Summary] = []

    def tell(summary: "Summary") -> None:
        if not held_something:  # nobody can have synced before
            summary.late = 0
        summaries.append(summary)
        if not as_json:
            _print(summary, dry_run=dry_run)

    code = loading.load(files, loader, tables, tell)
    if as_json:
        print_json({"files": [_to_json(summary) for summary in summaries]})
    raise typer.Exit(code)


def _print(summary: "Summary", *, dry_run: bool) -> None:
    tell(f"{summary.name}: {counted(summary.records, 'record')} in {summary.seconds:,.1f} s")
    tell(f"  {'valid' if dry_run else 'loaded':9}{summary.loaded:>12,}")
    if not dry_run:
        tell(f"  skipped  {summary.skipped:>12,}   not newer than what is stored")
        tell(f"  skipped  {summary.deleted:>12,}   deleted since")
    where = f"   see {summary.rejects}" if summary.rejects else ""
    tell(f"  rejected {summary.rejected:>12,}{where}")
    for reason, count in summary.reasons.most_common(_SHOWN_REASONS):
        tell(f"  {count:>21,}   {reason}")
    if (more := len(summary.reasons) - _SHOWN_REASONS) > 0:
        tell(f"  {'':>21}   and {counted(more, 'other reason')}")
    if summary.left_out:
        names = (f"{name} ({count:,})" for name, count in summary.left_out.most_common())
        tell(f"  Fields left out: {', '.join(names)}")
    if summary.late:
        tell(
            "  If clients have synced this workspace before: they find "
            f"{summary.late:,} of those loaded, updated over a minute ago, only when they read "
            "everything again."
        )
    if summary.problem:
        show_error(f"{summary.name}: {summary.problem}")


def _to_json(summary: "Summary") -> dict[str, Any]:
    return {
        "file": summary.name,
        "records": summary.records,
        "loaded": summary.loaded,
        "late": summary.late,
        "skipped": summary.skipped,
        "deleted": summary.deleted,
        "rejected": summary.rejected,
        "rejects": summary.rejects and str(summary.rejects),
        "reasons": dict(summary.reasons.most_common()),
        "leftOut": dict(summary.left_out.most_common()),
        "problem": summary.problem or None,
        "seconds": summary.seconds,
    }
