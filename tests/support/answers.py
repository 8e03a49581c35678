"""Plays every event of `events/` and compares the answers with tests/support/answers.json.

`python -m tests.support.answers sam` plays them by `sam local invoke`, in AWS's own image beside
DynamoDB Local, both in Docker, as docs/deploy.md describes. `python -m tests.support.answers
invoke` plays them by `conversations invoke`, without Docker. It compares status, `error.code` and
body of the endpoint's answers, and the whole of the authorizer's.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
EVENTS = sorted((ROOT / "events").glob("*.json"))
RECORDED: dict[str, Any] = json.loads(
    (ROOT / "tests" / "support" / "answers.json").read_text("utf-8")
)
SAM = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "sam"
CONSOLE = Path(sys.executable).with_name("conversations")
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
NETWORK = "conversations"  # as samconfig.toml says
ENDPOINT = "http://127.0.0.1:8000"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
}

Player = Callable[[Path], Any]


def outcome(answer: Any) -> Any:
    """What is compared of an answer."""
    if "statusCode" not in answer:
        return answer
    body = json.loads(answer["body"])
    code = body["error"]["code"] if isinstance(body, dict) else None
    return {"status": answer["statusCode"], "code": code, "body": body}


def differences(player: Player) -> list[str]:
    """The events whose answers are not those that are recorded, with both."""
    found = []
    for event in EVENTS:
        expected, seen = RECORDED[event.name], outcome(player(event))
        print(
            f"events/{event.name}: {'as recorded' if seen == expected else 'DIFFERS'}", flush=True
        )
        if seen != expected:
            found.append(f"events/{event.name}\n- {json.dumps(expected)}\n+ {json.dumps(seen)}")
    return found


def by_console(event: Path) -> Any:
    """The answer of `conversations invoke`."""
    return json.loads(_run(CONSOLE, "invoke", event))


def by_sam(event: Path) -> Any:
    """The answer of `sam local invoke`, which prints it as the last line."""
    authorizes = json.loads(event.read_text("utf-8")).get("type") == "REQUEST"
    function = "AuthorizeFunction" if authorizes else "ListConversationsFunction"
    built_for = f"ArchitectureAsBuilt={ARCHITECTURE}"
    printed = _run(
        *(SAM, "local", "invoke", function, "--event", event),
        *("--parameter-overrides", built_for),
    )
    return json.loads(printed.strip().splitlines()[-1])


@contextmanager
def dynamodb_local() -> Iterator[None]:
    """Runs DynamoDB Local with the demo data on the network that `sam local` joins."""
    _run("docker", "network", "create", NETWORK)
    try:
        _run(
            *("docker", "run", "--detach", "--rm", "--name", "dynamodb", "--network", NETWORK),
            *("--publish", "127.0.0.1:8000:8000", "amazon/dynamodb-local"),
            *("-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"),
        )
        try:
            time.sleep(5)  # it takes connections before it answers
            _run(CONSOLE, "seed", AWS_ENDPOINT_URL_DYNAMODB=ENDPOINT)
            yield
        finally:
            _run("docker", "stop", "dynamodb")
    finally:
        _run("docker", "network", "rm", NETWORK)


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    if not docker:
        return False
    return not subprocess.run([docker, "info"], capture_output=True, check=False).returncode


def _run(*command: object, **environment: str) -> str:
    """What a command prints to stdout; the rest of its output goes to stderr."""
    result = subprocess.run(
        [str(part) for part in command],
        check=True,
        cwd=ROOT,
        env={**os.environ, **CREDENTIALS, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    return result.stdout


def main(player: str) -> int:
    """Plays all events; 1 if an answer differs, 2 if Docker is missing."""
    if player == "invoke":
        found = differences(by_console)
    elif _docker_runs():
        _run(SAM, "build", "--parameter-overrides", f"ArchitectureAsBuilt={ARCHITECTURE}")
        with dynamodb_local():
            found = differences(by_sam)
    else:
        print(
            "sam local needs Docker, which does not run here. Without it: make invoke EVENT=…",
            file=sys.stderr,
        )
        return 2
    print("\n".join(found), file=sys.stderr)
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
