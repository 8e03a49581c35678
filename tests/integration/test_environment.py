"""No environment variable makes a function print an event, a header, a body or what it read."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools.shared import constants

from dev.local import demo, dynamodb, template
from dev.local.functions import SRC
from dev.local.runtime import InvocationError, Process
from tests.support.api import EVENTS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux is needed for Lambda's runtime client"
)

_PATHS_AND_MODES = {  # these say where Python finds itself, or keep it from running
    *("PYTHONHOME", "PYTHONPATH", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", "PYTHONSTARTUP"),
    *("PYTHONCASEOK", "PYTHONSAFEPATH", "PYTHONWARNINGS", "PYTHONPYCACHEPREFIX", "PYTHON_GIL"),
    *("PYTHONIOENCODING", "PYTHONCOERCECLOCALE", "PYTHON_FROZEN_MODULES", "PYTHONHASHSEED"),
    *("PYTHON_PRESITE", "PYTHONLEGACYWINDOWSFSENCODING", "PYTHONLEGACYWINDOWSSTDIO"),
    *("PYTHONDONTWRITEBYTECODE", "PYTHONINTMAXSTRDIGITS", "PYTHONBREAKPOINT", "PYTHONUSERBASE"),
}


def of_powertools() -> dict[str, str]:
    """All variables that Powertools reads, switched on."""
    named = (value for name, value in vars(constants).items() if name.endswith("_ENV"))
    flags = {name: "true" for name in named if name.startswith("POWERTOOLS_")}
    return flags | {
        constants.LOGGER_LOG_SAMPLING_RATE: "1",
        constants.POWERTOOLS_LOG_LEVEL_ENV: "DEBUG",
        constants.DATADOG_FLUSH_TO_LOG: "true",
        constants.SERVICE_NAME_ENV: "conversations",
        constants.METRICS_DISABLED_ENV: "false",
        constants.PARAMETERS_MAX_AGE_ENV: "1",
    }


def of_python() -> dict[str, str]:
    """All variables that make Python print more than usual."""
    command = [sys.executable, "--help-env"]
    text = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    names = {word.strip(":=") for line in text.splitlines() for word in line.split()[:1]}
    named = {name for name in names if name.startswith("PYTHON") and name.isupper()}
    assert {"PYTHONVERBOSE", "PYTHONDEVMODE"} <= named
    return dict.fromkeys(named - _PATHS_AND_MODES, "1") | {"PYTHONMALLOC": "debug"}


SETTINGS: dict[str, dict[str, str]] = {
    "POWERTOOLS_DEV": {"POWERTOOLS_DEV": "true"},
    "POWERTOOLS_DEBUG": {"POWERTOOLS_DEBUG": "true"},
    "POWERTOOLS_LOGGER_LOG_EVENT": {"POWERTOOLS_LOGGER_LOG_EVENT": "true"},
    "Powertools": of_powertools(),
    "Lambda, JSON": {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "TRACE"},
    "Lambda, text": {"AWS_LAMBDA_LOG_LEVEL": "DEBUG", "LOG_LEVEL": "DEBUG"},
    "Python": of_python(),
    "all": {
        **of_python(),
        **of_powertools(),
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        "LOG_LEVEL": "DEBUG",
        "AWS_SAM_LOCAL": "true",
        "AWS_CHALICE_CLI_MODE": "true",
    },
}
KEY = demo.KEYS[0].key
CUSTOMER = demo.DOCUMENTED["customer"]
MESSAGE = demo.DOCUMENTED["messages"][0]["message"]
UNKNOWN_KEY = "tk_SecretKeyThatNobodyMayEverSee00"
HEADER, VALUE = "secret-header-value", "secret-parameter-value"
ADDRESS, NUMBER = "secret-address@example.org", "+49 98765 43210"
SECRETS = (
    *(KEY, UNKNOWN_KEY, HEADER, VALUE, MESSAGE, CUSTOMER["email"], CUSTOMER["phone"]),
    *(ADDRESS, "98765"),
)


@pytest.fixture(scope="module")
def variables() -> Iterator[Mapping[str, str | None]]:
    with dynamodb.demo_data(template.load()) as variables:
        yield variables


def event(headers: Mapping[str, str], **parameters: str) -> dict[str, Any]:
    """The event of a list with these headers and parameters besides."""
    made: dict[str, Any] = json.loads((EVENTS / "list.json").read_text())
    made["headers"] |= {"x-api-key": KEY, "x-note": HEADER, **headers}
    for name, value in made["headers"].items():
        made["multiValueHeaders"][name] = [value]
    made["queryStringParameters"] = parameters or None
    made["multiValueQueryStringParameters"] = {
        name: [value] for name, value in parameters.items()
    } or None
    return made


def requests() -> Iterator[tuple[dict[str, Any], int]]:
    """Events of the endpoint, and the status that each gets."""
    yield event({}), 200
    yield event({}, limit="1", agentId=VALUE), 200
    yield event({}, customerEmail=ADDRESS, customerPhone=NUMBER), 200
    yield event({}, customerEmail=ADDRESS, customerPhone=f"{NUMBER} ext."), 400
    yield event({}, customerEmail=ADDRESS, customerPhone=NUMBER, sync="true"), 400
    yield event({}, limit=VALUE), 400
    yield event({}, **{VALUE: "1"}), 400
    yield event({}, cursor=VALUE), 400
    yield event({"x-workspace-id": HEADER}), 404
    yield event({"x-workspace-id": f"{HEADER}!"}), 400
    yield event({}) | {"queryStringParameters": {VALUE: VALUE}}, 400
    yield event({}) | {"headers": {HEADER: VALUE}}, 500


def authorizations() -> Iterator[dict[str, Any]]:
    for key in (KEY, UNKNOWN_KEY, HEADER):
        made = json.loads((EVENTS / "authorize_good_key.json").read_text())
        made["headers"] |= {"x-api-key": key, "x-note": HEADER}
        made["queryStringParameters"] = {"agentId": VALUE, "customerEmail": ADDRESS}
        yield made


@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_of_a_request_or_of_the_table_is_printed(
    variables: Mapping[str, str | None], tmp_path: Path, name: str
) -> None:
    printed = tmp_path / "printed"

    def run(function: str, **changes: str) -> Process:
        found = template.load().functions[function]
        given = {**os.environ, **found.variables, **variables, **SETTINGS[name], **changes}
        environment = {key: value for key, value in given.items() if value is not None}
        # Both streams go to one file, as both go to the log group.
        shell = ("/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', str(printed))
        command = (*shell, sys.executable, "-m", "awslambdaric", found.handler)
        return Process(command, environment | {"PYTHONPATH": str(SRC)})

    with run("ListConversationsFunction") as process:
        for request, status in requests():
            answer = json.loads(process.invoke(json.dumps(request).encode()).answer)
            assert answer["statusCode"] == status
    with run("ListConversationsFunction", CONVERSATIONS_TABLE="missing") as process:
        answer = json.loads(process.invoke(json.dumps(event({})).encode()).answer)
        assert answer["statusCode"] == 503
    with run("AuthorizeFunction") as process:
        for request in authorizations():
            process.invoke(json.dumps(request).encode())
    with run("AuthorizeFunction", API_KEYS_TABLE="missing") as process:
        request = next(authorizations())
        with pytest.raises(InvocationError):
            process.invoke(json.dumps(request).encode())

    text = printed.read_text(errors="replace")
    assert "listed" in text
    assert [secret for secret in SECRETS if secret in text] == []
