"""The console `conversations`."""

import sys
from collections.abc import Callable
from contextlib import suppress
from inspect import getdoc
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from console import delete, export, find, get, keys, load, scan
from console.errors import USAGE, fail, show_error
from console.terminal import show, tell


class Console(TyperGroup):
    """The root command. Reports usage errors in the same style as all other errors."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command that the arguments name, and exit with its code."""
        if None in (sys.stdin, sys.stdout, sys.stderr):  # by `<&-` or `>&-`
            show_error(
                "Standard input, output and error must be open.", "redirect to /dev/null instead."
            )
            sys.exit(USAGE)
        try:
            code = self._run(*args, **options)
        except OSError as error:
            code = _report_output(error)
        except SystemExit as end:
            code = end.code
            if isinstance(end.__context__, BrokenPipeError):  # Typer is silent, with code 1
                code = _report_output(end.__context__)
        sys.exit(code)

    def _run(self, *args: Any, **options: Any) -> Any:
        try:
            code = super().main(*args, **options | {"standalone_mode": False})
            sys.stdout.flush()
        except typer.Abort:
            return 1
        except TyperException as error:
            command = getattr(getattr(error, "ctx", None), "command_path", self.name)
            show_error(error.format_message(), f"see {command} --help")
            return error.exit_code
        return code


def _report_output(error: OSError) -> int:
    """Report output or a file that cannot be written or read. Returns the exit code."""
    broken = [sys.stdout]
    try:
        show_error(f"{error.filename or 'The output'}: {error.strerror or error}.")
    except OSError:
        broken.append(sys.stderr)
    for stream in broken:
        with suppress(OSError):
            stream.close()  # else Python tries again when it ends
    return USAGE


app = typer.Typer(
    cls=Console,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich takes half a second to show help
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="""The operator's console for `GET /v1/api/conversations`.

    Load your data, from MongoDB or JSON, and issue a key to read it. This explains both:

    \b
        conversations load --help

    Exit codes: 0 done; 1 declined, or done only in part (for example, records were rejected);
    2 wrong use, no table, output that cannot be written, or AWS refused or failed; 3 nothing
    matched; 130 interrupted.""",
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Show the version, or help if no command is named."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for what its encoding lacks
    if version:
        from importlib.metadata import version as version_of

        tell(f"conversations {version_of('conversations')}")
    elif not context.invoked_subcommand:
        show(context.get_help())


app.command()(load.load)
app.command()(export.export)
app.command()(delete.delete)
app.command()(get.get)
app.command()(find.find)
app.command()(scan.users)
app.command()(scan.workspaces)
app.add_typer(keys.app, name="keys")


def _in_a_checkout(target: str) -> Callable[[], None]:
    def command() -> None:
        fail(f"This works in a checkout of the repository only: use `{target}` there.")

    return command


for moved in ("serve", "invoke", "seed", "openapi"):
    target = "make run" if moved == "serve" else f"make {moved}"
    app.command(
        moved,
        hidden=True,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_in_a_checkout(target))


for registered in (*app.registered_commands, *keys.app.registered_commands):
    # Typer rewraps an indented example unless `\b` stands before it.
    registered.help = (getdoc(registered.callback) or "").replace("\n\n    ", "\n\n\b\n    ")
