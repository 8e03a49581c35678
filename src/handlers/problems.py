"""Every exception → one problem response (RFC 9457)."""

import json
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestValidationError,
    ResponseValidationError,
)
from aws_lambda_powertools.metrics import MetricUnit

from domain.errors import (
    ConversationsError,
    InvalidCallerError,
    ResponseTooLargeError,
    StoreError,
    UnreadableConversationError,
)
from handlers.parameters import explain
from handlers.response import MAX_ENVELOPE_BYTES
from handlers.telemetry import logger, metrics, stack_of

RETRY_AFTER_SECONDS = 5
STATUS = {
    "missing_workspace": 400,
    "invalid_workspace": 400,
    "invalid_parameter": 400,
    "unknown_parameter": 400,
    "invalid_cursor": 400,
    "workspace_not_found": 404,
    "not_found": 404,
    "response_too_large": 413,
    "internal_error": 500,
    "store_unavailable": 503,
}
_TITLES = {  # RFC 9110, section 15
    400: "Bad Request",
    404: "Not Found",
    413: "Content Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def handle_errors(app: APIGatewayRestResolver) -> None:
    """Has every error of the app's routes answered with a problem."""
    # Without the others, `Exception` would not catch what Powertools answers by itself.
    app.exception_handler(
        [Exception, ServiceError, RequestValidationError, ResponseValidationError]
    )(to_problem)


def to_problem(error: Exception) -> Response[str]:
    """The problem that a client sees of an error; what an operator needs goes to the log."""
    match error:
        case RequestValidationError():
            error = explain(error)
            code, detail = error.code, str(error)
        case ServiceError():
            code, detail = "not_found", "This API answers GET /v1/api/conversations only."
        case ConversationsError() if STATUS[error.code] != 500:
            code, detail = error.code, str(error)
        case _:
            code, detail = "internal_error", "The request failed because of an error on the server."
    _record(error, code)
    return _problem(code, detail, logger.get_correlation_id() or "")


def _record(error: Exception, code: str) -> None:
    status = STATUS[code]
    fields: dict[str, Any] = {"code": code, "status": status}
    match error:
        case StoreError():
            metric = "StoreErrors" if status == 503 else "InternalErrors"
            fields["reason"] = error.reason
        case UnreadableConversationError():
            metric = "UnreadableConversations"
            fields |= {"item_key": error.key, "reason": error.reason}
        case InvalidCallerError():
            metric = "InvalidCallers"
        case ResponseTooLargeError():
            metric = "ClientErrors"
            metrics.add_metric("WholeListBytes", MetricUnit.Bytes, MAX_ENVELOPE_BYTES)  # or more
        case _:
            metric = "ClientErrors" if status < 500 else "InternalErrors"
    metrics.add_metric(metric, MetricUnit.Count, 1)
    if status < 500:
        logger.info("refused", **fields)
    else:
        logger.error("failed", error=type(error).__name__, stack=stack_of(error), **fields)


def _problem(code: str, detail: str, request_id: str) -> Response[str]:
    status = STATUS[code]
    headers: dict[str, str | list[str]] = {"Cache-Control": "no-store", "x-request-id": request_id}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = {
        "type": f"urn:problem:conversations:{code}",
        "title": _TITLES[status],
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
        "error": {"code": code, "message": detail},
    }
    return Response(status, "application/problem+json", json.dumps(body), headers)
