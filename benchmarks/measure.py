"""The rounds: every stack in turn, again and again, so that a slow minute hits all alike."""

import gzip
import json
from base64 import b64decode
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks import corpus, stacks
from benchmarks.stacks import Stack
from benchmarks.store import Store, Table, to_json
from ops.local.runtime import Invocation, Process

EVENTS = stacks.ROOT / "events"
COLD_ROUNDS = 7


@dataclass(frozen=True)
class Case:
    """A list to ask for.

    Attributes:
        size: bytes of JSON of each conversation, about.
        rounds: how often each stack is asked in turn, and how often in a row.
    """

    count: int
    size: int
    gzip: bool
    rounds: tuple[int, int]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.count:,}{', gzip' if self.gzip else ''}"


CASES = (
    Case(1, 5000, gzip=False, rounds=(15, 40)),
    Case(1, 5000, gzip=True, rounds=(15, 40)),
    Case(100, 5000, gzip=False, rounds=(9, 3)),
    Case(100, 5000, gzip=True, rounds=(9, 3)),
    Case(1000, 5000, gzip=False, rounds=(7, 1)),
    Case(1000, 5000, gzip=True, rounds=(7, 1)),
    Case(10_000, 1200, gzip=True, rounds=(3, 1)),
)
GROWTH = tuple(
    Case(count, 1200, gzip=True, rounds=(3, max(1, 20 // count)))
    for count in (1, 10, 100, 1000, 10_000)
)


@dataclass
class Samples:
    """What was measured of a stack in a case: CPU and wall milliseconds, memory, size."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    answer_bytes: int = 0

    def add(self, invocations: Sequence[Invocation]) -> None:
        """Takes the mean of invocations in a row as one sample."""
        self.cpu.append(1000 * sum(one.cpu for one in invocations) / len(invocations))
        self.wall.append(1000 * sum(one.wall for one in invocations) / len(invocations))

    def summary(self) -> dict[str, Any]:
        """Medians, and the quartiles of the CPU time."""
        return {
            "cpu_ms": median(self.cpu),
            "cpu_ms_quartiles": quantiles(self.cpu, n=4)[::2],
            "wall_ms": median(self.wall),
            "peak_mb": self.peak_mb,
            "answer_bytes": self.answer_bytes,
        }


Results = dict[str, dict[str, Samples]]
"""By the name of the case, then of the stack."""


def cold(store: Store, measured: Sequence[Stack]) -> dict[str, Samples]:
    """From the start of the process to its first answer, a list of one conversation."""
    store.tables = stacks.tables(corpus.conversations(1, 5000))
    results: dict[str, Samples] = defaultdict(Samples)
    for _ in range(COLD_ROUNDS):
        for stack in measured:
            event = event_for(CASES[0])
            if stack is stacks.AUTHORIZER:
                event = (EVENTS / "authorize_good_key.json").read_bytes()
            with stack.start(store.address) as function:
                results[stack.name].add([function.first(event)])
                results[stack.name].peak_mb = function.peak_mb()
    return dict(results)


def warm(
    store: Store, measured: Sequence[Stack], cases: Sequence[Case]
) -> tuple[Results, dict[str, dict[str, Table]]]:
    """Requests to functions that run already; and the tables of each case.

    Raises:
        ValueError: a stack's answer is not the list.
    """
    results: Results = {}
    tables: dict[str, dict[str, Table]] = {}
    store.tables = stacks.tables(corpus.conversations(1, cases[0].size))
    running = {stack.name: stack.start(store.address) for stack in measured}
    try:
        for case in cases:
            conversations = corpus.conversations(case.count, case.size)
            store.tables = tables[case.name] = stacks.tables(conversations)
            results[case.name] = _ask(case, running, conversations)
    finally:
        for function in running.values():
            function.stop()
    return results, tables


def _ask(
    case: Case, running: dict[str, Process], conversations: Sequence[corpus.Conversation]
) -> dict[str, Samples]:
    samples: dict[str, Samples] = defaultdict(Samples)
    event = event_for(case, conversations)
    for name, function in running.items():
        function.peak_mb()
        answer = function.invoke(event).answer  # the first of its kind is not counted
        samples[name].answer_bytes = len(answer)
        if not name.startswith("floor") and read(answer) != conversations:
            raise ValueError(f"{name} answers something else than the list")
    rounds, in_a_row = case.rounds
    for _ in range(rounds):
        for name, function in running.items():
            samples[name].add([function.invoke(event) for _ in range(in_a_row)])
    for name, function in running.items():
        samples[name].peak_mb = function.peak_mb()
    return dict(samples)


def event_for(case: Case, conversations: Sequence[corpus.Conversation] = ()) -> bytes:
    """API Gateway's event of the request; `file` holds the list for the floor that parses it."""
    event = json.loads((EVENTS / "list.json").read_bytes())
    if case.gzip:
        event["headers"]["Accept-Encoding"] = "gzip"
        event["multiValueHeaders"]["Accept-Encoding"] = ["gzip"]
    file = stacks.BUILD / "list.json"
    file.write_bytes(to_json(list(conversations)))
    return json.dumps({**event, "file": f"{file}"}).encode()


def read(answer: bytes) -> Any:
    """The list that a function's answer carries."""
    response = json.loads(answer)
    body = response["body"].encode()
    if response["isBase64Encoded"]:
        body = gzip.decompress(b64decode(body))
    return json.loads(body)
