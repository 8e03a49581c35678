"""A deployment in a virtual world: the contract's sentences hold after each step, whatever comes.

The handlers, the console's load, delete and purge, and the guides' sync loop are the real code.
DynamoDB, the clock, and API Gateway with its cache of the authorizer's decisions are models.
`Reader` and boto3, which repeat a read, are left out: each fault reaches the handlers.

    make simulate SEED=… STEPS=…

The same code makes the same steps of a seed. docs/design.md lists what this was tried on.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from threading import Event
from types import MappingProxyType
from typing import Any, ClassVar

import httpx
from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from console import loading, writer
from console.progress import Stop
from domain.api_key import PREFIX, ApiKey, checksum, hash_of
from domain.caller import Caller
from domain.conversation import Conversation
from handlers import response
from storage import items
from tests.support.api import Answer, assert_problem
from tests.support.budget import CI, examples
from tests.support.reference import next_lower
from tests.support.simulation.deployment import Deployment, guides_sync, http_client
from tests.support.simulation.dynamodb import (
    FAULTS,
    MAX_LAG,
    Item,
    Key,
    KilledError,
    VirtualDynamoDB,
    instant,
    millisecond_of,
)
from tests.support.simulation.history import (
    DAY,
    OVERLAP,
    Issued,
    Question,
    Walk,
    changed,
    is_unheard_of,
    live,
    meaning,
    states,
)
from tests.support.simulation.world import (
    IDS,
    MINUTE,
    USERS,
    WORKSPACES,
    Change,
    Copy,
    Followed,
    Place,
    Reading,
    Seen,
    ages,
    changes,
    deleted,
    grants,
    ids,
    limits,
    places,
    questions,
    variants,
    workspaces,
)

STEPS_OF_A_RUN = 50


class Simulation(RuleBasedStateMachine):
    """The world, and what happens in it. Each step is checked where it is made."""

    traces: ClassVar[list[list[str]]] = []

    keys = Bundle("keys")
    readings = Bundle("readings")
    lists = Bundle("lists")
    copies = Bundle("copies")

    # the world

    @initialize(
        target=keys,
        number=st.integers(0, 2**16),
        page_items=st.sampled_from([3, 1, 2, 100]),
        room=st.sampled_from([response.MAX_ENVELOPE_BYTES, 4_000]),
    )
    def begin(self, number: int, page_items: int, room: int) -> Any:
        self.resources = ExitStack()
        self.random = Random(number)
        self.store = store = VirtualDynamoDB(self.random, page_items)
        store.wrote = self.wrote
        self.deployment = Deployment(store, room)
        self.resources.enter_context(self.deployment)
        self.folder = Path(self.resources.enter_context(TemporaryDirectory()))
        self.http = self.resources.enter_context(http_client(self.over_http))
        self.sync_copy = guides_sync(self.http)
        self.issued_keys, self.console = self.deployment.issued_keys, self.deployment.console
        self.small = room < response.MAX_ENVELOPE_BYTES
        self.issued: dict[str, Issued] = {}
        self.contents: dict[str, tuple[bytes, str | None]] = {}
        self.touched: set[str] = set()
        self.broken: list[str] = []
        self.overwriting = self.restoring = self.hurries = False
        self.count = itertools.count()
        for workspace, user, id_ in itertools.product(WORKSPACES, USERS, IDS[:4]):
            item = items.pack(workspace, self.state(user, id_, MINUTE))
            store.set(item.key, {**item.attributes})
            if id_ == "c0":
                self.console.delete(item)
        store.clock += MAX_LAG
        return multiple(*(self.issue_key(user, frozenset(WORKSPACES)) for user in USERS))

    def teardown(self) -> None:
        if hasattr(self, "resources"):
            self.resources.close()
            self.traces.append(self.store.trace)

    def wrote(self, key: Key, before: Item | None, after: Item | None) -> None:
        """What holds of every change, whoever makes it."""
        self.touched.add(key[0])
        if after is None or self.restoring:
            return
        state = after["updatedKey"]["S"]
        if before is not None and not self.overwriting and state <= before["updatedKey"]["S"]:
            self.broken.append(f"{key}: {state} replaces {before['updatedKey']['S']}")
        if "deletedAt" in after:
            if before is None:
                self.broken.append(f"{key}: a tombstone of what was not there")
            age = self.store.clock - millisecond_of(after["deletedAt"]["S"])
            if age > OVERLAP - MAX_LAG:
                self.broken.append(f"{key}: a tombstone is {age} ms old when it is written")

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not getattr(self, "broken", []), self.broken

    @invariant()
    def a_whole_list_equals_the_store(self) -> None:
        for partition in sorted(getattr(self, "touched", ())):
            workspace, _, user = partition.partition("#")
            context = Caller(user, frozenset({workspace}), "key_1").to_context()
            with self.frozen():
                answer = self.deployment.play(context, workspace, {"sort": "createdAt"}, {})
            if answer.status != 413 or not self.small:
                assert answer.status == 200, answer.body
                listed = {conversation["_id"]: conversation for conversation in answer.json}
                assert listed == live(self.store, partition)
        self.touched = set()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self.store.frozen = True
        try:
            yield
        finally:
            self.store.frozen = False

    # keys

    @rule(target=keys, user=st.sampled_from(USERS), granted=grants)
    def issue(self, user: str, granted: frozenset[str]) -> str:
        return self.issue_key(user, granted)

    def issue_key(self, user: str, granted: frozenset[str]) -> str:
        key = self.new_key()
        stored = ApiKey(hash_of(key), "key_1", user, granted, instant(self.store.clock))
        with self.frozen():
            self.issued_keys.put(stored)
        self.issued[key] = Issued(user, [(self.store.clock, granted)])
        return key

    @rule(
        key=keys,
        what=st.sampled_from(["revoke", "expire", "grant", "change"]),
        granted=grants,
        seconds=st.sampled_from([0, 30, 61]),
        workspace=workspaces,
    )
    def change_a_key(
        self, key: str, what: str, granted: frozenset[str], seconds: int, workspace: str
    ) -> None:
        self.store.clock += 1  # after what was asked before
        issued, now = self.issued[key], self.store.clock
        with self.frozen():
            if what == "revoke":
                self.issued_keys.revoke(hash_of(key), instant(now))
                issued.end = min(issued.end, now)
            elif what == "expire" and issued.end == inf:
                issued.end = now + 45_000
                self.issued_keys.expire(hash_of(key), instant(now + 45_000))
            elif what == "grant":
                self.issued_keys.grant(hash_of(key), granted)
                issued.grants.append((now, issued.grants[-1][1] | granted))
            elif what == "change":
                stored = self.issued_keys.find(hash_of(key))
                assert stored is not None
                self.issued_keys.put(replace(stored, workspace_ids=granted))
                issued.grants.append((now, granted))
        self.store.clock += 1000 * seconds
        self.get(key, workspace, {"limit": "1"})

    @rule(workspace=workspaces)
    def use_a_key_that_was_never_issued(self, workspace: str) -> None:
        faulted = self.store.faulted
        answer = self.deployment.ask(self.new_key(), workspace, {}, {})
        assert answer.status == (503 if self.store.faulted > faulted else 401)

    def new_key(self) -> str:
        body = f"{PREFIX}{next(self.count):026}"
        return body + checksum(body)

    # what goes wrong, and what others do meanwhile

    @rule(calls=st.integers(0, 4), fault=st.sampled_from(FAULTS))
    def fault(self, calls: int, fault: str) -> None:
        self.store.later(calls, fault)

    @rule(seconds=st.sampled_from([1, 10, 30, 61, 600, 70 * DAY // 1000, 91 * DAY // 1000]))
    def wait(self, seconds: int) -> None:
        self.store.clock += 1000 * seconds
        self.store.expire()

    @rule(calls=st.integers(0, 4), place=places, change=changes)
    def meanwhile(self, calls: int, place: Place, change: Change) -> None:
        at_once = change._replace(pause=0, mishaps=())  # no call waits for others that long
        self.store.later(calls, lambda: self.perform(place, at_once))

    # writers

    def state(self, user: str, id_: str, age: int) -> Conversation:
        """A new state of a conversation."""
        number = next(self.count)
        created = instant(-MINUTE * (1 + IDS.index(id_) // 2))  # some share it
        message = {
            "direction": "inbound",
            "sent": True,
            "message": f"state {number}",
            "status": "approved",
            "_id": "m",
            "createdAt": created,
            "updatedAt": created,
        }
        return Conversation.model_validate(
            {
                "_id": id_,
                "userId": user,
                "pathwayId": "pq"[number // 2 % 2],
                "agentId": "ab"[number % 2],
                "customer": {},
                "messages": [message] * self.random.randrange(3),
                "createdAt": created,
                "updatedAt": instant(self.store.clock - age),
            }
        )

    @rule(place=places, changes=st.lists(changes, min_size=1, max_size=4))
    def change(self, place: Place, changes: list[Change]) -> None:
        for change in changes:
            self.perform(place, change)

    def perform(self, place: Place, change: Change) -> None:
        (user, workspace), store = place, self.store
        store.clock += change.pause
        for calls, what in change.mishaps:
            meanwhile = partial(self.perform, place, Change(what, change.id))
            store.later(calls, what if what in FAULTS else meanwhile)
        conversation = self.state(user, change.id, change.age)
        packed = items.pack(workspace, conversation)
        item = {**packed.attributes}
        key, began = packed.key, store.clock
        if change.kind == "write":  # and again
            for _ in range(2):
                self.console.put_newer([packed])
                self.require_stored([packed], began)
        elif change.kind == "foreign write":  # as docs/item-layout.md says
            item["document"] = {"S": conversation.to_json().decode()}
            with suppress(ClientError, ConnectionClosedError):
                store.put_item(
                    TableName="ConversationsTable",
                    Item=item,
                    ConditionExpression="attribute_not_exists(updatedKey)"
                    " OR updatedKey < :updatedKey",
                    ExpressionAttributeValues={":updatedKey": item["updatedKey"]},
                )
        elif change.kind == "delete":
            self.console.delete(packed)
            found = states(store.history.get(key, []), began, store.clock)
            if not any(it is None or "deletedAt" in it for it in found):
                self.broken.append(f"{key} is not deleted, and the console says that it is")
        else:
            other = items.Item({**item, "sk": {"S": packed.sort_key[:-1] + "0"}})  # sometimes there
            self.console.purge([packed, other] if other.key != key else [packed])
            if None not in states(store.history.get(key, []), began, store.clock):
                self.broken.append(f"{key} is not purged, and the console says that it is")

    def require_stored(self, written: list[items.Item], began: int) -> None:
        """Check that nothing older is there, unless it was purged since."""
        for item in written:
            key = item.key
            stored = self.store.at(key)
            versions = self.store.history.get(key, [])
            purged = any(v.item is None and v.written >= began for v in versions)
            newer = stored is not None and items.Item(stored).updated_key >= item.updated_key
            if not newer and not purged:
                self.broken.append(f"{key} is not stored, and the writer says that it is")

    @rule(
        place=places,
        records=st.lists(st.tuples(ids, ages), min_size=1, max_size=8),
        overwrite=st.sampled_from([False, False, True]),
        fault=st.sampled_from(["", "killed", "killed", "partial", "lost", "throttled"]),
        calls=st.integers(0, 4),
    )
    def load(
        self,
        place: Place,
        records: list[tuple[str, int]],
        overwrite: bool,
        fault: str,
        calls: int,
    ) -> None:
        """A file is loaded, and again where the first load is killed midway."""
        user, workspace = place
        loaded = [self.state(user, id_, age) for id_, age in records]
        file = self.folder / "conversations.json"
        file.write_bytes(b"\n".join(state.to_json() for state in loaded))
        if fault:
            self.store.later(calls, fault)
        began = self.store.clock
        try:
            self.load_file(file, workspace, overwrite=overwrite)
        except KilledError:
            self.store.killed = False
            began = self.store.clock
            self.load_file(file, workspace, overwrite=overwrite)
        self.store.plan = [entry for entry in self.store.plan if entry[1] != "killed"]
        packed = [items.pack(workspace, state) for state in loaded]
        if not overwrite:
            self.require_stored(packed, began)
        for item in {item.key: item for item in packed}.values() if overwrite else ():
            found = states(self.store.history.get(item.key, []), began, self.store.clock)
            assert item.attributes in found

    def load_file(self, file: Path, workspace: str, *, overwrite: bool) -> None:
        write = self.console.put if overwrite else self.console.put_newer
        loader = loading.Loader(workspace_id=workspace, write=write, literal=True, strict=True)
        self.overwriting = overwrite
        try:
            loader.load_file(writer.Summary(file), Stop(Event()))
        finally:
            self.overwriting = False

    # readers

    def get(
        self,
        key: str,
        workspace: str,
        parameters: Question,
        headers: Question = MappingProxyType({}),
        walk: Walk | None = None,
    ) -> Answer:
        """One request, and all that holds of its answer, whatever it is."""
        store, began, faulted = self.store, self.store.clock, self.store.faulted
        answer = self.deployment.ask(key, workspace, parameters, headers)
        store.trace.append(f"{answer.status} {answer.headers.get('etag')}")
        if store.faulted > faulted:
            assert answer.status == 503, f"a fault, and {answer.status}"
            return answer
        if answer.status in (400, 410):  # which tells nothing of what is there
            return answer
        held = self.issued[key].held(*self.deployment.authorized[key])
        if answer.status == 401:
            assert frozenset() in held, "a good key is refused"
            return answer
        if answer.status == 404:
            assert any(workspace not in granted for granted in held)
            assert_problem(answer, 404, "workspace_not_found")
            return answer
        assert any(workspace in granted for granted in held), "a grant that no longer holds"
        may_be_cut = self.small or store.clock > began + 10_000  # no time for another read
        if answer.status == 413:
            assert may_be_cut
            assert "limit" not in parameters
            assert_problem(answer, 413, "response_too_large")
            return answer
        if answer.status == 304:
            return answer
        assert answer.status == 200, answer.body
        content = (answer.body, answer.headers.get("link"))
        assert self.contents.setdefault(answer.headers["etag"], content) == content
        listed = answer.json
        more = 'rel="next"' in answer.headers.get("link", "")
        limit = int(parameters.get("limit", 10**9))
        assert len(listed) <= limit
        assert "limit" in parameters or not more
        assert may_be_cut or not more or len(listed) == limit, "a page is not filled up"
        if walk:
            walk.take(store, listed, began, more=more)
        return answer

    @rule(
        target=readings,
        key=keys,
        workspace=workspaces,
        question=questions,
        deleted=deleted,
        limit=limits,
        pages=st.sampled_from([1, 2, 9]),
        variant=variants,
    )
    def begin_to_read(
        self,
        key: str,
        workspace: str,
        question: Question,
        deleted: Question,
        limit: str,
        pages: int,
        variant: tuple[str, str] | None,
    ) -> Any:
        partition = f"{workspace}#{self.issued[key].user}"
        walk = Walk(partition, {**question, **deleted}, self.store.clock)
        reading = Reading(key, workspace, walk)
        for _ in range(pages):
            if not self.next_page(reading, limit):
                return multiple()
        self.refuse(reading, key, workspace, variant)
        return reading

    @rule(target=readings, reading=consumes(readings), limit=limits)
    def read_on(self, reading: Reading, limit: str) -> Any:
        return reading if self.next_page(reading, limit) else multiple()

    def next_page(self, reading: Reading, limit: str) -> bool:
        """Read a page; return whether another one follows."""
        walk = reading.walk
        parameters = {**walk.question, "limit": limit}
        if reading.cursor:
            parameters["cursor"] = reading.cursor
        answer = self.get(reading.key, reading.workspace, parameters, walk=walk)
        if answer.status == 200:
            before, reading.cursor = reading.cursor, answer.cursor or ""
            assert reading.cursor != before or not before, "no progress"
        return bool(reading.cursor)

    @rule(reading=readings, key=keys, workspace=workspaces, variant=variants)
    def take_a_cursor_elsewhere(
        self, reading: Reading, key: str, workspace: str, variant: tuple[str, str] | None
    ) -> None:
        self.refuse(reading, key, workspace, variant)

    def refuse(
        self, reading: Reading, key: str, workspace: str, variant: tuple[str, str] | None
    ) -> None:
        """Check that a cursor is good for its own question only, and its own partition."""
        question = reading.walk.question
        other = changed(question, variant) if variant else question
        partition = f"{workspace}#{self.issued[key].user}"
        if partition == reading.walk.partition and meaning(other) == meaning(question):
            return
        with self.frozen():
            parameters = {**other, "limit": "2", "cursor": reading.cursor}
            answer = self.get(key, workspace, parameters)
        assert answer.status != 200, "a cursor is good for two questions"
        if answer.status == 400:
            assert answer.json["error"]["code"] in ("invalid_cursor", "invalid_parameter")

    @rule(
        target=lists,
        key=keys,
        workspace=workspaces,
        question=questions,
        deleted=deleted,
        limit=st.sampled_from(["", "2", "1000"]),
        coding=st.sampled_from(["", "gzip", "zstd"]),
        variant=variants,
    )
    def read_a_list(
        self,
        key: str,
        workspace: str,
        question: Question,
        deleted: Question,
        limit: str,
        coding: str,
        variant: tuple[str, str] | None,
    ) -> Any:
        parameters = {**question, **deleted, **({"limit": limit} if limit else {})}
        user = self.issued[key].user
        walk = Walk(f"{workspace}#{user}", parameters, self.store.clock)
        headers = {"accept-encoding": coding} if coding else {}
        answer = self.get(key, workspace, parameters, headers, walk)
        if answer.status != 200:
            return multiple()
        seen = Seen(key, workspace, parameters, answer.headers["etag"])
        self.poll_for(seen, variant)
        return seen

    @rule(seen=lists, variant=variants)
    def poll(self, seen: Seen, variant: tuple[str, str] | None) -> None:
        self.poll_for(seen, variant)

    def poll_for(self, seen: Seen, variant: tuple[str, str] | None) -> None:
        """304 if nothing has changed, and only then, whatever the tag was given for."""
        parameters = changed(seen.parameters, variant) if variant else seen.parameters
        with self.frozen():
            sent = {"if-none-match": seen.tag}
            polled = self.get(seen.key, seen.workspace, parameters, sent)
            fresh = self.get(seen.key, seen.workspace, parameters)
        if fresh.status == 200:
            content = (fresh.body, fresh.headers.get("link"))
            assert polled.status == (304 if self.contents[seen.tag] == content else 200)

    # sync clients

    def over_http(self, request: httpx.Request) -> httpx.Response:
        """What a sync client's request brings; each page is as small as the server may make it."""
        client, store = self.syncing, self.store
        if (
            not self.hurries and self.random.random() < 0.1
        ):  # the client pauses, often in the middle of a round
            self.someone_writes(client)
            store.clock += self.random.choice([MINUTE, 5 * MINUTE, DAY, 20 * DAY, 60 * DAY])
            store.expire()
            self.someone_writes(client)
        parameters = dict(request.url.params) | {"limit": str(self.random.randrange(1, 4))}
        begins, began = client.walk is None, store.clock
        if "cursor" not in parameters:
            client.follows = Followed("", began, self.deployment.generation)  # itself
            client.listed = began
        if begins:
            lower = client.follows.lower
            question = {"sort": "updatedAt", "deleted": "include"}
            question |= {"updatedAtGe": lower} if lower else {}
            client.walk = Walk(client.partition, question, began)
        answer = self.get(client.key, client.workspace, parameters, walk=client.walk)
        if answer.status == 200 and begins:
            client.began = self.deployment.asked
        self.is_on_time(client, answer, began)
        if answer.status == 200 and 'rel="monitor"' in answer.headers["link"]:
            client.follows = self.followed(client)
        if answer.status != 200 or 'rel="monitor"' in answer.headers["link"]:
            client.walk = None
        headers = {n: v for n, v in answer.headers.items() if n != "content-encoding"}
        return httpx.Response(answer.status, headers=headers, content=answer.body)

    def someone_writes(self, client: Copy) -> None:
        kind = self.random.choice(["write", "delete"])
        change = Change(kind, self.random.choice(IDS), self.random.choice([0, -10 * MINUTE]))
        self.perform((client.user, client.workspace), change)

    def is_on_time(self, client: Copy, answer: Answer, asked: int) -> None:
        """A copy is refused when it is no longer good, and as long as it is promised, never."""
        age = asked - client.follows.began
        is_same_table = client.follows.generation == self.deployment.generation
        if answer.status == 410:
            assert not is_same_table or age >= 87 * DAY, f"refused after {age / DAY} days"
        elif answer.status == 200:
            assert is_same_table, "a copy of another table"
            assert age < 89 * DAY, f"a copy of {age / DAY} days"

    def followed(self, client: Copy) -> Followed:
        """What the round that has just ended says about the next one."""
        walk = client.walk
        assert walk is not None
        newest = walk.last[0][:24] if walk.last else None
        lower = walk.question.get("updatedAtGe", "")
        lower = next_lower(lower, instant(client.began), newest)
        return Followed(lower, client.began, self.deployment.generation)

    def round(self, client: Copy) -> bool:
        """One round of the guides' loop; whether it came to its end."""
        self.syncing, client.walk = client, None
        address = [client.address] if client.address else []
        try:
            client.conversations, client.address = self.sync_copy(client.conversations, *address)
        except httpx.HTTPStatusError:
            return False
        return True

    @rule(target=copies, place=places)
    def a_sync_client_comes(self, place: Place) -> Copy:
        user, workspace = place
        client = Copy(self.issue_key(user, frozenset({workspace})), workspace, user)
        self.round(client)
        return client

    @rule(
        client=copies,
        changes=st.lists(changes, max_size=3),
        how=st.sampled_from(["catch up", "catch up", "anew", "restore, catch up", ""]),
    )
    def sync(self, client: Copy, changes: list[Change], how: str) -> None:
        """The client does a round after each change, and then something else."""
        for change in changes:
            self.perform((client.user, client.workspace), change)
            self.round(client)
        if how.startswith("restore"):
            self.restore(self.random.choice([1, MINUTE, DAY, 40 * DAY]))
        if how.endswith("catch up"):
            self.catch_up(client)
        if how == "anew":
            client.conversations, client.address = {}, ""
        self.round(client)

    def restore(self, age: int) -> None:
        """The table as it was so many milliseconds ago comes back, under another name."""
        store, self.restoring = self.store, True
        for key, versions in store.history.items():
            older = [version.item for version in versions if version.written <= store.clock - age]
            if "#" in key[0]:  # not an API key
                store.set(key, older[-1] if older else None)
        self.restoring = False
        self.deployment.generation += 1
        store.clock += MAX_LAG

    def catch_up(self, client: Copy) -> None:
        """Once the index has caught up, one more round makes the copy equal to the store."""
        store = self.store
        store.calm()
        store.clock += MAX_LAG
        self.hurries = True
        assert self.round(client), "the round fails without a fault"
        self.hurries = False
        there = live(store, client.partition)
        unheard_of = {
            key[1][25:]
            for key, versions in store.history.items()
            if key[0] == client.partition and is_unheard_of(versions, client.listed)
        }
        for id_ in {**there, **client.conversations}:
            if id_ not in unheard_of:
                assert client.conversations.get(id_) == there.get(id_), f"{id_} differs"


def simulate(number: int, steps: int) -> list[list[str]]:
    """Run so many steps, made from a seed; return the calls and answers of each run."""
    Simulation.traces.clear()
    run_state_machine_as_test(
        seed(number)(Simulation),
        settings=settings(
            max_examples=max(1, steps // STEPS_OF_A_RUN),
            stateful_step_count=STEPS_OF_A_RUN,
            database=None,
            suppress_health_check=list(HealthCheck),
            deadline=None,
        ),
    )
    return [*Simulation.traces]


def test_the_contract_holds_in_every_step() -> None:
    number = int(os.environ.get("SIMULATION_SEED") or (1 if CI else Random().randrange(10**9)))
    steps = int(os.environ.get("SIMULATION_STEPS") or examples(3_000))
    try:
        simulate(number, steps)
    except Exception as error:
        error.add_note(f"simulated with SEED={number} STEPS={steps}")
        raise


def test_a_seed_makes_the_same_world_again() -> None:
    assert simulate(7, 200) == simulate(7, 200)
