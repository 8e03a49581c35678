"""A DynamoDB on this machine, with the template's tables and the demo data in it."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from threading import Event
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from console.environment import PARTIQL, Variables, environment
from console.tables.api_keys import IssuedKeys
from console.tables.aws import aws_domains
from console.tables.conversations import BATCH_ITEMS, StoredConversations
from dev.local import demo
from dev.local.cloudformation import REGION
from dev.local.dynamodb_port import DynamoDbServer
from dev.local.ports import HOST, listen
from dev.local.template import ENDPOINT, Template
from domain.errors import StoreError
from storage.dynamodb import client, store_errors
from storage.items import pack

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SECONDS_TO_START = 30
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}


class UnusableEndpointError(Exception):
    """The given address belongs to AWS, or no DynamoDB answers there."""


@contextmanager
def demo_data(template: Template, port: int = 0) -> Iterator[Variables]:
    """Put the demo data in the DynamoDB at `AWS_ENDPOINT_URL_DYNAMODB`, or else an embedded one.

    Args:
        template: its tables are created.
        port: for the embedded DynamoDB; see `dev.local.ports.listen`.

    Yields:
        The environment variables that lead boto3 there. An embedded DynamoDB forgets everything at
        the end.

    Raises:
        UnusableEndpointError: the address belongs to AWS, or nothing answers there.
        UnusablePortError: as `dev.local.ports.listen`.
    """
    endpoint = os.environ.get(ENDPOINT)
    with nullcontext(given(endpoint)) if endpoint else embedded(port) as variables:
        fill(template, variables)
        yield {**variables, **template.table_variables}


def given(endpoint: str) -> Variables:
    """The environment variables that direct boto3 to a DynamoDB Local or similar.

    Raises:
        UnusableEndpointError: the address belongs to AWS, where demo data must not go.
    """
    try:
        host = urlsplit(endpoint).hostname
    except ValueError:
        host = None
    if not host:
        raise UnusableEndpointError(f"{ENDPOINT} must be an address such as http://127.0.0.1:8000.")
    if f".{host.rstrip('.')}".endswith(aws_domains()):
        raise UnusableEndpointError(f"{ENDPOINT} leads to AWS, where demo data must not go.")
    absent = {
        name: value
        for name, value in (_CREDENTIALS | {"AWS_DEFAULT_REGION": REGION}).items()
        if name not in os.environ
    }
    return _leading_to(endpoint) | absent


def fill(template: Template, variables: Variables) -> None:
    """Create missing tables, and store the demo data; replace older demo data.

    Raises:
        UnusableEndpointError: nothing answers, or something other than DynamoDB.
    """
    try:
        with environment(variables):
            dynamodb = client()
            _create_tables(dynamodb, template)
            _put_demo_data(dynamodb, template.table_variables)
    except StoreError as error:
        endpoint = variables[ENDPOINT]
        raise UnusableEndpointError(
            f"No DynamoDB answers at {endpoint} ({error.reason})."
        ) from None


def fill_when_started(template: Template, variables: Variables) -> None:
    """As `fill`, but wait for a DynamoDB that is just starting.

    Raises:
        UnusableEndpointError: it does not answer within 30 seconds.
    """
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            return fill(template, variables)
        except UnusableEndpointError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.5)


def _create_tables(dynamodb: "DynamoDBClient", template: Template) -> None:
    for name, arguments in template.tables.items():
        try:
            with store_errors():
                dynamodb.create_table(TableName=name, **arguments)
        except StoreError as error:
            if error.reason != "ResourceInUseException":  # it exists
                raise
        with store_errors():
            dynamodb.get_waiter("table_exists").wait(TableName=name)


def _put_demo_data(dynamodb: "DynamoDBClient", names: Mapping[str, str]) -> None:
    keys = IssuedKeys(dynamodb, names["API_KEYS_TABLE"])
    for key in demo.api_keys():
        keys.put(key)
    conversations = StoredConversations(dynamodb, names["CONVERSATIONS_TABLE"], Event())
    items = [pack(workspace, conversation) for workspace, conversation in demo.conversations()]
    for start in range(0, len(items), BATCH_ITEMS):
        conversations.put(items[start : start + BATCH_ITEMS])


@contextmanager
def embedded(port: int = 0) -> Iterator[Variables]:
    """Run an embedded DynamoDB without tables; yield the variables that direct boto3 to it."""
    # Imported here because it takes a second, and other commands should not have to wait.
    from moto.backends import get_backend
    from moto.moto_server.werkzeug_app import create_backend_app

    with environment({"AWS_PROFILE": None}):  # may not exist
        app = create_backend_app("dynamodb")
    try:
        with listen(port) as listening, DynamoDbServer(listening, app) as server:
            # Real credentials must not be used here.
            yield {
                **_leading_to(f"http://{HOST}:{server.port}"),
                **_CREDENTIALS,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_SESSION_TOKEN": None,
                PARTIQL: "off",
            }
    finally:
        get_backend("dynamodb").reset()  # moto keeps its data in globals


def _leading_to(endpoint: str) -> dict[str, str | None]:
    unproxied = os.environ.get("no_proxy", os.environ.get("NO_PROXY", ""))
    return {
        ENDPOINT: endpoint,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",  # else boto3 would go to AWS
        "AWS_PROFILE": None,  # may not exist
        "no_proxy": ",".join(filter(None, (unproxied, "127.0.0.1", "localhost"))),
    }
