"""`breakpoint()` under `make run`: pdb in the terminal, with the functions' clock stopped."""

import atexit
import os
import pdb  # noqa: T100 - this is what `breakpoint()` opens
import sys
import termios
import time
from contextlib import redirect_stdout
from typing import Any


def install() -> None:
    """Have `breakpoint()` open a prompt here, unless the user chose another debugger."""
    if "PYTHONBREAKPOINT" in os.environ or sys.breakpointhook is not sys.__breakpointhook__:
        return
    sys.breakpointhook = _open
    if sys.stdin.isatty():  # Ctrl-C at the prompt must not leave the echo off
        settings = termios.tcgetattr(sys.stdin)
        atexit.register(termios.tcsetattr, sys.stdin, termios.TCSADRAIN, settings)


def seconds_at_prompts() -> float:
    """How long functions were paused; this does not count towards their timeout."""
    return _Debugger.seconds


def _open(*_arguments: Any, **_options: Any) -> None:
    with redirect_stdout(sys.__stdout__):  # what a function prints goes elsewhere
        debugger = _Debugger(nosigint=True)
    debugger.set_trace(sys._getframe(1))  # noqa: SLF001 - as pdb does


class _Debugger(pdb.Pdb):
    seconds = 0.0

    def interaction(self, *arguments: Any, **options: Any) -> None:
        start = time.monotonic()
        try:
            with redirect_stdout(sys.__stdout__):
                super().interaction(*arguments, **options)
        finally:
            _Debugger.seconds += time.monotonic() - start
