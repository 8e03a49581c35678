"""What the documentation says of each error code: when it comes, how it reads, what to do."""

import json
from dataclasses import dataclass
from typing import Any

from domain import errors
from handlers.problems import STATUS
from ops.local import template

REQUEST_ID = "c6af9ac6-7b61-11e6-9a41-93e8deadbeef"

# As the API words it; the details of all other codes stand in template.yaml.
_DETAILS = {
    "missing_workspace": "The x-workspace-id header is required.",
    "invalid_workspace": "The x-workspace-id header must be one workspace identifier: "
    "1 to 64 letters, digits, underscores or hyphens.",
    "invalid_parameter": "The query parameter limit must be one whole number from 1 to 1000.",
    "unknown_parameter": "There is no query parameter agentID; there are limit, cursor, agentId, "
    "pathwayId, createdAtGe, createdAtLt, updatedAtGe, updatedAtLt, sort, messages.",
    "invalid_cursor": "The cursor is damaged, or belongs to another user, workspace, "
    "sort or filter. Take it from the Link header, or begin again without one.",
    "workspace_not_found": "The workspace does not exist, or the API key has no grant for it.",
    "response_too_large": "The list is too large for one response, or takes too long to read. "
    "Send Accept-Encoding: gzip, or ask for pages with the query parameter limit.",
}
# For the codes that no class of `domain.errors` has for its own.
_WHEN = {
    "unauthorized": "There is no API key, or it is malformed, unknown, expired or revoked: "
    "one answer for all.",
    "not_found": "The path or the method is another than `GET /v1/api/conversations`.",
    "internal_error": "A defect, or a stored conversation that cannot be read. "
    "It is never skipped, and its content never shown.",
    "rate_limit_exceeded": "More requests came than are allowed.",
    "store_unavailable": "The store throttles, times out or fails, or a part of the API before it.",
    "bad_request": "The request is malformed in another way than the codes above name.",
    "invalid_body": "The request has a body that cannot be accepted.",
    "request_too_large": "The request itself is too large.",
    "unsupported_media_type": "The request has a body of a type that cannot be accepted.",
}
_WHAT_TO_DO = {
    "missing_workspace": "Send the `x-workspace-id` header.",
    "invalid_workspace": "Send the `x-workspace-id` header once, with the identifier as it is.",
    "invalid_parameter": "Mend the parameter that the detail names. "
    "Leave out what you have no value for: an empty one is an error too.",
    "unknown_parameter": "Mind the spelling, upper and lower case included. "
    "A mistyped filter must never return everything, hence the error.",
    "invalid_cursor": "Take the address from the `Link` header of the page before as it is, "
    "with a key of the same user. Only `limit` and `messages` may change. "
    "Or begin anew, without `cursor`.",
    "workspace_not_found": "Check the identifier, and ask for a grant. Trying again does not help.",
    "unauthorized": "Send a valid key in the `x-api-key` header. Trying again does not help.",
    "not_found": "Check the address; the default one of a deployment contains the stage.",
    "response_too_large": "Send `Accept-Encoding: gzip`, or ask for pages with `limit`.",
    "internal_error": "Report it with the request id of `instance`.",
    "rate_limit_exceeded": "Wait as many seconds as `Retry-After` says, then try again. "
    "It can repeat: the rate is estimated.",
    "store_unavailable": "Wait as many seconds as `Retry-After` says, then try again.",
    "bad_request": "Check the path, the headers and the query parameters.",
    "invalid_body": "Send no body.",
    "request_too_large": "Send no body, and short headers.",
    "unsupported_media_type": "Send no body.",
}


@dataclass(frozen=True)
class Problem:
    """An error code: `when` it comes and `what_to_do`, in Markdown; an `example` of its body."""

    code: str
    when: str
    what_to_do: str
    example: dict[str, Any]


def catalogue() -> dict[str, Problem]:
    """Every error code that a client can receive, by status.

    Raises:
        KeyError: a code has no documentation.
    """
    bodies = _of_the_gateway()
    titles = {body["status"]: body["title"] for body in bodies.values()}
    statuses = STATUS | {code: body["status"] for code, body in bodies.items()}
    when = _docstrings() | _WHEN
    found = {}
    for code in sorted(statuses, key=lambda code: statuses[code]):
        detail = _DETAILS.get(code) or bodies[code]["detail"]
        example = {
            "type": f"urn:problem:conversations:{code}",
            "title": titles[statuses[code]],
            "status": statuses[code],
            "detail": detail,
            "instance": f"urn:uuid:{REQUEST_ID}",
            "error": {"code": code, "message": detail},
        }
        found[code] = Problem(code, when[code], _WHAT_TO_DO[code], example)
    return found


def _of_the_gateway() -> dict[str, dict[str, Any]]:
    """The bodies that API Gateway answers with by itself, by code."""
    responses = template.load().api.gateway_responses.values()
    bodies = (json.loads(response.body) for response in responses)
    return {body["error"]["code"]: body for body in bodies}


def _docstrings() -> dict[str, str]:
    return {
        error.code: (error.__doc__ or "").splitlines()[0]
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.ConversationsError)
        if "code" in vars(error)
    }
