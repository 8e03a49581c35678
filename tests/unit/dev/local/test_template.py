from pathlib import Path

import pytest

from dev.local import template
from dev.local.template import Function

SMALL = """
Parameters:
  Endpoint: {Type: String, Default: ""}
  Level: {Type: String, Default: INFO}
Conditions:
  Unknown: !Join ["", [a]]
  HasEndpoint: !Not [!Equals [!Ref Endpoint, ""]]
  Always: !Equals [a, a]
Globals:
  Function:
    Runtime: python3.13
    MemorySize: 128
    Timeout: 3
    Environment:
      Variables:
        LEVEL: !Ref Level
        ENDPOINT: !If [HasEndpoint, !Ref Endpoint, !Ref AWS::NoValue]
        ALWAYS: !If [Always, "yes", "no"]
        REGION: !Sub "${AWS::Region} ${Table} ${Table.StreamArn}"
Resources:
  Api:
    Type: AWS::Serverless::Api
    Properties:
      StageName: prod
      GatewayResponses: {}
      BinaryMediaTypes: []
      Auth:
        DefaultAuthorizer: Keys
        Authorizers:
          Keys: {FunctionArn: !GetAtt Authorize.Arn, Identity: {Headers: [x-api-key]}}
  Authorize:
    Type: AWS::Serverless::Function
    Properties: {Handler: a.handler, Timeout: 5}
  List:
    Type: AWS::Serverless::Function
    Properties:
      Handler: b.handler
      Environment: {Variables: {TABLE: !Ref Table}}
      Events:
        Get: {Type: Api, Properties: {RestApiId: !Ref Api, Path: /list, Method: get}}
  Table:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      PointInTimeRecoverySpecification: {PointInTimeRecoveryEnabled: true}
"""


def small(tmp_path: Path, text: str = SMALL) -> template.Template:
    path = tmp_path / "template.yaml"
    path.write_text(text)
    return template.load(path)


def test_globals_and_intrinsic_functions_are_resolved_at_the_defaults(tmp_path: Path) -> None:
    assert small(tmp_path).functions["List"] == Function(
        name="List",
        arn="arn:aws:lambda:us-east-1:123456789012:function:List",
        handler="b.handler",
        runtime="python3.13",
        memory_mb=128,
        timeout=3,
        environment={
            "LEVEL": "INFO",
            "ALWAYS": "yes",
            "REGION": "us-east-1 Table Table.StreamArn",
            "TABLE": "Table",
        },
    )


def test_an_alias_stands_for_its_function(tmp_path: Path) -> None:
    aliased = SMALL.replace("!GetAtt Authorize.Arn", '!Sub "${Authorize.Arn}:live"')
    assert small(tmp_path, aliased).api.authorizer.function == "Authorize"


def test_a_function_overrides_the_globals(tmp_path: Path) -> None:
    assert small(tmp_path).functions["Authorize"].timeout == 5


def test_routes_authorizer_and_tables_are_read(tmp_path: Path) -> None:
    read = small(tmp_path)
    assert read.api.routes == {("GET", "/list"): "List"}
    assert read.api.authorizer == template.Authorizer("Authorize", ("x-api-key",))
    assert read.tables == {"Table": {"BillingMode": "PAY_PER_REQUEST"}}
    assert read.table_variables == {"TABLE": "Table"}


def test_an_event_finds_its_function(tmp_path: Path) -> None:
    read = small(tmp_path)
    assert read.function_for({"type": "REQUEST"}).name == "Authorize"
    assert read.function_for({"httpMethod": "GET", "resource": "/list"}).name == "List"
    with pytest.raises(ValueError, match="not an event for a route"):
        read.function_for({"httpMethod": "GET", "resource": "/other"})


@pytest.mark.parametrize(
    "intrinsic", ['!Join ["", [a]]', "!Transform {Name: x}", "!If [Unknown, a, b]"]
)
def test_an_intrinsic_function_that_is_not_known_is_named(tmp_path: Path, intrinsic: str) -> None:
    with pytest.raises(ValueError, match=r"(Join|Transform) is not known"):
        small(tmp_path, SMALL.replace("!Ref Level", intrinsic))


def test_the_deployment_is_understood_whole() -> None:
    read = template.load()
    assert set(read.table_variables) == {"CONVERSATIONS_TABLE", "API_KEYS_TABLE"}
    assert ("GET", "/v1/api/conversations") in read.api.routes
    assert read.api.gateway_responses["UNAUTHORIZED"].status == 401
    assert "AWS_ENDPOINT_URL_DYNAMODB" not in read.functions["AuthorizeFunction"].environment
