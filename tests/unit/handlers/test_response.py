import json
import random
import sys
import tracemalloc
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RequestError
from handlers import list_conversations, response
from handlers.problems import to_response
from storage.conversations import Page
from tests.support.api import DECODE, EVENTS, Answer, assert_problem, play
from tests.support.budget import CI

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LIMIT = 6_291_456


def page(*documents: bytes) -> Page:
    return Page(list(documents), [(f"key-{number}",) for number in range(len(documents))], reads=1)


class FakeTable:
    """A table that holds one page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def query(self, *_: Any, **__: Any) -> Page:
        return self.page


def answer_to(
    page: Page, request_id: str, monkeypatch: pytest.MonkeyPatch, **headers: str
) -> Answer:
    """The endpoint's answer to the request with this id, when the table holds this page."""
    monkeypatch.setattr(list_conversations, "table", lambda: FakeTable(page))
    event = json.loads((EVENTS / "list.json").read_text())
    event["requestContext"]["requestId"] = request_id
    event["headers"] |= headers
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    return play(event)


def bytes_sent(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes Lambda's runtime sends for an answer."""
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    text, _ = LambdaMarshaller().marshal_response(answer.sent)
    return len(text.encode())


ID = "72447e1f-2b15-57d5-9654-9bd313522a97"
QUOTES_AND_EMOJI = '{"a":"\\"\\\\é😀\\u0000"}'.encode()
NOISE = random.Random(1).randbytes(4_717_000)


@pytest.mark.parametrize(
    ("documents", "headers"),
    [
        ([QUOTES_AND_EMOJI * 100_000], {}),
        ([b'"' + b"a" * 6_290_000 + b'"'], {}),
        ([NOISE], {"Accept-Encoding": "gzip"}),
        ([NOISE], {"Accept-Encoding": "zstd"}),
    ],
    ids=["escapes", "plain", "gzip", "zstd"],
)
def test_an_envelope_of_exactly_the_quota_is_sent_and_one_byte_more_is_not(
    documents: list[bytes], headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The request id, which a header repeats, fills up what is left.
    size = bytes_sent(answer_to(page(*documents), "", monkeypatch, **headers), monkeypatch)
    filling = "i" * (LIMIT - size)
    assert filling
    full = answer_to(page(*documents), filling, monkeypatch, **headers)
    assert full.status == 200
    assert bytes_sent(full, monkeypatch) == LIMIT
    over = answer_to(page(*documents), filling + "i", monkeypatch, **headers)
    assert over.status == 413


def test_a_413_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for accepted in ("", "gzip", "zstd", "gzip, zstd"):
        answer = answer_to(page(NOISE * 2), ID, monkeypatch, **{"Accept-Encoding": accepted})
        detail = assert_problem(answer, 413, "response_too_large")
        assert ("send Accept-Encoding: zstd, gzip (" in detail) == ("zstd" not in accepted)
        assert "limit" in detail


def link(page: Page) -> str:
    return f'<https://h/?cursor={page.next[0]}>; rel="next"' if page.next else ""


CODINGS = ["zstd", "gzip", "identity"]
SHORTENED = CODINGS if CI else ["gzip"]  # each takes seconds


def encode(page: Page, **options: Any) -> Any:
    given = {
        "request_id": "r",
        "coding": "identity",
        "if_none_match": "",
        "link": link,
        "whole": False,
    }
    given |= options
    return response.encode(page, **cast("Any", given))


def test_a_page_that_exceeds_the_quota_shortens_itself_and_links_on() -> None:
    documents = [b'"' + bytes([97 + number]) * 1_000_000 + b'"' for number in range(20)]
    shortened, answer, _ = encode(page(*documents))
    assert 4 <= len(shortened.documents) <= 6
    assert json.loads(answer.body) == [json.loads(text) for text in shortened.documents]
    last = f"key-{len(shortened.documents) - 1}"
    assert answer.headers["Link"] == f'<https://h/?cursor={last}>; rel="next"'


def documents_of(*sizes: int, noise: bool, seed: int = 1) -> list[bytes]:
    """JSON strings of these sizes: hexadecimal noise, which compression halves, or one letter."""
    rng = random.Random(seed)
    texts = (rng.randbytes(size // 2).hex() if noise else "a" * size for size in sizes)
    return [b'"' + text.encode() + b'"' for text in texts]


BLOCK = documents_of(730_000, noise=True)[0]
DISTRIBUTIONS = {
    "bytes at the front": [BLOCK] * 12 + documents_of(*[300] * 988, noise=True),
    "a page full with the first": documents_of(6_200_000, *[9_000] * 999, noise=True),
    "bytes at the back": documents_of(*[300] * 988, noise=True) + [BLOCK] * 12,
    "bytes in the middle": documents_of(*[300] * 500, noise=True) + [BLOCK] * 12 + [b'"a"'] * 488,
    "equal": documents_of(*[12_000] * 1000, noise=True),
    "noise, then letters": documents_of(*[12_000] * 500, noise=True)
    + documents_of(*[12_000] * 500, noise=False),
    "letters, then noise": documents_of(*[12_000] * 500, noise=False)
    + documents_of(*[24_000] * 500, noise=True),
    "in turns": [text for _ in range(50) for text in (b'"' + b"a" * 300_000 + b'"', BLOCK)],
    "each half of the one before": documents_of(
        *[4_000_000 >> shift for shift in range(20)] * 3, noise=True
    ),
    "each twice the one before": documents_of(*[8 << shift for shift in range(21)], noise=True),
}


@dataclass
class Work:
    """What shortening a page took."""

    page: Page
    size: int
    encodings: int
    peak: int


def shorten(whole: Page, monkeypatch: pytest.MonkeyPatch, coding: str) -> Work:
    encodings = 0

    def counting(encoding: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            nonlocal encodings
            encodings += 1
            return encoding(*arguments)

        return counted

    with monkeypatch.context() as patch:
        for name in ("_compress", "_count_that_fits"):
            patch.setattr(response, name, counting(getattr(response, name)))
        tracemalloc.start()
        try:
            shortened, _, size = encode(whole, coding=coding)
            return Work(shortened, size, encodings, tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()


def assert_bounded(whole: Page, monkeypatch: pytest.MonkeyPatch, coding: str) -> None:
    """At most 3 encodings and two bodies in memory, for a page that is full or the longest."""
    work = shorten(whole, monkeypatch, coding)
    assert work.encodings <= 3
    assert work.peak < 2 * sum(map(len, whole.documents)) + 3 * LIMIT + 1_000_000
    length = len(work.page.documents)
    assert length >= 1
    assert work.page.documents == whole.documents[:length]
    assert work.size <= LIMIT
    if length < len(whole.documents) and work.size < LIMIT * 7 // 8:
        monkeypatch.setattr(response, "MAX_ENVELOPE_BYTES", 10 * LIMIT)
        assert encode(whole.first(length + 1), coding=coding)[2] > LIMIT


@pytest.mark.parametrize("coding", SHORTENED)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_shortening_a_page_takes_few_encodings_and_little_memory(
    distribution: str, monkeypatch: pytest.MonkeyPatch, coding: str
) -> None:
    assert_bounded(page(*DISTRIBUTIONS[distribution]), monkeypatch, coding)


@settings(max_examples=100)
@given(
    parts=st.lists(st.tuples(st.integers(2, 20_000), st.booleans()), min_size=1, max_size=60),
    coding=st.sampled_from(SHORTENED),
    seed=st.integers(0, 2**32),
)
def test_a_page_of_any_distribution_is_shortened_within_the_bounds(
    parts: list[tuple[int, bool]], coding: str, seed: int
) -> None:
    documents = [
        documents_of(size, noise=noise, seed=seed + number)[0]
        for number, (size, noise) in enumerate(parts)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response, "MAX_ENVELOPE_BYTES", 24_000)
        patch.setattr(sys.modules[__name__], "LIMIT", 24_000)
        assert_bounded(page(*documents), patch, coding)


def test_a_shortened_page_that_has_not_changed_is_a_304_of_the_same_length() -> None:
    whole = page(*DISTRIBUTIONS["equal"])
    shortened, answer, _ = encode(whole)
    assert len(shortened.documents) < len(whole.documents)
    again, unchanged, _ = encode(whole, if_none_match=answer.headers["ETag"])
    assert (unchanged.status, unchanged.headers["Link"]) == (304, answer.headers["Link"])
    assert len(again.documents) == len(shortened.documents)


def test_a_first_conversation_that_is_too_large_alone_is_refused() -> None:
    with pytest.raises(RequestError, match="response_too_large"):
        encode(page(*documents_of(LIMIT, 300, 300, noise=True)))


def test_the_largest_conversation_fits_a_page_of_its_own() -> None:
    worst = b'{"a":"' + b'\\"' * 1_499_990 + b'"}'
    assert 2_999_900 < len(worst) <= 3_000_000
    shortened, answer, _ = encode(page(worst, worst, worst))
    assert answer.body.encode() == b"[" + worst + b"]"
    assert len(shortened.documents) == 1


def refusal(whole: Page, **options: Any) -> str:
    """What a client reads of a whole list that does not fit."""
    with pytest.raises(RequestError) as refused:
        encode(whole, whole=True, **options)
    return str(json.loads(to_response(refused.value, "r").body)["detail"])


def test_a_whole_list_that_exceeds_the_quota_is_refused() -> None:
    large = b'"' + b"a" * 4_000_000 + b'"'
    assert "limit" in refusal(page(large, large))


def test_a_whole_list_that_was_cut_short_is_refused() -> None:
    cut = page(b"{}", b"{}").first(1)
    assert "send Accept-Encoding: zstd, gzip (" in refusal(cut)
    assert "send Accept-Encoding: zstd, gzip (" in refusal(cut, coding="gzip")
    assert "read. Ask for pages" in refusal(cut, coding="zstd")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize(("length", "compressed"), [(1021, False), (1022, False), (1023, True)])
def test_compression_begins_above_one_kib(length: int, coding: str, *, compressed: bool) -> None:
    text = b'"' + b"a" * (length - 2) + b'"'
    _, answer, _ = encode(page(text), coding=coding)
    assert answer.headers.get("Content-Encoding") == (coding if compressed else None)
    assert answer.is_base64 == compressed
    body = DECODE[coding](b64decode(answer.body)) if compressed else answer.body.encode()
    assert body == b"[" + text + b"]"


def test_a_zstd_window_is_one_that_every_client_takes() -> None:
    text = b'"' + b"a" * 20_000_000 + b'"'  # a smaller body would be its own window
    _, answer, _ = encode(page(text), coding="zstd")
    assert DECODE["zstd"](b64decode(answer.body)) == b"[" + text + b"]"
    wide = zstd.compress(text, options={zstd.CompressionParameter.window_log: 24})
    with pytest.raises(zstd.ZstdError):
        DECODE["zstd"](wide)


def test_a_list_that_gzip_cannot_carry_comes_whole_with_zstd() -> None:
    document = documents_of(100_000, noise=True)[0]  # a repetition further off than gzip looks
    whole = page(*[document] * 110)
    assert "zstd" in refusal(whole, coding="gzip")
    _, answer, _ = encode(whole, coding="zstd", whole=True)
    assert DECODE["zstd"](b64decode(answer.body)) == b"[" + b",".join(whole.documents) + b"]"


def test_the_etag_covers_content_and_link_but_not_the_encoding() -> None:
    text = b'"' + b"a" * 2000 + b'"'
    tags = [
        encode(listed, coding=coding)[1].headers["ETag"]
        for listed in (page(text), page(text, text), page(text, text).first(1))
        for coding in CODINGS
    ]
    assert tags[0::3] == tags[1::3] == tags[2::3]
    assert len(set(tags)) == 3
    assert all(tag.startswith('W/"') for tag in tags)


def test_a_304_has_the_headers_of_the_200_and_no_body() -> None:
    _, whole, _ = encode(page(b"{}", b"{}").first(1))
    tag = whole.headers["ETag"]
    strong = tag.removeprefix("W/")
    for condition in (tag, strong, "*", f'"x", {tag}', f'W/"a,b",{strong} ,"y"'):
        _, answer, _ = encode(page(b"{}", b"{}").first(1), if_none_match=condition)
        assert (answer.status, answer.body) == (304, "")
        assert answer.headers == {
            name: value for name, value in whole.headers.items() if name != "Content-Type"
        }
    for condition in ("", '"x"', 'W/""', strong[1:-1], "**"):
        assert encode(page(b"{}", b"{}").first(1), if_none_match=condition)[1].status == 200


@pytest.mark.parametrize(
    ("accept_encoding", "coding"),
    [
        ("", "identity"),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("x-gzip", "gzip"),
        ("zstd", "zstd"),
        ("ZSTD", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),  # Chrome, Firefox
        ("gzip, deflate, br", "gzip"),  # Safari
        ("zstd;q=0.9, gzip", "gzip"),
        ("zstd;q=0.5, gzip;q=0.5, identity;q=0.5", "zstd"),
        ("identity, gzip, zstd", "zstd"),
        ("zstd;q=0.001", "zstd"),
        ("zstd;q=0", "identity"),
        ("zstd;q=0, *", "gzip"),
        ("zstd, *;q=0", "zstd"),
        ("zstd;q=0.5, *", "gzip"),
        ("zstd, identity;q=0.5, gzip;q=0", "zstd"),
        ("zstd;q=0.4, identity;q=0.5", "identity"),
        ("zstd;q=1.5, gzip;q=0.1", "gzip"),
        ("br;q=1.0, gzip;q=0.001", "gzip"),
        ("gzip ; q=0.5", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;q=0.000", "identity"),
        ("gzip;Q=0", "identity"),
        ("*", "gzip"),
        ("*;q=0", "identity"),
        ("gzip;q=0, *", "identity"),
        ("identity", "identity"),
        ("identity;q=0", "identity"),
        ("identity;q=1, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=1", "gzip"),
        ("identity, gzip", "gzip"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("br, deflate", "identity"),
        ("gzip;q=abc", "identity"),
        ("gzip;q=2", "identity"),
        ("notgzip", "identity"),
        (",,;,", "identity"),
    ],
)
def test_the_coding_is_the_one_that_the_client_likes_best(
    accept_encoding: str, coding: str
) -> None:
    assert response.coding_of(accept_encoding) == coding
