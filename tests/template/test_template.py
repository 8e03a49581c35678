"""What `template.yaml` deploys: asserted on what SAM makes of it, offline."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import Loader
from cfnlint.api import ManualArgs, lint  # type: ignore[import-untyped]  # it ships no types

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
SAM_PYTHON = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "python"
CHECKOV = ROOT / os.environ.get("CHECKOV_VENV", ".venv-checkov") / "bin" / "checkov"
# aws-sam-translator pins an older pydantic than the one that ships: it lives with the SAM CLI.
TRANSLATE = """
import json, sys
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse

template = yaml_parse(sys.stdin.read())
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/code"  # what `sam package` puts there
json.dump(transform(template, dict(one.split("=") for one in sys.argv[1:]), None), sys.stdout)
"""
# What checkov finds, and why it stays. A finding that is not named fails, as does a stale name.
EXPLAINED = {
    # Whoever asks waits for the answer; nothing is left over for a queue of failed events.
    "CKV_AWS_116": {"AuthorizeFunction", "ListConversationsFunction"},
    # They reach DynamoDB by IAM and TLS. A VPC would cost start-up, and a gateway endpoint to run.
    "CKV_AWS_117": {"AuthorizeFunction", "ListConversationsFunction"},
    # Names of tables and levels are no secrets.
    "CKV_AWS_173": {"AuthorizeFunction", "ListConversationsFunction"},
    # With EncryptionKeyArn they are, asserted below; the default is DynamoDB's own key.
    "CKV_AWS_119": {"ApiKeysTable", "ConversationsTable"},
    # A cache would answer one caller with another's list, or cost a partition each.
    "CKV_AWS_120": {"ApiStage"},
    # The logs hold neither keys nor conversations, and CloudWatch encrypts them by its own key.
    "CKV_AWS_158": {"AccessLogGroup", "AuthorizeLogGroup", "ListConversationsLogGroup"},
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


def translated(*parameters: str) -> Json:
    """The template as SAM hands it to CloudFormation, with parameters as `NAME=VALUE`."""
    assert SAM_PYTHON.exists(), f"{SAM_PYTHON} is missing: run `make test`, which installs it"
    result = subprocess.run(  # noqa: S603 - our own interpreter and our own text
        [SAM_PYTHON, "-c", TRANSLATE, *parameters],
        input=(ROOT / "template.yaml").read_text(encoding="utf-8"),
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    template: Json = json.loads(result.stdout)
    return template


@pytest.fixture(scope="module")
def template() -> Json:
    return translated()


@pytest.fixture(scope="module")
def deployed() -> Json:
    """As `sam deploy` deploys it, with the parameters of samconfig.toml."""
    config = tomllib.loads((ROOT / "samconfig.toml").read_text(encoding="utf-8"))
    return translated(*config["default"]["deploy"]["parameters"]["parameter_overrides"].split())


@pytest.fixture(scope="module")
def api(template: Json) -> Json:
    properties: Json = template["Resources"]["Api"]["Properties"]
    return properties


def of_type(template: Json, kind: str) -> dict[str, Json]:
    """The properties of the resources of a type, by name."""
    resources = template["Resources"].items()
    return {name: one["Properties"] for name, one in resources if one["Type"] == kind}


NO_VALUE = {"Ref": "AWS::NoValue"}


def attribute(resource: str, name: str = "Arn") -> Json:
    return {"Fn::GetAtt": [resource, name]}


def findings(template: Json) -> list[str]:
    """What cfn-lint finds, but for parameters that SAM itself has used up."""
    matches = lint(json.dumps(template), config=ManualArgs(regions=["us-east-1"]))
    source = (ROOT / "template.yaml").read_text(encoding="utf-8")
    texts = [f"{match.rule.id} {match.message}" for match in matches]
    used_up = re.compile(r"W2001 Parameter (\w+) not used\.")
    return [
        text
        for text in texts
        if not ((match := used_up.fullmatch(text)) and f"!Ref {match[1]}\n" in source)
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
    result = subprocess.run(  # noqa: S603 - our own scanner and our own text
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
        "__FunctionArn__": {"Ref": "AuthorizeFunctionAliaslive"}
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
        "TracingConfig": {"Mode": "Active"},
        "ReservedConcurrentExecutions": {
            "Fn::If": [f"Has{part}Concurrency", {"Ref": f"{part}Concurrency"}, NO_VALUE]
        },
    }
    assert {key: function[key] for key in expected} == expected
    endpoint = ["HasDynamoDBEndpoint", {"Ref": "DynamoDBEndpoint"}, NO_VALUE]
    assert function["Environment"]["Variables"] == table | {
        "POWERTOOLS_SERVICE_NAME": {"Ref": "AWS::StackName"},
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
    assert len(found) == 2 * 5 + 2  # of the functions' roles, of API Gateway's and of CodeDeploy's
    for statement in found:
        actions = statement["Action"]
        assert "*" not in json.dumps(actions)
        traces = "xray:PutTraceSegments" in actions
        assert traces == (statement.get("Resource") == "*")


def test_no_other_resource_grants_anything(template: Json, deployed: Json) -> None:
    roles = {"ListConversationsRole", "AuthorizeRole", "ApiGatewayRole"}
    for one, expected in ((template, roles), (deployed, roles | {"CodeDeployServiceRole"})):
        iam = {name for name, own in one["Resources"].items() if "IAM" in own["Type"]}
        assert iam == expected
    for name in ("ApiGatewayRole", "ApiGatewayAccount"):  # others of the account may use them
        resource = template["Resources"][name]
        assert resource["DeletionPolicy"] == resource["UpdateReplacePolicy"] == "Retain"
    (logs,) = of_type(template, "AWS::IAM::Role")["ApiGatewayRole"]["ManagedPolicyArns"]
    assert logs["Fn::Sub"].endswith("/service-role/AmazonAPIGatewayPushToCloudWatchLogs")


def test_all_log_groups_keep_their_logs_for_the_days_asked_for(template: Json) -> None:
    groups = of_type(template, "AWS::Logs::LogGroup")
    assert set(groups) == {"ListConversationsLogGroup", "AuthorizeLogGroup", "AccessLogGroup"}
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


def test_the_outputs_name_the_address_the_tables_and_where_to_look(template: Json) -> None:
    address = "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}/${StageName}" + PATH
    outputs = {name: output["Value"] for name, output in template["Outputs"].items()}
    assert outputs.pop("DashboardUrl")["Fn::Sub"].endswith("#dashboards:name=${Dashboard}")
    own = {"Fn::Sub": f"https://${{DomainName}}{PATH}"}  # with a domain, AWS's address is closed
    assert outputs == {
        "ConversationsUrl": {"Fn::If": ["HasDomain", own, {"Fn::Sub": address}]},
        "ConversationsTableName": {"Ref": "ConversationsTable"},
        "ApiKeysTableName": {"Ref": "ApiKeysTable"},
        "AlarmTopicArn": {"Ref": "AlarmTopic"},
        "DomainTarget": attribute("Domain", "RegionalDomainName"),
    }


def test_every_parameter_has_a_default(template: Json) -> None:
    assert all("Default" in own for own in template["Parameters"].values())


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
    # One address alone cannot take all that the stage lets through.
    defaults = {name: own["Default"] for name, own in template["Parameters"].items()}
    assert defaults["RequestsPerMinuteAndAddress"] < 60 * defaults["ThrottlingRate"]
    assert template["Parameters"]["Firewall"]["Default"] == "true"


def test_the_firewall_stands_before_the_stage(template: Json) -> None:
    association = of_type(template, "AWS::WAFv2::WebACLAssociation")["WebAclAssociation"]
    assert association["WebACLArn"] == attribute("WebAcl")
    assert association["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${Api}/stages/${ApiStage}")
    for name in ("WebAcl", "WebAclAssociation"):
        assert template["Resources"][name]["Condition"] == "HasFirewall"


def test_the_firewall_keeps_no_key(template: Json) -> None:
    acl = of_type(template, "AWS::WAFv2::WebACL")["WebAcl"]
    for part in (acl, *acl["Rules"]):
        assert part["VisibilityConfig"]["SampledRequestsEnabled"] is False
    assert of_type(template, "AWS::WAFv2::LoggingConfiguration") == {}
    (protection,) = acl["DataProtectionConfig"]["DataProtections"]  # should either be turned on
    assert protection == {
        "Field": {"FieldType": "SINGLE_HEADER", "FieldKeys": ["x-api-key"]},
        "Action": "SUBSTITUTION",
    }


def test_the_stage_throttles_all_clients_together_and_logs_no_request(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    (settings,) = stage["MethodSettings"]
    assert settings == {
        "ResourcePath": "/*",
        "HttpMethod": "*",
        "ThrottlingRateLimit": {"Ref": "ThrottlingRate"},
        "ThrottlingBurstLimit": {"Ref": "ThrottlingBurst"},
        "MetricsEnabled": True,
        "LoggingLevel": "OFF",
        "DataTraceEnabled": False,
    }
    assert stage["TracingEnabled"] is True


def test_the_access_log_is_json_without_headers_paths_or_addresses(template: Json) -> None:
    (stage,) = of_type(template, "AWS::ApiGateway::Stage").values()
    setting = stage["AccessLogSetting"]
    assert setting["DestinationArn"] == attribute("AccessLogGroup")
    names = set(json.loads(setting["Format"]).values())
    assert names == {
        *("$context.requestId", "$context.requestTime", "$context.httpMethod"),
        *("$context.resourcePath", "$context.status", "$context.responseLength"),
        *("$context.responseLatency", "$context.integration.latency"),
        *("$context.authorizer.latency", "$context.authorizer.keyId"),
        *("$context.error.responseType", "$context.waf.status", "$context.xrayTraceId"),
    }


def test_a_domain_takes_tls_1_2_or_newer_and_is_the_only_address(template: Json, api: Json) -> None:
    domain = of_type(template, "AWS::ApiGateway::DomainName")["Domain"]
    assert domain["SecurityPolicy"] == "TLS_1_2"
    assert domain["RegionalCertificateArn"] == {"Ref": "CertificateArn"}
    mapping = of_type(template, "AWS::ApiGateway::BasePathMapping")["DomainMapping"]
    assert mapping["Stage"] == {"Ref": "ApiStage"}
    for name in ("Domain", "DomainMapping"):
        assert template["Resources"][name]["Condition"] == "HasDomain"
    configuration = api["Body"]["servers"][0]["x-amazon-apigateway-endpoint-configuration"]
    disabled = configuration["disableExecuteApiEndpoint"]
    assert disabled == {"Fn::If": ["HasDomain", True, False]}


def test_a_changed_parameter_makes_a_new_version(template: Json) -> None:
    for version in of_type(template, "AWS::Lambda::Version").values():
        for name in ("LogLevel", "Architecture", "SnapStart", "DynamoDBEndpoint"):
            assert f"{name}=${{{name}}}" in version["Description"]["Fn::Sub"]


def test_a_deployment_is_a_canary_that_alarms_roll_back(deployed: Json) -> None:
    groups = of_type(deployed, "AWS::CodeDeploy::DeploymentGroup")
    assert set(groups) == {
        "ListConversationsFunctionDeploymentGroup",
        "AuthorizeFunctionDeploymentGroup",
    }
    for name, group in groups.items():
        configuration = group["DeploymentConfigName"]["Fn::Sub"][1]
        assert configuration == {"ConfigName": "Canary10Percent5Minutes"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]
        alarms = {alarm["Name"]["Ref"] for alarm in group["AlarmConfiguration"]["Alarms"]}
        assert alarms == {
            *("ListConversationsVersionAlarm", "AuthorizeVersionAlarm"),
            *("InternalErrorsAlarm", "StoreErrorsAlarm"),
        }
        alias = deployed["Resources"][name.replace("DeploymentGroup", "Aliaslive")]
        update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        assert update["DeploymentGroupName"] == {"Ref": name}


ALARMS = {  # namespace, metric, and the most of it that is no reason to wake someone
    "GatewayErrorsAlarm": ("AWS/ApiGateway", "5XXError", 0.01),
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


def test_the_alarms_tell_people_and_are_quiet_without_requests(template: Json) -> None:
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    assert set(alarms) == {*ALARMS, *VERSION_ALARMS}
    people = [{"Ref": "AlarmTopic"}]
    for name, (namespace, metric, threshold) in ALARMS.items():
        alarm = alarms[name]
        assert (alarm["Namespace"], alarm["MetricName"]) == (namespace, metric)
        assert alarm["Threshold"] == threshold
        assert alarm["AlarmActions"] == alarm["OKActions"] == people
    for alarm in alarms.values():
        assert alarm["TreatMissingData"] == "notBreaching"
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_the_metrics_of_the_alarms_are_those_that_the_code_writes(template: Json) -> None:
    code = "".join(file.read_text() for file in (ROOT / "src/handlers").glob("*.py"))
    for namespace, metric, _ in ALARMS.values():
        if namespace == "Conversations":
            assert f'"{metric}"' in code
    environment = template["Resources"]["ListConversationsFunction"]["Properties"]["Environment"]
    assert environment["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == "Conversations"
    of_service = of_type(template, "AWS::CloudWatch::Alarm")["StoreErrorsAlarm"]["Dimensions"]
    assert of_service == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]


def test_the_dashboard_is_json_and_shows_every_alarm_and_every_metric_of_them(
    template: Json,
) -> None:
    body = of_type(template, "AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    widgets = json.loads(re.sub(r"\$\{[^}]+}", "x", body))["widgets"]
    assert len(widgets) == 10
    for name, (_, metric, _) in ALARMS.items():
        assert f"${{{name}.Arn}}" in body
        assert f'"{metric}"' in body


def test_the_docs_say_what_each_alarm_parameter_and_output_is(template: Json) -> None:
    docs = "".join(
        (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("deploy", "operate")
    )
    names = {*ALARMS, *template["Parameters"], *template["Outputs"]}
    assert [name for name in names if f"`{name}`" not in docs] == []
