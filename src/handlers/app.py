"""What every route shares: the resolver, its error handling, and the Lambda handler.

A handler file imports `app` and `handler`, and adds a route.
"""

from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import ServiceError
from aws_lambda_powertools.event_handler.openapi.exceptions import (
    RequestValidationError,
    ResponseValidationError,
)

from domain.errors import MalformedEventError
from handlers.problems import to_problem
from handlers.telemetry import logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Without `debug`, the variable POWERTOOLS_DEV would have each event printed, with its API key.
app = APIGatewayRestResolver(enable_validation=True, debug=False)
# Powertools has its own handlers for the last three. `to_problem` replaces them.
app.exception_handler([Exception, ServiceError, RequestValidationError, ResponseValidationError])(
    to_problem
)


@logger.inject_lambda_context(
    correlation_id_path="requestContext.requestId", clear_state=True, log_event=False
)
@metrics.log_metrics
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer API Gateway's proxy event. Raises nothing: every error is a problem response."""
    try:
        merged = _merged(event)
    except MalformedEventError as error:
        problem = to_problem(error)
        headers = {name: [str(value)] for name, value in problem.headers.items()}
        return {
            "statusCode": 500,
            "multiValueHeaders": headers,
            "body": problem.body,
            "isBase64Encoded": False,
        }
    return app.resolve(merged, context)


def _merged(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with header names in lower case and the values of equal names in one list.

    Raises:
        MalformedEventError: it is an event of another kind, or contradicts itself.
    """
    if event.get("version", "1.0") != "1.0":  # 2.0: an HTTP API, which joins repeated values
        raise MalformedEventError
    headers: dict[str, list[str]] = {}
    for name, values in _lists(event, "headers", "multiValueHeaders").items():
        headers.setdefault(name.lower(), []).extend(values)
    query = _lists(event, "queryStringParameters", "multiValueQueryStringParameters")
    return {**event, "multiValueHeaders": headers, "multiValueQueryStringParameters": query}


def _lists(event: dict[str, Any], single: str, multiple: str) -> dict[str, list[str]]:
    """The values by name: from either of two maps, which must agree if both are there.

    Raises:
        MalformedEventError: they disagree, both keys are missing, or a value is no text.
    """
    one, many = event.get(single), event.get(multiple)
    try:
        lists = dict((many or {}).items())
        if many is None:
            lists = {name: [value] for name, value in (one or {}).items()}
        agree = one is None or (
            one.keys() == lists.keys() and all(one[name] in lists[name] for name in one)
        )
    except (AttributeError, TypeError):
        raise MalformedEventError from None
    are_texts = all(
        isinstance(values, list) and values and all(isinstance(value, str) for value in values)
        for values in lists.values()
    )
    if not (event.keys() & {single, multiple} and agree and are_texts):
        raise MalformedEventError
    return lists


def prepare_routes() -> None:
    """Have Powertools prepare the routes now instead of at the first request."""
    for route in app._static_routes:  # noqa: SLF001 - there is no public way
        _ = route.dependant
