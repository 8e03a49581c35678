"""Peer: FastAPI behind Mangum, boto3's table resource, pydantic models."""

import os
from typing import Annotated, Any

import boto3
from boto3.dynamodb.conditions import Key
from fastapi import FastAPI, Header, Request
from fastapi.middleware.gzip import GZipMiddleware
from mangum import Mangum
from models import Conversation

app = FastAPI()
app.add_middleware(GZipMiddleware)
table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


@app.get("/v1/api/conversations")
def list_conversations(
    request: Request, x_workspace_id: Annotated[str, Header()]
) -> list[Conversation]:
    """All conversations of the user in the workspace."""
    user_id = request.scope["aws.event"]["requestContext"]["authorizer"]["userId"]
    condition = Key("pk").eq(f"{x_workspace_id}#{user_id}")
    query: dict[str, Any] = {"KeyConditionExpression": condition, "ScanIndexForward": False}
    items = []
    while True:
        response = table.query(**query)
        items += response["Items"]
        if "LastEvaluatedKey" not in response:
            break
        query["ExclusiveStartKey"] = response["LastEvaluatedKey"]
    return [Conversation.model_validate(item) for item in items]


handler = Mangum(app, lifespan="off")
