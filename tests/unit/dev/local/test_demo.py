import json
import re
from itertools import pairwise

from dev.local import demo
from domain.api_key import is_well_formed

BUSY = [
    json.loads(conversation.to_json())
    for workspace, conversation in demo.conversations()
    if workspace == "demo-busy"
]


def test_demo_keys_are_well_formed_and_the_documented_users_comes_first() -> None:
    assert all(is_well_formed(key.key) for key in demo.KEYS)
    assert demo.KEYS[0].user_id == demo.DOCUMENTED["userId"]


def test_the_documented_conversation_is_the_only_one_of_its_user_in_demo() -> None:
    (found,) = (
        conversation.to_json()
        for workspace, conversation in demo.conversations()
        if workspace == "demo" and conversation.user_id == demo.DOCUMENTED["userId"]
    )
    assert found == json.dumps(demo.DOCUMENTED, separators=(",", ":")).encode()


def test_the_busy_workspace_is_the_same_every_time() -> None:
    assert list(demo.conversations()) == list(demo.conversations())


def test_the_busy_workspace_holds_500_conversations_under_2_mb() -> None:
    assert len({conversation["_id"] for conversation in BUSY}) == 500
    assert len(json.dumps(BUSY, ensure_ascii=False).encode()) < 2_000_000


def test_the_busy_workspace_is_varied() -> None:
    def values(name: str) -> set[str]:
        return {conversation[name] for conversation in BUSY}

    messages = [message for conversation in BUSY for message in conversation["messages"]]
    assert {conversation["userId"] for conversation in BUSY} == {demo.DOCUMENTED["userId"]}
    assert len(values("agentId")) >= 3
    assert len(values("pathwayId")) >= 3
    assert len({message["status"] for message in messages}) >= 5
    assert {message["sent"] for message in messages} == {True, False}
    assert {len(conversation["messages"]) for conversation in BUSY} >= {0, 1, 24}
    assert max(values("createdAt")) > "2024-12"
    assert min(values("createdAt")) < "2024-02"


def test_busy_timestamps_have_one_spelling_and_are_in_order() -> None:
    for conversation in BUSY:
        messages = conversation["messages"]
        moments = [conversation["createdAt"], conversation["updatedAt"]]
        moments += [m[name] for m in messages for name in ("createdAt", "updatedAt")]
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment) for moment in moments)
        assert all(a["createdAt"] <= b["createdAt"] for a, b in pairwise(messages))
        assert all(message["createdAt"] <= message["updatedAt"] for message in messages)
        assert conversation["createdAt"] <= min(moments)
        assert conversation["updatedAt"] == max(moments)
        assert not messages or conversation["updatedAt"] == messages[-1]["updatedAt"]
