"""What a test needs beside Python: where it is missing, the skip names the command that brings it.

CI sets `MAY_SKIP` to what it could not install; there, every other skip is a failure (conftest).
"""

import shutil
from typing import NoReturn

import pytest

BRINGS = {
    "node": "install Node.js 20 with npm, then: make test",
    "chromium": "apt-get install chromium chromium-driver, then: make test",
    "python3.13": "install Python 3.13 (pyenv install 3.13), then: make test",
    "curl": "apt-get install curl, then: make test",
    "valgrind": "apt-get install valgrind, then: make test",
}


def missing(tool: str, where: str = "") -> NoReturn:
    """Skips the test, because the tool is not on this machine."""
    pytest.skip(f"{tool} is missing{where}: {BRINGS[tool]}")


def executable(tool: str) -> str:
    """The tool's path; skips the test where it is missing."""
    return shutil.which(tool) or missing(tool)
