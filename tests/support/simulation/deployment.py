"""The handlers and the console on a virtual DynamoDB, behind a model of API Gateway."""

import io
import json
import logging
import re
from collections.abc import Callable
from contextlib import ExitStack, redirect_stdout
from threading import Event
from typing import Any, Self, cast
from unittest.mock import patch

import httpx

from console import writer
from console.tables.api_keys import IssuedKeys
from console.tables.conversations import StoredConversations
from dev.local.docs_site import DOCS
from domain.errors import StoreError
from handlers import authorize, list_conversations, response
from storage.api_keys import ApiKeyTable
from storage.conversations import ConversationTable
from tests.support.api import EVENTS, Answer, Context, play
from tests.support.simulation.dynamodb import VirtualDynamoDB, instant
from tests.support.simulation.history import Question

CACHE = 60_000  # milliseconds; ReauthorizeEvery in template.yaml
EVENT = json.loads((EVENTS / "list.json").read_text())
AUTHORIZE_EVENT = json.loads((EVENTS / "authorize_good_key.json").read_text())


class VirtualStop(Event):
    """Ends no pause, which takes no real time."""

    def __init__(self, store: VirtualDynamoDB) -> None:
        super().__init__()
        self.store = store

    def wait(self, timeout: float | None = None) -> bool:
        self.store.clock += int(1000 * (timeout or 0))
        return self.is_set()


class VirtualContext(Context):
    """Of a call that begins now."""

    def __init__(self, store: VirtualDynamoDB) -> None:
        self.store, self.began = store, store.clock

    def get_remaining_time_in_millis(self) -> int:
        return 28_000 - (self.store.clock - self.began)


class Deployment(ExitStack):
    """Both functions as they answer requests, and the console's ways to the tables.

    On entry, the handlers read the store and its clock. API Gateway's cache of what the authorizer
    says is a model. What a response may hold at most is `room`, in bytes.

    Attributes:
        authorized: for each key, the milliseconds between which the authorizer last judged it.
        generation: of the table's content; a restore makes the next one.
        asked: the millisecond at which the endpoint last asked for the time.
    """

    def __init__(self, store: VirtualDynamoDB, room: int) -> None:
        super().__init__()
        self.store, self._room = store, room
        client: Any = store
        self._client = client
        self.authorized: dict[str, tuple[int, int]] = {}
        self.generation = 1
        self.asked = -1
        self._contexts: dict[str, dict[str, Any] | None] = {}
        self.issued_keys = IssuedKeys(client, "ApiKeysTable")
        self.console = StoredConversations(
            client,
            "ConversationsTable",
            VirtualStop(store),
            clock=lambda: store.now().timestamp(),
            uniform=store.random.uniform,
        )

    def __enter__(self) -> Self:
        conversations = ConversationTable(self._client, "ConversationsTable")
        api_keys = ApiKeyTable(self._client, "ApiKeysTable")
        for module, name, value in (
            (authorize, "now", lambda: instant(self.store.clock)),
            (authorize, "table", lambda: api_keys),
            (list_conversations, "table", lambda: conversations),
            (list_conversations, "now", self._now),
            (list_conversations, "_place", lambda: f"generation {self.generation}"),
            (response, "MAX_ENVELOPE_BYTES", self._room),
            (writer, "THREADS", 1),  # more would take turns as the machine likes
        ):
            self.enter_context(patch.object(module, name, value))
        logging.disable()  # thousands of lines, which take a third of the time
        self.callback(logging.disable, logging.NOTSET)
        return super().__enter__()

    def _now(self) -> str:
        self.asked = self.store.clock
        return instant(self.asked)

    def ask(self, key: str, workspace: str, parameters: Question, headers: Question) -> Answer:
        """As API Gateway: asks the authorizer unless it did so within the cache time."""
        began = self.store.clock
        if began >= self.authorized.get(key, (0, -CACHE))[1] + CACHE:
            event = AUTHORIZE_EVENT | {"headers": {"x-api-key": key}}
            try:
                said = authorize.handler(event, cast("Any", VirtualContext(self.store)))
            except StoreError:
                return Answer(503, {}, b"")
            allowed = said["policyDocument"]["Statement"][0]["Effect"] == "Allow"
            self._contexts[key] = said["context"] if allowed else None
            self.authorized[key] = (began, self.store.clock)
        context = self._contexts[key]
        if context is None:
            return Answer(401, {}, b"")
        return self.play(context, workspace, parameters, headers)

    def play(
        self, context: dict[str, str], workspace: str, parameters: Question, headers: Question
    ) -> Answer:
        sent = {"x-workspace-id": workspace, "host": "api.example", **headers}
        event = {
            **EVENT,
            "headers": sent,
            "multiValueHeaders": {name: [value] for name, value in sent.items()},
            "queryStringParameters": dict(parameters) or None,
            "multiValueQueryStringParameters": {n: [v] for n, v in parameters.items()} or None,
            "requestContext": {**EVENT["requestContext"], "authorizer": context},
        }
        with redirect_stdout(io.StringIO()):  # metrics
            return play(event, VirtualContext(self.store))


def http_client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    """A client whose requests a function answers."""
    transport = httpx.MockTransport(answer)
    return httpx.Client(transport=transport, base_url="https://api.example", trust_env=False)


def guides_sync(api: httpx.Client) -> Callable[..., tuple[dict[str, Any], str]]:
    """The guides' function for a client that syncs."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "guides.md").read_text(), re.DOTALL)
    (text,) = (block for block in blocks if "def sync(" in block)
    names: dict[str, Any] = {"URL": "/v1/api/conversations", "api": api}
    exec(text, names)  # noqa: S102 - the guides' own code
    return cast("Callable[..., tuple[dict[str, Any], str]]", names["sync"])
