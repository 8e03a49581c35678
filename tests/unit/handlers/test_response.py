import gzip
import json
import random
from base64 import b64decode
from typing import Any

import pytest
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller

from domain.errors import ResponseTooLargeError
from handlers import list_conversations
from handlers import response as encoding
from storage.conversations import Page
from tests.support.api import EVENTS, Answer, assert_problem, play

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
    event["multiValueHeaders"] |= {name: [value] for name, value in headers.items()}
    return play(event)


def bytes_sent(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes Lambda's runtime sends for an answer."""
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    text, _ = LambdaMarshaller().marshal_response(answer.sent)
    return len(text.encode())


ID = "72447e1f-2b15-57d5-9654-9bd313522a97"
QUOTES_AND_EMOJI = '{"a":"\\"\\\\é😀\\u0000"}'.encode()
NOISE = random.Random(1).randbytes(4_717_000)  # noqa: S311 - what gzip cannot shrink


@pytest.mark.parametrize(
    ("documents", "headers"),
    [
        ([QUOTES_AND_EMOJI * 100_000], {}),
        ([b'"' + b"a" * 6_290_000 + b'"'], {}),
        ([NOISE], {"Accept-Encoding": "gzip"}),
    ],
    ids=["escapes", "plain", "gzip"],
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
    large = page(b'"' + b"a" * LIMIT + b'"')
    detail = assert_problem(answer_to(large, ID, monkeypatch), 413, "response_too_large")
    assert "Accept-Encoding: gzip" in detail
    assert "limit" in detail
    answer = answer_to(page(NOISE * 2), ID, monkeypatch, **{"Accept-Encoding": "gzip"})
    detail = assert_problem(answer, 413, "response_too_large")
    assert "Accept-Encoding" not in detail
    assert "limit" in detail


def link(position: tuple[str, ...]) -> str:
    return f"https://h/?cursor={position[0]}"


def encode(page: Page, **options: Any) -> Any:
    settings: dict[str, Any] = {"request_id": "r", "gzip": False, "if_none_match": "", "link": link}
    return encoding.encode(page, **(settings | options))


def test_a_page_that_exceeds_the_quota_shortens_itself_and_links_on() -> None:
    documents = [b'"' + bytes([97 + number]) * 1_000_000 + b'"' for number in range(20)]
    shortened, response, _ = encode(page(*documents))
    assert 4 <= len(shortened.documents) <= 6
    assert json.loads(response.body) == [json.loads(text) for text in shortened.documents]
    last = f"key-{len(shortened.documents) - 1}"
    assert response.headers["Link"] == f'<https://h/?cursor={last}>; rel="next"'


def test_the_largest_conversation_fits_a_page_of_its_own() -> None:
    worst = b'{"a":"' + b'\\"' * 1_499_990 + b'"}'
    assert 2_999_900 < len(worst) <= 3_000_000
    shortened, response, _ = encode(page(worst, worst, worst))
    assert response.body.encode() == b"[" + worst + b"]"
    assert len(shortened.documents) == 1


def test_a_whole_list_that_exceeds_the_quota_is_refused() -> None:
    with pytest.raises(ResponseTooLargeError, match="limit"):
        encode(page(b'"' + b"a" * 4_000_000 + b'"', b'"' + b"a" * 4_000_000 + b'"'), link=None)


def test_a_whole_list_that_was_cut_short_is_refused() -> None:
    cut = page(b"{}", b"{}").first(1)
    with pytest.raises(ResponseTooLargeError, match="Send Accept-Encoding: gzip, or ask"):
        encode(cut, link=None)
    with pytest.raises(ResponseTooLargeError, match=r"read\. Ask for pages"):
        encode(cut, link=None, gzip=True)


@pytest.mark.parametrize(("length", "compressed"), [(1021, False), (1022, False), (1023, True)])
def test_gzip_begins_above_one_kib(length: int, *, compressed: bool) -> None:
    text = b'"' + b"a" * (length - 2) + b'"'
    _, response, _ = encode(page(text), gzip=True)
    assert ("Content-Encoding" in response.headers) == compressed
    assert response.base64_encoded == compressed
    body = gzip.decompress(b64decode(response.body)) if compressed else response.body.encode()
    assert body == b"[" + text + b"]"


def test_the_etag_covers_content_and_link_but_not_the_encoding() -> None:
    text = b'"' + b"a" * 2000 + b'"'
    tags = [
        encode(made, gzip=gzip)[1].headers["ETag"]
        for made in (page(text), page(text, text), page(text, text).first(1))
        for gzip in (False, True)
    ]
    assert tags[0::2] == tags[1::2]
    assert len(set(tags)) == 3
    assert all(tag.startswith('W/"') for tag in tags)


def test_a_304_has_the_headers_of_the_200_and_no_body() -> None:
    _, whole, _ = encode(page(b"{}", b"{}").first(1))
    tag = whole.headers["ETag"]
    strong = tag.removeprefix("W/")
    for condition in (tag, strong, "*", f'"x", {tag}', f'W/"a,b",{strong} ,"y"'):
        _, response, _ = encode(page(b"{}", b"{}").first(1), if_none_match=condition)
        assert (response.status_code, response.body) == (304, "")
        assert response.headers == {
            name: value for name, value in whole.headers.items() if name != "Content-Type"
        }
    for condition in ("", '"x"', 'W/""', strong[1:-1], "**"):
        assert encode(page(b"{}", b"{}").first(1), if_none_match=condition)[1].status_code == 200


@pytest.mark.parametrize(
    ("accept_encoding", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.001", True),
        ("gzip ; q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;Q=0", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip;q=1", True),
        ("identity, gzip", True),
        ("identity;q=0, gzip;q=0.1", True),
        ("br, deflate", False),
        ("gzip;q=abc", False),
        ("gzip;q=2", False),
        ("notgzip", False),
        (",,;,", False),
    ],
)
def test_gzip_is_used_where_the_client_accepts_it(accept_encoding: str, *, accepted: bool) -> None:
    assert encoding.accepts_gzip(accept_encoding) is accepted
