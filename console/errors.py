"""Reports errors of the console: a message, a hint and an exit code."""

from typing import TYPE_CHECKING, NoReturn

import typer

from console.terminal import tell

if TYPE_CHECKING:
    from console.options import Tables
    from domain.errors import StoreError

USAGE, NOTHING_MATCHED, INTERRUPTED = 2, 3, 130
_PLACE = "is it the right name, account (--profile) and region (--region)?"
# By the name of an error of AWS or its client: a message and a hint.
_ADVICE = {
    "AccessDeniedException": (
        "AWS denies access.",
        "use a --profile that may access the tables; docs/deploy.md has the policies.",
    ),
    "ConfigParseError": ("AWS's configuration file is malformed.", "check ~/.aws/config."),
    "ConditionalCheckFailedException": ("The key was changed in the meantime.", "try again."),
    "EndpointConnectionError": (
        "DynamoDB cannot be reached in {place}.",
        "is the region right, and the network up?",
    ),
    "ExpiredTokenException": ("The AWS session has expired.", "log in again."),
    "InvalidRegionError": ("The AWS region is malformed.", "use a name such as eu-central-1."),
    "MalformedApiKey": (
        "The key's item is malformed, so the key does not work.",
        "see docs/operate.md, “A malformed key”.",
    ),
    "NoCredentialsError": ("There are no AWS credentials.", "log in, or choose a --profile."),
    "NoRegionError": ("No AWS region is set.", "use --region NAME, or set AWS_DEFAULT_REGION."),
    "ProfileNotFound": ("There is no such AWS profile.", "see `aws configure list-profiles`."),
    "ResourceNotFoundException": ("There is no table {table} in {place}.", _PLACE),
    "UnrecognizedClientException": ("AWS does not know these credentials.", "log in again."),
    "ValidationError": ("There is no stack {stack} in {place}.", _PLACE),
    "ValidationException": (
        "The table {table} has an unexpected layout.",
        "is it the right one?",
    ),
}
for _same in ("ConnectTimeoutError", "ValueError"):  # ValueError: the address lacks http://
    _ADVICE[_same] = _ADVICE["EndpointConnectionError"]


def show_error(message: str, hint: str = "") -> None:
    """Print on stderr what is wrong and, on the next line, what to do."""
    tell(message, label="error:", colour="red", err=True)
    if hint:
        tell(hint, label="hint:", colour="cyan", err=True)


def warn(message: str) -> None:
    """Warn the operator on stderr."""
    tell(message, label="warning:", colour="yellow", err=True)


def fail(message: str, hint: str = "", code: int = USAGE) -> NoReturn:
    """End the command with an error."""
    show_error(message, hint)
    raise typer.Exit(code)


def explain(error: "StoreError", tables: "Tables") -> tuple[str, str]:
    """The message and the hint for an error of AWS."""
    message, hint = _ADVICE.get(error.reason, ("DynamoDB failed.", "try again later."))
    place = ""
    if "{place}" in message:
        from console.tables.aws import endpoint, place_of

        if address := endpoint():
            place = address[1]
            hint = f"{address[0]} names this address: is it the right one, and what listens there?"
            message = message.replace(" in {place}", " at {place}")
        else:
            place = place_of(tables.profile, tables.region)
    message = message.format(place=place, stack=tables.stack, table=tables.last_named)
    return f"{message} ({error.reason})", hint


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 record`, `2,000 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
