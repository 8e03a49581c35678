"""What `template.yaml` deploys: asserted on what SAM makes of it, offline."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # it ships no types

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SAM_PYTHON = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "python"
# aws-sam-translator pins an older pydantic than the one that ships: it lives with the SAM CLI.
TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(sys.stdin.read())
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"  # what `sam package` puts there
json.dump(transform(template, {}, None), sys.stdout)
"""

PATH = "/v1/api/conversations"
Expected = tuple[
    int, str, dict[str, str]
]  # status, code, and headers beside those of every problem
UNAUTHORIZED: Expected = (401, "unauthorized", {"WWW-Authenticate": "ApiKey"})
NOT_FOUND: Expected = (404, "not_found", {})
RATE_LIMITED: Expected = (429, "rate_limit_exceeded", {"Retry-After": "1"})
UNAVAILABLE: Expected = (503, "store_unavailable", {"Retry-After": "5"})
GATEWAY_RESPONSES: dict[str, Expected] = {
    "ACCESS_DENIED": UNAUTHORIZED,
    "API_CONFIGURATION_ERROR": UNAVAILABLE,
    "AUTHORIZER_CONFIGURATION_ERROR": UNAVAILABLE,
    "AUTHORIZER_FAILURE": UNAVAILABLE,
    "BAD_REQUEST_BODY": (400, "invalid_body", {}),
    "BAD_REQUEST_PARAMETERS": (400, "invalid_parameter", {}),
    "DEFAULT_4XX": (400, "bad_request", {}),
    "DEFAULT_5XX": (500, "internal_error", {}),
    "EXPIRED_TOKEN": UNAUTHORIZED,
    "INTEGRATION_FAILURE": UNAVAILABLE,
    "INTEGRATION_TIMEOUT": UNAVAILABLE,
    "INVALID_API_KEY": UNAUTHORIZED,
    "INVALID_SIGNATURE": UNAUTHORIZED,
    "MISSING_AUTHENTICATION_TOKEN": NOT_FOUND,
    "QUOTA_EXCEEDED": RATE_LIMITED,
    "REQUEST_TOO_LARGE": (413, "request_too_large", {}),
    "RESOURCE_NOT_FOUND": NOT_FOUND,
    "THROTTLED": RATE_LIMITED,
    "UNAUTHORIZED": UNAUTHORIZED,
    "UNSUPPORTED_MEDIA_TYPE": (415, "unsupported_media_type", {}),
    "WAF_FILTERED": (429, "rate_limit_exceeded", {"Retry-After": "60"}),
}
# Of RFC 9110. `http.HTTPStatus` calls 413 by its old name before Python 3.13.
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@pytest.fixture(scope="module")
def template() -> Json:
    assert SAM_PYTHON.exists(), f"{SAM_PYTHON} is missing: run `make test`, which installs it"
    result = subprocess.run(  # noqa: S603 - our own interpreter and our own text
        [SAM_PYTHON, "-c", TRANSLATE],
        input=(ROOT / "template.yaml").read_text(encoding="utf-8"),
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    translated: Json = json.loads(result.stdout)
    return translated


@pytest.fixture(scope="module")
def api(template: Json) -> Json:
    properties: Json = template["Resources"]["Api"]["Properties"]
    return properties


def of_type(template: Json, kind: str) -> dict[str, Json]:
    """The properties of the resources of a type, by name."""
    resources = template["Resources"].items()
    return {name: one["Properties"] for name, one in resources if one["Type"] == kind}


def attribute(resource: str, name: str = "Arn") -> Json:
    return {"Fn::GetAtt": [resource, name]}


def test_cfn_lint_finds_nothing_in_the_translated_template(template: Json) -> None:
    assert lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"])) == []


def test_cfn_lint_would_find_a_runtime_that_does_not_exist(template: Json) -> None:
    broken = json.dumps(template).replace("python3.13", "python9.9")
    matches = lint(broken, config=ManualArgs(regions=["us-east-1"]))
    assert {match.rule.id for match in matches} == {"E3030"}


def test_the_api_has_one_path_with_one_method_and_nothing_for_cors(api: Json) -> None:
    assert {path: list(methods) for path, methods in api["Body"]["paths"].items()} == {
        PATH: ["get"]
    }


def test_the_path_is_answered_by_the_endpoint_function_as_a_proxy(api: Json) -> None:
    integration = api["Body"]["paths"][PATH]["get"]["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws_proxy"
    assert "${ListConversationsFunction.Arn}" in integration["uri"]["Fn::Sub"]


def test_the_api_is_regional(api: Json) -> None:
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_there_is_no_stage_but_the_named_one(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    (deployment,) = of_type(template, "AWS::ApiGateway::Deployment").values()
    assert stage["StageName"] == {"Ref": "StageName"}
    assert "StageName" not in deployment
    assert template["Parameters"]["StageName"]["Default"] == "prod"


def test_the_gateway_decodes_every_media_type_and_compresses_none(api: Json) -> None:
    assert api["BinaryMediaTypes"] == ["*/*"]
    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    assert "MinimumCompressionSize" not in api


def test_every_request_passes_the_authorizer_which_is_cached_for_a_minute(api: Json) -> None:
    body = api["Body"]
    (scheme,) = body["components"]["securitySchemes"].values()
    authorizer = scheme["x-amazon-apigateway-authorizer"]
    assert authorizer.pop("authorizerUri")["Fn::Sub"][1] == {
        "__FunctionArn__": attribute("AuthorizeFunction")
    }
    assert authorizer == {
        "type": "request",
        "identitySource": "method.request.header.x-api-key",
        "authorizerResultTtlInSeconds": 60,
    }
    assert body["paths"][PATH]["get"]["security"] == [{"ApiKeyAuthorizer": []}]


def test_only_this_api_may_invoke_the_functions(template: Json) -> None:
    permissions = of_type(template, "AWS::Lambda::Permission").values()
    assert len(permissions) == 2
    for permission in permissions:
        assert permission["Principal"] == "apigateway.amazonaws.com"
        assert permission["SourceArn"]["Fn::Sub"][1]["__ApiId__"] == {"Ref": "Api"}


def test_every_gateway_response_type_that_aws_knows_is_shaped(api: Json) -> None:
    shapes = Loader().load_service_model("apigateway", "service-2")["shapes"]
    known = set(shapes["GatewayResponseType"]["enum"])
    assert set(GATEWAY_RESPONSES) == known
    assert set(api["Body"]["x-amazon-apigateway-gateway-responses"]) == known


@pytest.mark.parametrize("kind", GATEWAY_RESPONSES)
def test_a_gateway_response_is_a_problem_with_a_pinned_status(api: Json, kind: str) -> None:
    status, code, headers = GATEWAY_RESPONSES[kind]
    response = api["Body"]["x-amazon-apigateway-gateway-responses"][kind]
    assert set(response) == {"statusCode", "responseParameters", "responseTemplates"}
    assert response["statusCode"] == str(status)
    static = {"Cache-Control": "no-store", "Content-Type": "application/problem+json"} | headers
    assert response["responseParameters"] == {
        "gatewayresponse.header.x-request-id": "context.requestId",
        **{f"gatewayresponse.header.{name}": f"'{value}'" for name, value in static.items()},
    }
    ((media_type, body),) = response["responseTemplates"].items()
    assert media_type == "application/json"  # API Gateway's default, whatever Accept says
    problem = json.loads(body.replace("$context.requestId", "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"))
    assert "$" not in json.dumps(problem)
    detail = problem["detail"]
    assert detail.endswith(".")
    assert problem == {
        "type": f"urn:problem:conversations:{code}",
        "title": PHRASES[status],
        "status": status,
        "detail": detail,
        "instance": "urn:uuid:c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "error": {"code": code, "message": detail},
    }


def test_every_cause_of_a_401_gets_the_same_answer(api: Json) -> None:
    responses = api["Body"]["x-amazon-apigateway-gateway-responses"].values()
    answers = {json.dumps(one) for one in responses if one["statusCode"] == "401"}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("name", "handler", "memory", "timeout", "table"),
    [
        (
            "ListConversationsFunction",
            "handlers.list_conversations.handler",
            1769,
            28,
            {"CONVERSATIONS_TABLE": {"Ref": "ConversationsTable"}},
        ),
        (
            "AuthorizeFunction",
            "handlers.authorize.handler",
            1024,
            20,
            {"API_KEYS_TABLE": {"Ref": "ApiKeysTable"}},
        ),
    ],
)
def test_a_function_is_configured_as_designed(
    *, template: Json, name: str, handler: str, memory: int, timeout: int, table: Json
) -> None:
    function = of_type(template, "AWS::Lambda::Function")[name]
    part = name.removesuffix("Function")
    expected = {
        "Handler": handler,
        "MemorySize": memory,
        "Timeout": timeout,
        "Runtime": "python3.13",
        "Architectures": [{"Ref": "Architecture"}],
        "Role": attribute(f"{part}Role"),
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": {"Ref": f"{part}LogGroup"}},
    }
    assert {key: function[key] for key in expected} == expected
    endpoint = ["HasDynamoDBEndpoint", {"Ref": "DynamoDBEndpoint"}, {"Ref": "AWS::NoValue"}]
    assert function["Environment"]["Variables"] == table | {
        "POWERTOOLS_SERVICE_NAME": "conversations",
        "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
        "POWERTOOLS_LOG_LEVEL": {"Ref": "LogLevel"},
        "AWS_ENDPOINT_URL_DYNAMODB": {"Fn::If": endpoint},
    }


def test_there_are_no_other_functions_and_the_defaults_are_those_of_aws(template: Json) -> None:
    assert len(of_type(template, "AWS::Lambda::Function")) == 2
    parameters = template["Parameters"]
    assert parameters["Architecture"]["Default"] == "arm64"
    assert parameters["Architecture"]["AllowedValues"] == ["arm64", "x86_64"]
    assert parameters["LogLevel"]["Default"] == "INFO"
    assert parameters["DynamoDBEndpoint"]["Default"] == ""


@pytest.mark.parametrize(
    ("name", "action", "tables"),
    [
        (
            "ListConversations",
            "dynamodb:Query",
            [
                attribute("ConversationsTable"),
                {"Fn::Sub": "${ConversationsTable.Arn}/index/by-updated"},
            ],
        ),
        ("Authorize", "dynamodb:GetItem", attribute("ApiKeysTable")),
    ],
)
def test_a_role_allows_one_read_and_its_own_log_group_and_nothing_else(
    template: Json, name: str, action: str, tables: object
) -> None:
    role = of_type(template, "AWS::IAM::Role")[f"{name}Role"]
    assert set(role) == {"AssumeRolePolicyDocument", "Policies"}  # no managed policies
    (policy,) = role["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": action, "Resource": tables},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": attribute(f"{name}LogGroup"),
        },
    ]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "lambda.amazonaws.com"},
        }
    ]


def test_no_other_resource_grants_anything(template: Json) -> None:
    iam = {name: one["Type"] for name, one in template["Resources"].items() if "IAM" in one["Type"]}
    assert iam == {"ListConversationsRole": "AWS::IAM::Role", "AuthorizeRole": "AWS::IAM::Role"}


def test_both_log_groups_keep_their_logs_for_the_days_asked_for(template: Json) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert set(groups) == {"ListConversationsLogGroup", "AuthorizeLogGroup"}
    for group in groups.values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert template["Parameters"]["LogRetentionDays"]["Default"] == 30


def test_the_conversations_are_keyed_and_indexed_as_designed(template: Json) -> None:
    table = of_type(template, "AWS::DynamoDB::Table")["ConversationsTable"]
    assert keys(table) == {"pk": "HASH", "sk": "RANGE"}
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == "by-updated"
    assert keys(index) == {"pk": "HASH", "updatedKey": "RANGE"}
    assert index["Projection"] == {"ProjectionType": "ALL"}
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    assert types == {"pk": "S", "sk": "S", "updatedKey": "S"}


def test_the_api_keys_are_keyed_by_their_hash(template: Json) -> None:
    table = of_type(template, "AWS::DynamoDB::Table")["ApiKeysTable"]
    assert keys(table) == {"keyHash": "HASH"}
    assert "GlobalSecondaryIndexes" not in table


def keys(table: Json) -> dict[str, str]:
    return {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]}


def test_both_tables_are_on_demand_recoverable_and_outlive_the_stack(template: Json) -> None:
    tables = of_type(template, "AWS::DynamoDB::Table")
    assert set(tables) == {"ConversationsTable", "ApiKeysTable"}
    for name, table in tables.items():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        recovery = table["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}
        resource = template["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"


def test_the_outputs_name_the_address_and_the_tables(template: Json) -> None:
    address = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${StageName}" + PATH
    assert {name: output["Value"] for name, output in template["Outputs"].items()} == {
        "ConversationsUrl": {"Fn::Sub": address},
        "ConversationsTableName": {"Ref": "ConversationsTable"},
        "ApiKeysTableName": {"Ref": "ApiKeysTable"},
    }
