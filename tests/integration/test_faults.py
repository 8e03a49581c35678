"""Faults between the handlers and DynamoDB: every fault, at every place, once and persistently.

`make faults` writes what it saw into docs/faults.md.
"""

import itertools
import multiprocessing
import os
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import boto3
import pytest

from console.tables.api_keys import IssuedKeys
from dev.local.demo import DOCUMENTED, USER
from domain.api_key import ApiKey, generate, hash_of
from domain.conversation import Conversation
from storage.conversations import ConversationTable
from tests.support.api import conversation
from tests.support.emulators import ROOT, ministack
from tests.support.faults import (
    AUTHORIZER_SECONDS,
    DURATIONS,
    ENDED,
    FAULTS,
    FUNCTION_SECONDS,
    PLACES,
    WORKSPACE,
    Cell,
    Seen,
    begin,
    see,
)
from tests.support.tables import TABLES, put

CELLS = [Cell(*cell) for cell in itertools.product(FAULTS, DURATIONS, PLACES)]
KEY = generate()
WORKERS = 4  # they wait, most of the time


@pytest.fixture(scope="module")
def whole() -> list[bytes]:
    """The conversations, newest first, as a whole list has them: three pages of DynamoDB."""
    noise = random.Random(1)
    message: dict[str, Any] = DOCUMENTED["messages"][0]
    return [
        Conversation.model_validate(
            conversation(
                id=f"c{number}",
                createdAt=f"2024-12-0{number}T00:00:00Z",
                messages=[message | {"message": noise.randbytes(375_000).hex()}],
            )
        ).to_json()
        for number in range(5, 0, -1)
    ]


@pytest.fixture(scope="module")
def seen(whole: list[bytes]) -> Iterator[dict[Cell, Seen]]:
    """What came of every cell."""
    with ministack(SERVICES="dynamodb") as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", address)
        dynamodb = boto3.client("dynamodb")  # more patient than the functions
        for name, definition in TABLES.items():
            dynamodb.create_table(TableName=name, **definition)
        table = ConversationTable(dynamodb, "ConversationsTable")
        for document in whole:
            put(table, Conversation.from_json(document), workspace=WORKSPACE)
        granted = frozenset({WORKSPACE})
        key = ApiKey(hash_of(KEY), "key_1", USER, granted, "2024-01-01T00:00:00.000Z")
        IssuedKeys(dynamodb, "ApiKeysTable").put(key)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            WORKERS, context, begin, (address, page_starts(dynamodb), KEY)
        ) as pool:
            yield dict(zip(CELLS, pool.map(see, CELLS), strict=True))


def page_starts(dynamodb: Any) -> list[str | None]:
    """The sort keys at which DynamoDB's pages begin."""
    pages = dynamodb.get_paginator("query").paginate(
        TableName="ConversationsTable",
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": f"{WORKSPACE}#{USER}"}},
        ScanIndexForward=False,
    )
    starts = [None, *(page.get("LastEvaluatedKey", {}).get("sk", {}).get("S") for page in pages)]
    assert len(starts) == 4, "the list has three pages"
    return starts[:-1]


@pytest.mark.parametrize("cell", CELLS, ids=" / ".join)
def test_a_fault_gives_the_whole_list_or_a_problem_in_time(
    seen: dict[Cell, Seen], whole: list[bytes], cell: Cell
) -> None:
    answer = seen[cell]
    assert answer.fired, "the fault was not there"
    if answer.reason == ENDED:
        assert cell.fault == "a slow drip, 4 KB a second"
        assert cell.duration == "persistently"
        return
    expected = 500 if cell.fault == "request rejected as invalid" else 503
    if cell.place == "API key":
        assert answer.seconds < AUTHORIZER_SECONDS
        assert answer.status in (200, 503), answer  # never a 401
        return
    assert answer.seconds < FUNCTION_SECONDS
    assert answer.status in (200, expected), answer
    if answer.status == 200:
        assert answer.body == b"[" + b",".join(whole) + b"]"
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in answer.headers) == (answer.status == 503)
        assert len(answer.body) < 1000


FATAL = {"access denied", "request rejected as invalid"}  # may be asked again, need not


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - FATAL))
def test_what_happens_once_is_retried(seen: dict[Cell, Seen], fault: str) -> None:
    assert {seen[Cell(fault, "once", place)].status for place in PLACES} == {200}


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"1 s late, under the timeout"}))
def test_what_persists_is_a_problem(seen: dict[Cell, Seen], fault: str) -> None:
    places = PLACES[:3] if fault == "a slow drip, 4 KB a second" else PLACES  # a key is short
    assert 200 not in {seen[Cell(fault, "persistently", place)].status for place in places}


def test_the_page_shows_what_was_seen(seen: dict[Cell, Seen]) -> None:
    lines = [
        "# Faults",
        "",
        "What a client gets when something goes wrong between the functions and DynamoDB.",
        "`make faults` writes this page: the real handlers read a list of three pages through a",
        "proxy that damages one response. The column says which response, and the row says how. A",
        "503 carries `Retry-After`. If every page of the list arrives at a trickle, the function",
        "times out, and API Gateway sends the 503; the response for an API key is small enough",
        "to arrive in time. No fault produces a partial list, an empty list, or a 401 for a",
        "valid key.",
        "",
        f"| fault | lasts | {' | '.join(PLACES)} |",
        "| --- | --- |" + " --- |" * len(PLACES),
    ]
    for fault, duration in itertools.product(FAULTS, DURATIONS):
        cells = (outcome(seen[Cell(fault, duration, place)]) for place in PLACES)
        lines.append(f"| {fault} | {duration} | {' | '.join(cells)} |")
    assert all("|  |" not in line for line in lines)
    page = ROOT / "docs" / "faults.md"
    if "WRITE_FAULTS" in os.environ:  # `make faults`
        page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert page.read_text(encoding="utf-8") == "\n".join(lines) + "\n", "run `make faults`"


def outcome(answer: Seen) -> str:
    """A cell of the table."""
    return "200, whole" if answer.status == 200 else f"{answer.status} ({answer.reason})"
