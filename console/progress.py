"""Shows the progress of long work, and handles Ctrl-C."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from console.errors import counted
from console.terminal import tell, visible

_T = TypeVar("_T")
_LINE_SECONDS, _BAR_SECONDS = 10.0, 0.1
_LONGEST_NAME = 100


class Stop:
    """Handles Ctrl-C only between two records, or while waiting for one."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._waiting = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handle the first Ctrl-C until the end of the `with` block; a second one acts as usual."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def between(self, records: Iterator[_T]) -> Iterator[_T]:
        """The records, until Ctrl-C raises `KeyboardInterrupt`."""
        while True:
            self._waiting = True
            if self._event.is_set():
                raise KeyboardInterrupt
            record = next(records, None)
            self._waiting = False
            if record is None:
                return
            yield record

    def _interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._event.set()
        if self._waiting:
            raise KeyboardInterrupt


class Progressing:
    """A progress bar on a terminal; elsewhere, a line from time to time."""

    def __init__(self, name: str, total: int, noun: str, *, quiet: bool = False) -> None:
        """Start it on stderr.

        Args:
            name: the name of the work or file.
            total: the position at the end; 0 if unknown.
            noun: the noun for what is counted.
            quiet: show no bar.
        """
        self._name, self._total, self._noun = name, total, noun
        self._start = self._shown = time.monotonic()
        console = Console(stderr=True)
        self._is_terminal = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[done]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not self._is_terminal,
        )
        self._task = self._bar.add_task(visible(name, _LONGEST_NAME), total=total or None, done="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, count: int, position: int) -> None:
        """Show the progress, unless it was shown a moment ago."""
        now = time.monotonic()
        if now - self._shown < (_BAR_SECONDS if self._is_terminal else _LINE_SECONDS):
            return
        self._shown = now
        done = f"{counted(count, self._noun)}, {count / (now - self._start):,.0f}/s"
        if self._is_terminal:
            self._bar.update(self._task, completed=position, done=done)
        else:
            share = f", {100 * position // self._total}%" if self._total else ""
            tell(f"{self._name}: {done}{share}", err=True)
