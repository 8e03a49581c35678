"""Logs and metrics of both functions. A log line holds the fields named here, and no others."""

import traceback
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit, single_metric

# An allow-list, so that no event, key, name, e-mail, phone or message ever gets into a log.
LOG_FIELDS = frozenset(
    {
        *("level", "timestamp", "service", "message", "location", "correlation_id"),
        *("function_name", "function_request_id", "cold_start", "xray_trace_id"),
        *("status", "code", "key_id", "workspace_id", "conversations", "bytes", "reads"),
        *("item_key", "reason", "error", "stack"),
    }
)


class _AllowListFormatter(LambdaPowertoolsFormatter):
    def serialize(self, log: Mapping[str, Any]) -> str:
        return super().serialize({key: log[key] for key in log if key in LOG_FIELDS})


logger = Logger(logger_formatter=_AllowListFormatter())
metrics = Metrics()


def fell_back(reason: str) -> None:
    """Counts and logs a read that the short way could not do, so that boto3 does it, slower."""
    # Printed at once: boto3 may take all the time that is left, and the authorizer has no others.
    dimensions = {"service": metrics.service}
    with single_metric("StoreFallbacks", MetricUnit.Count, 1, default_dimensions=dimensions):
        logger.warning("fell back to boto3", reason=reason)


def stack_of(error: BaseException) -> list[str]:
    """Where it was raised, as `file:line function`, without its text, which could show content."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
