"""Turns every error into a problem response (RFC 9457). Contains the table of all error codes."""

import json
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit

from domain.errors import (
    ConversationsError,
    InvalidCallerError,
    RequestError,
    StoreError,
    UnreadableConversationError,
)
from domain.query import PARAMETERS
from handlers.response import MAX_ENVELOPE_BYTES, Response
from handlers.telemetry import logger, metrics, stack_of

RETRY_AFTER_SECONDS = 5
TITLES = {  # RFC 9110, section 15, and RFC 6585
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    410: "Gone",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error code's status and texts.

    Attributes:
        detail: the message for the client, unless the error has a more precise one. An error with
            a `DetailedCode` always has; here is an example.
        when, what_to_do: for the documentation, in Markdown.
    """

    status: int
    detail: str
    when: str
    what_to_do: str


PROBLEMS = {
    "missing_workspace": Problem(
        400,
        "The x-workspace-id header is required.",
        when="The request does not name a workspace.",
        what_to_do="Send the `x-workspace-id` header.",
    ),
    "invalid_workspace": Problem(
        400,
        "The x-workspace-id header must be one workspace identifier: "
        "1 to 64 letters, digits, underscores or hyphens.",
        when="The workspace identifier is malformed.",
        what_to_do="Send the `x-workspace-id` header once, with the exact identifier.",
    ),
    "invalid_parameter": Problem(
        400,
        "The query parameter limit must be one whole number from 1 to 1000.",
        when="A header or query parameter is malformed, empty or out of range, or was sent with "
        "different values.",
        what_to_do="Fix the parameter named in `detail`. Omit optional parameters instead of "
        "sending them empty.",
    ),
    "unknown_parameter": Problem(
        400,
        f"There is no query parameter agentID. Use only "
        f"{', '.join(parameter.name for parameter in PARAMETERS.values())}.",
        when="The request carries a query parameter that does not exist.",
        what_to_do="Check the spelling, including upper and lower case. "
        "Unknown parameters are errors, so that a mistyped filter never returns everything.",
    ),
    "invalid_cursor": Problem(
        400,
        "The cursor is damaged, or belongs to another user, workspace, sort or filter. "
        "Take it from the Link header, or start again without one.",
        when="The cursor is damaged, or belongs to another user, workspace, sort or filter.",
        what_to_do="Use the address in the previous page's `Link` header unchanged, "
        "with a key of the same user. Only `limit` and `messages` may change. "
        "Or start again without `cursor`.",
    ),
    "bad_request": Problem(
        400,
        "The request is malformed. Check its path, headers and query parameters.",
        when="The request is malformed in a way that no other code covers.",
        what_to_do="Check the path, the headers and the query parameters.",
    ),
    "invalid_body": Problem(
        400,
        "The body of the request cannot be accepted. Send the request without one.",
        when="The request has a body that cannot be accepted.",
        what_to_do="Send no body.",
    ),
    "unauthorized": Problem(
        401,
        "The API key is missing or not valid. Send the API key in the x-api-key header.",
        when="The API key is missing, malformed, unknown, expired or revoked. "
        "The response does not say which.",
        what_to_do="Send a valid key in the `x-api-key` header. Retrying does not help.",
    ),
    "workspace_not_found": Problem(
        404,
        "The workspace does not exist, or the API key has no grant for it.",
        when="The caller has no grant for the workspace, or it does not exist. "
        "The response does not say which.",
        what_to_do="Check the identifier, and ask for a grant. Retrying does not help.",
    ),
    "not_found": Problem(
        404,
        "This API answers GET /v1/api/conversations only, without a slash at the end.",
        when="The method or the path differs from `GET /v1/api/conversations`.",
        what_to_do="Check the method and the address. It ends without a slash, and "
        "a deployment's default address contains the stage.",
    ),
    "sync_expired": Problem(
        410,
        "This address no longer continues a copy: it is too old, or the table has been replaced. "
        "Fill a new copy, beginning with sync=true and without a cursor, then drop the old copy.",
        when="The address of a sync is too old (valid for at least 87 days), or the operator has "
        "replaced the table or its content.",
        what_to_do="Fill a new copy from `sync=true` without `cursor`, then swap it with the old "
        "one.",
    ),
    "response_too_large": Problem(
        413,
        "The list is too large for one response, or takes too long to read. "
        "Ask for pages with the query parameter limit, or send Accept-Encoding: zstd, gzip "
        "(only those that your client decodes).",
        when="The list is too large for one response, or takes too long to read.",
        what_to_do="Ask for pages with `limit`, or send `Accept-Encoding: zstd, gzip` (only "
        "those that your client decodes).",
    ),
    "request_too_large": Problem(
        413,
        "The request is too large. Send it without a body and with short headers.",
        when="The request itself is too large.",
        what_to_do="Send no body and only short headers.",
    ),
    "unsupported_media_type": Problem(
        415,
        "The Content-Type of the request cannot be accepted. Send the request without a body.",
        when="The request has a body of a type that cannot be accepted.",
        what_to_do="Send no body.",
    ),
    "rate_limit_exceeded": Problem(
        429,
        "Too many requests. Try again after the number of seconds in Retry-After.",
        when="Too many requests with this key, from this address, or to the whole API.",
        what_to_do="Wait for the number of seconds in `Retry-After`, then try again. "
        "The error can come again after the wait, so try a few times.",
    ),
    "internal_error": Problem(
        500,
        "The request failed because of an error on the server.",
        when="The server has a defect, or a stored conversation cannot be read. "
        "Such a conversation is never skipped, and its content is never shown.",
        what_to_do="Report it with the request id in `instance`.",
    ),
    "store_unavailable": Problem(
        503,
        "The conversations cannot be read at the moment. Try again after the number of seconds "
        "in Retry-After.",
        when="The store throttles, refuses access, times out or returns garbage, even after "
        "retries; or another part of the API fails.",
        what_to_do="Wait for the number of seconds in `Retry-After`, then try again.",
    ),
}


def to_response(error: Exception, request_id: str) -> Response:
    """The problem response for an error. Logs what an operator needs to know."""
    known = error if isinstance(error, ConversationsError) else ConversationsError()
    problem = PROBLEMS[known.code]
    _record(error, known.code, problem.status)
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if problem.status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    body = to_body(known.code, known.detail or problem.detail, request_id)
    return Response(problem.status, headers, json.dumps(body))


def _record(error: Exception, code: str, status: int) -> None:
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
        case RequestError(code="response_too_large"):
            metric = "ClientErrors"
            metrics.add_metric("WholeListBytes", MetricUnit.Bytes, MAX_ENVELOPE_BYTES)  # at least
        case _:
            metric = "ClientErrors" if status < 500 else "InternalErrors"
    metrics.add_metric(metric, MetricUnit.Count, 1)
    if status < 500:
        logger.info("refused", **fields)
    else:
        logger.error("failed", error=type(error).__name__, stack=stack_of(error), **fields)


def to_body(code: str, detail: str, request_id: str) -> dict[str, Any]:
    """The JSON of a problem."""
    status = PROBLEMS[code].status
    return {
        "type": f"urn:problem:conversations:{code}",
        "title": TITLES[status],
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
        "error": {"code": code, "message": detail},
    }
