"""What every endpoint shares: an event becomes a request, an answer or an error a response.

A handler file wraps a function with `endpoint`; `list_conversations.py` is the example. API Gateway
has chosen the function by method and path, so nothing here looks at them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from domain.caller import Caller
from domain.errors import MalformedEventError, RequestError
from handlers import problems
from handlers.response import Response
from handlers.telemetry import logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Values = Mapping[str, Sequence[str]]
Handler = Callable[[dict[str, Any], "LambdaContext"], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Request:
    """A request to an endpoint.

    Attributes:
        id: what the client gets as `x-request-id`.
        caller: whom the authorizer has identified.
        headers: the values of each header, by its name in lower case.
        query: the values of each query parameter.
        context: the event's `requestContext`.
        public_url: the template's parameter `PublicUrl`.
        seconds_left: returns how long the function may still run.
    """

    id: str
    caller: Caller
    headers: Values
    query: Values
    context: Mapping[str, Any]
    public_url: str
    seconds_left: Callable[[], float]

    def header(self, name: str) -> str:
        """The header's values, joined by commas (RFC 9110, section 5.3); "" if it is missing."""
        return ",".join(self.headers.get(name, ()))


def endpoint(answer: Callable[[Request], Response]) -> Handler:
    """Make a Lambda handler of a function that answers requests.

    The handler takes the event of a REST API's Lambda proxy integration, and raises nothing:
    every error becomes a problem response.
    """

    @logger.inject_lambda_context(clear_state=True, log_event=False)
    @metrics.log_metrics
    @wraps(answer)
    def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
        request_id = (event.get("requestContext") or {}).get("requestId", "")
        logger.set_correlation_id(request_id)
        try:
            response = answer(_request(event, request_id, context))
        except Exception as error:  # noqa: BLE001 - `to_response` logs it
            response = problems.to_response(error, request_id)
        return response.to_proxy(request_id)

    return handler


def _request(event: Mapping[str, Any], request_id: str, context: "LambdaContext") -> Request:
    """The request in an event.

    Raises:
        InvalidCallerError: the authorizer's context is absent or malformed.
        MalformedEventError: it is an event of another kind, or contradicts itself.
        RequestError: `invalid_parameter`: different API keys were sent.
    """
    if event.get("version", "1.0") != "1.0":  # an HTTP API's, which joins repeated values
        raise MalformedEventError
    headers: dict[str, list[str]] = {}
    for name, values in _values(event, "headers", "multiValueHeaders").items():
        headers.setdefault(name.lower(), []).extend(values)
    if len(set(headers.get("x-api-key", ()))) > 1:  # the authorizer has checked one of them
        raise RequestError("invalid_parameter", "The x-api-key header must be sent once.")
    caller = Caller.from_context(event["requestContext"].get("authorizer"))
    logger.append_keys(key_id=caller.key_id)
    return Request(
        id=request_id,
        caller=caller,
        headers=headers,
        query=_values(event, "queryStringParameters", "multiValueQueryStringParameters"),
        context=event["requestContext"],
        public_url=(event.get("stageVariables") or {}).get("publicUrl", ""),
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
    )


def _values(event: Mapping[str, Any], single: str, multiple: str) -> dict[str, list[str]]:
    """The values by name: from either of two maps, which must agree if both are there.

    Raises:
        MalformedEventError: they disagree, both keys are missing, or a value is no text.
    """
    one, many = event.get(single), event.get(multiple)
    try:
        values = dict(many.items()) if many is not None else _listed(one or {})
        agree = one is None or (
            one.keys() == values.keys() and all(one[name] in values[name] for name in one)
        )
    except (AttributeError, TypeError):
        raise MalformedEventError from None
    are_texts = all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)
        for texts in values.values()
    )
    if not (event.keys() & {single, multiple} and agree and are_texts):
        raise MalformedEventError
    return values


def _listed(values: Mapping[str, str]) -> dict[str, list[str]]:
    return {name: [value] for name, value in values.items()}
