"""Plays every event of `events/` and compares the answers with tests/support/answers.json.

`python -m tests.support.answers sam` plays them by `sam local invoke`, in AWS's own image beside
DynamoDB Local, both in Docker, as docs/deploy.md describes; then it asks `sam local start-api`.
`python -m tests.support.answers invoke` plays them by `make invoke`, without Docker. It
compares status, `error.code` and body of the endpoint's answers, and the whole of the authorizer's.
"""

import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.sam_local import (
    DEV,
    ROOT,
    SAM,
    api_differences,
    docker_runs,
    dynamodb_local,
    run,
    start_api,
)

EVENTS = sorted((ROOT / "events").glob("*.json"))
RECORDED: dict[str, Any] = json.loads(
    (ROOT / "tests" / "support" / "answers.json").read_text("utf-8")
)
ARCHITECTURE = "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"
_BUILT_FOR = ("--parameter-overrides", f"ArchitectureAsBuilt={ARCHITECTURE}")

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
    """The answer of `make invoke`."""
    return json.loads(run(*DEV, "invoke", event))


def by_sam(event: Path) -> Any:
    """The answer of `sam local invoke`, which prints it as the last line."""
    authorizes = json.loads(event.read_text("utf-8")).get("type") == "REQUEST"
    function = "AuthorizeFunction" if authorizes else "ListConversationsFunction"
    printed = run(SAM, "local", "invoke", function, "--event", event, *_BUILT_FOR)
    return json.loads(printed.strip().splitlines()[-1])


def main(player: str) -> int:
    """Plays all events; 1 if an answer differs, 2 if Docker is missing."""
    if player == "invoke":
        found = differences(by_console)
    elif docker_runs():
        with dynamodb_local():
            run(SAM, "build", *_BUILT_FOR)
            found = differences(by_sam)
            with start_api(*_BUILT_FOR) as url:
                found += api_differences(url)
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
