"""The instructions of an import, counted by callgrind: unlike time, they do not depend on load."""

import shutil
import subprocess

from benchmarks import stacks
from benchmarks.stacks import Stack


def of_imports() -> dict[str, float]:
    """Million instructions by what is imported; empty if valgrind is not installed.

    A function is counted with Lambda's runtime client, by the name of its stack.
    """
    if not shutil.which("valgrind"):
        return {}
    python = stacks.BARE.command[0]
    return {
        "nothing: an empty interpreter": _count(python, "pass"),
        "Lambda's runtime client": _count(python, "import awslambdaric.bootstrap"),
        **{stack.name: of_start(stack) for stack in (stacks.OURS, stacks.AUTHORIZER)},
    }


def of_start(stack: Stack) -> float:
    """Million instructions of importing the runtime client and the handler.

    What the handler does only in Lambda's init phase, one read over the network, is not counted.
    """
    python, *_, handler = stack.command
    module = handler.rpartition(".")[0]
    return _count(python, f"import awslambdaric.bootstrap, {module}", **stack.environment)


def _count(python: str, code: str, **environment: str) -> float:
    log = stacks.BUILD / "callgrind.log"
    options = ("--tool=callgrind", "--callgrind-out-file=/dev/null", f"--log-file={log}")
    variables = {**stacks.LAMBDA, **environment, "PYTHONHASHSEED": "0"}
    del variables["AWS_LAMBDA_INITIALIZATION_TYPE"]
    subprocess.run(("valgrind", *options, python, "-c", code), check=True, env=variables)
    return int(log.read_text().rpartition("Collected : ")[2].split()[0]) / 1e6
