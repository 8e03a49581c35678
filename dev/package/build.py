"""The functions' package: `python3 dev/package/build.py arm64 FOLDER`, as `sam build` calls it.

The package contains only what the functions need, compiled. This script uses
only the standard library, and starts in any Python 3.
"""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

RUNTIME = "3.13"  # of template.yaml: byte code and wheels fit one minor version
_SRC = Path(__file__).resolve().parents[2] / "src"
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
"""Of this machine, as template.yaml names it."""
# Wheels that Amazon Linux 2023 (glibc 2.34), which the runtime is built on, can load.
_PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

# What no call needs. Everything else ships as published.
_UNUSED = (
    *("*.dist-info", "bin", "pydantic/v1", "**/*.pyi", "dateutil/zoneinfo/*.tar.gz"),
    *("boto3/data", "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.min.*"),
)
_USED_DATA = {
    *("dynamodb", "_retry.json", "endpoints.json", "partitions.json"),
    "sdk-default-configuration.json",
}


def build(architecture: str, folder: Path) -> None:
    """Build the package for `arm64` or `x86_64`. The same commit gives the same bytes.

    Must run in the runtime's Python.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _install(_MACHINES[architecture], folder)
    for pattern in _UNUSED:
        for path in [*folder.glob(pattern)]:
            _remove(path)
    _trim_data(folder / "botocore" / "data")
    for package in ("domain", "storage", "handlers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_SRC / package, folder / package, ignore=ignored)
    _compile(folder)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (315_619_200, 315_619_200))  # 1980-01-02: zip stores nothing earlier


def runtime_python() -> str:
    """The path of a Python of the runtime's version that has pip, outside virtual environments.

    Looks in the base of this environment, in pyenv, and on the PATH.

    Raises:
        SystemExit: there is none. The message says what to install.
    """
    name = f"python{RUNTIME}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    folders = [
        Path(sys.base_prefix) / "bin",
        *sorted(pyenv.glob(f"versions/{RUNTIME}*/bin")),
        *map(Path, os.get_exec_path()),
    ]
    problem = f"{name}, the functions' runtime, is neither in pyenv nor on the PATH."
    for python in (str(folder / name) for folder in folders if (folder / name).exists()):
        command = [python, "-I", "-c", _PROBE]
        found = subprocess.run(command, capture_output=True, check=False)
        # pyenv's shim prints nothing if no version is chosen.
        if found.stdout.split() == [b"outside", b"pip"]:
            return python
        if found.stdout.split() == [b"outside", b"none"]:
            problem = f"{python} has no pip. On Debian and Ubuntu: apt install python3-pip."
    raise SystemExit(problem)


_PROBE = """
import importlib.util, sys
print("outside" if sys.prefix == sys.base_prefix else "environment")
print("pip" if importlib.util.find_spec("pip") else "none")
"""


def _install(machine: str, folder: Path) -> None:
    platforms = [f"--platform={platform}_{machine}" for platform in _PLATFORMS]
    target = ["--implementation=cp", f"--python-version={RUNTIME}", "--only-binary=:all:"]
    subprocess.run(
        [
            *(
                sys.executable,
                "-I",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ),
            *("--require-hashes", "--no-deps", "--no-compile", "--target", str(folder)),
            *(*target, *platforms, "--requirement", str(_SRC / "requirements.txt")),
        ],
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
        check=True,
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _trim_data(data: Path) -> None:
    """Keep only DynamoDB's data and endpoints."""
    for path in [*data.iterdir()]:
        if path.name not in _USED_DATA:
            _remove(path)
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {"dynamodb": partition["services"]["dynamodb"]}
    (data / "endpoints.json").write_text(json.dumps(endpoints, separators=(",", ":")))


def _compile(folder: Path) -> None:
    """Replace the sources with byte code: in Lambda, a function's folder is read-only."""
    command = [
        sys.executable,
        "-I",
        "-m",
        "compileall",
        "-q",
        "-b",
        "--invalidation-mode=unchecked-hash",
    ]
    command += ["-s", str(folder), "-p", "/var/task", str(folder)]
    subprocess.run(command, check=True)
    for source in [*folder.rglob("*.py")]:
        source.unlink()


def main() -> None:
    """Build; first switch to the runtime's Python if this is another one.

    Raises:
        SystemExit: there is none.
    """
    this = (".".join(map(str, sys.version_info[:2])), sys.prefix == sys.base_prefix)
    if this == (RUNTIME, True) and importlib.util.find_spec("pip"):
        build(sys.argv[1], Path(sys.argv[2]))
    elif _STARTED in os.environ:  # only once, so that a broken Python cannot cause a loop
        raise SystemExit(
            f"{sys.executable} is not a Python {RUNTIME} with pip, outside a virtual environment."
        )
    else:
        python = runtime_python()
        os.execve(python, [python, *sys.argv], {**os.environ, _STARTED: "1"})  # noqa: S606 - ours


_STARTED = "CONVERSATIONS_BUILD_STARTED"

if __name__ == "__main__":
    main()
