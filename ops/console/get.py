"""`conversations get`: shows the endpoint's response to a user."""

import gzip
import json
from base64 import b64decode
from http import HTTPStatus
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

import typer

from domain.caller import Caller
from ops.console.errors import fail, show_error
from ops.console.options import Tables, User, Workspace, print_json, with_tables
from ops.console.terminal import tell


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
    parameters = urlencode([(name, value) for name, _, value in pairs])
    status, headers, body = _answer(tables, workspace, user, parameters)
    if status != HTTPStatus.OK:
        show_error(f"{status}: {json.loads(body)['detail']}")
        raise typer.Exit(1)
    print_json(json.loads(body))
    if link := headers.get("link"):
        cursor = dict(parse_qsl(urlsplit(link.partition("<")[2].partition(">")[0]).query))["cursor"]
        tell(f"More follow: add cursor={cursor}", err=True)


def _answer(
    tables: Tables, workspace: str, user: str, query: str
) -> tuple[int, dict[str, str], bytes]:
    """The endpoint's answer: status, headers with their names in lower case, and body."""
    from ops.local import template
    from ops.local.events import Request, proxy_event
    from ops.local.functions import Functions

    tables.conversations.check()
    deployment = template.load()
    method, path = template.LIST_CONVERSATIONS
    function = deployment.api.routes[template.LIST_CONVERSATIONS]
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
