"""A fresh embedded DynamoDB for each test, with the tables of template.yaml."""

import os

os.environ |= {  # before the handlers are imported, as Lambda sets it
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "CONVERSATIONS_TABLE": "ConversationsTable",
    "API_KEYS_TABLE": "ApiKeysTable",
    "POWERTOOLS_SERVICE_NAME": "conversations",
    "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
}

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, settings
from moto import mock_aws

from domain.conversation import Conversation
from handlers import authorize, list_conversations
from handlers.telemetry import logger
from ops.local.template import load
from storage.api_keys import ApiKeyTable
from storage.conversations import ConversationTable, to_item
from storage.dynamodb import client
from tests.support.api import Api

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MINISTACK = Path(os.environ.get("MINISTACK_VENV", ".venv-ministack")) / "bin" / "ministack"
TABLES = load().tables
settings.register_profile(
    "default",
    deadline=None,  # a machine of CI is as slow as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("default")


@contextmanager
def embedded_dynamodb() -> "Iterator[DynamoDBClient]":
    """An embedded DynamoDB with empty tables, and the handlers' clients pointed at it."""
    with mock_aws():
        made = client()
        for name, definition in TABLES.items():
            made.create_table(TableName=name, **definition)
        list_conversations.table.cache_clear()
        authorize.table.cache_clear()
        yield made


@pytest.fixture
def dynamodb() -> "Iterator[DynamoDBClient]":
    with embedded_dynamodb() as made:
        yield made


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The address of an emulator that is as strict as DynamoDB."""
    if not MINISTACK.exists():
        pytest.skip("ministack is not installed: run the tests with `make test`")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "dynamodb"}
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(  # noqa: S603 - our own emulator
        [MINISTACK.absolute()],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(300):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield address
        finally:
            process.terminate()


@pytest.fixture
def table(dynamodb: "DynamoDBClient") -> ConversationTable:
    return ConversationTable(dynamodb, "ConversationsTable")


@pytest.fixture
def keys(dynamodb: "DynamoDBClient") -> ApiKeyTable:
    return ApiKeyTable(dynamodb, "ApiKeysTable")


@pytest.fixture
def api(dynamodb: "DynamoDBClient") -> Api:
    """The documented user's way to the endpoint."""
    assert dynamodb
    return Api()


class Stdout:
    """Standard output as it is at each write; pytest replaces it between setup and test."""

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], str]:
    """Reads what the functions have printed so far: logs and metrics."""
    (handler,) = logger.handlers
    monkeypatch.setattr(handler, "stream", Stdout())
    return lambda: capsys.readouterr().out


def put_many(
    table: ConversationTable, conversations: list[dict[str, Any]], workspace: str = "demo"
) -> None:
    """Stores many conversations faster than the embedded DynamoDB takes them one by one."""
    items = [to_item(workspace, Conversation.model_validate(made)) for made in conversations]
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        table._client.batch_write_item(  # noqa: SLF001 - the endpoint writes nothing
            RequestItems={table._name: cast("Any", requests)}  # noqa: SLF001
        )


def put(table: ConversationTable, *conversations: dict[str, Any], workspace: str = "demo") -> None:
    """Stores conversations, given as JSON."""
    for conversation in conversations:
        table.put(workspace, Conversation.model_validate(conversation))
