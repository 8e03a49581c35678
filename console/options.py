"""The options that commands share, and the tables that they name."""

import inspect
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from itertools import zip_longest
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.environment import PARTIQL, Variables
from console.errors import explain, fail, warn
from console.terminal import show, tell, visible
from domain.caller import WORKSPACE_ID, require_id
from storage.items import Item, item_at

if TYPE_CHECKING:
    from console.tables.api_keys import IssuedKeys
    from console.tables.conversations import StoredConversations
    from domain.api_key import ApiKey


_LONGEST_CELL = 200  # on a terminal: longer than any id


def workspace_id(value: str) -> str:
    """Parse a workspace id from the command line."""
    try:
        return require_id(value, WORKSPACE_ID)
    except ValueError:
        raise typer.BadParameter("a workspace id has 1 to 64 letters, digits, _ and -.") from None


def user_id(value: str) -> str:
    """Parse a user id from the command line."""
    try:
        return require_id(value)
    except ValueError:
        raise typer.BadParameter(
            "a user id has 1 to 128 printable ASCII characters without #."
        ) from None


def item(value: str) -> Item:
    """Parse the key of an item from the command line: any two texts that DynamoDB takes."""
    try:
        match json.loads(value):
            # AWS limits a partition key to 2,048 bytes, and a sort key to 1,024.
            case [str() as partition_key, str() as sort_key] if (
                0 < len(partition_key.encode()) <= 2048 and 0 < len(sort_key.encode()) <= 1024
            ):
                return item_at(partition_key, sort_key)
    except (RecursionError, ValueError):
        pass
    raise typer.BadParameter('an item\'s key is a JSON array of two texts: ["PK","SK"].')


def item_argument(item: Item) -> str:
    """The argument that names an item by its key: ASCII in one line, whatever the key holds."""
    return shlex.join(["--item", json.dumps(item.key)])


WORKSPACE = typer.Option(metavar="ID", parser=workspace_id, help="The workspace.")
Workspace = Annotated[str, WORKSPACE]
User = Annotated[str, typer.Option(metavar="ID", parser=user_id, help="The user's id (`userId`).")]
OfUser = Annotated[
    str | None,
    typer.Option(
        "--user", metavar="ID", parser=user_id, help="Only this user. Default: all users."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]

_OPTIONS = {
    "stack": typer.Option(
        help="The deployed stack. Its outputs name the tables.",
        metavar="NAME",
    ),
    "conversations_table": typer.Option(
        help="Instead of --stack: the table of conversations.",
        metavar="NAME",
        envvar="CONVERSATIONS_TABLE",
    ),
    "api_keys_table": typer.Option(
        help="Instead of --stack: the table of API keys.",
        metavar="NAME",
        envvar="API_KEYS_TABLE",
    ),
    "profile": typer.Option(help="The AWS profile. Default: AWS_PROFILE.", metavar="NAME"),
    "region": typer.Option(
        help="The AWS region. Default: AWS_DEFAULT_REGION or the profile's.",
        metavar="NAME",
    ),
}


@dataclass
class Tables:
    """The tables that a command works on. Each is looked up when it is needed.

    Attributes:
        stop: set when the operator wants the command to end.
        last_named: the last table looked up, which an error message names.
        malformed_keys: how many `issued_keys` has skipped.
    """

    stack: str | None
    conversations_table: str | None
    api_keys_table: str | None
    profile: str | None
    region: str | None
    stop: Event = field(default_factory=Event)
    last_named: str = ""
    malformed_keys: int = 0

    @cached_property
    def conversations(self) -> "StoredConversations":
        """The table of conversations. The first use checks that it can be reached."""
        from console.tables.aws import client
        from console.tables.conversations import StoredConversations

        table = StoredConversations(
            client(self.profile, self.region, attempts=1),
            self.conversations_name,
            self.stop,
            partiql=os.environ.get(PARTIQL) != "off",
        )
        table.check()
        return table

    @property
    def conversations_name(self) -> str:
        given, option = self.conversations_table, "conversations-table"
        return self._name(given, "ConversationsTableName", option)

    @property
    def variables(self) -> Variables:
        """The environment variables that direct the endpoint's function to the table."""
        variables: dict[str, str | None] = {"CONVERSATIONS_TABLE": self.conversations_name}
        if self.region:
            variables["AWS_DEFAULT_REGION"] = self.region
        if self.profile:  # boto3 prefers keys in the environment to a profile named there
            variables |= {"AWS_PROFILE": self.profile, "AWS_ACCESS_KEY_ID": None}
        return variables

    @cached_property
    def api_keys(self) -> "IssuedKeys":
        from console.tables.api_keys import IssuedKeys
        from console.tables.aws import client

        name = self._name(self.api_keys_table, "ApiKeysTableName", "api-keys-table")
        return IssuedKeys(client(self.profile, self.region), name)

    def issued_keys(self) -> "Iterator[ApiKey]":
        """Every issued key, in no order. Skips malformed ones with a warning."""
        from domain.errors import MalformedApiKeyError

        for key in self.api_keys.all():
            if isinstance(key, MalformedApiKeyError):
                self.malformed_keys += 1
                warn(f"skipped a malformed key: keyHash {key.hash_start}…")
            else:
                yield key

    @property
    def url(self) -> str:
        """The address of the endpoint, or a placeholder if it is unknown."""
        known = self._outputs.get("ConversationsUrl") if self.stack else None
        return known or os.environ.get("CONVERSATIONS_URL") or "https://…/v1/api/conversations"

    @cached_property
    def _outputs(self) -> dict[str, str]:
        dynamodb_only, all_services = "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL"
        if os.environ.get(dynamodb_only) and not os.environ.get(all_services):
            fail(
                f"{dynamodb_only} is set, and does not lead to the stack's tables.",
                f"unset {dynamodb_only}, or leave out --stack.",
            )
        from console.tables.aws import stack_outputs

        return stack_outputs(str(self.stack), self.profile, self.region)

    def _name(self, given: str | None, output: str, option: str) -> str:
        if self.stack:
            given = self._outputs.get(output) or fail(
                f"The stack {self.stack} has no output {output}.", "is it a stack of this API?"
            )
        variable = option.replace("-", "_").upper()
        self.last_named = given or fail(
            "Which table?",
            f"use --stack NAME or --{option} NAME, or set {variable}. To try it on this machine, "
            "paste the line that `make run` prints.",
        )
        return self.last_named


def with_tables(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with its parameter `tables` replaced by options that name the tables."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        from domain.errors import StoreError

        _require_text(arguments)
        tables = Tables(**{name: arguments.pop(name) for name in _OPTIONS})
        try:
            command(tables=tables, **arguments)
        except StoreError as error:
            fail(*explain(error, tables))

    signature = inspect.signature(command)
    kept = [parameter for name, parameter in signature.parameters.items() if name != "tables"]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, option],
        )
        for name, option in _OPTIONS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    return run


def _require_text(arguments: Mapping[str, object]) -> None:
    """Refuse arguments that are not UTF-8. Names of files, which are paths, may be anything."""
    for argument in arguments.values():
        for text in argument if isinstance(argument, list) else [argument]:
            if isinstance(text, str) and not text.isascii():
                try:
                    text.encode()
                except UnicodeEncodeError:
                    fail(f"The argument {text!a} is not UTF-8.")


def print_json(value: object) -> None:
    """Print JSON, with escapes for what the encoding of stdout may lack."""
    is_utf = sys.stdout.encoding.lower().startswith("utf")
    show(json.dumps(value, indent=2, ensure_ascii=not is_utf))


def print_rows(
    rows: Sequence[Mapping[str, object]],
    *,
    as_json: bool = False,
    err: bool = False,
    colours: Sequence[str | None] = (),
) -> None:
    """Print rows that have the same columns, as JSON or as a table.

    Args:
        err: print the table on stderr.
        colours: the colour of each row of the table.
    """
    if as_json:
        print_json(rows)
    elif rows:
        is_terminal = (sys.stderr if err else sys.stdout).isatty()
        cells = [[*rows[0]], *([str(value) for value in row.values()] for row in rows)]
        if is_terminal:
            cells = [[visible(cell, _LONGEST_CELL) for cell in line] for line in cells]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line, colour in zip_longest(cells, [None, *colours]):
            tell("  ".join(map(str.ljust, line, widths)).rstrip(), colour=colour, err=err)
