"""AWS on this machine: ministack, and microburst, a proxy that puts faults before it."""

import itertools
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
BIN = ROOT / os.environ.get("MINISTACK_VENV", ".venv-ministack") / "bin"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def ministack(**settings: str) -> Iterator[str]:
    """An emulator of AWS with nothing in it; yields its address."""
    port = free_port()
    settings = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "LOG_LEVEL": "ERROR",
    } | settings
    with _running("ministack", port, settings=settings) as address:
        yield address


@contextmanager
def microburst(upstream: str) -> Iterator[str]:
    """A proxy before the upstream; yields its address. `/_microburst/rules` takes its faults."""
    port = free_port()
    with _running("microburst", port, "--upstream", upstream, "--port", str(port)) as address:
        yield address


@contextmanager
def _running(
    name: str, port: int, *arguments: str, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    assert (BIN / name).exists(), f"{name} is not installed: `make test` installs it"
    with subprocess.Popen(
        [BIN / name, *arguments],
        env={**os.environ, **CREDENTIALS, **(settings or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
            process.kill()  # what still drips an answer to nobody


def _wait(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(300):
        assert process.poll() is None, f"{process.args!r} ended at once"
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise AssertionError(f"{process.args!r} does not answer")


# Below those that the kernel hands out, and others in each process: two emulators that start at the
# same moment must not get the same port, because both would be taken for ready once one listens.
_PORTS = itertools.count(20_000 + os.getpid() % 1000 * 12)


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    for port in _PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError
