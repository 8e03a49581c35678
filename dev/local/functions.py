"""Plays AWS Lambda in this process: runs the template's functions from the current `src/`."""

import importlib
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from http import HTTPStatus
from importlib.util import cache_from_source
from io import StringIO
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any
from uuid import uuid4

import typer

from console.environment import Variables, environment
from console.terminal import show
from dev.local.debugger import seconds_at_prompts
from dev.local.gateway import CodeError, FunctionError
from dev.local.template import ROOT, Function

SRC = ROOT / "src"
MAX_RESPONSE_BYTES = 6_291_456  # AWS quota: a synchronous response

_PATIENCE = 4  # moto takes seconds for what DynamoDB does in milliseconds

Handler = Callable[[dict[str, Any], "Context"], Any]


class Context:
    """The context object that Lambda passes to a handler."""

    def __init__(self, function: Function) -> None:
        self.aws_request_id = str(uuid4())
        self.function_name = function.name
        self.function_version = "$LATEST"
        self.invoked_function_arn = function.arn
        self.memory_limit_in_mb = str(function.memory_mb)
        self.log_group_name = f"/aws/lambda/{function.name}"
        self.log_stream_name = "local"
        self.identity = None
        self.client_context = None
        # An editor's debugger stops the function, but not the clock.
        patience = 1000 if "pydevd" in sys.modules else _PATIENCE
        self._deadline = _clock() + patience * function.timeout

    def get_remaining_time_in_millis(self) -> int:
        """The time until the timeout, which is longer here than in the template."""
        return max(0, int(1000 * (self._deadline - _clock())))


def _clock() -> float:
    return time.monotonic() - seconds_at_prompts()


class Functions:
    """Runs the functions, one at a time because a handler keeps its request in globals.

    A function's output goes to stderr if it fails, or always if `verbose`.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        variables: Variables,
        *,
        src: Path = SRC,
        verbose: bool = False,
    ) -> None:
        self._functions = functions
        self._variables = variables
        self._code = _Code(src)
        self._verbose = verbose
        self._printed = StringIO()
        self._lock = Lock()

    def warm_up(self) -> None:
        """Import the code, so that the first request need not wait for it."""
        for function in self._functions.values():
            with self._lock, self._running(function):
                self._code.handler(function.handler)

    def invoke(self, name: str, event: dict[str, Any]) -> Any:
        """Return the function's answer to the event.

        Raises:
            CodeError: its code cannot be imported.
            FunctionError: it raised, or its answer is not JSON or is too large for Lambda.
        """
        function = self._functions[name]
        with self._lock, self._running(function):
            handler = self._code.handler(function.handler)
            with self._code.imported():  # for imports inside functions
                answer = handler(event, Context(function))
            size = len(json.dumps(answer, ensure_ascii=False).encode())
            if size > MAX_RESPONSE_BYTES:
                raise ValueError(
                    f"a response of {size:,} bytes; Lambda takes {MAX_RESPONSE_BYTES:,}"
                )
            if (
                isinstance(answer, dict)
                and answer.get("statusCode", 200) >= HTTPStatus.INTERNAL_SERVER_ERROR
            ):
                self._show()
            return answer

    @contextmanager
    def _running(self, function: Function) -> Iterator[None]:
        variables = {**function.variables, **self._variables}
        try:
            with environment(variables), redirect_stdout(self._printed):
                yield
        except CodeError:
            raise
        except (Exception, SystemExit) as error:
            self._show()
            show(traceback.format_exc().removesuffix("\n"), err=True)
            raise FunctionError(function.name) from error
        finally:
            if self._verbose:
                self._show()
            self._forget()

    def _show(self) -> None:
        if printed := self._printed.getvalue():
            show(printed.removesuffix("\n"), err=True)
        self._forget()

    def _forget(self) -> None:
        self._printed.seek(0)
        self._printed.truncate()


def notice(text: str, colour: str | None = None) -> None:
    """Print on stderr, in colour on a terminal unless `NO_COLOR` is set."""
    colours = False if os.environ.get("NO_COLOR") else None
    typer.secho(text, err=True, fg=colour, color=colours)  # noqa: TID251 - of this repository


class _Code:
    """The handlers in `src`, imported again whenever a file there has changed.

    Their modules are kept separate from those of this process: an edited `domain` must not mix
    with the console's.
    """

    def __init__(self, src: Path) -> None:
        self._src = src
        self._state: dict[Path, tuple[int, int]] = {}
        self._modules: dict[str, ModuleType] = {}
        self._handlers: dict[str, Handler] = {}
        self._reported: set[str] = set()

    def handler(self, path: str) -> Handler:
        """The handler `module.name`, from the current files.

        Raises:
            CodeError: it cannot be imported. The reason is printed once per edit, on stderr.
        """
        state = {}
        for file in self._src.rglob("*.py"):
            with suppress(FileNotFoundError):  # a link to nothing, such as Emacs' locks
                stat = file.stat()
                state[file] = (stat.st_mtime_ns, stat.st_size)
        if state != self._state:
            edited = {file for file, _ in state.items() ^ self._state.items()}
            for file in edited if self._state else ():
                # Python would reuse the byte code of a file edited twice within a second.
                Path(cache_from_source(str(file))).unlink(missing_ok=True)
            if self._state:
                notice(f"reloaded: {', '.join(sorted(map(self._shown, edited)))}", "cyan")
            self._state, self._modules, self._handlers = state, {}, {}
            self._reported.clear()
        if path not in self._handlers:
            module, _, name = path.rpartition(".")
            try:
                with self.imported():
                    self._handlers[path] = getattr(importlib.import_module(module), name)
            except (Exception, SystemExit) as error:
                raise self._explained(error) from error
        return self._handlers[path]

    def _explained(self, error: BaseException) -> CodeError:
        """The import's error, with its place in `src`. Prints it if it is new."""
        frames = traceback.extract_tb(error.__traceback__)
        places = [(frame.filename, frame.lineno) for frame in frames]
        text, limit = str(error), None
        if isinstance(error, SyntaxError):
            places.append((error.filename or "", error.lineno))
            text, limit = error.msg, 0  # the import's frames say nothing
        message = f"{type(error).__name__}: {text}"
        ours = [(Path(file), line) for file, line in places if Path(file).is_relative_to(self._src)]
        for file, line in ours[-1:]:
            message = f"{self._shown(file)}, line {line}: {message}"
        if message not in self._reported:
            self._reported.add(message)
            shown = "".join(traceback.format_exception(error, limit=limit))
            notice(shown.rstrip(), "red")
        return CodeError(message)

    def _shown(self, file: Path) -> str:
        """The file's path as developers write it: `src/…`."""
        return str(file.relative_to(self._src.parent))

    @contextmanager
    def imported(self) -> Iterator[None]:
        """Inside a `with` block, import from `src` instead of this process's modules."""
        others = self._take_modules()
        sys.modules.update(self._modules)
        sys.path.insert(0, str(self._src))
        importlib.invalidate_caches()
        # Powertools would reuse the logger of that name, with its old formatter and stream.
        loggers = logging.Logger.manager.loggerDict
        service = os.environ.get("POWERTOOLS_SERVICE_NAME", "")
        logger = None if self._modules else loggers.pop(service, None)
        try:
            yield
        finally:
            if logger:
                loggers[service] = logger
            sys.path.remove(str(self._src))
            self._modules = self._take_modules()
            sys.modules.update(others)

    def _take_modules(self) -> dict[str, ModuleType]:
        ours = {path.stem for path in self._src.iterdir()}
        names = [name for name in sys.modules if name.partition(".")[0] in ours]
        return {name: sys.modules.pop(name) for name in names}
