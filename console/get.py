"""`conversations get`: shows the endpoint's response to a user."""

import gzip
import json
from base64 import b64decode
from contextlib import redirect_stdout
from http import HTTPStatus
from io import StringIO
from typing import Annotated, Any, cast
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import typer

from console.environment import environment
from console.errors import fail, show_error
from console.options import Tables, User, Workspace, print_json, with_tables
from console.terminal import show, tell
from domain.caller import Caller


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
    """Show the endpoint's response to a user, for support.

    Runs the endpoint's own code on this machine, as the user. Ignores which workspaces the user's
    keys grant (`keys list` shows those):

        conversations get --workspace my-workspace --user USER limit=10 sort=-updatedAt

    Exit codes: 0 shown, 1 the endpoint returned an error, 2 wrong use or no table.
    """
    pairs = [argument.partition("=") for argument in query or ()]
    if not all(equals for _, equals, _ in pairs):
        fail("Write query parameters as NAME=VALUE, such as limit=10.", "the reference lists them.")
    tables.conversations.check()
    given = [(name, value) for name, _, value in pairs]
    status, headers, body = _answer(tables, workspace, user, given)
    if status != HTTPStatus.OK:
        show_error(f"{status}: {json.loads(body)['detail']}")
        raise typer.Exit(1)
    print_json(json.loads(body))
    if link := headers.get("link"):
        cursor = dict(parse_qsl(urlsplit(link.partition("<")[2].partition(">")[0]).query))["cursor"]
        tell(f"More follow: add cursor={cursor}", err=True)


class _Context:
    """What the endpoint wants of Lambda. Nobody waits behind API Gateway's timeout here."""

    aws_request_id = function_name = invoked_function_arn = "console"
    memory_limit_in_mb = 0

    def get_remaining_time_in_millis(self) -> int:
        return 600_000


def _answer(
    tables: Tables, workspace: str, user: str, given: list[tuple[str, str]]
) -> tuple[int, dict[str, str], bytes]:
    """The endpoint's answer: status, headers with their names in lower case, and body."""
    variables = {
        **tables.variables,
        "POWERTOOLS_SERVICE_NAME": "conversations",
        "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
    }
    parameters: dict[str, list[str]] = {}
    for name, value in given:
        parameters.setdefault(name, []).append(value)
    event = {
        "multiValueHeaders": {"x-workspace-id": [workspace], "accept-encoding": ["gzip"]},
        "multiValueQueryStringParameters": parameters,
        "requestContext": {
            "requestId": str(uuid4()),
            "authorizer": Caller(user, frozenset({workspace}), "console").to_context(),
            "path": "/v1/api/conversations",
        },
    }
    log = StringIO()
    with environment(variables), redirect_stdout(log):  # the log and the metrics
        from handlers.list_conversations import handler

        answer = handler(event, cast("Any", _Context()))
    if answer["statusCode"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        show(log.getvalue().removesuffix("\n"), err=True)
    received = {name.lower(): value[0] for name, value in answer["multiValueHeaders"].items()}
    body = answer["body"]
    if answer["isBase64Encoded"]:
        return answer["statusCode"], received, gzip.decompress(b64decode(body))
    return answer["statusCode"], received, body.encode()
