"""Programs that know the API from its OpenAPI document only, against the local API."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from console.environment import environment
from console.tables.conversations import StoredConversations
from dev.local import server
from dev.local.demo import BUSY_COUNT, KEYS
from dev.local.docs_site import DOCS
from dev.local.server import LocalApi
from domain.conversation import Conversation
from storage.dynamodb import client
from storage.items import pack
from tests.support.api import conversation
from tests.support.needs import executable

HERE = Path(__file__).parent
TOOLS = HERE / "node_modules" / ".bin"


@pytest.fixture(scope="module")
def local() -> Iterator[LocalApi]:
    with server.running() as api:
        with environment(api.environment):
            name = os.environ["CONVERSATIONS_TABLE"]
            table = StoredConversations(client(), name, Event(), partiql=False)
            given = Conversation.model_validate(conversation(id="deleted"))
            for workspace in KEYS[0].workspaces:
                item = pack(workspace, given)
                table.put([item])
                table.delete(item)
        yield api


def run(*command: str, cwd: Path = HERE, **variables: str) -> str:
    """What the command prints; what it says shows where it fails."""
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", **variables}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_schemathesis_finds_nothing_in_hundreds_of_requests(
    local: LocalApi, tmp_path: Path
) -> None:
    printed = run(
        str(Path(sys.executable).with_name("schemathesis")),
        *("--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{local.url}/openapi.json"),
        *("--header", f"x-api-key: {KEYS[0].key}"),
        cwd=tmp_path,
        SCHEMATHESIS_HOOKS="hooks",
        PYTHONPATH=str(HERE),
    )
    assert "No issues found" in printed
    generated = int(printed.partition("Test cases:\n  ")[2].split()[0])
    assert generated > 400


def test_the_linter_finds_nothing() -> None:
    executable("node")
    run(str(TOOLS / "redocly"), "lint", "--config", "redocly.yaml", str(DOCS / "openapi.json"))


def test_a_generated_typescript_client_lists_and_pages_through_the_demo_data(
    local: LocalApi, tmp_path: Path
) -> None:
    node = executable("node")
    for name in ("client.ts", "package.json", "tsconfig.json"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    document = str(DOCS / "openapi.json")
    run(str(TOOLS / "openapi-typescript"), document, "--output", "api.d.ts", cwd=tmp_path)
    run(str(TOOLS / "tsc"), cwd=tmp_path)
    found = json.loads(run(node, "client.js", local.url, KEYS[0].key, cwd=tmp_path))
    messages = found.pop("messages")
    (tombstone,) = found.pop("deleted")
    assert tombstone == dict.fromkeys(("updatedAt", "deletedAt"), tombstone["deletedAt"]) | {
        "_id": "deleted"
    }
    assert found == {
        "count": BUSY_COUNT,
        "sizes": [200, 200, 100],
        "same": True,
        "newest": found["newest"],
        "refused": "invalid_parameter",
        "unchanged": 304,
    }
    assert found["newest"].startswith("2024-12")
    assert messages > BUSY_COUNT
