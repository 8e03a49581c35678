"""The parts of `template.yaml` that the local API and `make invoke` need."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.local import cloudformation

ROOT = Path(__file__).parents[2]
LIST_CONVERSATIONS = ("GET", "/v1/api/conversations")
"""The list's route: method and path."""
ENDPOINT = "AWS_ENDPOINT_URL_DYNAMODB"
_API = "AWS::Serverless::Api"
_FUNCTION = "AWS::Serverless::Function"
_TABLE = "AWS::DynamoDB::Table"
# The properties that CreateTable accepts unchanged.
_OF_TABLES = ("AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes", "KeySchema")


@dataclass(frozen=True)
class Function:
    """An `AWS::Serverless::Function`; `handler` is `module.name`, `timeout` is in seconds.

    `environment` leaves out the address of DynamoDB: here the shell or the embedded DynamoDB
    provides it.
    """

    name: str
    arn: str
    handler: str
    runtime: str
    memory_mb: int
    timeout: int
    environment: Mapping[str, str]

    @property
    def variables(self) -> dict[str, str]:
        """Its environment variables, including those that Lambda adds."""
        return {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{self.runtime}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            **self.environment,
        }


@dataclass(frozen=True)
class Authorizer:
    """A REQUEST authorizer: its function, and the headers that a request must have for it."""

    function: str
    headers: tuple[str, ...]


@dataclass(frozen=True)
class GatewayResponse:
    """A response of API Gateway itself; headers and body are mapping expressions."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Api:
    """The `AWS::Serverless::Api`; `routes` names the function of each (method, path)."""

    stage: str
    authorizer: Authorizer
    gateway_responses: Mapping[str, GatewayResponse]
    binary_media_types: tuple[str, ...]
    routes: Mapping[tuple[str, str], str]


@dataclass(frozen=True)
class Template:
    """The resources by their logical ids; `tables` are the arguments of CreateTable."""

    api: Api
    functions: Mapping[str, Function]
    tables: Mapping[str, Mapping[str, Any]]

    @property
    def table_variables(self) -> dict[str, str]:
        """The environment variables that tell the functions the names of the tables."""
        return {
            variable: value
            for function in self.functions.values()
            for variable, value in function.environment.items()
            if value in self.tables
        }

    def function_for(self, event: Mapping[str, Any]) -> Function:
        """The function that API Gateway would send the event to.

        Raises:
            ValueError: it is not an event for a route or the authorizer.
        """
        if event.get("type") == "REQUEST":
            return self.functions[self.api.authorizer.function]
        route = (event.get("httpMethod", ""), event.get("resource", ""))
        if route not in self.api.routes:
            raise ValueError("it is not an event for a route or the authorizer of template.yaml")
        return self.functions[self.api.routes[route]]


def load(path: Path = ROOT / "template.yaml") -> Template:
    """The template with each parameter at its default, and each resource named by its id.

    Raises:
        ValueError: it uses a part of CloudFormation that is not supported here.
    """
    resources, shared = cloudformation.read(path, (_API, _FUNCTION, _TABLE))
    serverless = _of_type(resources, _FUNCTION)
    functions = {
        name: _function(name, shared, properties) for name, properties in serverless.items()
    }
    routes = {
        (event["Properties"]["Method"].upper(), event["Properties"]["Path"]): name
        for name, properties in serverless.items()
        for event in properties.get("Events", {}).values()
        if event["Type"] == "Api"
    }
    (api,) = _of_type(resources, _API).values()
    tables = {
        name: {key: value for key, value in properties.items() if key in _OF_TABLES}
        for name, properties in _of_type(resources, _TABLE).items()
    }
    return Template(_api(api, routes), functions, tables)


def _of_type(resources: Mapping[str, tuple[str, Any]], wanted: str) -> dict[str, Any]:
    return {name: properties for name, (kind, properties) in resources.items() if kind == wanted}


def _function(name: str, shared: Mapping[str, Any], properties: Mapping[str, Any]) -> Function:
    merged = {**shared, **properties}
    environment = {
        variable: str(value)
        for part in (shared, properties)
        for variable, value in part.get("Environment", {}).get("Variables", {}).items()
    }
    # A function that runs here must not reach AWS unless the shell's environment says so.
    environment.pop(ENDPOINT, None)
    return Function(
        name=name,
        arn=cloudformation.function_arn(name),
        handler=merged["Handler"],
        runtime=merged["Runtime"],
        memory_mb=merged["MemorySize"],
        timeout=merged["Timeout"],
        environment=environment,
    )


def _api(properties: Mapping[str, Any], routes: Mapping[tuple[str, str], str]) -> Api:
    auth = properties["Auth"]
    authorizer = auth["Authorizers"][auth["DefaultAuthorizer"]]
    return Api(
        stage=properties["StageName"],
        authorizer=Authorizer(
            function=authorizer["FunctionArn"].split(":")[6],
            headers=tuple(authorizer["Identity"]["Headers"]),
        ),
        gateway_responses={
            kind: GatewayResponse(
                status=response["StatusCode"],
                headers=response["ResponseParameters"]["Headers"],
                body=response["ResponseTemplates"]["application/json"],
            )
            for kind, response in properties["GatewayResponses"].items()
        },
        binary_media_types=tuple(properties["BinaryMediaTypes"]),
        routes=routes,
    )
