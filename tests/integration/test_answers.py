"""The answers that are recorded for the events of `events/`, without Docker."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.local import dynamodb, runtime, server, template
from tests.support import answers, sam_local


def test_every_event_has_a_recorded_answer() -> None:
    assert set(answers.RECORDED) == {event.name for event in answers.EVENTS}


def test_the_runtime_client_answers_each_event_as_recorded() -> None:
    deployment = template.load()
    with dynamodb.demo_data(deployment) as variables:

        def by_runtime(event: Path) -> Any:
            content = json.loads(event.read_bytes())
            return runtime.play(content, deployment.function_for(content), variables)

        assert answers.differences(by_runtime) == []


@pytest.fixture
def sam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What stands in for `sam local invoke`: notes the call, prints the recorded answer last."""
    replies = {
        event.name: json.dumps(reply(answers.RECORDED[event.name])) for event in answers.EVENTS
    }
    file = tmp_path / "sam"
    lines = "\n".join(f"*/{name}) echo '{text}';;" for name, text in replies.items())
    call = f'echo "$3 $6 $7" >> {tmp_path}/calls'
    file.write_text(f'#!/bin/sh\necho Mounting\n{call}\ncase "$5" in\n{lines}\nesac\n')
    file.chmod(0o755)
    monkeypatch.setattr(answers, "SAM", file)
    return {"calls": tmp_path / "calls", "file": file}


def reply(recorded: Any) -> Any:
    if "status" not in recorded:
        return recorded
    return {"statusCode": recorded["status"], "body": json.dumps(recorded["body"])}


def test_sam_local_plays_each_event_in_its_function(sam: dict[str, Any]) -> None:
    assert answers.differences(answers.by_sam) == []
    calls = sam["calls"].read_text().splitlines()
    overrides = f"--parameter-overrides ArchitectureAsBuilt={answers.ARCHITECTURE}"
    assert calls == [
        *(2 * [f"AuthorizeFunction {overrides}"]),
        *(4 * [f"ListConversationsFunction {overrides}"]),
    ]


def test_another_answer_of_sam_local_is_shown_beside_the_recorded_one(sam: dict[str, Any]) -> None:
    text = sam["file"].read_text()
    sam["file"].write_text(text.replace("Test Customer Name", "Someone"))
    (found,) = answers.differences(answers.by_sam)
    event, recorded, seen = found.splitlines()
    assert event == "events/list.json"
    assert recorded.startswith("- ")
    assert "Test Customer Name" in recorded
    assert seen == recorded.replace("Test Customer Name", "Someone").replace("- ", "+ ", 1)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `docker` that notes how it is called; what a file of its folder names exists."""
    file = tmp_path / "bin" / "docker"
    file.parent.mkdir()
    file.write_text(
        f'#!/bin/sh\n[ "$2" = inspect ] && exec test -e {tmp_path}/$1-$3\n'
        f'echo "$@" >> {tmp_path}/calls\n[ "$1" != run ] || exec test ! -e {tmp_path}/broken\n'
    )
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{file.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(sam_local, "DEV", (file,))
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "name", "command"),
    [
        ("network", "conversations", "docker network rm conversations"),
        ("container", "dynamodb", "docker rm --force dynamodb"),
    ],
)
def test_what_is_in_the_way_is_named_with_the_command_that_removes_it(
    docker: Path, kind: str, name: str, command: str
) -> None:
    (docker / f"{kind}-{name}").touch()
    expected = f"{kind} named {name} is in the way: .* needs it: {command}$"
    with pytest.raises(SystemExit, match=expected), sam_local.dynamodb_local():
        pass
    assert not (docker / "calls").exists()


def test_dynamodb_local_is_seeded_and_removed_with_its_network(docker: Path) -> None:
    with sam_local.dynamodb_local():
        made = (docker / "calls").read_text().splitlines()
    assert made[0] == "network create conversations"
    assert made[1].startswith("run --detach --rm --name dynamodb --network conversations ")
    assert made[2:] == ["seed"]
    removed = (docker / "calls").read_text().splitlines()[len(made) :]
    assert removed == ["stop dynamodb", "network rm conversations"]


def test_a_command_that_fails_is_named_and_nothing_is_left(docker: Path) -> None:
    (docker / "broken").touch()
    with pytest.raises(SystemExit, match="reason above: docker run"), sam_local.dynamodb_local():
        pass
    *_, last = (docker / "calls").read_text().splitlines()
    assert last == "network rm conversations"


def test_start_api_is_asked_what_the_local_api_answers_too() -> None:
    with server.running() as api:
        assert sam_local.api_differences(f"{api.url}/v1/api/conversations") == []


def test_an_api_without_authorizer_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sam_local, "_get", lambda *_, **__: httpx.Response(500, json={"error": {"code": "x"}})
    )
    found = sam_local.api_differences("http://127.0.0.1:1/v1/api/conversations")
    assert [text.splitlines()[0] for text in found] == [
        "start-api: the documented request",
        "start-api: no key",
        "start-api: no grant",
        "start-api: the Link's host",
        "start-api: a page and the one that its Link names",
    ]
