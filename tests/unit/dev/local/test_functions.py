import os
import re
import sys
from contextlib import suppress
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import domain.caller
from dev.local import debugger, template
from dev.local.functions import Context, Functions, notice
from dev.local.gateway import CodeError, FunctionError

FUNCTION = replace(
    template.load().functions["ListConversationsFunction"], name="F", handler="handlers.f.handler"
)


def write(src: Path, body: str, head: str = "") -> None:
    for package in ("handlers", "domain"):
        if not (src / package).exists():
            (src / package).mkdir()
            (src / package / "__init__.py").touch()
    text = f"{head}\ndef handler(event, context):\n    {body}\n"
    (src / "handlers" / "f.py").write_text(text)


def functions(src: Path, **options: Any) -> Functions:
    return Functions({"F": FUNCTION}, {"GONE": None, "THERE": "yes"}, src=src, **options)


def test_the_environment_is_the_functions_for_the_call_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE", "mine")
    write(tmp_path, "return dict(os.environ)", head="import os")
    seen = functions(tmp_path).invoke("F", {})
    assert seen["CONVERSATIONS_TABLE"] == "ConversationsTable"
    assert seen["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert seen["THERE"] == "yes"
    assert "GONE" not in seen
    assert os.environ["GONE"] == "mine"
    assert "THERE" not in os.environ


def test_an_edit_is_picked_up_in_every_module(tmp_path: Path) -> None:
    write(tmp_path, "return VALUE", head="from domain.value import VALUE")
    (tmp_path / "domain" / "value.py").write_text("VALUE = 1")
    subject = functions(tmp_path)
    assert subject.invoke("F", {}) == 1
    (tmp_path / "domain" / "value.py").write_text("VALUE = 'another'")
    assert subject.invoke("F", {}) == "another"


def test_an_edit_right_after_another_is_picked_up(tmp_path: Path) -> None:
    subject = functions(tmp_path)
    for number in range(1, 6):  # the same length, within one second
        write(tmp_path, f"return {number}")
        assert subject.invoke("F", {}) == number


@pytest.mark.parametrize("name", ["top.py", "outside/thing.py"])
def test_an_edit_outside_of_the_packages_is_picked_up(tmp_path: Path, name: str) -> None:
    module = tmp_path / name
    module.parent.mkdir(exist_ok=True)
    write(tmp_path, "return VALUE", f"from {name[:-3].replace('/', '.')} import VALUE")
    subject = functions(tmp_path)
    for value in (1, 22):
        module.write_text(f"VALUE = {value}")
        assert subject.invoke("F", {}) == value


def test_an_import_inside_a_function_finds_the_functions_modules(tmp_path: Path) -> None:
    write(tmp_path, "from domain.value import VALUE; return VALUE")
    subject = functions(tmp_path)
    for value in (1, 22):
        (tmp_path / "domain" / "value.py").write_text(f"VALUE = {value}")
        assert subject.invoke("F", {}) == value


def test_a_lock_of_emacs_is_no_file(tmp_path: Path) -> None:
    write(tmp_path, "return 1")
    (tmp_path / "handlers" / ".#f.py").symlink_to("me@host.1:2")
    assert functions(tmp_path).invoke("F", {}) == 1


def test_without_an_edit_nothing_is_imported_anew(tmp_path: Path) -> None:
    write(tmp_path, "calls.append(1); return len(calls)", head="calls = []")
    subject = functions(tmp_path)
    assert [subject.invoke("F", {}) for _ in range(3)] == [1, 2, 3]


def test_the_functions_modules_are_not_this_processes(tmp_path: Path) -> None:
    write(tmp_path, "return domain.__file__", head="import domain")
    assert str(tmp_path) in functions(tmp_path).invoke("F", {})
    import domain.caller as still

    assert still is domain.caller


@pytest.mark.parametrize(
    ("body", "head", "message"),
    [
        ("return (", "", "line 3: SyntaxError: '(' was never closed"),
        ("return 1", "\nimport nothing", "line 2: ModuleNotFoundError: No module named 'nothing'"),
        ("return 1", "raise SystemExit(3)", "line 1: SystemExit: 3"),
    ],
)
def test_code_that_does_not_load_says_where_and_is_printed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, head: str, message: str
) -> None:
    src = tmp_path / "src"
    src.mkdir()
    subject = functions(src)
    for attempt in range(2):
        write(src, body + attempt * " ", head)
        for printed in (1, 0):
            with pytest.raises(CodeError, match=re.escape(f"src/handlers/f.py, {message}")):
                subject.invoke("F", {})
            assert capsys.readouterr().err.count(message.partition(": ")[2]) == printed
    write(src, "return 1")
    assert subject.invoke("F", {}) == 1
    assert capsys.readouterr().err == "reloaded: src/handlers/f.py\n"


def test_notices_are_plain_where_no_color_is_wanted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    notice("text", "red")
    assert capsys.readouterr().err == "\x1b[31mtext\x1b[0m\n"
    monkeypatch.setenv("NO_COLOR", "1")
    notice("\x1b[2mtext\x1b[0m", "red")
    assert capsys.readouterr().err == "text\n"


def test_a_handler_that_is_missing_is_named(tmp_path: Path) -> None:
    write(tmp_path, "pass")
    (tmp_path / "handlers" / "f.py").write_text("")
    with pytest.raises(CodeError, match=r"^AttributeError: .*'handler'"):
        functions(tmp_path).invoke("F", {})


@pytest.mark.parametrize(
    "body", ["raise SystemExit", "return object()", "return '\\\\' * 3_200_000"]
)
def test_what_lambda_does_not_let_through_is_a_function_error(tmp_path: Path, body: str) -> None:
    write(tmp_path, body)
    with pytest.raises(FunctionError):
        functions(tmp_path).invoke("F", {})


def test_logs_are_shown_when_the_function_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "print('log line'); return {'statusCode': event['status']}")
    subject = functions(tmp_path)
    subject.invoke("F", {"status": 200})
    assert capsys.readouterr() == ("", "")
    subject.invoke("F", {"status": 500})
    assert capsys.readouterr() == ("", "log line\n")


def test_logs_are_always_shown_if_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "print('log line')")
    functions(tmp_path, verbose=True).invoke("F", {})
    assert capsys.readouterr() == ("", "log line\n")


@pytest.mark.parametrize("body", ["print(event); return {}", "raise ValueError(event)"])
def test_what_functions_log_does_not_control_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    write(tmp_path, body)
    event: Any = "\x1b[2J\x9b\x7f"
    with suppress(FunctionError):
        functions(tmp_path, verbose=True).invoke("F", event)
    shown = terminal.getvalue()
    assert "\\u001b[2J\\u009b\\u007f\n" in shown
    assert not {*shown} & {*event[0], *"\x9b\x7f"}


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_the_context_counts_down_from_the_timeout() -> None:
    left = Context(replace(FUNCTION, timeout=28)).get_remaining_time_in_millis()
    assert 27_000 < left / 4 <= 28_000  # the embedded DynamoDB is slower than the real one
    assert Context(replace(FUNCTION, timeout=-1)).get_remaining_time_in_millis() == 0


def test_time_at_a_prompt_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(replace(FUNCTION, timeout=28))
    spent = debugger.seconds_at_prompts() + 3600
    monkeypatch.setattr(debugger._Debugger, "seconds", spent)
    assert context.get_remaining_time_in_millis() > 3600_000


def test_the_debugger_of_an_editor_gets_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydevd", ModuleType("pydevd"))
    assert Context(replace(FUNCTION, timeout=28)).get_remaining_time_in_millis() > 7 * 3600_000
