"""A large list over real HTTP, as the clients that people use read it."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import requests
import urllib3

from console.environment import environment
from dev.local import server
from dev.local.demo import KEYS
from dev.local.server import LocalApi
from dev.local.template import ENDPOINT
from storage.conversations import ConversationTable
from storage.dynamodb import client
from tests.support.api import Answer, assert_problem, conversation
from tests.support.needs import executable
from tests.support.tables import put_many

KEY = KEYS[0].key
HEADERS = {"x-api-key": KEY, "x-workspace-id": "demo-mine"}
COUNT = 2_000


def dialogue(number: int, words: random.Random) -> dict[str, Any]:
    """A conversation of about 6 KB whose text is like that of people."""
    texts = [" ".join(words.choices(WORDS, k=words.randint(30, 130))) for _ in range(9)]
    stamp = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}:00Z"
    messages = [
        conversation()["messages"][0] | {"_id": f"{number:020x}{place:04x}", "message": text}
        for place, text in enumerate(texts)
    ]
    return conversation(id=f"{number:024x}", messages=messages, createdAt=stamp, updatedAt=stamp)


WORDS = [
    "hello",
    "thanks",
    "order",
    "parcel",
    "refund",
    "delivery",
    "tomorrow",
    "invoice",
    "please",
    "could",
    "you",
    "help",
    "me",
    "with",
    "my",
    "the",
    "a",
    "it",
    "was",
    "broken",
    "arrived",
    "late",
    "again",
    "number",
    "account",
    "email",
    "today",
    "why",
    "not",
    "yes",
    "no",
    "great",
    "grazie",
    "obrigado",
    "danke",
    "ありがとう",
    "спасибо",
    "谢谢",
    "merci",
    "🙂",
    "👍",
    "مرحبا",
]


@pytest.fixture(scope="module")
def local(ministack: str) -> Iterator[LocalApi]:
    """The local API, with 2,000 conversations in the workspace demo-mine."""
    words = random.Random(1)
    with (
        environment({ENDPOINT: ministack}),  # moto takes seconds for a page of so many
        server.running() as api,
        environment(api.environment),
    ):
        table = ConversationTable(client(), os.environ["CONVERSATIONS_TABLE"])
        put_many(table, [dialogue(number, words) for number in range(COUNT)], "demo-mine")
        yield api


@pytest.fixture(scope="module")
def whole(local: LocalApi) -> bytes:
    """All of it, as httpx reads it in gzip."""
    headers = HEADERS | {"Accept-Encoding": "gzip"}
    response = httpx.get(local.endpoint, headers=headers, timeout=60)
    assert response.headers["content-encoding"] == "gzip"
    return response.content


def test_twelve_megabytes_come_whole_with_gzip(whole: bytes) -> None:
    conversations = json.loads(whole)
    assert len(conversations) == COUNT
    assert 11_000_000 < len(whole) < 14_000_000
    keys = [(listed["createdAt"], listed["_id"]) for listed in conversations]
    assert keys == sorted(keys, reverse=True)


def test_the_pages_together_are_byte_for_byte_the_whole(local: LocalApi, whole: bytes) -> None:
    pages, url = [], f"{local.endpoint}?limit=200"
    with httpx.Client(headers=HEADERS, timeout=60) as session:
        while url:
            response = session.get(url)
            pages.append(response.content)
            url = response.links.get("next", {}).get("url", "")
    assert len(pages) == COUNT // 200
    assert b"[" + b",".join(page[1:-1] for page in pages) + b"]" == whole


def test_without_compression_it_is_a_413_that_says_what_to_do(local: LocalApi) -> None:
    headers = HEADERS | {"Accept-Encoding": "identity"}
    response = httpx.get(local.endpoint, headers=headers, timeout=60)
    answer = Answer(response.status_code, response.headers, response.content)
    detail = assert_problem(answer, 413, "response_too_large")
    assert "Accept-Encoding: zstd, gzip" in detail
    assert "limit" in detail


def test_httpx_asks_for_zstd_and_reads_it(local: LocalApi, whole: bytes) -> None:
    response = httpx.get(local.endpoint, headers=HEADERS, timeout=60)
    assert response.headers["content-encoding"] == "zstd"
    assert response.content == whole


def test_urllib3_asks_for_zstd_and_reads_it(local: LocalApi, whole: bytes) -> None:
    headers = HEADERS | urllib3.make_headers(accept_encoding=True)
    with urllib3.PoolManager() as pool:
        response = pool.request("GET", local.endpoint, headers=headers, timeout=60)
    assert response.headers["content-encoding"] == "zstd"
    assert response.data == whole


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_requests_reads_both(local: LocalApi, whole: bytes, coding: str) -> None:
    headers = HEADERS | {"Accept-Encoding": coding}
    response = requests.get(local.endpoint, headers=headers, timeout=60)
    assert response.headers["content-encoding"] == coding
    assert response.content == whole


def test_curl_reads_the_best_that_its_build_knows(local: LocalApi, whole: bytes) -> None:
    curl = executable("curl")
    about = subprocess.run([curl, "--version"], capture_output=True, check=True).stdout
    coding = b"zstd" if b"zstd" in about.partition(b"Features:")[2].split() else b"gzip"
    lines = [f"-H{name}: {value}" for name, value in HEADERS.items()]
    compressed = [curl, "-sS", "--compressed", *lines, "-i", local.endpoint]
    answer = subprocess.run(compressed, capture_output=True, check=True).stdout
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-encoding: " + coding in head.lower()
    assert body == whole
    identity = [curl, "-sS", *lines, "-i", f"{local.endpoint}?limit=1000"]
    answer = subprocess.run(identity, capture_output=True, check=True).stdout
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-encoding" not in head.lower()
    assert whole.startswith(body[:-1])


def test_node_s_fetch_reads_the_gzip_answer(local: LocalApi, whole: bytes) -> None:
    node = executable("node")
    script = """
        const [url, headers] = process.argv.slice(1);
        const response = await fetch(url, {headers: JSON.parse(headers)});
        if (response.headers.get("content-encoding") !== "gzip") throw new Error("no gzip");
        process.stdout.write(await response.text());
    """
    command = [node, "--input-type=module", "-e", script, local.endpoint, json.dumps(HEADERS)]
    assert subprocess.run(command, capture_output=True, check=True).stdout == whole


def test_a_client_that_names_no_encoding_gets_identity(local: LocalApi, whole: bytes) -> None:
    # `requests` and httpx name some by themselves; None takes that away.
    headers: dict[str, Any] = HEADERS | {"Accept-Encoding": None}
    response = requests.get(f"{local.endpoint}?limit=100", headers=headers, timeout=60)
    assert "content-encoding" not in response.headers
    assert whole.startswith(response.content[:-1])


MEASURE = """
import json
import sys
from pathlib import Path
from tests.support.api import Api
headers = {"Accept-Encoding": sys.argv[1]}
answer = Api(workspaces="demo-mine").get("demo-mine", headers=headers)
assert answer.status == 200, answer.body
assert answer.headers["content-encoding"] == sys.argv[1]
# Not ru_maxrss: that begins with what the parent held when it forked.
peak = int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
print(json.dumps({"bytes": len(answer.body), "peak_kib": peak}))
"""


def test_twenty_megabytes_are_served_within_512_mb(local: LocalApi) -> None:
    with environment(local.environment):
        table = ConversationTable(client(), os.environ["CONVERSATIONS_TABLE"])
        words = random.Random(2)
        more = [dialogue(number, words) for number in range(COUNT, COUNT + 1_400)]
        put_many(table, more, "demo-mine")
        for coding in ("gzip", "zstd"):
            command = [sys.executable, "-c", MEASURE, coding]
            done = subprocess.run(command, capture_output=True, check=True)
            measured = json.loads(done.stdout.splitlines()[-1])
            assert measured["bytes"] > 20_000_000
            assert measured["peak_kib"] < 512 * 1024
