"""Plays Amazon API Gateway (REST): HTTP request → authorizer → endpoint → HTTP response.

It behaves as the service does towards clients and functions, but does not cache the authorizer's
answers, and throttles only on demand (`Failures`).
"""

import json
import re
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from random import random
from typing import Any, Self
from uuid import uuid4

from dev.local.cloudformation import ACCOUNT_ID, REGION
from dev.local.events import API_ID, HOP_BY_HOP, Event, Request, authorizer_event, proxy_event
from dev.local.template import Api, GatewayResponse

MAX_REQUEST_BYTES = 10 * 1024 * 1024  # AWS quota: a request's body
_BODILESS = (204, 304)

Invoke = Callable[[str, Event], Any]


class FunctionError(Exception):
    """A function raised, or Lambda would refuse its answer."""


class CodeError(Exception):
    """A function's code cannot be imported. The text says what is wrong, and where."""


@dataclass(frozen=True)
class Failures:
    """An error, and the share of the requests that get it.

    Attributes:
        kind: the type of a gateway response.
        share: over 0, up to 1.
    """

    kind: str
    share: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `503`, for all requests, or `503:0.3`.

        Raises:
            ValueError: the text is something else.
        """
        status, colon, share = text.partition(":")
        kinds = {"429": "THROTTLED", "500": "DEFAULT_5XX", "503": "INTEGRATION_FAILURE"}
        failures = cls(kinds.get(status, ""), float(share) if colon else 1)
        if not failures.kind or not 0 < failures.share <= 1:
            raise ValueError(text)
        return failures


@dataclass(frozen=True)
class Response:
    """An HTTP response. The server adds the body's length."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Refusal(Exception):
    """The gateway itself answers, with the gateway response of this type."""


class Gateway:
    """One API. `invoke(function name, event)` runs a function, as `Functions.invoke` does."""

    def __init__(self, api: Api, invoke: Invoke, failures: Failures | None = None) -> None:
        self._api = api
        self._invoke = invoke
        self._failures = failures

    def answer(self, request: Request) -> Response:
        """Answer as API Gateway would: from the route's function, or with a gateway response.

        If code cannot be imported, the response says so; API Gateway would send a 503.
        """
        event = proxy_event(request, self._api.stage)
        context = event["requestContext"]
        try:
            if self._failures and random() < self._failures.share:
                raise _Refusal(self._failures.kind)
            function = self._api.routes.get((request.method, request.path))
            if function is None:
                raise _Refusal("MISSING_AUTHENTICATION_TOKEN")
            context["authorizer"] = self._authorize(event)
            return self._integrate(function, event)
        except _Refusal as refusal:
            return _render(self._api.gateway_responses[str(refusal)], context)
        except CodeError as error:
            response = _render(self._api.gateway_responses["DEFAULT_5XX"], context)
            problem = json.loads(response.body)
            problem["detail"] = problem["error"]["message"] = str(error)
            return replace(response, body=json.dumps(problem).encode())

    def refuse(self, kind: str) -> Response:
        """The gateway response of a type, for a request that cannot be parsed."""
        return _render(self._api.gateway_responses[kind], {"requestId": str(uuid4())})

    def _authorize(self, event: Event) -> dict[str, Any]:
        """The `authorizer` part of the endpoint's request context."""
        authorizer = self._api.authorizer
        present = {name.lower() for name, value in event["headers"].items() if value}
        if not present.issuperset(name.lower() for name in authorizer.headers):
            raise _Refusal("UNAUTHORIZED")
        arn = f"arn:aws:execute-api:{REGION}:{ACCOUNT_ID}:{API_ID}/{self._api.stage}"
        arn += f"/{event['httpMethod']}{event['path']}"
        start = time.perf_counter()
        try:
            answer = self._invoke(authorizer.function, authorizer_event(event, arn))
        except FunctionError:
            raise _Refusal("AUTHORIZER_FAILURE") from None
        try:
            principal, allowed = str(answer["principalId"]), _allows(answer["policyDocument"], arn)
            context = {name: _flat(value) for name, value in answer.get("context", {}).items()}
        except (AttributeError, KeyError, TypeError):
            raise _Refusal("AUTHORIZER_CONFIGURATION_ERROR") from None
        if not allowed:
            raise _Refusal("ACCESS_DENIED")
        latency = round(1000 * (time.perf_counter() - start))
        return context | {"principalId": principal, "integrationLatency": latency}

    def _integrate(self, function: str, event: Event) -> Response:
        """The function's answer to the event, as an HTTP response."""
        try:
            answer = self._invoke(function, event)
        except FunctionError:
            raise _Refusal("INTEGRATION_FAILURE") from None
        try:
            headers = _headers(answer)
            body = answer.get("body") or ""
            if answer.get("isBase64Encoded") and self._is_binary(event):
                content = b64decode(body, validate=True)
            else:
                content = body.encode()
            status = int(answer["statusCode"])
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _Refusal("API_CONFIGURATION_ERROR") from None
        return Response(status, headers, b"" if status in _BODILESS else content)

    def _is_binary(self, event: Event) -> bool:
        """Whether base64 is decoded: API Gateway goes by the first media type of `Accept`.

        `*/*` covers what is no media type, too, such as an empty `Accept`.
        """
        headers = {name.lower(): value for name, value in event["headers"].items()}
        accepted = re.split("[,;]", headers.get("accept", "application/json"))[0].strip()
        kinds = self._api.binary_media_types
        return "*/*" in kinds or any(fnmatchcase(accepted, kind) for kind in kinds)


def _allows(policy: Mapping[str, Any], arn: str) -> bool:
    """Whether an IAM policy allows the method: a statement does, and none denies it."""
    effects = [
        statement["Effect"]
        for statement in policy["Statement"]
        if _covers(statement["Action"], "execute-api:Invoke")
        and _covers(statement["Resource"], arn)
    ]
    return "Allow" in effects and "Deny" not in effects


def _covers(patterns: str | list[str], name: str) -> bool:
    alternatives = [patterns] if isinstance(patterns, str) else patterns
    # IAM supports only `*` and `?`; a bracket is literal.
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in alternatives)


def _flat(value: object) -> str:
    """A context value as API Gateway passes it on: strings only."""
    match value:
        case str():
            return value
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            raise TypeError


def _headers(answer: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The function's headers. If a name is in both maps, `multiValueHeaders` wins."""
    multiple = answer.get("multiValueHeaders") or {}
    single = answer.get("headers") or {}
    named = {name.lower() for name in multiple}
    lines = [(name, str(value)) for name, value in single.items() if name.lower() not in named]
    lines += [(name, str(value)) for name, values in multiple.items() for value in values]
    lines = [line for line in lines if line[0].lower() not in {"content-length", *HOP_BY_HOP}]
    if not any(name.lower() == "content-type" for name, _ in lines):
        lines.append(("Content-Type", "application/json"))
    return tuple(lines)


def _render(response: GatewayResponse, context: Mapping[str, Any]) -> Response:
    headers = tuple(
        (name, expression[1:-1] if expression.startswith("'") else _lookup(expression, context))
        for name, expression in response.headers.items()
    )
    body = re.sub(r"\$(context\.[\w.]+)", lambda match: _lookup(match[1], context), response.body)
    return Response(response.status, headers, body.encode())


def _lookup(expression: str, context: Mapping[str, Any]) -> str:
    """The value of a variable such as `context.requestId`; empty if there is none."""
    value: Any = {"context": context}
    for name in expression.split("."):
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return str(value)
