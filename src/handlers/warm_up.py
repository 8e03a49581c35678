"""Work that a function does during Lambda's init phase, before its first request."""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from handlers.telemetry import fell_back
from storage.reader import Reader, reader

_MAX_SECONDS = 3  # of Lambda's 10 for init: the function must start even if DynamoDB is down


def read_once(operation: str, request: Callable[[], dict[str, Any]]) -> None:
    """Do one read during init, so that the first request finds an open connection.

    Failures are ignored: the first request will report them. Does nothing outside Lambda, or if
    boto3 does the reads. With SnapStart the read is done after the restore, because a snapshot must
    not contain connections or credentials.

    Args:
        operation: `Query` or `GetItem`.
    """
    kind = _kind_of_init()
    if not kind:
        return
    store = reader(fell_back)
    if not isinstance(store, Reader):
        return
    if kind == "snap-start":
        # Part of Lambda's runtime, without types.
        from snapshot_restore_py import register_after_restore  # type: ignore[import-untyped]

        register_after_restore(store.attempt, operation, request(), _MAX_SECONDS)
    else:
        store.attempt(operation, request(), _MAX_SECONDS)


def load_ahead(module: str) -> None:
    """Import what few requests need, if no client waits for this init.

    That is so with SnapStart, where init ends in the snapshot, and with provisioned concurrency.
    """
    if _kind_of_init() in ("snap-start", "provisioned-concurrency"):
        import_module(module)


def _kind_of_init() -> str:
    """Lambda's word for it; "" outside Lambda."""
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "")
