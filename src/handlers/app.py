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

from handlers.problems import to_problem
from handlers.telemetry import logger, metrics

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

app = APIGatewayRestResolver(enable_validation=True)
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
    return app.resolve(_merge_headers(event), context)


def _merge_headers(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with header names in lower case and the values of equal names in one list."""
    merged: dict[str, list[str]] = {}
    for name, values in (event.get("multiValueHeaders") or {}).items():
        merged.setdefault(name.lower(), []).extend(values)
    return {**event, "multiValueHeaders": merged}


def prepare_routes() -> None:
    """Have Powertools prepare the routes now instead of at the first request."""
    for route in app._static_routes:  # noqa: SLF001 - there is no public way
        _ = route.dependant
