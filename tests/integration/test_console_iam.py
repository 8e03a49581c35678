"""The IAM policies of docs/deploy.md: each command of the console runs under its own."""

import json
import re
from collections import defaultdict
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore import handlers
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from console.cli import app
from dev.local.demo import USER
from storage.conversations import ConversationTable
from tests.support.api import conversation
from tests.support.tables import put

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).parents[2]
NAMES = {
    "REGION": "us-east-1",
    "ACCOUNT": "123456789012",
    "CONVERSATIONS_TABLE": "ConversationsTable",
    "API_KEYS_TABLE": "ApiKeysTable",
}
ARNS = {
    "dynamodb": "arn:aws:dynamodb:us-east-1:123456789012:table/",
    "cloudformation": "arn:aws:cloudformation:us-east-1:123456789012:stack/",
}
Statements = list[tuple[str, str]]


def policy(title: str) -> Statements:
    """The actions and resources that the deployment page allows under a title."""
    page = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    (text,) = re.findall(rf"\*\*{title}\*\*.*?```json\n(.*?)```", page, re.DOTALL)
    for placeholder, name in NAMES.items():
        text = re.sub(rf"\b{placeholder}\b", name, text)
    return [
        (action, resource)
        for statement in json.loads(text)["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    ]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def called(service: str, operation: str, params: dict[str, Any]) -> tuple[str, set[str]]:
    """The action that a call needs, and the resources on which it needs it."""
    if operation == "BatchExecuteStatement":
        statements = [entry["Statement"] for entry in params["Statements"]]
        assert all(text.startswith("INSERT INTO ") for text in statements)
        tables = {text.split('"')[1] for text in statements}
        return "dynamodb:PartiQLInsert", {ARNS[service] + table for table in tables}
    if service == "cloudformation":
        return f"{service}:{operation}", {f"{ARNS[service]}{params['StackName']}/id"}
    names = params.get("RequestItems") or {params["TableName"]}
    index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
    return f"{service}:{operation}", {ARNS[service] + name + index for name in names}


@pytest.fixture
def enforce(monkeypatch: pytest.MonkeyPatch) -> Callable[[Statements], Statements]:
    """Denies every call that the statements do not allow; returns all calls, as they come."""

    def begin(allowed: Statements) -> Statements:
        called_for: Statements = []

        def check(params: dict[str, Any], model: Any, **_: object) -> None:
            service = model.service_model.service_name
            action, resources = called(service, model.name, params)
            for resource in resources:
                called_for.append((action, resource))
                if not any(
                    name == action and fnmatchcase(resource, pattern) for name, pattern in allowed
                ):
                    error: Any = {"Error": {"Code": "AccessDeniedException", "Message": action}}
                    error["ResponseMetadata"] = {"HTTPStatusCode": 400}
                    raise ClientError(error, model.name)

        hook = ("before-parameter-build", check)
        monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS, hook])
        return called_for

    return begin


def succeed(*arguments: str, stdin: str | None = None) -> str:
    result = CliRunner().invoke(app, [*arguments, "--stack", "conversations"], input=stdin)
    assert result.exit_code == 0, (arguments, result.output)
    return result.stdout


OF_USER = ("--user", USER)
WHERE = ("--workspace", "demo", *OF_USER)


def read() -> None:
    succeed("export", "--all")
    succeed("export", *WHERE)
    succeed("find", "--customer", "customer@example.com")
    succeed("users")
    succeed("workspaces")
    succeed("get", *WHERE, "limit=1")
    succeed("get", *WHERE, "sort=-updatedAt")
    succeed("keys", "list")


def load() -> None:
    new = json.dumps(conversation(id="new"))
    newer = json.dumps(conversation(id="new", updatedAt="2025-01-01T00:00:00Z"))
    for lines, options in ((new, ()), (new, ()), (newer, ()), (new, ("--overwrite",))):
        succeed("load", "-", "--workspace", "demo", *options, stdin=lines)


def delete() -> None:
    succeed("delete", *WHERE, "--id", "1", "--yes")
    succeed("delete", *WHERE, "--purge", "--tombstones", "--yes")
    succeed("delete", *WHERE, "--id", "2", "--purge", "--yes")
    succeed("delete", *OF_USER, "--all-workspaces", "--yes")


def keys() -> None:
    issued = json.loads(succeed("keys", "issue", *WHERE, "--json"))
    succeed("keys", "grant", issued["keyId"], "--workspace", "b")
    succeed("keys", "ungrant", issued["keyId"], "--workspace", "b")
    succeed("keys", "rotate", issued["keyId"])
    succeed("keys", "revoke", issued["key"])
    succeed("keys", "list")


@pytest.mark.parametrize(
    ("title", "commands"),
    [("Read only", read), ("Load", load), ("Delete and erase", delete), ("Keys", keys)],
)
def test_commands_make_the_calls_that_their_policy_allows_and_need_all_of_them(
    title: str,
    commands: Callable[[], None],
    table: ConversationTable,
    dynamodb: "DynamoDBClient",
    enforce: Callable[[Statements], Statements],
) -> None:
    put(table, *(conversation(id=str(number)) for number in range(4)))
    item: Any = {
        "keyHash": {"S": "0" * 64},
        "keyId": {"S": "key_0"},
        "userId": {"S": USER},
    }
    item |= {"workspaceIds": {"SS": ["demo"]}, "createdAt": {"S": "2024-12-01T08:45:00.000Z"}}
    dynamodb.put_item(TableName="ApiKeysTable", Item=item)
    outputs = {"ConversationsTableName": "ConversationsTable", "ApiKeysTableName": "ApiKeysTable"}
    template = {
        "Resources": {"Topic": {"Type": "AWS::SNS::Topic"}},
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(StackName="conversations", TemplateBody=json.dumps(template))
    allowed = policy(title)
    calls = enforce(allowed)
    commands()
    if title == "Keys":  # the warning of an empty workspace, which is left out
        allowed.append(("dynamodb:GetItem", ARNS["dynamodb"] + "ConversationsTable"))
    assert by_action(calls) == by_action(allowed)


def by_action(statements: Statements) -> dict[str, set[str]]:
    """The tables of each action; an index counts as its table."""
    found = defaultdict[str, set[str]](set)
    for action, resource in statements:
        found[action].add(resource.partition("/index/")[0].removesuffix("/id").removesuffix("/*"))
    return found


def test_ci_may_change_whatever_the_template_has_and_read_no_data() -> None:
    template = (ROOT / "template.yaml").read_text("utf-8")
    services = {name.lower() for name in re.findall(r"Type: AWS::(\w+)::", template)}
    services = services - {"serverless"} | {"lambda", "codedeploy", "cloudformation", "s3"}
    actions = {action for action, _ in policy("CI that deploys")}
    assert {action.partition(":")[0] for action in actions} == services
    dynamodb = {action.partition(":")[2] for action in actions if action.startswith("dynamodb:")}
    reading = ("GetItem", "Query", "Scan", "BatchGetItem", "PartiQLSelect", "PutItem", "DeleteItem")
    assert not any(fnmatchcase(name, pattern) for name in reading for pattern in dynamodb)
