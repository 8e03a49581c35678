"""Settings and fixtures of all tests. Slow imports wait until a fixture needs them."""

import os

os.environ |= {  # before the handlers are imported, as Lambda sets it
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_EC2_METADATA_DISABLED": "true",  # else boto3 without keys asks a link-local address
    "AWS_DEFAULT_REGION": "us-east-1",
    "CONVERSATIONS_TABLE": "ConversationsTable",
    "API_KEYS_TABLE": "ApiKeysTable",
    "POWERTOOLS_SERVICE_NAME": "conversations",
    "POWERTOOLS_METRICS_NAMESPACE": "Conversations",
    "HYPOTHESIS_NO_PLUGINS": "1",  # those of other projects cost half a second
}

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support.budget import CI

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from console.tables.api_keys import IssuedKeys
    from storage.conversations import ConversationTable
    from tests.support.api import Api

_left_this_machine: list[str] = []


def _watch_connections(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: no test of this process may reach out, with the keys above or real ones."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
        _left_this_machine.append(str(address[0]))
        raise ConnectionRefusedError(f"a test may not connect to {address[0]}")


sys.addaudithook(_watch_connections)


@pytest.fixture(autouse=True)
def _loopback_only() -> Iterator[None]:
    yield
    reached, _left_this_machine[:] = [*_left_this_machine], []
    assert not reached, f"connections left this machine: {reached}"


_SETTINGS = settings(
    deadline=None,  # a machine of CI is as slow as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# CI repeats the same cases, so a failure comes from the change; `make fuzz` tries new ones.
settings.register_profile("ci", _SETTINGS, max_examples=100, derandomize=True)
settings.register_profile("default", _SETTINGS, max_examples=10)
settings.load_profile("ci" if CI else "default")


@pytest.fixture(scope="module")
def _moto() -> Iterator[None]:
    """boto3 talks to an embedded AWS; that of each test would cost each test a new session."""
    from moto import mock_aws

    with mock_aws():
        yield


@pytest.fixture
def dynamodb(_moto: None) -> "DynamoDBClient":
    """A fresh embedded DynamoDB, with the tables of template.yaml."""
    from tests.support.tables import fresh_tables

    return fresh_tables()


@pytest.fixture(scope="session")
def ministack() -> Iterator[str]:
    """The address of an emulator that is as strict as DynamoDB; each worker has its own."""
    from tests.support import emulators

    with emulators.ministack(SERVICES="dynamodb") as address:
        yield address


@pytest.fixture
def table(dynamodb: "DynamoDBClient") -> "ConversationTable":
    from storage.conversations import ConversationTable

    return ConversationTable(dynamodb, "ConversationsTable")


@pytest.fixture
def keys(dynamodb: "DynamoDBClient") -> "IssuedKeys":
    from console.tables.api_keys import IssuedKeys

    return IssuedKeys(dynamodb, "ApiKeysTable")


@pytest.fixture
def api(dynamodb: "DynamoDBClient") -> "Api":
    """The documented user's way to the endpoint."""
    from tests.support.api import Api

    assert dynamodb
    return Api()


class Stdout:
    """The current standard output at each write; pytest replaces it between setup and test."""

    def write(self, text: str) -> None:
        sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


@pytest.fixture
def output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], str]:
    """Reads what the functions have printed so far: logs and metrics."""
    from handlers.telemetry import logger

    (handler,) = logger.handlers
    monkeypatch.setattr(handler, "stream", Stdout())
    return lambda: capsys.readouterr().out


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves what is marked `ci` to CI, unless it is asked for: `-m ci`."""
    if CI or config.option.markexpr:
        return
    left = [item for item in items if item.get_closest_marker("ci")]
    if left:
        items[:] = [item for item in items if not item.get_closest_marker("ci")]
        config.hook.pytest_deselected(items=left)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Names what was not tested, and the command that brings it, on the last lines."""
    del exitstatus, config
    for reason in sorted(_skips(terminalreporter)):
        terminalreporter.write_line(f"NOT TESTED: {reason}", yellow=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip fails the run, unless it is one that CI names in `MAY_SKIP`."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not CI or reporter is None or session.exitstatus != pytest.ExitCode.OK:
        return
    allowed = os.environ.get("MAY_SKIP", "").split()
    if any(reason.split()[0] not in allowed for reason in _skips(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skips(reporter: pytest.TerminalReporter) -> set[str]:
    """The reasons of all skips, without pytest's prefix."""
    longs = (report.longrepr for report in reporter.getreports("skipped"))
    return {long[2].removeprefix("Skipped: ") for long in longs if isinstance(long, tuple)}
