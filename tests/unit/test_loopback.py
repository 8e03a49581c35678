"""Guards all tests: one that connects to another machine fails, even if it ignores this."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = """
import socket
from contextlib import suppress

def test_that_reaches_out():
    with suppress(OSError):
        socket.create_connection(({host!r}, 9), timeout=0.01)
"""


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("192.0.2.1", "connections left this machine: ['192.0.2.1']"),  # RFC 5737: nobody's
        ("127.0.0.1", "1 passed"),
    ],
)
def test_a_connection_that_leaves_the_loopback_interface_fails_its_test(
    tmp_path: Path, host: str, said: str
) -> None:
    file = tmp_path / "test_outside.py"
    file.write_text(TEST.format(host=host))
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", str(ROOT / "pyproject.toml"), str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in result.stdout
    assert (result.returncode == 0) == (host == "127.0.0.1")
