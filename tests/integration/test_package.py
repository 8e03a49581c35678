"""The package that `sam build` makes: what is in it, and what importing the handlers loads."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from hashlib import sha256
from pathlib import Path

import pytest

import handlers
from dev.package import build
from tests.support.needs import missing

ROOT = Path(__file__).parents[2]
UNCHECKED_HASH = 1  # PEP 552, the flags of a .pyc
NEEDED_BY_NEITHER = {
    *("aws_xray_sdk", "boto3", "s3transfer", "urllib3", "pydantic", "pydantic_core"),
    *("aws_lambda_powertools.event_handler", "aws_lambda_powertools.utilities.data_classes"),
    *("asyncio", "html.parser", "multiprocessing", "domain.conversation", "console", "dev"),
}
NOT_BY_THE_AUTHORIZER = {
    *("isal", "backports.zstd", "fastjsonschema", "aws_lambda_powertools.utilities.validation"),
    *("domain.query", "storage.conversations", "storage.cursor", "storage.document"),
}


def make(
    folder: Path,
    architecture: str = build.ARCHITECTURE,
    root: Path = ROOT,
    python: str = sys.executable,
) -> Path:
    command = [python, str(root / "dev" / "package" / "build.py"), architecture, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder


@pytest.fixture(scope="module")
def python() -> str:
    try:
        return build.runtime_python()
    except SystemExit as error:
        missing("python3.13", f" ({error})")


@pytest.fixture(scope="module")
def package(python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert python
    return make(tmp_path_factory.mktemp("package"))


def modules(python: str, package: Path, handler: str) -> set[str]:
    """What is loaded once the handler is imported."""
    script = f"import {handler}, json, sys; print(json.dumps([*sys.modules]))"
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "POWERTOOLS_METRICS_NAMESPACE": "test"}
    result = subprocess.run(
        [python, "-c", script],
        cwd=package,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return set(json.loads(result.stdout))


def test_the_runtime_is_that_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"Runtime: python(\S+)", template)) == {build.RUNTIME}


@pytest.mark.parametrize("handler", ["handlers.list_conversations", "handlers.authorize"])
def test_a_handler_loads_nothing_heavy_that_it_does_not_need(
    python: str, package: Path, handler: str
) -> None:
    loaded = modules(python, package, handler)
    assert not loaded & NEEDED_BY_NEITHER
    # Powertools imports the bare top level.
    assert not [name for name in loaded if name.startswith("botocore.")]


def test_the_fallback_comes_out_of_the_package(python: str, package: Path) -> None:
    """The short way fails at once: nothing listens there, and boto3 says so."""
    script = """
from storage.dynamodb import store_errors
from storage.reader import Reader, reader
reasons = []
read = reader(reasons.append)
assert isinstance(read, Reader)
try:
    with store_errors():
        read.query(TableName="Table", KeyConditionExpression="pk = :pk")
except Exception as error:
    print(reasons, error.reason)
import boto3, s3transfer
print(boto3.__file__)
"""
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    address = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9", "AWS_DEFAULT_REGION": "us-east-1"}
    result = subprocess.run(
        [python, "-c", script],
        cwd=package,
        env=keys | address,
        check=True,
        capture_output=True,
        text=True,
    )
    tried, where = result.stdout.splitlines()
    assert tried == "['ConnectionRefusedError'] EndpointConnectionError"
    assert where == str(package / "boto3" / "__init__.pyc")


def test_the_authorizer_loads_less(python: str, package: Path) -> None:
    assert not modules(python, package, "handlers.authorize") & NOT_BY_THE_AUTHORIZER


def test_it_holds_byte_code_that_is_not_checked_and_no_sources(package: Path) -> None:
    assert not [*package.rglob("*.py")]
    files = [*package.rglob("*.pyc")]
    assert len(files) > 500
    flags = {int.from_bytes(file.read_bytes()[4:8], "little") for file in files}
    assert flags == {UNCHECKED_HASH}


def test_it_holds_nothing_that_no_call_needs(package: Path) -> None:
    names = {str(path.relative_to(package)) for path in package.rglob("*")}
    unneeded = r"(^|/)(tests?|docs?/.*\.css|.*\.dist-info|.*\.pyi|.*swagger-ui.*|__pycache__)(/|$)"
    assert not [name for name in names if re.search(unneeded, name)]
    services = {path.name for path in (package / "botocore" / "data").iterdir() if path.is_dir()}
    assert services == {"dynamodb"}
    assert sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) < 16e6


def test_third_party_code_ships_as_published(python: str, package: Path) -> None:
    """Each `.pyc` holds a hash of its source (PEP 552): compare it with the installed source."""
    script = """
import pathlib, sys
from importlib.util import source_hash
package, published = map(pathlib.Path, sys.argv[1:])
found = [file.relative_to(package) for file in package.rglob("*.pyc")]
for name in found:
    if name.parts[0] in ("domain", "storage", "handlers"):
        continue
    source = (published / name).with_suffix(".py").read_bytes()
    if (package / name).read_bytes()[8:16] != source_hash(source):
        print(name)
"""
    published = sysconfig.get_path("platlib")
    command = [python, "-c", script, str(package), published]
    changed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert changed == ""


@pytest.fixture
def environment(python: str, tmp_path: Path) -> str:
    """The Python of a virtual environment of the runtime."""
    folder = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python3.13")


@pytest.mark.ci
def test_an_environment_of_the_runtime_makes_the_same_bytes_from_the_same_sources(
    environment: str, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated = f"{Path(environment).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", activated)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))  # none, so that the PATH is all there is
    assert digest(make(tmp_path / "package", python=environment)) == digest(package)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, on a machine without pyenv."""
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "base"))
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_the_runtimes_python_the_build_says_so(nowhere: Path) -> None:
    shim = nowhere / "python3.13"
    shim.write_text("#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    with pytest.raises(SystemExit) as refused:
        build.runtime_python()
    message = "python3.13, the functions' runtime, is neither in pyenv nor on the PATH."
    assert refused.value.code == message


def test_without_pip_the_build_says_what_to_install(python: str, nowhere: Path) -> None:
    without_pip = nowhere / "python3.13"
    without_pip.write_text(f'#!/bin/sh\nexec {python} -S "$@"\n')
    without_pip.chmod(0o755)
    with pytest.raises(SystemExit) as refused:
        build.runtime_python()
    message = f"{without_pip} has no pip. On Debian and Ubuntu: apt install python3-pip."
    assert refused.value.code == message


def test_the_build_starts_another_python_once_only(environment: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [environment, ROOT / "dev/package/build.py", "arm64", tmp_path / "package"],
        capture_output=True,
        check=False,
        env=os.environ | {"CONVERSATIONS_BUILD_STARTED": "1"},
        text=True,
        timeout=60,
    )
    message = f"{environment} is not a Python 3.13 with pip, outside a virtual environment.\n"
    assert (result.returncode, result.stderr) == (1, message)


def digest(package: Path) -> str:
    """All that a zip file would hold of it: names, modes, times and contents."""
    found = sha256()
    for path in sorted(package.rglob("*")):
        stat = path.stat()
        found.update(f"{path.relative_to(package)} {stat.st_mode} {stat.st_mtime}".encode())
        found.update(path.read_bytes() if path.is_file() else b"")
    return found.hexdigest()


@pytest.mark.ci
def test_it_is_built_for_the_other_processor_too(python: str, tmp_path: Path) -> None:
    assert python
    libraries = [file.name for file in make(tmp_path, "arm64").rglob("*.so")]
    assert libraries
    assert all(name.endswith("-aarch64-linux-gnu.so") for name in libraries)


def test_a_wheel_with_another_hash_is_refused(python: str, tmp_path: Path) -> None:
    assert python
    shutil.copytree(ROOT / "dev", tmp_path / "dev")
    shutil.copytree(ROOT / "src", tmp_path / "src")
    lock = tmp_path / "src" / "requirements.txt"
    text = lock.read_text(encoding="utf-8")
    lock.write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", text), encoding="utf-8")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        make(tmp_path / "package", "arm64", tmp_path)
    assert b"THESE PACKAGES DO NOT MATCH THE HASHES" in refused.value.stderr


if "ARTIFACT" in os.environ:  # `make test-artifact`

    def test_the_handlers_under_test_are_those_of_the_package() -> None:
        assert handlers.__path__ == [str(Path(os.environ["ARTIFACT"]).resolve() / "handlers")]
        assert {path.suffix for path in Path(handlers.__path__[0]).iterdir()} == {".pyc"}
