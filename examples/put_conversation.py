"""Stores a conversation from stdin: python put_conversation.py WORKSPACE < conversation.json

docs/item-layout.md explains the layout.
"""

import json
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

WORKSPACE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
ID = re.compile(r'[ -"$-~]{1,128}')
TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?"
    r"(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)


def refuse_unless(holds: bool, name: str) -> None:
    """Name what is malformed; never show it."""
    if not holds:
        raise ValueError(f"malformed {name}")


def matches(pattern: re.Pattern[str], value: Any) -> bool:
    """Whether the value is a string that matches as a whole."""
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def instant(timestamp: Any, name: str) -> str:
    """The timestamp in UTC, cut to milliseconds."""
    refuse_unless(matches(TIMESTAMP, timestamp), name)
    local, fraction, offset = TIMESTAMP.findall(timestamp.upper())[0]
    try:
        utc = datetime.fromisoformat(local + offset).astimezone(UTC)
    except (OverflowError, ValueError):  # November 31, or a year before 1 or after 9999
        raise ValueError(f"malformed {name}") from None
    return f"{utc.isoformat()[:19]}.{fraction[:3]:0<3}Z"


def item_key(workspace_id: Any, user_id: Any, id_: Any, created_at: Any) -> dict[str, Any]:
    """The primary key of a conversation's item."""
    refuse_unless(matches(WORKSPACE_ID, workspace_id), "workspace id")
    refuse_unless(matches(ID, user_id), "userId")
    refuse_unless(matches(ID, id_), "_id")
    sort_key = f"{instant(created_at, 'createdAt')}#{id_}"
    return {"pk": {"S": f"{workspace_id}#{user_id}"}, "sk": {"S": sort_key}}


def check(conversation: Any) -> None:
    """Refuse what the endpoint cannot read: one such item fails the user's whole list."""
    for name in ("pathwayId", "agentId"):
        refuse_unless(isinstance(conversation.get(name), str), name)
    customer, messages = conversation.get("customer"), conversation.get("messages")
    refuse_unless(isinstance(customer, dict), "customer")
    for name in ("name", "email", "phone"):
        refuse_unless(isinstance(customer.get(name), str | None), f"customer.{name}")
    refuse_unless(isinstance(messages, list), "messages")
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        refuse_unless(isinstance(message, dict), where)
        for name in ("direction", "message", "status", "_id"):
            refuse_unless(isinstance(message.get(name), str), f"{where}.{name}")
        refuse_unless(isinstance(message.get("sent"), bool), f"{where}.sent")
        for name in ("createdAt", "updatedAt"):
            instant(message.get(name), f"{where}.{name}")
    check_values(conversation)


def check_values(value: Any, depth: int = 1) -> None:
    """Refuse NaN, infinity, numbers beyond a double and nesting beyond 100 levels."""
    if isinstance(value, int | float):
        refuse_unless(abs(value) <= sys.float_info.max, "number")
    if isinstance(value, dict | list | tuple):
        if depth > 100:
            raise ValueError("nested too deep")
        for part in value.values() if isinstance(value, dict) else value:
            check_values(part, depth + 1)


def well_formed(text: str) -> str:
    """The text with U+FFFD in place of lone surrogates."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def put(client: Any, table: str, workspace_id: Any, conversation: Any) -> bool:
    """Store the conversation; `False` if the same or a newer state is stored already.

    Raises:
        ValueError: the endpoint could not read it. The message names what is malformed.
    """
    refuse_unless(isinstance(conversation, dict), "conversation")
    id_, updated_at = conversation.get("_id"), conversation.get("updatedAt")
    key = item_key(workspace_id, conversation.get("userId"), id_, conversation.get("createdAt"))
    updated_key = {"S": f"{instant(updated_at, 'updatedAt')}#{id_}"}
    check(conversation)
    try:
        client.put_item(
            TableName=table,
            Item={
                **key,
                "updatedKey": updated_key,
                "agentId": {"S": well_formed(conversation["agentId"])},
                "pathwayId": {"S": well_formed(conversation["pathwayId"])},
                "document": {"S": well_formed(json.dumps(conversation, ensure_ascii=False))},
            },
            ConditionExpression="attribute_not_exists(updatedKey) OR updatedKey < :updatedKey",
            ExpressionAttributeValues={":updatedKey": updated_key},
        )
    except client.exceptions.ConditionalCheckFailedException:
        return False
    return True


def parse(data: bytes) -> Any:
    """The value of a JSON text."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    except ValueError:
        raise ValueError("not JSON in UTF-8") from None


def main() -> None:
    """Print the result; end with exit code 1 and one line on an error."""
    # Credentials and, for a DynamoDB on this machine, its address come from the environment.
    region, table = os.environ.get("AWS_REGION"), os.environ.get("CONVERSATIONS_TABLE")
    _, *given = sys.argv
    try:
        if len(given) != 1:
            raise ValueError("usage: python put_conversation.py WORKSPACE")
        if not table:
            raise ValueError("CONVERSATIONS_TABLE is not set")
        conversation = parse(sys.stdin.buffer.read())
        client = boto3.client("dynamodb", region_name=region or None)
        stored = put(client, table, given[0], conversation)
    except (BotoCoreError, ClientError, ValueError) as error:
        sys.exit(f"error: {error}")
    print("stored" if stored else "not stored: the same or a newer state is stored already")


if __name__ == "__main__":
    main()
