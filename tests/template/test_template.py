"""What `template.yaml` deploys: asserted on what SAM makes of it, offline."""

import json
import os
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import pytest
from botocore.loaders import Loader
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # it ships no types

from storage.items import Item
from tests.support.sam import ROOT, SOURCE, Json, local_routes, of_type, translated

CHECKOV = ROOT / os.environ.get("CHECKOV_VENV", ".venv-checkov") / "bin" / "checkov"
# What checkov finds, and why it stays. A finding that is not named fails, as does a stale name.
EXPLAINED = {
    # API Gateway waits for the functions' answers, and CodeDeploy for the hook's status: no failed
    # event is lost, so none needs a queue.
    "CKV_AWS_116": {"AuthorizeFunction", "CheckVersionFunction", "ListConversationsFunction"},
    # CodeDeploy runs the hook twice in a deployment.
    "CKV_AWS_115": {"CheckVersionFunction"},
    # They reach DynamoDB by IAM and TLS. A VPC would cost start-up, and a gateway endpoint to run.
    "CKV_AWS_117": {"AuthorizeFunction", "CheckVersionFunction", "ListConversationsFunction"},
    # Names of tables and levels are no secrets.
    "CKV_AWS_173": {"AuthorizeFunction", "CheckVersionFunction", "ListConversationsFunction"},
    # With EncryptionKeyArn they are, asserted below; the default is DynamoDB's own key.
    "CKV_AWS_119": {"ApiKeysTable", "ConversationsTable"},
    # API Gateway's traces hold client addresses and whole URLs.
    "CKV_AWS_73": {"ApiStage"},
    # A cache would answer one caller with another's list, or cost a partition each.
    "CKV_AWS_120": {"ApiStage"},
    # The logs hold neither keys nor conversations, and CloudWatch encrypts them by its own key.
    "CKV_AWS_158": {
        *("AccessLogGroup", "AuthorizeLogGroup", "CheckVersionLogGroup"),
        "ListConversationsLogGroup",
    },
    # No Java, so no Log4j.
    "CKV_AWS_192": {"WebAcl"},
    # The messages hold an alarm's name; CloudWatch cannot publish through the key that SNS owns.
    "CKV_AWS_26": {"AlarmTopic"},
}

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
    "EXPIRED_TOKEN": NOT_FOUND,
    "INTEGRATION_FAILURE": UNAVAILABLE,
    "INTEGRATION_TIMEOUT": UNAVAILABLE,
    "INVALID_API_KEY": UNAUTHORIZED,
    "INVALID_SIGNATURE": NOT_FOUND,
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


def test_the_bucket_holds_equal_code_at_the_same_address_whoever_deploys() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    deploy = config["default"]["deploy"]["parameters"]
    # `sam deploy --guided` writes the stack's name there.
    assert deploy["s3_prefix"] == config["default"]["global"]["parameters"]["stack_name"]


@pytest.fixture(scope="module")
def api(template: Json) -> Json:
    properties: Json = template["Resources"]["Api"]["Properties"]
    return properties


NO_VALUE = {"Ref": "AWS::NoValue"}
# The tables in use: those of the stack, or those that a parameter names.
CONVERSATIONS, API_KEYS = (
    {"Fn::If": [f"Makes{name}", {"Ref": name}, {"Ref": f"Existing{name}"}]}
    for name in ("ConversationsTable", "ApiKeysTable")
)


def attribute(resource: str, name: str = "Arn") -> Json:
    return {"Fn::GetAtt": [resource, name]}


def findings(template: Json) -> list[str]:
    """What cfn-lint finds, but for parameters that SAM itself has used up.

    Nor W3011, an UpdateReplacePolicy without a DeletionPolicy: it is for the versions, which have
    both.
    """
    config = ManualArgs(regions=["us-east-1"], ignore_checks=["W3011"])
    hook = template["Resources"]["CheckVersionFunction"] | {"Metadata": {}}  # ignores E3004
    resources = template["Resources"] | {"CheckVersionFunction": hook}
    matches = lint(json.dumps(template | {"Resources": resources}), config=config)
    texts = [f"{match.rule.id} {match.message}" for match in matches]
    used_up = re.compile(r"W2001 Parameter (\w+) not used\.")
    return [
        text
        for text in texts
        if not ((match := used_up.fullmatch(text)) and f"!Ref {match[1]}\n" in SOURCE)
    ]


def test_cfn_lint_finds_nothing_in_the_translated_template(template: Json, deployed: Json) -> None:
    assert findings(template) == []
    assert findings(deployed) == []


def test_cfn_lint_would_find_a_runtime_that_does_not_exist(template: Json) -> None:
    broken = json.dumps(template).replace("python3.13", "python9.9")
    assert {text.split()[0] for text in findings(json.loads(broken))} == {"E3030"}


def test_checkov_finds_nothing_that_is_not_explained(deployed: Json, tmp_path: Path) -> None:
    assert CHECKOV.exists(), f"{CHECKOV} is missing: run `make check`, which installs it"
    file = tmp_path / "template.json"
    file.write_text(json.dumps(deployed))
    scan = f"{CHECKOV} --framework cloudformation --output json --skip-download --quiet --compact"
    result = subprocess.run(
        [*scan.split(), "--file", file], capture_output=True, check=False, text=True
    )
    report = json.loads(result.stdout)
    assert report["summary"]["passed"] > 30, result.stdout
    found: dict[str, set[str]] = {}
    for check in report["results"]["failed_checks"]:
        found.setdefault(check["check_id"], set()).add(check["resource"].rpartition(".")[2])
    assert found == EXPLAINED


def test_the_api_has_one_path_with_one_method_and_nothing_for_cors(api: Json) -> None:
    assert {path: list(methods) for path, methods in api["Body"]["paths"].items()} == {
        PATH: ["get"]
    }


def test_the_path_is_answered_by_the_endpoint_function_as_a_proxy(api: Json) -> None:
    integration = api["Body"]["paths"][PATH]["get"]["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws_proxy"
    assert "${ListConversationsFunctionAliaslive}" in integration["uri"]["Fn::Sub"]


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
        "__FunctionArn__": {"Fn::Sub": "${AuthorizeFunction.Arn}:live"}
    }
    assert authorizer == {
        "type": "request",
        "identitySource": "method.request.header.x-api-key",
        "authorizerResultTtlInSeconds": 60,
    }
    assert body["paths"][PATH]["get"]["security"] == [{"ApiKeyAuthorizer": []}]


def test_the_api_waits_for_the_alias_that_its_authorizer_names_in_a_text(template: Json) -> None:
    assert template["Resources"]["AuthorizeFunctionAliaslive"]["Properties"]["Name"] == "live"
    assert "AuthorizeFunctionAliaslive" in template["Resources"]["Api"]["DependsOn"]


def test_sam_local_start_api_finds_the_route_and_its_authorizer() -> None:
    assert local_routes() == [["GET", PATH, "ListConversationsFunction", "AuthorizeFunction"]]


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
    answers = {json.dumps(response) for response in responses if response["statusCode"] == "401"}
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("name", "handler", "memory", "timeout", "table"),
    [
        (
            "ListConversationsFunction",
            "handlers.list_conversations.handler",
            1769,
            28,
            {"CONVERSATIONS_TABLE": CONVERSATIONS, "SYNC_GENERATION": {"Ref": "SyncGeneration"}},
        ),
        (
            "AuthorizeFunction",
            "handlers.authorize.handler",
            1024,
            20,
            {"API_KEYS_TABLE": API_KEYS},
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
        "Architectures": [{"Ref": "ArchitectureAsBuilt"}],
        "Role": attribute(f"{part}Role"),
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": {"Ref": f"{part}LogGroup"}},
        "TracingConfig": {"Mode": "Active"},
        "ReservedConcurrentExecutions": {
            "Fn::If": [f"Has{part}Concurrency", {"Ref": f"{part}Concurrency"}, NO_VALUE]
        },
    }
    assert {key: function[key] for key in expected} == expected
    regional = {"Fn::Sub": "https://dynamodb.${AWS::Region}.${AWS::URLSuffix}"}
    endpoint = ["HasDynamoDBEndpoint", {"Ref": "DynamoDBEndpoint"}, regional]
    assert function["Environment"]["Variables"] == table | {
        "POWERTOOLS_SERVICE_NAME": {"Ref": "AWS::StackName"},
        "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
        "POWERTOOLS_LOG_LEVEL": {"Ref": "LogLevel"},
        "AWS_ENDPOINT_URL_DYNAMODB": {"Fn::If": endpoint},
    }


def test_there_are_no_other_functions_and_the_defaults_are_those_of_aws(template: Json) -> None:
    functions = {"AuthorizeFunction", "CheckVersionFunction", "ListConversationsFunction"}
    assert set(of_type(template, "AWS::Lambda::Function")) == functions
    parameters = template["Parameters"]
    assert parameters["ArchitectureAsBuilt"]["Default"] == "arm64"
    assert parameters["ArchitectureAsBuilt"]["AllowedValues"] == ["arm64", "x86_64"]
    assert parameters["LogLevel"]["Default"] == "INFO"
    assert parameters["DynamoDBEndpoint"]["Default"] == ""


def arn_of(table: Json, index: str = "") -> Json:
    arn = "arn:${AWS::Partition}:dynamodb:${AWS::Region}:${AWS::AccountId}:table/${Table}"
    return {"Fn::Sub": [arn + index, {"Table": table}]}


@pytest.mark.parametrize(
    ("name", "action", "tables"),
    [
        (
            "ListConversations",
            "dynamodb:Query",
            [arn_of(CONVERSATIONS), arn_of(CONVERSATIONS, "/index/by-updated")],
        ),
        ("Authorize", "dynamodb:GetItem", arn_of(API_KEYS)),
    ],
)
def test_a_role_allows_one_read_its_own_logs_and_traces_and_nothing_else(
    template: Json, name: str, action: str, tables: object
) -> None:
    role = of_type(template, "AWS::IAM::Role")[f"{name}Role"]
    assert set(role) == {"AssumeRolePolicyDocument", "Policies"}  # no managed policies
    (policy,) = role["Policies"]
    decrypt = {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": {"Ref": "EncryptionKeyArn"},
        "Condition": {
            "StringEquals": {
                "kms:ViaService": {"Fn::Sub": "dynamodb.${AWS::Region}.${AWS::URLSuffix}"}
            }
        },
    }
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": action, "Resource": tables},
        {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": attribute(f"{name}LogGroup"),
        },
        {
            "Effect": "Allow",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Resource": "*",
        },
        {"Fn::If": ["HasEncryptionKey", decrypt, NO_VALUE]},
    ]
    assert role["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "lambda.amazonaws.com"},
        }
    ]


def statements(node: Any) -> Iterator[Json]:
    """Every policy statement of a template, wherever it stands."""
    match node:
        case {"Effect": _}:
            yield node
        case dict():
            for value in node.values():
                yield from statements(value)
        case list():
            for value in node:
                yield from statements(value)


def test_no_policy_has_a_wildcard_action_and_only_tracing_has_no_resource(deployed: Json) -> None:
    found = list(statements(deployed))
    # Of the functions' roles, of the hook's, of API Gateway's and of CodeDeploy's.
    assert len(found) == 2 * 5 + 4 + 2
    for statement in found:
        actions = statement["Action"]
        assert "*" not in json.dumps(actions)
        traces = "xray:PutTraceSegments" in actions
        assert traces == (statement.get("Resource") == "*")


def test_no_other_resource_grants_anything(template: Json, deployed: Json) -> None:
    roles = {"ListConversationsRole", "AuthorizeRole", "CheckVersionRole", "ApiGatewayRole"}
    for version, expected in ((template, roles), (deployed, roles | {"CodeDeployServiceRole"})):
        iam = {name for name, resource in version["Resources"].items() if "IAM" in resource["Type"]}
        assert iam == expected
    for name in ("ApiGatewayRole", "ApiGatewayAccount"):  # others of the account may use them
        resource = template["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    (logs,) = of_type(template, "AWS::IAM::Role")["ApiGatewayRole"]["ManagedPolicyArns"]
    assert logs["Fn::Sub"].endswith("/service-role/AmazonAPIGatewayPushToCloudWatchLogs")


def test_all_log_groups_keep_their_logs_for_the_days_asked_for(template: Json) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    functions = {f"{name}LogGroup" for name in ("ListConversations", "Authorize", "CheckVersion")}
    assert set(groups) == functions | {"AccessLogGroup"}
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
    types = {
        definition["AttributeName"]: definition["AttributeType"]
        for definition in table["AttributeDefinitions"]
    }
    assert types == {"pk": "S", "sk": "S", "updatedKey": "S"}


def test_tombstones_expire_and_keys_do_not(template: Json) -> None:
    tables = of_type(template, "AWS::DynamoDB::Table")
    conversations, api_keys = tables["ConversationsTable"], tables["ApiKeysTable"]
    conversation = Item({"pk": {"S": "w#u"}, "sk": {"S": "2024-12-01T08:45:00.000Z#c"}})
    item = conversation.buried(now=0).attributes
    time_to_live = conversations["TimeToLiveSpecification"]
    assert time_to_live == {"AttributeName": "expiresAt", "Enabled": True}
    assert item[time_to_live["AttributeName"]] == {"N": str(90 * 86_400)}
    assert (
        "TimeToLiveSpecification" not in api_keys
    )  # their `expiresAt` is a text, and they are kept


def test_the_api_keys_are_keyed_by_their_hash(template: Json) -> None:
    table = of_type(template, "AWS::DynamoDB::Table")["ApiKeysTable"]
    assert keys(table) == {"keyHash": "HASH"}
    assert "GlobalSecondaryIndexes" not in table


def keys(table: Json) -> dict[str, str]:
    return {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]}


def test_both_tables_are_bounded_recoverable_protected_and_outlive_the_stack(
    template: Json,
) -> None:
    tables = of_type(template, "AWS::DynamoDB::Table")
    assert set(tables) == {"ConversationsTable", "ApiKeysTable"}
    most = {"MaxReadRequestUnits": {"Ref": "MaxReadUnits"}}
    most |= {"MaxWriteRequestUnits": {"Ref": "MaxWriteUnits"}}
    conversations = tables["ConversationsTable"]
    assert conversations["OnDemandThroughput"] == most
    assert conversations["GlobalSecondaryIndexes"][0]["OnDemandThroughput"] == most
    assert set(tables["ApiKeysTable"]["OnDemandThroughput"]) == set(most)
    for name, table in tables.items():
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        recovery = table["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}
        assert table["DeletionProtectionEnabled"] is True
        own_key = {
            "SSEEnabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": {"Ref": "EncryptionKeyArn"},
        }
        assert table["SSESpecification"] == {"Fn::If": ["HasEncryptionKey", own_key, NO_VALUE]}
        resource = template["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
        assert resource["Condition"] == f"Makes{name}"


def nodes(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every mapping below a node, with the names that lead to it."""
    match node:
        case dict():
            yield path, node
            for name, value in node.items():
                yield from nodes(value, (*path, name))
        case list():
            for number, value in enumerate(node):
                yield from nodes(value, (*path, str(number)))


@pytest.mark.parametrize(
    ("name", "table"), [("Conversations", CONVERSATIONS), ("ApiKeys", API_KEYS)]
)
def test_a_table_that_exists_already_takes_the_place_of_the_stacks(
    template: Json, name: str, table: Json
) -> None:
    parameter = template["Parameters"][f"Existing{name}Table"]
    assert parameter["Default"] == ""
    assert re.fullmatch(parameter["AllowedPattern"], "conversations-restored.2026_01-31")
    expected = {"Fn::Equals": [{"Ref": f"Existing{name}Table"}, ""]}
    assert template["Conditions"][f"Makes{name}Table"] == expected
    used = {"Resources": template["Resources"], "Outputs": template["Outputs"]}
    text = json.dumps(used)
    assert text.count(json.dumps(table)) == text.count(f'{{"Ref": "{name}Table"}}') >= 4
    assert f"${{{name}Table" not in text  # in the text of a Fn::Sub
    assert f'["{name}Table", "Arn"]' not in text


def test_another_table_makes_a_new_version_whose_description_lambda_takes(template: Json) -> None:
    versions = of_type(template, "AWS::Lambda::Version")
    longest = {
        "LogLevel": "CRITICAL",
        "ArchitectureAsBuilt": "x86_64",
        "SnapStart": "PublishedVersions",
        "DynamoDBEndpoint": template["Parameters"]["DynamoDBEndpoint"]["MaxLength"] * "x",
        "ExistingConversationsTable": 64 * "x",
        "ExistingApiKeysTable": 64 * "x",
        "SyncGeneration": template["Parameters"]["SyncGeneration"]["MaxValue"],
    }
    for name, version in versions.items():
        table = "ExistingApiKeysTable" if "Authorize" in name else "ExistingConversationsTable"
        description = version["Description"]["Fn::Sub"]
        assert f"${{{table}}}" in description
        assert not re.fullmatch(template["Parameters"][table]["AllowedPattern"], 65 * "x")
        assert len(Template(description).substitute(longest)) <= 256
        assert ("${SyncGeneration}" in description) == ("ListConversations" in name)


def test_the_outputs_name_the_address_the_tables_and_where_to_look(template: Json) -> None:
    address = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${StageName}" + PATH
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    assert outputs.pop("DashboardUrl")["Fn::Sub"].endswith("#dashboards:name=${Dashboard}")
    domain = {"Fn::Sub": f"https://${{DomainName}}{PATH}"}
    assert outputs == {
        "ConversationsUrl": {"Fn::If": ["HasDomain", domain, {"Fn::Sub": address}]},
        "ConversationsTableName": CONVERSATIONS,
        "ApiKeysTableName": API_KEYS,
        "AlarmTopicArn": {"Ref": "AlarmTopic"},
        "DomainTarget": attribute("Domain", "RegionalDomainName"),
    }


def test_the_dashboards_address_is_told_only_where_it_is_right(template: Json) -> None:
    assert template["Outputs"]["DashboardUrl"]["Condition"] == "IsCommercialPartition"
    expected = {"Fn::Equals": [{"Ref": "AWS::Partition"}, "aws"]}
    assert template["Conditions"]["IsCommercialPartition"] == expected


def test_every_parameter_has_a_default(template: Json) -> None:
    assert all("Default" in parameter for parameter in template["Parameters"].values())


def test_the_firewall_counts_keys_and_addresses_and_blocks_plainly(
    template: Json,
) -> None:
    acl = of_type(template, "AWS::WAFv2::WebACL")["WebAcl"]
    by_key, by_address = acl["Rules"]
    for rule in acl["Rules"]:
        assert rule["Action"] == {"Block": {}}  # a custom response would bypass WAF_FILTERED
    assert by_address["Statement"]["RateBasedStatement"] == {
        "Limit": {"Ref": "RequestsPerMinuteAndAddress"},
        "EvaluationWindowSec": 60,
        "AggregateKeyType": "IP",
    }
    assert by_key["Statement"]["RateBasedStatement"] == {
        "Limit": {"Ref": "RequestsPerMinute"},
        "EvaluationWindowSec": 60,
        "AggregateKeyType": "CUSTOM_KEYS",
        "CustomKeys": [
            {
                "Header": {
                    "Name": "x-api-key",
                    "TextTransformations": [{"Priority": 0, "Type": "NONE"}],
                }
            }
        ],
    }
    assert acl["DefaultAction"] == {"Allow": {}}
    assert template["Parameters"]["RequestsPerMinute"]["Default"] == 60
    assert template["Parameters"]["Firewall"]["Default"] == "true"


def test_a_few_addresses_cannot_use_up_everyones_requests(template: Json) -> None:
    defaults = {name: parameter["Default"] for name, parameter in template["Parameters"].items()}
    a_second = defaults["RequestsPerMinuteAndAddress"] / 60
    assert defaults["ThrottlingRate"] == 20 * a_second  # as the comment in template.yaml says
    assert defaults["ThrottlingBurst"] >= 10 * a_second
    assert defaults["RequestsPerMinute"] < defaults["RequestsPerMinuteAndAddress"]
    assert defaults["ThrottlingRate"] < 10_000  # of all APIs of an account in a region


def test_the_firewall_stands_before_the_stage(template: Json) -> None:
    association = of_type(template, "AWS::WAFv2::WebACLAssociation")["WebAclAssociation"]
    assert association["WebACLArn"] == attribute("WebAcl")
    assert association["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${Api}/stages/${ApiStage}")
    for name in ("WebAcl", "WebAclAssociation"):
        assert template["Resources"][name]["Condition"] == "HasFirewall"


def test_the_firewall_keeps_no_key_and_no_address_of_a_customer(template: Json) -> None:
    acl = of_type(template, "AWS::WAFv2::WebACL")["WebAcl"]
    for part in (acl, *acl["Rules"]):
        assert part["VisibilityConfig"]["SampledRequestsEnabled"] is False
    assert of_type(template, "AWS::WAFv2::LoggingConfiguration") == {}
    protections = acl["DataProtectionConfig"]["DataProtections"]  # should either be turned on
    assert {protection["Action"] for protection in protections} == {"SUBSTITUTION"}
    assert [protection["Field"] for protection in protections] == [
        {"FieldType": "SINGLE_HEADER", "FieldKeys": ["x-api-key"]},
        {
            "FieldType": "SINGLE_QUERY_ARGUMENT",
            "FieldKeys": ["customerEmail", "customerPhone"],
        },
    ]


def test_the_stage_throttles_all_clients_together_and_logs_no_request(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    (settings,) = stage["MethodSettings"]
    assert settings == {
        "ResourcePath": "/*",
        "HttpMethod": "*",
        "ThrottlingRateLimit": {"Ref": "ThrottlingRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottlingBurst"},
        "MetricsEnabled": False,
        "LoggingLevel": "OFF",
        "DataTraceEnabled": False,
    }


def test_the_functions_are_traced_and_the_api_whose_traces_hold_urls_is_not(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    assert stage["TracingEnabled"] is False
    assert "xray" not in stage["AccessLogSetting"]["Format"].lower()
    functions = of_type(template, "AWS::Lambda::Function")
    assert "TracingConfig" not in functions.pop("CheckVersionFunction")
    for function in functions.values():
        assert function["TracingConfig"] == {"Mode": "Active"}


def test_the_access_log_is_json_without_headers_paths_or_addresses(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    setting = stage["AccessLogSetting"]
    assert setting["DestinationArn"] == attribute("AccessLogGroup")
    names = set(json.loads(setting["Format"]).values())
    assert names == {
        *("$context.requestId", "$context.extendedRequestId", "$context.requestTime"),
        *("$context.httpMethod", "$context.tlsVersion", "$context.cipherSuite"),
        *("$context.resourcePath", "$context.status", "$context.responseLength"),
        *("$context.responseLatency", "$context.integration.latency"),
        *("$context.authorizer.latency", "$context.authorizer.keyId"),
        *("$context.error.responseType", "$context.waf.status"),
    }


TLS_POLICY = "SecurityPolicy_TLS13_1_2_PFS_PQ_2025_09"


def test_both_addresses_take_tls_1_2_with_forward_secrecy_or_newer(
    template: Json, api: Json
) -> None:
    domain = of_type(template, "AWS::ApiGateway::DomainName")["Domain"]
    shapes = Loader().load_service_model("apigateway", "service-2")["shapes"]
    assert TLS_POLICY in shapes["SecurityPolicy"]["enum"]
    for address in (api, domain):
        assert address["SecurityPolicy"] == TLS_POLICY
        assert address["EndpointAccessMode"] == "STRICT"
    assert "disableExecuteApiEndpoint" not in json.dumps(api["Body"])


def test_another_tls_policy_makes_another_deployment_which_it_takes_effect_with(
    template: Json,
) -> None:
    time.sleep(1)  # SAM names a deployment by the second
    other = translated(source=SOURCE.replace(TLS_POLICY, "SecurityPolicy_TLS13_1_3_2025_09"))
    ids = set()
    for version in (template, other):
        (deployment,) = of_type(version, "AWS::ApiGateway::Deployment")
        (stage,) = of_type(version, "AWS::ApiGateway::Stage").values()
        assert stage["DeploymentId"] == {"Ref": deployment}
        ids.add(deployment)
    assert len(ids) == 2


def test_a_public_address_reaches_the_function_as_a_stage_variable_or_not_at_all(
    template: Json,
) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    variable = {"publicUrl": {"Ref": "PublicUrl"}}
    assert stage["Variables"] == {"Fn::If": ["HasPublicUrl", variable, NO_VALUE]}
    empty = {"Fn::Equals": [{"Ref": "PublicUrl"}, ""]}
    assert template["Conditions"]["HasPublicUrl"] == {"Fn::Not": [empty]}
    pattern = template["Parameters"]["PublicUrl"]["AllowedPattern"]
    for address in ("", "https://www.example.com", "http://gateway.internal:8443/a_b/~c-d"):
        assert re.fullmatch(pattern, address)
        assert re.fullmatch("[A-Za-z0-9._~:/?#&=,-]*", address)  # API Gateway's own rule
    for address in ("www.example.com", "https://a/", "https://a?b", "https://a#b", "https://é"):
        assert not re.fullmatch(pattern, address)


def test_a_domain_leads_to_the_stage(template: Json) -> None:
    domain = of_type(template, "AWS::ApiGateway::DomainName")["Domain"]
    assert domain["RegionalCertificateArn"] == {"Ref": "CertificateArn"}
    mapping = of_type(template, "AWS::ApiGateway::BasePathMapping")["DomainMapping"]
    assert mapping["Stage"] == {"Ref": "ApiStage"}
    for name in ("Domain", "DomainMapping"):
        assert template["Resources"][name]["Condition"] == "HasDomain"


def test_a_domain_without_a_certificate_is_refused_before_anything_is_created(
    template: Json,
) -> None:
    (rule,) = template["Rules"].values()
    assert rule["RuleCondition"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "DomainName"}, ""]}]}
    (assertion,) = rule["Assertions"]
    expected = {"Fn::Not": [{"Fn::Equals": [{"Ref": "CertificateArn"}, ""]}]}
    assert assertion["Assert"] == expected


def test_the_version_that_a_changed_parameter_replaces_is_kept(template: Json) -> None:
    changed = translated("LogLevel=ERROR")
    names = set(of_type(template, "AWS::Lambda::Version"))
    assert len(names) == 2
    # The same logical id: CloudFormation replaces the version, so DeletionPolicy does not apply.
    assert names == set(of_type(changed, "AWS::Lambda::Version"))
    for name in names:
        version = template["Resources"][name]
        assert version["UpdateReplacePolicy"] == version["DeletionPolicy"] == "Retain"


def test_a_changed_parameter_makes_a_new_version(template: Json) -> None:
    for version in of_type(template, "AWS::Lambda::Version").values():
        for name in ("LogLevel", "ArchitectureAsBuilt", "SnapStart", "DynamoDBEndpoint"):
            assert f"${{{name}}}" in version["Description"]["Fn::Sub"]


ALARMS = {  # namespace, metric, and the most of it that is no reason to wake someone
    "GatewayErrorsAlarm": ("AWS/ApiGateway", "5XXError", 0.01),
    "PersistentErrorsAlarm": ("AWS/ApiGateway", "5XXError", 0.002),
    "RefusedRequestsAlarm": ("AWS/ApiGateway", "4XXError", 0.5),
    "GatewayLatencyAlarm": ("AWS/ApiGateway", "Latency", 5000),
    "ListConversationsErrorsAlarm": ("AWS/Lambda", "Errors", 0),
    "AuthorizeErrorsAlarm": ("AWS/Lambda", "Errors", 0),
    "ListConversationsThrottlesAlarm": ("AWS/Lambda", "Throttles", 0),
    "AuthorizeThrottlesAlarm": ("AWS/Lambda", "Throttles", 0),
    "ConversationsThrottlesAlarm": ("AWS/DynamoDB", "ReadThrottleEvents", 0),
    "ByUpdatedThrottlesAlarm": ("AWS/DynamoDB", "ReadThrottleEvents", 0),
    "ApiKeysThrottlesAlarm": ("AWS/DynamoDB", "ReadThrottleEvents", 0),
    "StoreErrorsAlarm": ("Conversations", "StoreErrors", 0),
    "InternalErrorsAlarm": ("Conversations", "InternalErrors", 0),
    "InvalidCallersAlarm": ("Conversations", "InvalidCallers", 0),
    "UnreadableConversationsAlarm": ("Conversations", "UnreadableConversations", 0),
    "LargeResponsesAlarm": ("Conversations", "WholeListBytes", 5033164),
}
VERSION_ALARMS = {"ListConversationsVersionAlarm", "AuthorizeVersionAlarm"}


def watched(alarm: Json) -> list[Json]:
    """Namespace, name and dimensions of the metrics that an alarm reads."""
    return [
        part["MetricStat"]["Metric"] for part in alarm.get("Metrics", ()) if "MetricStat" in part
    ] or [alarm]


def test_the_alarms_tell_people_and_are_quiet_without_requests(template: Json) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    assert set(alarms) == {*ALARMS, *VERSION_ALARMS}
    people = [{"Ref": "AlarmTopic"}]
    for name, (namespace, metric, threshold) in ALARMS.items():
        alarm = alarms[name]
        for read in watched(alarm):
            assert (read["Namespace"], read["MetricName"]) == (namespace, metric)
        assert alarm["Threshold"] == threshold
        assert alarm["AlarmActions"] == alarm["OKActions"] == people
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_a_slow_burn_of_errors_is_seen_in_hours(template: Json) -> None:
    alarm = of_type(template, "AWS::CloudWatch::Alarm")["PersistentErrorsAlarm"]
    periods = (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"])
    assert periods == (3600, 6, 3)
    assert alarm["Statistic"] == "Average"  # of 0 and 1: the share


def test_refused_requests_are_a_share_that_few_requests_do_not_count_in(template: Json) -> None:
    alarm = of_type(template, "AWS::CloudWatch::Alarm")["RefusedRequestsAlarm"]
    assert (alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (15, 10)
    share, refused, requests = alarm["Metrics"]
    assert share == {"Id": "share", "Expression": "IF(requests >= 20, refused, 0)"}
    for query, name, statistic in (
        (refused, "refused", "Average"),
        (requests, "requests", "SampleCount"),
    ):
        assert (query["Id"], query["ReturnData"]) == (name, False)
        assert (query["MetricStat"]["Stat"], query["MetricStat"]["Period"]) == (statistic, 60)


def test_the_metrics_of_the_alarms_are_those_that_the_code_writes(template: Json) -> None:
    code = "".join(file.read_text() for file in (ROOT / "src/handlers").glob("*.py"))
    for namespace, metric, _ in ALARMS.values():
        if namespace == "Conversations":
            assert f'"{metric}"' in code
    environment = template["Resources"]["ListConversationsFunction"]["Properties"]["Environment"]
    assert environment["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == "Conversations"
    of_service = of_type(template, "AWS::CloudWatch::Alarm")["StoreErrorsAlarm"]["Dimensions"]
    assert of_service == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]


FUNCTION = frozenset({"FunctionName"})
TABLE = frozenset({"TableName"})
INDEX = frozenset({"TableName", "GlobalSecondaryIndexName"})
STAGE = frozenset({"ApiName", "Stage"})
SERVICE = frozenset({"service"})
# What the services publish, by their pages on metrics and dimensions. CloudWatch takes any other
# set of dimensions for another metric, which has no data. Per method API Gateway publishes none,
# since MetricsEnabled is off; ours are Powertools'.
PUBLISHED: dict[tuple[str, str], set[frozenset[str]]] = {
    **{("AWS/ApiGateway", name): {STAGE} for name in ("Count", "4XXError", "5XXError", "Latency")},
    **{("AWS/Lambda", name): {FUNCTION} for name in ("Duration", "Throttles")},
    ("AWS/Lambda", "ConcurrentExecutions"): {FUNCTION},
    ("AWS/Lambda", "Errors"): {FUNCTION, FUNCTION | {"Resource", "ExecutedVersion"}},
    ("AWS/DynamoDB", "ConsumedReadCapacityUnits"): {TABLE, INDEX},
    ("AWS/DynamoDB", "ReadThrottleEvents"): {TABLE, INDEX},
    ("AWS/DynamoDB", "SystemErrors"): {TABLE | {"Operation"}},
    ("AWS/WAFV2", "BlockedRequests"): {frozenset({"WebACL", "Rule", "Region"})},
    **{
        ("Conversations", name): {SERVICE}
        for name in (
            *("ClientErrors", "StoreErrors", "InternalErrors", "UnreadableConversations"),
            *("InvalidCallers", "WholeListBytes", "ConversationsReturned", "StoreReads"),
            "StoreFallbacks",
        )
    },
}


def dashboard(template: Json) -> tuple[str, list[Json]]:
    """The text of the dashboard, and its widgets with a letter for each variable."""
    properties = of_type(template, "AWS::CloudWatch::Dashboard")["Dashboard"]
    body, variables = properties["DashboardBody"]["Fn::Sub"]
    assert variables == {"Conversations": CONVERSATIONS, "ApiKeys": API_KEYS}
    return body, json.loads(re.sub(r"\$\{[^}]+}", "x", body))["widgets"]


def metrics(widget: Json) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Namespace, name and dimensions of a widget's metrics, their shorthand written out."""
    before: list[str] = []
    for row in widget["properties"].get("metrics", []):
        values = [part for part in row if isinstance(part, str)]
        if values[0] == "...":  # the row before, with other last values
            values = before[: len(before) - len(values) + 1] + values[1:]
        values = [before[at] if part == "." else part for at, part in enumerate(values)]
        namespace, name, *rest = before = values
        yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))


def test_every_metric_of_the_dashboard_and_the_alarms_is_one_that_its_service_publishes(
    template: Json,
) -> None:
    _, widgets = dashboard(template)
    shown = [metric for widget in widgets for metric in metrics(widget)]
    assert len(shown) == 32
    for namespace, name, dimensions in shown:
        assert frozenset(dimensions) in PUBLISHED[namespace, name], (name, dimensions)
    assert {(namespace, name) for namespace, name, _ in shown} == set(PUBLISHED)
    tables = {json.dumps(CONVERSATIONS), json.dumps(API_KEYS)}
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    for metric in [metric for alarm in alarms for metric in watched(alarm)]:
        by_name = {dimension["Name"]: dimension["Value"] for dimension in metric["Dimensions"]}
        assert frozenset(by_name) in PUBLISHED[metric["Namespace"], metric["MetricName"]]
        assert by_name.get("ApiName") in (None, {"Ref": "AWS::StackName"})
        assert by_name.get("Stage") in (None, {"Ref": "StageName"})
        assert by_name.get("GlobalSecondaryIndexName") in (None, "by-updated")
        assert "TableName" not in by_name or json.dumps(by_name["TableName"]) in tables


def test_the_dashboard_shows_every_alarm_and_every_metric_of_them(template: Json) -> None:
    body, widgets = dashboard(template)
    assert len(widgets) == 10
    for name, (_, metric, _) in ALARMS.items():
        assert f"${{{name}.Arn}}" in body
        assert f'"{metric}"' in body


def test_the_dashboards_name_which_is_the_accounts_names_the_region(template: Json) -> None:
    name = of_type(template, "AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardName"]
    assert name == {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}


def test_no_other_resource_has_a_name_that_is_global_in_an_account(template: Json) -> None:
    # Those of log groups and the API are the region's, of an alias its function's; domains differ.
    parts = {"AWS::Lambda::Alias", "AWS::Logs::LogGroup", "AWS::ApiGateway::RestApi"}
    named = {
        (name, key)
        for name, resource in template["Resources"].items()
        for key in resource.get("Properties", {})
        if key.endswith("Name") and resource["Type"] not in parts
        if key not in ("StageName", "FunctionName", "DomainName", "MetricName")
    }
    assert named == {("Dashboard", "DashboardName")}


def test_the_guide_asks_for_the_processor_by_a_name_that_says_what_it_must_be(
    template: Json,
) -> None:
    # `sam deploy --guided` shows no more of a parameter than its name and default.
    parameter = template["Parameters"]["ArchitectureAsBuilt"]
    assert "Every request fails" in parameter["Description"]
    assert "Architecture" not in template["Parameters"]
    for folder in parameter["AllowedValues"]:
        makefile = ROOT / "dev" / "package" / "sam" / folder / "Makefile"
        assert f"build.py {folder} " in makefile.read_text("utf-8")
    build = "ContextPath: !Sub dev/package/sam/${ArchitectureAsBuilt}"
    assert build in SOURCE


def test_the_docs_say_what_each_alarm_parameter_and_output_is(template: Json) -> None:
    docs = "".join(
        (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("deploy", "operate")
    )
    names = {*ALARMS, *template["Parameters"], *template["Outputs"]}
    assert [name for name in names if f"`{name}`" not in docs] == []
