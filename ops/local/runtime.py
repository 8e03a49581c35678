"""One event, played in Lambda's runtime interface client inside AWS's own emulator of Lambda."""

import http.client
import json
import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from ops.local.environment import Variables
from ops.local.functions import SRC
from ops.local.template import ROOT, Function

HOST = "127.0.0.1"
_START_SECONDS = 10
_ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}


class NoEmulatorError(Exception):
    """The emulator is not there, or does not run on this machine."""


def executable() -> Path:
    """The emulator, which comes with the SAM CLI.

    Raises:
        NoEmulatorError: it is not installed, or the machine is none that it is made for.
    """
    architecture = _ARCHITECTURES.get(platform.machine().lower())
    if platform.system() != "Linux" or not architecture:
        raise NoEmulatorError("The emulator of Lambda runs on Linux only, on x86-64 or arm64.")
    environment = ROOT / os.environ.get("SAM_VENV", ".venv-sam")
    name = f"samcli/local/rapid/aws-lambda-rie-{architecture}"
    for path in environment.glob(f"lib/python*/site-packages/{name}"):
        return path
    raise NoEmulatorError(
        "The SAM CLI is not installed, which brings the emulator: use make invoke."
    )


def play(event: dict[str, Any], function: Function, variables: Variables) -> Any:  # noqa: ANN401
    """What the function answers to the event: any JSON. Its log goes to stderr.

    Raises:
        NoEmulatorError: as `executable`, or it did not start.
    """
    with _emulator(function, variables) as port:
        # Not a client that would ask a proxy.
        connection = http.client.HTTPConnection(
            HOST, port, timeout=function.timeout + _START_SECONDS
        )
        with closing(connection):
            connection.request(
                "POST", "/2015-03-31/functions/function/invocations", json.dumps(event)
            )
            return json.loads(connection.getresponse().read())


@contextmanager
def _emulator(function: Function, variables: Variables) -> Iterator[int]:
    """Runs the emulator; yields its port."""
    port, runtime_port = _free_ports()
    client = (sys.executable, "-m", "awslambdaric", function.handler)
    process = subprocess.Popen(  # noqa: S603 - our own arguments
        [
            *(executable(), "--log-level", "error"),
            *("--runtime-interface-emulator-address", f"{HOST}:{port}"),
            *("--runtime-api-address", f"{HOST}:{runtime_port}"),
            *client,
        ],
        cwd=SRC,
        env=_environment(function, variables),
        stdin=subprocess.DEVNULL,
        stdout=2,  # stdout is for the answer
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()  # it ends the client, too
        process.wait()


def _environment(function: Function, variables: Variables) -> dict[str, str]:
    given = {
        **os.environ,
        **function.variables,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        **variables,
    }
    return {name: value for name, value in given.items() if value is not None}


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(_START_SECONDS * 50):
        if process.poll() is not None:
            break
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise NoEmulatorError("The emulator of Lambda did not start.")
