"""`make invoke`: an event in Lambda's runtime interface client."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from dev.local.demo import DOCUMENTED
from tests.support.api import EVENTS


def invoke(event: Path) -> tuple[int, Any, str]:
    """The exit code, the answer and the log of `make invoke`."""
    command = [sys.executable, "-m", "dev", "invoke", str(event)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_the_command_prints_the_answer_and_logs_to_stderr() -> None:
    code, answer, log = invoke(EVENTS / "list.json")
    assert (code, answer["statusCode"]) == (0, 200)
    assert json.loads(answer["body"]) == [DOCUMENTED]
    assert '"message":"listed"' in log
    assert "Traceback" not in log


def test_a_function_that_raises_is_exit_code_1(tmp_path: Path) -> None:
    event = tmp_path / "no_arn.json"
    event.write_text('{"type": "REQUEST", "headers": {}}')
    code, answer, _ = invoke(event)
    assert (code, answer["errorType"]) == (1, "KeyError")
