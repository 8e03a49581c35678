"""Runs the SAM CLI's local commands beside DynamoDB Local, as docs/deploy.md describes (Docker)."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from dev.local.demo import DOCUMENTED, KEYS
from tests.support.emulators import free_port

ROOT = Path(__file__).parents[2]
SAM = ROOT / os.environ.get("SAM_VENV", ".venv-sam") / "bin" / "sam"
DEV = (sys.executable, "-m", "dev")
NETWORK = "conversations"  # as samconfig.toml says
CONTAINER = "dynamodb"  # as sam-local.json says
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SAM_CLI_TELEMETRY": "0",
}
_ENDPOINT = "http://127.0.0.1:8000"
_SECONDS_TO_START = 120  # the first request waits for an image and a container


def run(*command: object, **environment: str) -> str:
    """What a command prints to stdout; the rest of its output goes to stderr.

    Raises:
        SystemExit: it failed, and has said why on stderr.
    """
    words = [str(part) for part in command]
    result = subprocess.run(
        words,
        check=False,
        cwd=ROOT,
        env={**os.environ, **CREDENTIALS, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        raise SystemExit(f"This failed, for the reason above: {shlex.join(words)}")
    return result.stdout


def docker_runs() -> bool:
    """Whether `docker` is there and reaches its daemon; podman's stand-in is one."""
    return shutil.which("docker") is not None and _succeeds("docker", "info")


@contextmanager
def dynamodb_local() -> Iterator[None]:
    """Run DynamoDB Local with the demo data on the network that `sam local` joins.

    Raises:
        SystemExit: a network or container with its name exists already.
    """
    for kind, name, remove in (
        ("container", CONTAINER, "docker rm --force"),
        ("network", NETWORK, "docker network rm"),
    ):
        if _succeeds("docker", kind, "inspect", name):
            raise SystemExit(
                f"A {kind} named {name} is in the way: make sam-local makes its own. If nothing "
                f"needs it: {remove} {name}"
            )
    run("docker", "network", "create", NETWORK)
    try:
        run(
            *("docker", "run", "--detach", "--rm", "--name", CONTAINER, "--network", NETWORK),
            *("--publish", "127.0.0.1:8000:8000", "amazon/dynamodb-local"),
            *("-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb"),
        )
        try:
            run(*DEV, "seed", AWS_ENDPOINT_URL_DYNAMODB=_ENDPOINT)
            yield
        finally:
            run("docker", "stop", CONTAINER)
    finally:
        run("docker", "network", "rm", NETWORK)


@contextmanager
def start_api(*arguments: str) -> Iterator[str]:
    """Run `sam local start-api`; yield the address of the list."""
    port = free_port()
    command = [str(SAM), "local", "start-api", "--port", str(port), "--warm-containers", "LAZY"]
    environment = {**os.environ, **CREDENTIALS}
    with subprocess.Popen([*command, *arguments], cwd=ROOT, env=environment) as process:
        try:
            yield f"http://127.0.0.1:{port}/v1/api/conversations"
        finally:
            process.send_signal(signal.SIGINT)  # then it removes its containers
            with suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()


def api_differences(url: str) -> list[str]:
    """Ask the list that is served there; what differs from the deployed API, in words."""
    key, second = KEYS[0].key, KEYS[1].key
    _wait_for(url)
    found = []

    def expect(what: str, seen: object, expected: object) -> None:
        print(f"start-api: {what}: {'as expected' if seen == expected else 'DIFFERS'}", flush=True)
        if seen != expected:
            found.append(f"start-api: {what}\n- {expected}\n+ {seen}")

    good = _get(url, key, "demo")
    expect("the documented request", (good.status_code, good.json()), (200, [DOCUMENTED]))
    expect("no key", _get(url, None, "demo").status_code, 401)
    foreign = _get(url, second, "demo-busy")
    expect("no grant", (foreign.status_code, _code(foreign)), _NO_GRANT)
    whole = _ids(_get(url, key, "demo-busy", limit=4))
    page = _get(url, key, "demo-busy", limit=2)
    link = page.links.get("next", {}).get("url", "")
    expect("the Link's host", urlsplit(link)[:3], urlsplit(url)[:3])
    pages = _ids(page) + _ids(_get(link or url, key, "demo-busy"))
    expect("a page and the one that its Link names", (len(pages), pages), (4, whole))
    return found


def _ids(answer: httpx.Response) -> list[str]:
    return [one["_id"] for one in answer.json()] if answer.status_code == 200 else []


def _code(answer: httpx.Response) -> object:
    body = answer.json()
    return body.get("error", {}).get("code") if isinstance(body, dict) else None


_NO_GRANT = (404, "workspace_not_found")


def _get(url: str, key: str | None, workspace: str, **parameters: int) -> httpx.Response:
    headers = {"accept-encoding": "identity", "x-workspace-id": workspace}
    headers |= {"x-api-key": key} if key else {}
    given = parameters or None  # an empty one would remove those of a Link
    return httpx.get(url, params=given, headers=headers, timeout=120, trust_env=False)


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            _get(url, None, "demo")
            return
        time.sleep(0.5)
    raise SystemExit(f"sam local start-api does not answer at {url}.")


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
