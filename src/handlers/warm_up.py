"""What a function does before its first request, in the init phase of Lambda."""

import os
from collections.abc import Callable
from typing import Any

from handlers.telemetry import fell_back
from storage.reader import Reader, reader

_MAX_SECONDS = 3  # of the 10 that Lambda gives: a store that is down must not keep it from starting


def warm_up(operation: str, request: Callable[[], dict[str, Any]]) -> None:
    """Sends one read during init, so that the first request finds an open connection.

    A failure is ignored: the first request meets it again. Does nothing outside Lambda, nor where
    boto3 does the reads. With SnapStart it runs after the restore: no connection and no credential
    may be in the snapshot.

    Args:
        operation: `Query` or `GetItem`.
    """
    kind = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE")
    if kind is None:
        return
    store = reader(fell_back)
    if not isinstance(store, Reader):
        return
    if kind == "snap-start":
        # Of the runtime, which ships it untyped.
        from snapshot_restore_py import register_after_restore  # type: ignore[import-untyped]

        register_after_restore(store.attempt, operation, request(), _MAX_SECONDS)
    else:
        store.attempt(operation, request(), _MAX_SECONDS)
