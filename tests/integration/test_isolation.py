"""Keys, grants, revocations, workspaces and loads, against a model of who may see what."""

import copy
import itertools
import json
import math
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from domain.api_key import ApiKey, generate, hash_of
from handlers import authorize
from ops.tables.api_keys import IssuedKeys
from storage.conversations import ConversationTable
from tests.support.api import EVENTS, Answer, Context, assert_problem, conversation, play
from tests.support.budget import examples
from tests.support.tables import embedded_dynamodb, put

CACHE_SECONDS = 60  # ReauthorizeEvery in template.yaml
EVENT = json.loads((EVENTS / "list.json").read_text())
AUTHORIZE_EVENT = json.loads((EVENTS / "authorize_good_key.json").read_text())

users = st.sampled_from(["anna", "anna2", "ann", "a", "demo"])  # ids that look like each other's
workspaces = st.sampled_from(["demo", "demo-2", "anna", "a"])


@dataclass
class Issued:
    """A key as the model knows it; `history` says since when it had which grants."""

    stored: ApiKey
    history: list[tuple[int, frozenset[str]]] = field(default_factory=list)

    def held_since(self, second: int) -> list[frozenset[str]]:
        """All grants that it had at some time from then on."""
        ends = [since for since, _ in self.history[1:]] + [math.inf]
        return [
            grants for (_, grants), end in zip(self.history, ends, strict=True) if end >= second
        ]


class Isolation(RuleBasedStateMachine):
    """A deployment: the real handlers, and API Gateway's cache of what the authorizer says."""

    issued = Bundle("issued")
    seen_cursors = Bundle("seen_cursors")

    @initialize()
    def begin(self) -> None:
        self.resources = ExitStack()
        dynamodb = self.resources.enter_context(embedded_dynamodb())
        self.conversations = ConversationTable(dynamodb, "ConversationsTable")
        self.api_keys = IssuedKeys(dynamodb, "ApiKeysTable")
        self.second = 0
        self.resources.enter_context(patch.object(authorize, "now", self.now))
        self.keys: dict[str, Issued] = {}
        self.owned: dict[tuple[str, str], set[str]] = {}
        self.cache: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self.ids = itertools.count()

    def teardown(self) -> None:
        if hasattr(self, "resources"):
            self.resources.close()

    def now(self, later: int = 0) -> str:
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.second + later)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def store(self, key: str, stored: ApiKey, grants: frozenset[str]) -> None:
        self.api_keys.put(stored)
        issued = self.keys.setdefault(key, Issued(stored))
        issued.stored = stored
        issued.history.append((self.second, grants))

    @rule(target=issued, user=users, granted=st.frozensets(workspaces, min_size=1))
    def issue(self, user: str, granted: frozenset[str]) -> str:
        key = generate()
        self.store(key, ApiKey(hash_of(key), "key_1", user, granted, self.now()), granted)
        return key

    @rule(key=issued, granted=st.frozensets(workspaces, min_size=1))
    def change_grants(self, key: str, granted: frozenset[str]) -> None:
        stored = replace(self.keys[key].stored, workspace_ids=granted)
        self.store(key, stored, granted if stored.is_active(self.now()) else frozenset())

    @rule(key=issued)
    def revoke(self, key: str) -> None:
        stored = self.keys[key].stored
        if stored.revoked_at is None:
            self.store(key, replace(stored, revoked_at=self.now()), frozenset())

    @rule(user=users, workspace=workspaces, count=st.integers(1, 4))
    def load(self, user: str, workspace: str, count: int) -> None:
        written = [conversation(id=f"c{next(self.ids)}", userId=user) for _ in range(count)]
        put(self.conversations, *written, workspace=workspace)
        self.owned.setdefault((workspace, user), set()).update(fields["_id"] for fields in written)

    @rule(seconds=st.sampled_from([1, 30, CACHE_SECONDS]))
    def wait(self, seconds: int) -> None:
        self.second += seconds

    @rule(target=seen_cursors, key=issued, workspace=workspaces, limit=st.integers(1, 3))
    def read_a_page(self, key: str, workspace: str, limit: int) -> str:
        answer = self.check(key, workspace, limit=str(limit))
        return (answer and answer.cursor) or "none"

    @rule(key=issued, workspace=workspaces)
    def read_everything(self, key: str, workspace: str) -> None:
        answer = self.check(key, workspace)
        if answer and answer.status == 200:
            assert set(answer.ids) == self.owned.get((workspace, self.user(key)), set())

    @rule(key=issued, workspace=workspaces, cursor=seen_cursors)
    def read_on_with_someones_cursor(self, key: str, workspace: str, cursor: str) -> None:
        self.check(key, workspace, limit="2", cursor=cursor)

    @rule(workspace=workspaces)
    def read_with_a_key_that_was_never_issued(self, workspace: str) -> None:
        assert self.get(generate(), workspace) is None

    def user(self, key: str) -> str:
        return self.keys[key].stored.user_id

    def check(self, key: str, workspace: str, **parameters: str) -> Answer | None:
        """One request: what comes back is the caller's own, by grants that held a minute ago."""
        issued = self.keys[key]
        held = issued.held_since(self.second - CACHE_SECONDS + 1)
        answer = self.get(key, workspace, **parameters)
        if answer is None:
            assert not all(held), "a good key is refused"
        elif answer.status == 404:
            assert_problem(answer, 404, "workspace_not_found")
            assert not all(workspace in grants for grants in held)
        elif answer.status == 400:
            assert_problem(answer, 400, "invalid_cursor")
        else:
            assert any(workspace in grants for grants in held), "a grant that no longer holds"
            expected = self.owned.get((workspace, issued.stored.user_id), set())
            assert set(answer.ids) <= expected
            assert {listed["userId"] for listed in answer.json} <= {issued.stored.user_id}
        return answer

    def get(self, key: str, workspace: str, **parameters: str) -> Answer | None:
        """As API Gateway: asks the authorizer unless it did so within the cache time."""
        until, context = self.cache.get(key, (0, None))
        if self.second >= until:
            event = AUTHORIZE_EVENT | {"headers": {"x-api-key": key}}
            said = authorize.handler(event, cast("Any", Context()))
            allowed = said["policyDocument"]["Statement"][0]["Effect"] == "Allow"
            context = said["context"] if allowed else None
            self.cache[key] = (self.second + CACHE_SECONDS, context)
        if context is None:
            return None
        event = copy.deepcopy(EVENT)
        event["requestContext"]["authorizer"] = context
        event["multiValueHeaders"] |= {"x-workspace-id": [workspace], "x-api-key": [key]}
        event["multiValueQueryStringParameters"] = {n: [v] for n, v in parameters.items()} or None
        event["queryStringParameters"] = parameters or None
        return play(event)


TestIsolation = Isolation.TestCase
TestIsolation.settings = settings(max_examples=examples(30), stateful_step_count=30)
