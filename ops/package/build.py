"""The functions' package: `python3 ops/package/build.py arm64 FOLDER`, as `sam build` calls it.

The package contains only what the functions need, compiled. This script uses
only the standard library, and starts in any Python 3.
"""

import ast
import gzip
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

RUNTIME = "3.13"  # of template.yaml: byte code and wheels fit one minor version
_SRC = Path(__file__).resolve().parents[2] / "src"
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
"""Of this machine, as template.yaml names it."""
# Wheels that Amazon Linux 2023 (glibc 2.34), which the runtime is built on, can load.
_PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014")

_UNUSED = (
    *("*.dist-info", "bin", "boto3/examples", "pydantic/v1", "**/*.pyi", "**/py.typed"),
    *("botocore/docs/bcdoc/*.css", "botocore/data/dynamodb/2011-12-05"),
    *(
        "dateutil/zoneinfo/*.tar.gz",
        "aws_lambda_powertools/event_handler/openapi/swagger_ui/*.min.*",
    ),
    *("**/__pycache__", "**/examples-1.json"),
)
_USED_DATA = {
    *("dynamodb", "_retry.json", "endpoints.json", "partitions.json"),
    "sdk-default-configuration.json",
}
# Packages whose `__init__.py` imports everything: the REST resolver would load every other resolver
# and the events of every service. The build makes them lazy; docs/performance.md says what that
# saves. The values are the hashes of the reviewed files: the build stops if upstream changes one.
_LAZY = {
    "aws_lambda_powertools/event_handler": (
        "a28019de568b8d5e385b0837e023f863540352be9c18d146ed0d8679ea21f478"
    ),
    "aws_lambda_powertools/utilities/data_classes": (
        "4a714523dbc633fdbc641585f5e81b1d8850a5c9fd89bfc6f2e16e4f71abaf9f"
    ),
}


def build(architecture: str, folder: Path, lazy: "dict[str, str]" = _LAZY) -> None:
    """Build the package for `arm64` or `x86_64`. The same commit gives the same bytes.

    Must run in the runtime's Python.

    Args:
        lazy: packages to make lazy, and the SHA-256 of each `__init__.py`. `make bench` leaves
            them as published to measure what this is worth.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _install(_MACHINES[architecture], folder)
    for pattern in _UNUSED:
        for path in [*folder.glob(pattern)]:
            _remove(path)
    _trim_data(folder / "botocore" / "data")
    for package, digest in lazy.items():
        _make_lazy(folder / package / "__init__.py", digest)
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
    """Keep only DynamoDB's data and endpoint, uncompressed and without documentation."""
    for path in [*data.iterdir()]:
        if path.name not in _USED_DATA:
            _remove(path)
    endpoints = json.loads((data / "endpoints.json").read_text())
    for partition in endpoints["partitions"]:
        partition["services"] = {"dynamodb": partition["services"]["dynamodb"]}
    (data / "endpoints.json").write_text(json.dumps(endpoints, separators=(",", ":")))
    for packed in [*data.rglob("*.json.gz")]:
        content = _without_texts(json.loads(gzip.decompress(packed.read_bytes())))
        packed.with_suffix("").write_text(json.dumps(content, separators=(",", ":")))
        packed.unlink()


def _without_texts(value: object) -> object:
    if isinstance(value, dict):
        texts = {name for name in ("documentation",) if isinstance(value.get(name), str)}
        return {name: _without_texts(value[name]) for name in value if name not in texts}
    return [*map(_without_texts, value)] if isinstance(value, list) else value


def _make_lazy(module: Path, digest: str) -> None:
    """Rewrite a module so that what it only re-exports is imported on demand (PEP 562).

    Raises:
        SystemExit: it is not the file with this SHA-256.
    """
    content = module.read_bytes()
    if sha256(content).hexdigest() != digest:
        raise SystemExit(f"{module} has changed: review it, then set its hash in _LAZY.")
    tree = ast.parse(content)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    passed_on: dict[str, str] = {}
    for node in [node for node in tree.body if isinstance(node, ast.ImportFrom)]:
        if node.module == "__future__":
            continue
        source = "." * node.level + (node.module or "")
        passed_on |= {alias.name: source for alias in node.names if alias.name not in used}
        node.names = [alias for alias in node.names if alias.name in used]
        if not node.names:
            tree.body.remove(node)
    module.write_text(
        f"""{ast.unparse(tree)}

_PASSED_ON = {passed_on!r}

def __getattr__(name):
    if name not in _PASSED_ON:
        raise AttributeError(f"module {{__name__!r}} has no attribute {{name!r}}")
    from importlib import import_module
    return getattr(import_module(_PASSED_ON[name], __name__), name)
"""
    )


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
