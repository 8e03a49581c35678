"""The options that commands share, and the tables that they name."""

import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, wraps
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from domain.caller import WORKSPACE_ID, require_id
from ops.local.environment import PARTIQL, Variables

if TYPE_CHECKING:
    from domain.api_key import ApiKey
    from domain.errors import StoreError
    from ops.tables.api_keys import IssuedKeys
    from ops.tables.conversations import StoredConversations

Workspace = Annotated[str, typer.Option(metavar="ID", help="The workspace.")]
User = Annotated[str, typer.Option(metavar="ID", help="The user, as `userId` has it.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for scripts.")]

_PANEL = "Where the tables are"
_OPTIONS = {
    "stack": typer.Option(
        help="The deployed stack. Its outputs name the tables.",
        metavar="NAME",
        rich_help_panel=_PANEL,
    ),
    "conversations_table": typer.Option(
        help="Instead of --stack: the table of conversations.",
        metavar="NAME",
        envvar="CONVERSATIONS_TABLE",
        rich_help_panel=_PANEL,
    ),
    "api_keys_table": typer.Option(
        help="Instead of --stack: the table of API keys.",
        metavar="NAME",
        envvar="API_KEYS_TABLE",
        rich_help_panel=_PANEL,
    ),
    "profile": typer.Option(
        help="The AWS profile; else that of AWS_PROFILE.", metavar="NAME", rich_help_panel=_PANEL
    ),
    "region": typer.Option(
        help="The AWS region; else that of AWS_DEFAULT_REGION or the profile.",
        metavar="NAME",
        rich_help_panel=_PANEL,
    ),
}
_ADVICE = {
    "AccessDeniedException": "AWS denies access: take a --profile that may use the tables.",
    "EndpointConnectionError": "AWS cannot be reached: is the region right, and the network up?",
    "ExpiredTokenException": "The AWS session has expired: log in again.",
    "MalformedApiKey": "The key's item is malformed, so the key lets nobody in. "
    "See docs/operate.md, “A malformed key”.",
    "NoCredentialsError": "There are no AWS credentials: log in, or choose a --profile.",
    "NoRegionError": "Which AWS region? Say --region NAME, or set AWS_DEFAULT_REGION.",
    "ProfileNotFound": "There is no such AWS profile: see `aws configure list-profiles`.",
    "ResourceNotFoundException": "There is no such table in this AWS account and region.",
    "UnrecognizedClientException": "AWS does not know these credentials: log in again.",
    "ValidationError": "There is no such stack in this AWS account and region.",
    "ValidationException": "The table is not laid out as it should be: is it the right one?",
}


def fail(message: str) -> NoReturn:
    """End the command with exit code 2: wrong use, or nothing to work with."""
    typer.echo(message, err=True)
    raise typer.Exit(2)


def explain(error: "StoreError") -> str:
    """What an operator should know and do about an error of DynamoDB, in one line."""
    advice = _ADVICE.get(error.reason, "DynamoDB does not do what it is asked. Try again later.")
    return f"{advice} ({error.reason})"


@dataclass(frozen=True)
class Tables:
    """The tables that a command works on. Each is looked up when it is needed.

    Attributes:
        stop: set when the operator wants the command to end.
    """

    stack: str | None
    conversations_table: str | None
    api_keys_table: str | None
    profile: str | None
    region: str | None
    stop: Event

    @cached_property
    def conversations(self) -> "StoredConversations":
        """The table of conversations. The first use checks that it can be reached."""
        from ops.tables.aws import client
        from ops.tables.conversations import StoredConversations

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
        """The environment variables that lead the endpoint's function to the table."""
        variables: dict[str, str | None] = {"CONVERSATIONS_TABLE": self.conversations_name}
        if self.region:
            variables["AWS_DEFAULT_REGION"] = self.region
        if self.profile:  # boto3 prefers keys in the environment to a profile named there
            variables |= {"AWS_PROFILE": self.profile, "AWS_ACCESS_KEY_ID": None}
        return variables

    @cached_property
    def api_keys(self) -> "IssuedKeys":
        from ops.tables.api_keys import IssuedKeys
        from ops.tables.aws import client

        name = self._name(self.api_keys_table, "ApiKeysTableName", "api-keys-table")
        return IssuedKeys(client(self.profile, self.region), name)

    def issued_keys(self) -> "Iterator[ApiKey]":
        """Every issued key, in no order. What is malformed is named on stderr, and skipped."""
        from domain.errors import MalformedApiKeyError

        for key in self.api_keys.all():
            if isinstance(key, MalformedApiKeyError):
                typer.echo(f"Skipped a malformed key: keyHash {key.hash_start}…", err=True)
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
            fail(f"{dynamodb_only} is set, and leads to other tables than the stack's: unset it.")
        from ops.tables.aws import stack_outputs

        return stack_outputs(str(self.stack), self.profile, self.region)

    def _name(self, given: str | None, output: str, option: str) -> str:
        if self.stack:
            if output not in self._outputs:
                fail(f"The stack {self.stack} has no output {output}: is it that of this API?")
            return self._outputs[output]
        if not given:
            variable = option.replace("-", "_").upper()
            fail(
                f"Which table? Say --stack NAME or --{option} NAME, or set {variable}. "
                "For a try on this machine, `conversations serve` prints the line that sets it."
            )
        return given


def with_tables(command: Callable[..., None]) -> Callable[..., None]:
    """The command, with the options that say where the tables are instead of `tables`."""

    @wraps(command)
    def run(**arguments: Any) -> None:
        from domain.errors import StoreError

        options = {name: arguments.pop(name) for name in _OPTIONS}
        try:
            command(tables=Tables(**options, stop=Event()), **arguments)
        except StoreError as error:
            fail(explain(error))

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


def check_workspace(workspace: str) -> None:
    """End the command unless `workspace` is a workspace id."""
    try:
        require_id(workspace, WORKSPACE_ID)
    except ValueError:
        fail("--workspace takes 1 to 64 letters, digits, _ and -.")


def check_user(user: str) -> None:
    """End the command unless `user` is a user id."""
    try:
        require_id(user)
    except ValueError:
        fail("--user takes 1 to 128 printable ASCII characters without #.")
