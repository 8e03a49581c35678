"""The console `conversations`."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from inspect import getdoc
from io import TextIOWrapper
from pathlib import Path
from threading import Event
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from ops.console import delete, export, find, get, keys, load, scan
from ops.console.errors import USAGE, fail, show_error
from ops.console.options import print_json
from ops.console.terminal import show, tell


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

    First, serve the API on this machine, with demo data, and paste the curl line that it prints:

    \b
        conversations serve

    Then load your own data, from MongoDB or JSON, and issue a key to read it. This explains both:

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


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65534, help="0 picks a free port.")] = 3000,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show what the functions log, not only on failure.")
    ] = False,
    failing: Annotated[
        str,
        typer.Option(
            "--fail",
            metavar="429|500|503[:SHARE]",
            help="Answer all requests, or a share such as 0.3, with this error and its headers.",
        ),
    ] = "",
) -> None:
    """Serve the API on http://127.0.0.1:PORT with demo data, until Ctrl-C.

    Runs the real authorizer and endpoint behind a small API Gateway that follows template.yaml.
    Edits in src/ take effect at once, and `breakpoint()` opens a prompt. DynamoDB is embedded, on
    the port after PORT, and its data is gone when the command ends. If AWS_ENDPOINT_URL_DYNAMODB is
    set, that DynamoDB is used instead, and gets the demo data. If a port is taken, the next free
    one is used.
    """
    from ops.local import debugger, gateway
    from ops.local import server as local

    try:
        failures = gateway.Failures.parse(failing) if failing else None
    except ValueError:
        fail(
            "--fail must be 429, 500 or 503, optionally with a share above 0 and up to 1: 503:0.3."
        )
    debugger.install()
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with _explained(), local.running(port, verbose=verbose, failures=failures) as api:
            print(local.banner(api, port), end="", flush=True)
            stop.wait()
    except KeyboardInterrupt:
        raise typer.Exit from None


@app.command()
def invoke(
    event: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A file with one event.")
    ],
) -> None:
    """Run an API Gateway event in Lambda's own runtime client, without Docker.

    The response goes to stdout, the log to stderr. The data is that of `serve`. Linux only.

        conversations invoke events/list.json
    """
    from ops.local import dynamodb as local
    from ops.local import runtime, template

    deployment = template.load()
    with _explained():
        try:
            content = json.loads(event.read_bytes())
            function = deployment.function_for(content)
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            fail(f"{event} cannot be run: {error}.")
        with local.demo_data(deployment) as variables:
            answer = runtime.play(content, function, variables)
    print_json(answer)
    if "errorType" in answer:
        raise typer.Exit(1)


@app.command()
def seed() -> None:
    """Create the tables, with the demo data, in the DynamoDB at AWS_ENDPOINT_URL_DYNAMODB.

    Meant for the DynamoDB Local that `sam local` uses; it may still be starting. Running it again
    changes nothing.

        AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 conversations seed
    """
    from ops.local import dynamodb as local
    from ops.local import template

    endpoint = os.environ.get(template.ENDPOINT)
    if not endpoint:
        fail(
            f"Set {template.ENDPOINT} to the address of a DynamoDB Local: demo data must not go to "
            "AWS."
        )
    deployment = template.load()
    with _explained():
        local.fill_when_started(deployment, local.given(endpoint))
    tell(f"{' and '.join(deployment.tables)} at {endpoint} hold the demo data.")


@app.command()
def openapi() -> None:
    """Write docs/reference/ and the generated tables of README.md and the contract."""
    from ops.reference import pages

    written = [file.name for file in pages.write()]
    tell(f"Written: {', '.join(written)}." if written else "The reference is up to date.")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error that the user can fix into one line, and end the command."""
    from ops.local import dynamodb as local
    from ops.local import ports

    try:
        yield
    except (local.UnusableEndpointError, ports.UnusablePortError) as error:
        fail(str(error))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


for registered in (*app.registered_commands, *keys.app.registered_commands):
    # Typer rewraps an indented example unless `\b` stands before it.
    registered.help = (getdoc(registered.callback) or "").replace("\n\n    ", "\n\n\b\n    ")
