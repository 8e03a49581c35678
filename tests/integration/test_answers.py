"""The answers that are recorded for the events of `events/`, without Docker."""

import json
from pathlib import Path
from typing import Any

import pytest

from ops.local import dynamodb, runtime, template
from tests.support import answers


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
