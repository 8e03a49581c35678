"""Peer: Powertools resolver with validation, boto3's table resource, pydantic models."""

import os
from typing import Annotated, Any

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.openapi.params import Header
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from boto3.dynamodb.conditions import Key
from models import Conversation

logger = Logger()
metrics = Metrics()
app = APIGatewayRestResolver(enable_validation=True)
table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


@app.get("/v1/api/conversations", compress=True)
def list_conversations(
    workspace_id: Annotated[str, Header(alias="x-workspace-id")],
) -> list[Conversation]:
    """All conversations of the user in the workspace."""
    user_id = app.current_event.request_context.authorizer["userId"]
    condition = Key("pk").eq(f"{workspace_id}#{user_id}")
    query: dict[str, Any] = {"KeyConditionExpression": condition, "ScanIndexForward": False}
    items = []
    while True:
        response = table.query(**query)
        items += response["Items"]
        if "LastEvaluatedKey" not in response:
            break
        query["ExclusiveStartKey"] = response["LastEvaluatedKey"]
    metrics.add_metric(name="ConversationsReturned", unit=MetricUnit.Count, value=len(items))
    return [Conversation.model_validate(item) for item in items]


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answers API Gateway's proxy event."""
    return app.resolve(event, context)
