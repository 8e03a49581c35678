"""Turns HTTP requests into the events that API Gateway (REST) would send."""

import secrets
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from dev.local.cloudformation import ACCOUNT_ID

API_ID = "local"
# Headers of the connection, which API Gateway does not pass on.
HOP_BY_HOP = frozenset({"connection", "keep-alive", "te", "trailer", "transfer-encoding"})
_REPLACED = frozenset(
    {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
)

Event = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """An HTTP request, with its header lines as received."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    port: int = 80
    source_ip: str = "127.0.0.1"

    @property
    def host(self) -> str | None:
        """What the client calls this machine, with the port if it names one."""
        return next((value for name, value in self.headers if name.lower() == "host"), None)


def proxy_event(request: Request, stage: str) -> Event:
    """The event of a Lambda proxy integration, without the authorizer's part."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        if name.lower() not in HOP_BY_HOP | _REPLACED:
            headers.setdefault(name, []).append(value)
    hops = [value for name, value in request.headers if name.lower() == "x-forwarded-for"]
    headers |= {
        "X-Amzn-Trace-Id": [f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"],
        "X-Forwarded-For": [", ".join((*hops, request.source_ip))],
        "X-Forwarded-Port": [str(request.port)],
        "X-Forwarded-Proto": ["http"],
    }
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    return {
        "resource": request.path,  # our routes have no path parameters
        "path": request.path,
        "httpMethod": request.method,
        "headers": _last_of_each(headers),
        "multiValueHeaders": headers,
        "queryStringParameters": _last_of_each(query) or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": _request_context(request, stage),
        "body": b64encode(request.body).decode() if request.body else None,
        "isBase64Encoded": bool(request.body),
    }


def _last_of_each(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: lines[-1] for name, lines in values.items()}


def _request_context(request: Request, stage: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    headers = {name.lower(): value for name, value in request.headers}
    identity = dict.fromkeys(
        (
            *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider"),
            *("cognitoAuthenticationType", "cognitoIdentityId", "cognitoIdentityPoolId"),
            *("principalOrgId", "user", "userArn"),
        )
    )
    return {
        "accountId": ACCOUNT_ID,
        "apiId": API_ID,
        "deploymentId": API_ID,
        "domainName": request.host,
        "domainPrefix": API_ID,
        "extendedRequestId": secrets.token_urlsafe(11),
        "httpMethod": request.method,
        "identity": identity
        | {"sourceIp": request.source_ip, "userAgent": headers.get("user-agent")},
        "path": request.path,  # as a custom domain has it: without the stage
        "protocol": "HTTP/1.1",
        "requestId": str(uuid4()),
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "resourceId": API_ID,
        "resourcePath": request.path,
        "stage": stage,
    }


def authorizer_event(event: Event, arn: str) -> Event:
    """A REQUEST authorizer's event: no body, and empty objects where the endpoint gets null."""
    shared = {name: event[name] for name in event if name not in ("body", "isBase64Encoded")}
    objects = (
        *("queryStringParameters", "multiValueQueryStringParameters"),
        *("pathParameters", "stageVariables"),
    )
    shared |= {name: event[name] or {} for name in objects}
    return {"type": "REQUEST", "methodArn": arn, **shared}
