import pytest

from domain.query import ConversationQuery
from storage.items import Partition, request

HERE = Partition("demo#user")
GE, LT = "2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"


def test_the_plain_list_is_one_partition_newest_first() -> None:
    assert request("table", HERE, ConversationQuery()) == {
        "TableName": "table",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": "demo#user"}},
        "ProjectionExpression": "pk, sk, updatedKey, document, deletedAt, expiresAt",
        "ScanIndexForward": False,
    }


def test_every_parameter_has_its_place_in_the_request() -> None:
    query = ConversationQuery(
        sort="updatedAt",
        limit=10,
        agent_id="a",
        pathway_id="p",
        created_at_ge=GE,
        created_at_lt=LT,
        updated_at_ge=GE,
    )
    assert request("table", HERE, query, after=("u", "c")) == {
        "TableName": "table",
        "IndexName": "by-updated",
        "KeyConditionExpression": "pk = :pk AND updatedKey >= :updatedKeyGe",
        "FilterExpression": "sk BETWEEN :skGe AND :skLt"
        " AND agentId = :agentId AND pathwayId = :pathwayId",
        "ExpressionAttributeValues": {
            ":pk": {"S": "demo#user"},
            ":skGe": {"S": GE},
            ":skLt": {"S": LT},
            ":updatedKeyGe": {"S": GE},
            ":agentId": {"S": "a"},
            ":pathwayId": {"S": "p"},
        },
        "ProjectionExpression": "pk, sk, updatedKey, document, deletedAt, expiresAt",
        "ScanIndexForward": True,
        "Limit": 11,
        "ExclusiveStartKey": {"pk": {"S": "demo#user"}, "updatedKey": {"S": "u"}, "sk": {"S": "c"}},
    }


@pytest.mark.parametrize(
    ("bounds", "condition"),
    [
        ((GE, None), "pk = :pk AND sk >= :skGe"),
        ((None, LT), "pk = :pk AND sk < :skLt"),
        ((GE, LT), "pk = :pk AND sk BETWEEN :skGe AND :skLt"),
    ],
)
def test_a_range_is_one_condition(bounds: tuple[str | None, str | None], condition: str) -> None:
    query = ConversationQuery(created_at_ge=bounds[0], created_at_lt=bounds[1])
    arguments = request("table", HERE, query)
    assert arguments["KeyConditionExpression"] == condition
    assert "FilterExpression" not in arguments
