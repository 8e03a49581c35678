"""What the simulation draws, simple things first, and what its clients keep."""

from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.support.simulation.dynamodb import instant
from tests.support.simulation.history import Question, Walk

MINUTE = 60_000

USERS = ["anna", "ann"]  # ids that look like each other's
WORKSPACES = ["demo", "demo-2"]
IDS = ["c0", "c1", "c2", "c3", "c4"]
# A user and a workspace; most happens in one, so that much happens there.
Place = tuple[str, str]
places = st.sampled_from([("anna", "demo")] * 3 + [("ann", "demo"), ("anna", "demo-2")])
workspaces = st.sampled_from(["demo", "demo", "demo-2"])
grants = st.sampled_from([frozenset(WORKSPACES), frozenset({"demo"}), frozenset({"demo-2"})])
ids = st.sampled_from(IDS)
# How old a state is when it is written, in milliseconds; a negative one is of the future.
ages = st.sampled_from([0, 0, 0, 2_000, 15_000, 2 * MINUTE, 30 * MINUTE, -10 * MINUTE])


class Change(NamedTuple):
    """What somebody does to a conversation, and what happens meanwhile, so many calls later."""

    kind: str
    id: str
    age: int = 0
    pause: int = 0
    mishaps: tuple[tuple[int, str], ...] = ()


changes = st.builds(
    Change,
    st.sampled_from(["write", "write", "write", "foreign write", "delete", "delete", "purge"]),
    ids,
    ages,
    st.sampled_from([0, 1_000, 5_000, 20_000]),
    st.sampled_from(
        [
            *[()] * 6,
            *(((calls, what),) for calls in (0, 1) for what in ("write", "purge", "delete")),
            *(((calls, what),) for calls in (0, 1) for what in ("throttled", "lost", "truncated")),
            *(((0, "partial"),), ((0, "slow"), (1, "slow")), ((1, "hung"), (2, "hung"))),
        ]
    ),
)


def _questions(random: Random) -> list[Question]:
    """Questions of all kinds, simple ones first."""
    some: list[Question] = [{}, {"sort": "createdAt"}, {"sort": "updatedAt"}]
    choices = {
        "sort": ["-createdAt", "createdAt", "-updatedAt", "updatedAt"],
        "agentId": ["a", "b"],
        "pathwayId": ["p", "q"],
        "createdAtGe": [instant(-MINUTE), instant(-3 * MINUTE)],
        "createdAtLt": [instant(-MINUTE), instant(-3 * MINUTE)],
        "updatedAtGe": [instant(MINUTE), instant(10 * MINUTE)],
        "updatedAtLt": [instant(5 * MINUTE), instant(60 * MINUTE)],
        "messages": ["all", "last", "none"],
    }
    for _ in range(60):
        names = [name for name in choices if random.random() < (0.7 if name == "sort" else 0.15)]
        question = {name: random.choice(choices[name]) for name in names}
        ranges = ((f"{name}Ge", f"{name}Lt") for name in ("createdAt", "updatedAt"))
        if all(question.get(ge, "") <= question.get(lt, "~") for ge, lt in ranges):
            some.append(question)
    return some


questions = st.sampled_from(_questions(Random(16)))
deleted = st.sampled_from([{}, {"deleted": "include"}, {"deleted": "exclude"}])
limits = st.sampled_from(["2", "1", "3", "1000"])
VARIANTS = [
    *[("agentId", "a"), ("agentId", "b"), ("pathwayId", "p"), ("deleted", "include")],
    *[("createdAtGe", instant(-3 * MINUTE)), ("createdAtLt", instant(-MINUTE))],
    *[("updatedAtGe", instant(MINUTE)), ("updatedAtLt", instant(60 * MINUTE))],
    *[("sort", "createdAt"), ("sort", "updatedAt"), ("sort", "-createdAt")],
]
variants = st.none() | st.sampled_from(VARIANTS)


@dataclass
class Reading:
    """Pages of one question that a client reads, one after another."""

    key: str
    workspace: str
    walk: Walk
    cursor: str = ""


@dataclass
class Seen:
    """A list that a client keeps with its `ETag`."""

    key: str
    workspace: str
    parameters: Question
    tag: str


class Followed(NamedTuple):
    """A round that another one follows: where that begins, and what decides whether it is good.

    Attributes:
        lower: the instant from which on the round after it lists.
        began: the millisecond at which it began.
        generation: of the table's content at that time.
    """

    lower: str
    began: int
    generation: int


@dataclass
class Copy:
    """What a sync client keeps, and what the model knows of it.

    Attributes:
        address: what it was told to continue from; "" before it has a copy.
        listed: the millisecond at which it began to list everything.
        walk: its round, as far as it has come.
        began: the millisecond at which the round began, by the endpoint's clock.
        follows: the round that this one follows; a first round, itself.
    """

    key: str
    workspace: str
    user: str
    conversations: dict[str, Any] = field(default_factory=dict)
    address: str = ""
    listed: int = -1
    walk: Walk | None = None
    began: int = -1
    follows: Followed = field(default_factory=lambda: Followed("", -1, -1))

    @property
    def partition(self) -> str:
        return f"{self.workspace}#{self.user}"
