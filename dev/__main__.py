"""What the Makefile calls: `python -m dev serve`, `invoke`, `seed` and `openapi`."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Annotated, NoReturn

import typer

from console.cli import Console
from console.errors import fail
from console.options import print_json
from console.terminal import tell

app = typer.Typer(
    cls=Console,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    help="Commands for this repository. People call them through make: see `make help`.",
)


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
    from dev.local import debugger, gateway
    from dev.local import server as local

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

        make invoke EVENT=events/list.json
    """
    from dev.local import dynamodb as local
    from dev.local import runtime, template

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

        AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:8000 make seed
    """
    from dev.local import dynamodb as local
    from dev.local import template

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
    from dev.reference import pages

    written = [file.name for file in pages.write()]
    tell(f"Written: {', '.join(written)}." if written else "The reference is up to date.")


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an error that the user can fix into one line, and end the command."""
    from dev.local import dynamodb as local
    from dev.local import ports

    try:
        yield
    except (local.UnusableEndpointError, ports.UnusablePortError) as error:
        fail(str(error))


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
