"""What an operator installs: the command, without anything that only a developer needs."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dev.local import demo, dynamodb, template
from dev.local.template import ROOT

BIN = ROOT / ".venv-console" / "bin"


@pytest.fixture(scope="module")
def variables() -> Iterator[Mapping[str, str]]:
    """An environment that leads to the demo tables."""
    assert (BIN / "conversations").exists(), "run `make setup`, which installs the console"
    deployment = template.load()
    with dynamodb.demo_data(deployment) as given:
        names = {"CONVERSATIONS_TABLE": "ConversationsTable", "API_KEYS_TABLE": "ApiKeysTable"}
        merged = {**os.environ, **given, **names}
        yield {name: value for name, value in merged.items() if value is not None}


def test_nothing_of_the_repositorys_tools_is_installed() -> None:
    listed = subprocess.check_output([BIN / "python", "-c", INSTALLED], text=True).split()
    assert {"typer", "boto3", "conversations"} <= set(listed)
    assert not {"moto", "mypy", "pytest", "cfn-lint", "pyyaml", "hypothesis"} & set(listed)


INSTALLED = """
from importlib.metadata import distributions
print(*(found.name.lower() for found in distributions()))
"""


def test_an_operator_loads_issues_a_key_and_reads(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(demo.DOCUMENTED))

    def run(*arguments: str) -> str:
        command = [str(BIN / "conversations"), *arguments]
        done = subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    assert "1 record in" in run("load", str(file), "--workspace", "mine")
    assert "tk_" in run("keys", "issue", "--user", demo.USER, "--workspace", "mine")
    shown = run("get", "--workspace", "mine", "--user", demo.USER)
    assert json.loads(shown) == [demo.DOCUMENTED]
    for command in (("users",), ("workspaces",), ("export", "--all"), ("keys", "list")):
        assert run(*command)
    found = run("find", "--customer", demo.DOCUMENTED["customer"]["email"], "--ids")
    assert demo.DOCUMENTED["_id"] in found
    assert run("delete", "--workspace", "mine", "--user", demo.USER, "--purge", "--yes")
