"""The tables of template.yaml in an embedded DynamoDB, and what tests put into them."""

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from moto.backends import get_backend

from dev.local.template import ENDPOINT, load
from domain.conversation import Conversation
from handlers import authorize, list_conversations
from storage.conversations import ConversationTable
from storage.dynamodb import client
from storage.items import pack
from storage.reader import _ONLY_FOR_BOTO3, reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

TABLES = load().tables


def fresh_tables() -> "DynamoDBClient":
    """Empty tables in moto, whose data outlive a test, and handlers that read them."""
    get_backend("dynamodb").reset()
    dynamodb = client()
    for name, definition in TABLES.items():
        dynamodb.create_table(TableName=name, **definition)
    forget_clients()
    return dynamodb


@contextmanager
def read_past_boto3(address: str) -> "Iterator[DynamoDBClient]":
    """Empty tables in moto's server, which the handlers read past boto3."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _ONLY_FOR_BOTO3:
            patch.delenv(name, raising=False)
        patch.setenv(ENDPOINT, address)
        yield fresh_tables()
    forget_clients()


def forget_clients() -> None:
    """Make the handlers create new clients, from the current environment."""
    reader.cache_clear()
    list_conversations.table.cache_clear()
    authorize.table.cache_clear()


def put_many(
    table: ConversationTable, conversations: list[dict[str, Any]], workspace: str = "demo"
) -> None:
    """Stores many conversations faster than the embedded DynamoDB takes them one by one."""
    items = [
        pack(workspace, Conversation.model_validate(given)).attributes for given in conversations
    ]
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        table._client.batch_write_item(RequestItems={table._name: cast("Any", requests)})


def put(
    table: ConversationTable,
    *conversations: Conversation | dict[str, Any],
    workspace: str = "demo",
) -> None:
    """Stores conversations, each in place of one with the same id and creation time."""
    for given in conversations:
        item = pack(workspace, Conversation.model_validate(given))
        table._client.put_item(TableName=table._name, Item=item.attributes)


def bury(
    table: ConversationTable, *conversations: dict[str, Any], at: str, workspace: str = "demo"
) -> None:
    """Stores tombstones in place of conversations, as if deleted at a time, in UTC."""
    now = datetime.fromisoformat(at).timestamp()
    for given in conversations:
        item = pack(workspace, Conversation.model_validate(given)).buried(now)
        table._client.put_item(TableName=table._name, Item=item.attributes)
