"""The rounds: every stack in turn, again and again, so that a slow minute hits all alike."""

import gzip
import json
import sys
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks import corpus, stacks
from benchmarks.stacks import Stack
from benchmarks.store import Store, Table, to_json
from dev.local.runtime import Invocation, Process

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EVENTS = stacks.ROOT / "events"
COLD_ROUNDS = 21
CLIENTS = {"": "", "gzip": "gzip, deflate", "zstd": "gzip, deflate, br, zstd"}
"""What a client sends as `Accept-Encoding`, by the best content coding that it reads.

The first sends none, the second is Python's `requests`, the third Chrome.
"""


@dataclass(frozen=True)
class Case:
    """A list to ask for.

    Attributes:
        size: bytes of JSON of each conversation, about.
        rounds: how often each stack is asked in turn, and how often in a row.
        clients: who asks, of `CLIENTS`. A stack is measured once for each content coding that it
            answers with, whatever more the clients would accept.
    """

    count: int
    size: int
    rounds: tuple[int, int]
    clients: Sequence[str] = tuple(CLIENTS)


CASES = (
    Case(1, 5000, rounds=(15, 40)),
    Case(100, 5000, rounds=(9, 3)),
    Case(1000, 5000, rounds=(9, 1)),
    Case(10_000, 1200, rounds=(3, 1), clients=("gzip", "zstd")),
)
GROWTH = tuple(
    Case(count, 1200, rounds=(3, max(1, 20 // count)), clients=("gzip", "zstd"))
    for count in (1, 10, 100, 1000, 10_000)
)


def name_of(count: int, coding: str) -> str:
    """What the results of a list in a content coding are found under: `1,000, gzip`."""
    return f"{count:,}, {coding}" if coding else f"{count:,}"


@dataclass
class Samples:
    """What was measured of a stack: CPU and wall milliseconds of each round, memory, size.

    Attributes:
        body_bytes: of the HTTP response's body, as it travels to the client.
    """

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    answer_bytes: int = 0
    body_bytes: int = 0

    def add(self, invocations: Sequence[Invocation], peak_mb: float) -> None:
        """Takes the mean of invocations in a row as one sample."""
        self.cpu.append(1000 * sum(one.cpu for one in invocations) / len(invocations))
        self.wall.append(1000 * sum(one.wall for one in invocations) / len(invocations))
        self.peak_mb = max(self.peak_mb, peak_mb)

    def summary(self) -> dict[str, Any]:
        """Medians, and the quartiles of the CPU time."""
        return {
            "cpu_ms": median(self.cpu),
            "cpu_ms_quartiles": quantiles(self.cpu, n=4)[::2],
            "wall_ms": median(self.wall),
            "peak_mb": self.peak_mb,
            "answer_bytes": self.answer_bytes,
            "body_bytes": self.body_bytes,
        }


Results = dict[str, dict[str, Samples]]
"""By `name_of` the list and its coding, then by the name of the stack."""


def cold(store: Store, measured: Sequence[Stack]) -> dict[str, Samples]:
    """From the start of the process to its first answer, a list of one conversation.

    Raises:
        ValueError: a stack answers something else.
    """
    conversations = corpus.conversations(1, 5000)
    store.tables = stacks.tables(conversations)
    results: dict[str, Samples] = defaultdict(Samples)
    for _ in range(COLD_ROUNDS):
        for stack in measured:
            event = event_for("")
            if stack.layout == "keys":
                event = (EVENTS / "authorize_good_key.json").read_bytes()
            with stack.start(store.address) as function:
                first = function.first(event)
                results[stack.name].add([first], function.peak_mb())
            if stack.layout != "keys":
                _, _, text = read(first.answer)
                _check(stack.name, text, conversations)
            elif b'"Allow"' not in first.answer:
                raise ValueError(f"{stack.name} refuses a valid key")
    return dict(results)


def warm(
    store: Store, measured: Sequence[Stack], cases: Sequence[Case]
) -> tuple[Results, dict[int, dict[str, Table]]]:
    """Requests to functions that run already; and the tables of each case, by its count.

    Raises:
        ValueError: a stack answers something else.
    """
    results: Results = defaultdict(dict)
    tables: dict[int, dict[str, Table]] = {}
    store.tables = stacks.tables(corpus.conversations(1, cases[0].size))
    running = {stack.name: stack.start(store.address) for stack in measured}
    try:
        for case in cases:
            conversations = corpus.conversations(case.count, case.size)
            store.tables = tables[case.count] = stacks.tables(conversations)
            for (name, coding), samples in _ask(case, running, conversations).items():
                results[name_of(case.count, coding)][name] = samples
    finally:
        for function in running.values():
            function.stop()
    return dict(results), tables


def _ask(
    case: Case, running: dict[str, Process], conversations: Sequence[corpus.Conversation]
) -> dict[tuple[str, str], Samples]:
    """The samples of each stack in each content coding that it answers with."""
    list_file = stacks.BUILD / "list.json"
    list_file.write_bytes(to_json(list(conversations)))
    samples: dict[tuple[str, str], Samples] = {}
    events: dict[tuple[str, str], bytes] = {}
    for name, function in running.items():
        for client in case.clients:
            event = event_for(CLIENTS[client], list_file)
            answer = function.invoke(event).answer  # the first of its kind is not counted
            coding, body, text = read(answer)
            _check(name, text, conversations)
            if (name, coding) not in samples:
                counted = Samples(answer_bytes=len(answer), body_bytes=len(body))
                samples[name, coding], events[name, coding] = counted, event
    rounds, in_a_row = case.rounds
    for _ in range(rounds):
        for (name, coding), event in events.items():
            function = running[name]
            function.peak_mb()
            answers = [function.invoke(event) for _ in range(in_a_row)]
            samples[name, coding].add(answers, function.peak_mb())
    return samples


def _check(name: str, text: bytes, conversations: Sequence[corpus.Conversation]) -> None:
    if not name.startswith("floor") and json.loads(text) != conversations:
        raise ValueError(f"{name} answers something else than the list")


def event_for(accept_encoding: str, list_file: Path = Path()) -> bytes:
    """API Gateway's event of the request; the floor that parses reads the list from the file."""
    event = json.loads((EVENTS / "list.json").read_bytes())
    if accept_encoding:
        event["headers"]["Accept-Encoding"] = accept_encoding
        event["multiValueHeaders"]["Accept-Encoding"] = [accept_encoding]
    return json.dumps({**event, "file": f"{list_file}"}).encode()


def read(answer: bytes) -> tuple[str, bytes, bytes]:
    """The content coding, the body as the client gets it, and the body decoded."""
    response = json.loads(answer)
    single, multiple = response.get("headers") or {}, response.get("multiValueHeaders") or {}
    headers = {**single, **{name: values[0] for name, values in multiple.items()}}
    lowered = {name.lower(): value for name, value in headers.items()}
    coding = lowered.get("content-encoding", "")
    body = response["body"].encode()
    if response["isBase64Encoded"]:
        body = b64decode(body)
    return coding, body, _DECODERS[coding](body)


_DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "zstd": zstd.decompress,
}
