import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from dev.local import template
from dev.local.events import Event, Request
from dev.local.gateway import CodeError, Failures, FunctionError, Gateway, Response
from tests.support.api import EVENTS

API = template.load().api
PATH = "/v1/api/conversations"
ALL = "arn:aws:execute-api:us-east-1:123456789012:local/prod/*"


def policy(effect: str = "Allow", resource: str | list[str] = ALL) -> dict[str, Any]:
    """What an authorizer answers."""
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {
        "principalId": "user",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"userId": "user", "admin": False, "count": 2},
    }


class Lambda:
    """Functions that answer what they are told to, and keep the events they got."""

    def __init__(self, authorizer: Any = None, endpoint: Any = None) -> None:
        self.answers = {
            "AuthorizeFunction": policy() if authorizer is None else authorizer,
            "ListConversationsFunction": endpoint or {"statusCode": 200, "body": "[]"},
        }
        self.events: dict[str, Event] = {}

    def __call__(self, name: str, event: Event) -> Any:
        self.events[name] = json.loads(json.dumps(event))
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer


def request(**fields: Any) -> Request:
    headers = (("Host", "127.0.0.1:3000"), ("x-api-key", "tk_x"), ("x-workspace-id", "demo"))
    defaults: dict[str, Any] = {"method": "GET", "path": PATH, "query": "", "headers": headers}
    return Request(**defaults | fields)


def answer(functions: Callable[[str, Event], Any], **fields: Any) -> Response:
    return Gateway(API, functions).answer(request(**fields))


def code(response: Response) -> tuple[int, str]:
    return response.status, json.loads(response.body)["error"]["code"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("ListConversationsFunction", "list.json"),
        ("AuthorizeFunction", "authorize_good_key.json"),
    ],
)
def test_events_have_the_fields_of_those_in_the_events_folder(name: str, file: str) -> None:
    functions = Lambda()
    answer(functions)
    event, expected = functions.events[name], json.loads((EVENTS / file).read_text())
    assert event.keys() == expected.keys()
    context, expected_context = event["requestContext"], expected["requestContext"]
    assert context.keys() == expected_context.keys()
    assert context["identity"].keys() == expected_context["identity"].keys()
    for parameters in ("queryStringParameters", "multiValueQueryStringParameters"):
        assert event[parameters] == expected[parameters]


def test_repeated_headers_and_parameters_arrive_with_all_values() -> None:
    functions = Lambda()
    headers = (("x-api-key", "tk_x"), ("X-A", "1"), ("X-A", "2"))
    answer(functions, query="a=1&a=%C3%A9+b&empty=&bare", headers=headers)
    event = functions.events["ListConversationsFunction"]
    assert event["multiValueHeaders"]["X-A"] == ["1", "2"]
    assert event["headers"]["X-A"] == "2"
    assert event["multiValueQueryStringParameters"] == {
        "a": ["1", "é b"],
        "empty": [""],
        "bare": [""],
    }
    assert event["queryStringParameters"] == {"a": "é b", "empty": "", "bare": ""}


def test_forwarded_headers_are_the_gateways_own() -> None:
    functions = Lambda()
    sent = (("x-api-key", "k"), ("x-forwarded-proto", "https"), ("X-Forwarded-For", "10.0.0.1"))
    answer(functions, headers=(*sent, ("Connection", "keep-alive")), port=3000)
    event = functions.events["ListConversationsFunction"]
    assert event["multiValueHeaders"]["X-Forwarded-For"] == ["10.0.0.1, 127.0.0.1"]
    assert event["headers"]["X-Forwarded-Proto"] == "http"
    assert event["headers"]["X-Forwarded-Port"] == "3000"
    assert not {"x-forwarded-proto", "Connection"} & event["headers"].keys()


def test_a_body_arrives_as_base64_since_all_media_types_are_binary() -> None:
    functions = Lambda()
    answer(functions, body=b"\xff{}")
    event = functions.events["ListConversationsFunction"]
    assert (event["body"], event["isBase64Encoded"]) == (b64encode(b"\xff{}").decode(), True)


def test_the_authorizers_context_arrives_as_strings() -> None:
    functions = Lambda()
    answer(functions)
    context = functions.events["ListConversationsFunction"]["requestContext"]["authorizer"]
    assert isinstance(context.pop("integrationLatency"), int)
    assert context == {"userId": "user", "admin": "false", "count": "2", "principalId": "user"}


@pytest.mark.parametrize("headers", [(), (("x-api-key", ""),)])
def test_without_the_identity_source_the_authorizer_is_not_asked(headers: Any) -> None:
    functions = Lambda()
    response = answer(functions, headers=headers)
    assert code(response) == (401, "unauthorized")
    assert ("WWW-Authenticate", "ApiKey") in response.headers
    assert functions.events == {}


@pytest.mark.parametrize("fields", [{"path": PATH + "/x"}, {"method": "POST"}, {"method": "HEAD"}])
def test_an_unknown_path_or_method_is_not_found(fields: dict[str, str]) -> None:
    functions = Lambda()
    assert code(answer(functions, **fields)) == (404, "not_found")
    assert functions.events == {}


@pytest.mark.parametrize(
    "authorizer",
    [
        policy("Deny"),
        policy(resource=ALL.replace("prod", "other")),
        policy(resource=ALL.replace("*", "POST/*")),
        policy(resource=[]),
    ],
)
def test_what_the_policy_does_not_allow_is_unauthorized(authorizer: dict[str, Any]) -> None:
    functions = Lambda(authorizer)
    assert code(answer(functions)) == (401, "unauthorized")
    assert "ListConversationsFunction" not in functions.events


@pytest.mark.parametrize(
    "resource",
    [
        "*",
        ["other", ALL],
        ALL.replace("*", "GET/v1/api/conversations"),
        ALL.replace("prod", "p?od"),
    ],
)
def test_a_policy_covers_the_method_by_wildcards(resource: str | list[str]) -> None:
    assert answer(Lambda(policy(resource=resource))).status == 200


def test_a_deny_beats_an_allow() -> None:
    both = policy()
    both["policyDocument"]["Statement"] += policy("Deny")["policyDocument"]["Statement"]
    assert code(answer(Lambda(both))) == (401, "unauthorized")


@pytest.mark.parametrize(
    "authorizer",
    [
        FunctionError(),
        {},
        "Allow",
        {"principalId": "user", "policyDocument": {}},
        policy() | {"context": {"workspaces": ["demo"]}},
    ],
)
def test_an_authorizer_that_fails_is_unavailable(authorizer: Any) -> None:
    assert code(answer(Lambda(authorizer))) == (503, "store_unavailable")


@pytest.mark.parametrize(
    "endpoint",
    [
        FunctionError(),
        "text",
        {"body": "no status"},
        {"statusCode": 200, "body": "no base64", "isBase64Encoded": True},
    ],
)
def test_an_endpoint_that_fails_is_unavailable(endpoint: Any) -> None:
    response = answer(Lambda(endpoint=endpoint))
    assert code(response) == (503, "store_unavailable")
    assert ("Retry-After", "5") in response.headers


@pytest.mark.parametrize("name", ["AuthorizeFunction", "ListConversationsFunction"])
def test_code_that_does_not_load_is_named(name: str) -> None:
    functions = Lambda()
    functions.answers[name] = CodeError('src/a.py, line 1: "odd"')
    response = answer(functions)
    assert code(response) == (500, "internal_error")
    problem = json.loads(response.body)
    assert problem["detail"] == problem["error"]["message"] == 'src/a.py, line 1: "odd"'
    assert dict(response.headers)["x-request-id"] in problem["instance"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("429", Failures("THROTTLED", 1)),
        ("500:1", Failures("DEFAULT_5XX", 1)),
        ("503:0.3", Failures("INTEGRATION_FAILURE", 0.3)),
    ],
)
def test_failures_are_a_status_and_a_share(text: str, expected: Failures) -> None:
    assert Failures.parse(text) == expected


@pytest.mark.parametrize("text", ["404", "", "503:", "503:0", "503:1.1", "503:nan", "503:-1", ":1"])
def test_other_failures_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Failures.parse(text)


def test_a_gateway_response_carries_the_request_id_in_header_and_body() -> None:
    response = answer(Lambda(), path="/")
    request_id = dict(response.headers)["x-request-id"]
    assert json.loads(response.body)["instance"] == f"urn:uuid:{UUID(request_id)}"


def test_of_both_header_maps_the_one_with_several_values_holds() -> None:
    endpoint = {
        "statusCode": "201",
        "headers": {"x-a": "single", "X-B": 1},
        "multiValueHeaders": {"X-A": ["1", "2"], "content-length": ["9"]},
        "body": None,
    }
    response = answer(Lambda(endpoint=endpoint))
    json_type = ("Content-Type", "application/json")
    assert response == Response(201, (("X-B", "1"), ("X-A", "1"), ("X-A", "2"), json_type), b"")


def test_a_base64_body_is_decoded_and_a_304_has_none() -> None:
    encoded = {"statusCode": 200, "body": b64encode(b"\x1f\x8b").decode(), "isBase64Encoded": True}
    assert answer(Lambda(endpoint=encoded)).body == b"\x1f\x8b"
    assert answer(Lambda(endpoint=encoded | {"statusCode": 304})).body == b""
