"""Deletes a conversation: python delete_conversation.py WORKSPACE USER ID CREATED_AT

It leaves a tombstone, as docs/item-layout.md explains.
"""

import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from put_conversation import instant, item_key

# For the client: a request ends within 20 seconds, with its retry. A tombstone that arrives long
# after its `deletedAt` is too late for sync.
QUICKLY = Config(connect_timeout=4, read_timeout=4, retries={"total_max_attempts": 2})


def remove(
    client: Any, table: str, workspace_id: Any, user_id: Any, id_: Any, created_at: Any
) -> bool:
    """Delete the conversation; `False` if there is none, or it is deleted already.

    Raises:
        ValueError: an argument is malformed, or no tombstone can be newer than the item.
    """
    key = item_key(workspace_id, user_id, id_, created_at)
    for _ in range(10):
        answer = client.get_item(
            TableName=table,
            Key=key,
            ProjectionExpression="updatedKey, deletedAt, agentId, pathwayId",
            ConsistentRead=True,
            ReturnConsumedCapacity="TOTAL",
        )
        if "ConsumedCapacity" not in answer:
            raise RuntimeError("the answer was cut off: try again")  # there may be an item
        item = answer.get("Item")
        if item is None or "deletedAt" in item:
            return False
        tombstone = {**key, **tombstone_of(item, id_, datetime.now(UTC))}
        try:
            client.put_item(
                TableName=table,
                Item=tombstone,
                ConditionExpression="attribute_exists(pk)"
                " AND (attribute_not_exists(updatedKey) OR updatedKey < :updatedKey)",
                ExpressionAttributeValues={":updatedKey": tombstone["updatedKey"]},
            )
        except client.exceptions.ConditionalCheckFailedException:
            continue  # it has changed
        return True
    raise RuntimeError("the conversation keeps changing: try again")


def tombstone_of(item: dict[str, Any], id_: str, now: datetime) -> dict[str, Any]:
    """The attributes that replace those of the item."""
    stored = item.get("updatedKey", {"S": ""})["S"]
    deleted_at = instant(now.isoformat(), "time")
    if f"{deleted_at}#{id_}" <= stored:
        deleted_at = after(stored.partition("#")[0])
    if f"{deleted_at}#{id_}" <= stored:
        raise ValueError("no tombstone can be newer than the updatedKey: use DeleteItem")
    return {
        **{name: item[name] for name in ("agentId", "pathwayId") if name in item},
        "deletedAt": {"S": deleted_at},
        "updatedKey": {"S": f"{deleted_at}#{id_}"},
        "expiresAt": {"N": str(int((now + timedelta(days=90)).timestamp()))},
    }


def after(timestamp: str) -> str:
    """The next millisecond; "" if the timestamp is malformed or the last one."""
    try:
        moment = datetime.fromisoformat(instant(timestamp, "updatedKey"))
        return instant((moment + timedelta(milliseconds=1)).isoformat(), "updatedKey")
    except (OverflowError, ValueError):
        return ""


def main() -> None:
    """Print the result; end with exit code 1 and one line on an error."""
    region, table = os.environ.get("AWS_REGION"), os.environ.get("CONVERSATIONS_TABLE")
    _, *given = sys.argv
    try:
        if len(given) != 4:
            raise ValueError("usage: python delete_conversation.py WORKSPACE USER ID CREATED_AT")
        if not table:
            raise ValueError("CONVERSATIONS_TABLE is not set")
        client = boto3.client("dynamodb", region_name=region or None, config=QUICKLY)
        deleted = remove(client, table, *given)
    except (BotoCoreError, ClientError, RuntimeError, ValueError) as error:
        sys.exit(f"error: {error}")
    print("deleted" if deleted else "not deleted: no such conversation, or it is deleted already")


if __name__ == "__main__":
    main()
