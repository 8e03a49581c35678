"""What a function does before its first request, in the init phase of Lambda."""

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

_MAX_SECONDS = 3  # of the 10 that Lambda gives: a store that is down must not keep it from starting


def warm_up(read: Callable[[], object]) -> None:
    """Has the client made, its connection opened and one `read` done, which may fail.

    Does nothing outside Lambda. With SnapStart it is done after the restore, for no connection
    and no credential may be in the snapshot.
    """
    match os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE"):
        case None:
            return
        case "snap-start":
            # Of the runtime, which ships it untyped.
            from snapshot_restore_py import (  # type: ignore[import-untyped]
                register_after_restore,
            )

            register_after_restore(_run, read)
        case _:
            _run(read)


def _run(read: Callable[[], object]) -> None:
    def attempt() -> None:
        with suppress(Exception):  # the first request will meet it again, and say so
            read()

    thread = Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(_MAX_SECONDS)
