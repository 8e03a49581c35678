"""Logs and metrics of both functions. A log line has only the fields named here."""

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from aws_lambda_powertools.metrics import MetricUnit, single_metric

# An allow-list keeps events, keys, names, e-mail addresses, phone numbers and messages out of logs.
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


# With the variable POWERTOOLS_DEBUG, Powertools prints headers at DEBUG.
logging.getLogger("aws_lambda_powertools").setLevel(logging.INFO)
logger = Logger(logger_formatter=_AllowListFormatter())
metrics = Metrics()


def fell_back(reason: str) -> None:
    """Count and log that `Reader` failed, so that boto3 must do the read, which is slower."""
    # Emitted at once: the function may time out in boto3, and the authorizer flushes no metrics.
    dimensions = {"service": metrics.service}
    with single_metric("StoreFallbacks", MetricUnit.Count, 1, default_dimensions=dimensions):
        logger.warning("fell back to boto3", reason=reason)


def stack_of(error: BaseException) -> list[str]:
    """Where an error was raised, as `file:line function`. Omits its text: content may be in it."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
