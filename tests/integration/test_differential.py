"""The endpoint against a plain-Python model of the contract, with random data and queries.

`make differential N=100000` compares as many data sets as asked for. Each is made from its number,
so a failure, which names it, can be had again: `make differential N=1 SEED=…`.
"""

import json
import os
import re
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from urllib.parse import parse_qsl, urlsplit

import pytest

from domain.conversation import Conversation
from handlers import list_conversations, response
from storage.items import pack
from tests.support import reference
from tests.support.api import Answer, Api, Context, assert_problem
from tests.support.budget import CI
from tests.support.reference import JSON, Place, Question
from tests.support.strategies import Maker
from tests.support.tables import TABLES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

DATA_SETS = int(os.environ.get("DIFFERENTIAL_DATA_SETS", str(300 if CI else 50)))
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "0"))
TABLE = "ConversationsTable"
COUNTS = [0, 1, 2, 3, 3, 4, 5, 6, 8, 8, 12, 20, 40]  # of conversations
Owner = tuple[str, str]
"""A workspace and a user."""

WORKSPACES = ["w", "w-", "w_1", "W", "1", "w1-w"]
CODINGS = {  # what a client accepts, and the coding that it gets
    "": None,
    "gzip": "gzip",
    "br, gzip;q=0.5": "gzip",
    "*": "gzip",
    "gzip;q=0": None,
    "gzip;q=0.1, identity": None,
    "gzip, zstd": "zstd",
    "zstd;q=0.5, *;q=0.6": "gzip",
}
LAMBDA_BYTES = response.MAX_ENVELOPE_BYTES


def test_the_endpoint_answers_as_the_contract_says(
    dynamodb: "DynamoDBClient", output: Callable[[], str]
) -> None:
    for seed in range(SEED, SEED + DATA_SETS):
        try:
            compare(dynamodb, seed)
        except Exception as error:
            error.add_note(f"Data set {seed}. Again: make differential N=1 SEED={seed}")
            raise
        output()  # or the logs of all data sets are kept
        dynamodb.delete_table(TableName=TABLE)
        dynamodb.create_table(TableName=TABLE, **TABLES[TABLE])


def compare(dynamodb: "DynamoDBClient", seed: int) -> None:
    """Fills the empty table from the seed, and asks for lists and pages."""
    random = Random(seed)
    maker = Maker(random)
    store = Store(dynamodb, random)
    workspace, other_workspace = random.sample(WORKSPACES, 2)
    user = maker.id()
    ids = list({maker.id(): None for _ in range(random.choice(COUNTS))})
    owner = workspace, user
    others = {(other_workspace, user), (workspace, user[:-1] or "u"), (other_workspace, maker.id())}
    owned = [(owner, id_) for id_ in ids]
    owned += [(other, id_) for other in sorted(others - {owner}) for id_ in ids[:2]]
    store.put(*((whose, maker.conversation(whose[1], id_)) for whose, id_ in owned))
    for whose, id_ in owned:
        if random.random() < 0.2:
            store.delete(whose, id_, maker.timestamp())
    comparison = Comparison(store, maker, owner, other_workspace)
    for _ in range(2):
        comparison.of_a_list(maker.question())
    comparison.of_pages(maker.question(), cut=random.random() < 0.5)
    comparison.of_pages(maker.question(), hurried=True)
    comparison.of_sync(writes=4)
    comparison.of_pages(maker.question(), cut=random.random() < 0.3, writes=8)


class Store:
    """The table, and beside it what has been written to it."""

    def __init__(self, client: "DynamoDBClient", random: Random) -> None:
        self._client = client
        self._random = random
        self._written: dict[Owner, dict[str, JSON]] = {}

    def of(self, owner: Owner) -> dict[str, JSON]:
        """The conversations as they were written, by their ids."""
        return self._written.setdefault(owner, {})

    def put(self, *conversations: tuple[Owner, JSON]) -> None:
        """Stores them, each as this project does or as a writer in another language does."""
        items = []
        for owner, conversation in conversations:
            self.of(owner)[conversation["_id"]] = conversation
            items.append(self._random.choice((plain_item, packed_item))(owner, conversation))
        for start in range(0, len(items), 25):
            requests: Any = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
            self._client.batch_write_item(RequestItems={TABLE: requests})

    def delete(self, owner: Owner, id_: str, timestamp: str) -> None:
        """Leaves a tombstone, or nothing."""
        item = plain_item(owner, self.of(owner)[id_])
        key = {name: item[name] for name in ("pk", "sk")}
        if self._random.random() < 0.3:
            del self.of(owner)[id_]
            self._client.delete_item(TableName=TABLE, Key=key)
            return
        at = reference.instant(timestamp)
        self.of(owner)[id_] |= {"updatedAt": at, "deletedAt": at}
        texts = {"deletedAt": {"S": at}, "updatedKey": {"S": f"{at}#{id_}"}}
        filters = {name: item[name] for name in ("agentId", "pathwayId")}
        stone: Any = {**key, **filters, **texts, "expiresAt": {"N": "9999999999"}}
        self._client.put_item(TableName=TABLE, Item=stone)


def packed_item(owner: Owner, conversation: JSON) -> Any:
    """The item that this project writes."""
    return pack(owner[0], Conversation.model_validate(conversation)).attributes


def plain_item(owner: Owner, conversation: JSON) -> Any:
    """The item that docs/item-layout.md describes."""
    id_ = conversation["_id"]
    texts = {
        "pk": "#".join(owner),
        "sk": f"{reference.instant(conversation['createdAt'])}#{id_}",
        "updatedKey": f"{reference.instant(conversation['updatedAt'])}#{id_}",
        "agentId": conversation["agentId"],
        "pathwayId": conversation["pathwayId"],
        "document": json.dumps(conversation, ensure_ascii=len(id_) % 2 == 0),
    }
    return {name: {"S": text} for name, text in texts.items()}


class Comparison:
    """What a user gets of a workspace, beside what the contract says."""

    def __init__(self, store: Store, maker: Maker, owner: Owner, other_workspace: str) -> None:
        self.store = store
        self.maker = maker
        self.random = maker.random
        self.owner = owner
        self.other_workspace = other_workspace
        self.contents: dict[str, tuple[bytes, str | None]] = {}

    def get(self, owner: Owner, **options: Any) -> Answer:
        workspace, user = owner
        return Api(user, f"{self.owner[0]} {self.other_workspace}").get(workspace, **options)

    def of_a_list(self, question: dict[str, str]) -> None:
        """The list holds everything asked for, or the answer is an error."""
        question |= self.maker.page()
        question.pop("limit", None)
        encoding = self.random.choice(list(CODINGS))
        answer = self.ask(question, encoding)
        if reference.refused(question):
            assert_problem(answer, 400, "invalid_parameter")
            return
        assert_holds(answer, self.following(question, None))
        assert "link" not in answer.headers
        if answer.json and self.random.random() < 0.2:
            with largest_response(size(answer)):
                assert self.ask(question, encoding).body == answer.body
            with largest_response(size(answer) - 1):
                assert_too_large(self.ask(question, encoding), encoding)

    def of_pages(
        self, question: dict[str, str], *, cut: bool = False, hurried: bool = False, writes: int = 0
    ) -> None:
        """Follows the Link headers to the end; `limit` and `messages` change on the way.

        Args:
            cut: whether few conversations fit a response.
            hurried: whether there is no time for a second read.
            writes: how many conversations are added, updated or deleted meanwhile, at most.
        """
        if reference.refused(question):
            return
        throughout = {conversation["_id"] for conversation in self.following(question, None)}
        seen: Counter[str] = Counter()
        after: Place | None = None
        cursor: dict[str, str] = {}
        for _ in range(500):
            asked = question | cursor | self.maker.page(long=cut)
            following = self.following(asked, after)
            largest = self.few(following) if cut else response.MAX_ENVELOPE_BYTES
            with largest_response(largest):
                answer = self.page(asked, following, hurried=hurried)
            if answer.status == 413:
                continue
            seen.update(answer.ids)
            if "link" not in answer.headers:
                break
            link = link_of(answer)
            cursor = {"cursor": link["cursor"]}
            assert link == asked | cursor
            after = self.begins_after(link["cursor"], question, following, len(answer.json))
            self.of_another_question(question | cursor)
            for _ in range(min(writes, self.random.randrange(4))):
                writes -= 1
                throughout -= self.write(question)
        else:
            pytest.fail("the pages have no end")
        if question.get("sort", "-createdAt").endswith("createdAt"):
            assert all(seen[id_] == 1 for id_ in throughout)
        if question.get("sort") != "-updatedAt":  # there, what is updated may move ahead unseen
            assert throughout <= set(seen)

    def of_sync(self, writes: int) -> None:
        """Three rounds, with changes between them, each as the contract says."""
        lower, parameters = "", {"sync": "true"}
        start = reference.instant(self.maker.timestamp())
        for _ in range(3):
            question = {"sort": "updatedAt", "deleted": "include"}
            question |= {"updatedAtGe": lower} if lower else {}
            following = self.following(question, None)
            listed: list[str] = []
            relation = "next"
            while relation == "next":
                changeable = self.maker.page()
                parameters = {**parameters, **changeable}
                with patch.object(list_conversations, "now", lambda: start):
                    answer = self.get(self.owner, **parameters)
                listed += answer.ids
                assert len(answer.ids) <= int(parameters.get("limit", "1000"))
                relation, parameters = link_and_relation_of(answer)
            assert relation == "monitor"
            assert listed == [shown["_id"] for shown in following]
            newest = reference.instant(following[-1]["updatedAt"]) if following else None
            lower = reference.next_lower(lower, start, newest)
            for _ in range(self.random.randrange(writes)):
                self.write({})

    def begins_after(
        self, cursor: str, question: Question, following: list[JSON], count: int
    ) -> Place:
        """The place after which the next page begins; `count` of those that follow were listed.

        It is at or after the last listed, and before the first that was not listed. In between is
        only what was not asked for, such as a tombstone. If that is asked for by now, because it
        was restored, say, it did not exist the whole time, and the pages may leave it out.
        """
        there = self.store.of(self.owner)
        listed = [reference.place(there[shown["_id"]], question) for shown in following]
        after = place_of(cursor)
        around = [*listed[:count], after, *listed[count:]]
        assert around == sorted(around, reverse=reference.newest_first(question))
        assert after not in listed[count:]
        return after

    def page(self, asked: dict[str, str], following: list[JSON], *, hurried: bool) -> Answer:
        """A page of those that follow: whole, or shortened for a reason."""
        encoding = self.random.choice(list(CODINGS))
        expected = reference.page(following, asked)
        answer = self.ask(asked, encoding, seconds_left=5 if hurried else 28)
        if answer.status == 413:
            assert "limit" not in asked, "with a limit there is always progress"
            assert_too_large(answer, encoding)
            shortened = True
        else:
            count = len(answer.json)
            assert_holds(answer, expected[:count])
            if hurried:
                assert "link" in answer.headers or count == len(following)
                return answer
            if count < len(following):
                assert "link" in answer.headers
            elif "link" in answer.headers:  # a full page does not look whether the rest is listed
                assert str(count) == asked.get("limit")
                assert self.ends_before_the_last(asked, answer.ids)
            assert count > 0 or not expected, "with a limit there is always progress"
            shortened = count < len(expected)
        if shortened:
            largest = response.MAX_ENVELOPE_BYTES
            with largest_response(LAMBDA_BYTES):
                whole = self.ask(asked, encoding)
            assert_holds(whole, expected)
            assert size(whole) > largest
        return answer

    def ends_before_the_last(self, asked: Question, ids: list[str]) -> bool:
        """Whether anything is stored behind the last of these, such as a tombstone."""
        there = self.store.of(self.owner)
        places = sorted(reference.place(stored, asked) for stored in there.values())
        end = places[0] if reference.newest_first(asked) else places[-1]
        return reference.place(there[ids[-1]], asked) != end

    def ask(self, asked: dict[str, str], encoding: str, seconds_left: float = 28) -> Answer:
        """One request, and what holds of every list."""
        headers = {"accept-encoding": encoding}
        context = Context(seconds_left)
        sent = {  # one value counts once, however often it is sent
            name: [value] * self.random.choice((1, 1, 1, 1, 1, 1, 1, 2, 3))
            for name, value in asked.items()
        }
        answer = self.get(self.owner, headers=headers, context=context, **sent)
        if answer.status != 200:
            return answer
        coding = CODINGS[encoding] if len(answer.body) > 1024 else None
        assert answer.headers.get("content-encoding") == coding
        assert size(answer) <= response.MAX_ENVELOPE_BYTES
        # Two answers have one ETag if they have the same content and Link, and only then.
        tag, content = answer.headers["etag"], (answer.body, answer.headers.get("link"))
        assert self.contents.setdefault(tag, content) == content
        assert list(self.contents.values()).count(content) == 1
        if self.random.random() < 0.1:
            headers["if-none-match"] = self.random.choice((tag, tag[2:], f'"x", {tag}', "*"))
            known = self.get(self.owner, headers=headers, context=context, **asked)
            assert (known.status, known.body) == (304, b"")
            for name in ("etag", "link", "cache-control", "vary"):
                assert known.headers.get(name) == answer.headers.get(name)
        return answer

    def of_another_question(self, question: dict[str, str]) -> None:
        """Now and then: the cursor is refused with another sort, filter, workspace or user."""
        workspace, user = self.owner
        match self.random.randrange(16):
            case 0 | 1 | 2 | 3:
                question = self.maker.other(question)
            case 4:
                workspace = self.other_workspace
            case 5:
                user = "y" if user == "x" else "x"
            case _:
                return
        if not reference.refused(question):
            answer = self.get((workspace, user), **question)
            assert_problem(answer, 400, "invalid_cursor")

    def write(self, question: Question) -> set[str]:
        """Adds, updates or deletes a conversation; returns its id if it does not pass now."""
        there = self.store.of(self.owner)
        action = self.random.choice(("add", "update", "update", "delete"))
        id_ = self.maker.id()
        if action == "add" and id_ not in there:
            self.store.put((self.owner, self.maker.conversation(self.owner[1], id_)))
        elif there:
            before = there[id_ := self.random.choice(list(there))]
            if action == "delete":
                not_before = reference.instant(before["updatedAt"])
                self.store.delete(self.owner, id_, self.maker.timestamp(not_before))
                return {id_}
            updated = self.maker.timestamp(not_before=reference.instant(before["updatedAt"]))
            kept = {"createdAt": before["createdAt"], "updatedAt": updated}
            after = self.maker.conversation(self.owner[1], id_) | kept
            self.store.put((self.owner, after))
            if not reference.asked_for(after, question):
                return {id_}
        return set()

    def following(self, question: Question, after: Place | None) -> list[JSON]:
        return reference.listed(self.store.of(self.owner).values(), question, after)

    def few(self, following: list[JSON]) -> int:
        """A size of responses that each conversation fits, and few fit together."""
        texts = [json.dumps(json.dumps(conversation)) for conversation in following]
        headers = 1600  # at most, the Link included
        return headers + max(map(len, texts), default=0) + self.random.randrange(500)


@contextmanager
def largest_response(size: int) -> Iterator[None]:
    """Meanwhile a response holds at most so many bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response, "MAX_ENVELOPE_BYTES", size)
        yield


def size(answer: Answer) -> int:
    """The bytes of the response as Lambda counts them."""
    return len(json.dumps(answer.sent, ensure_ascii=False).encode())


def link_and_relation_of(answer: Answer) -> tuple[str, dict[str, str]]:
    """The relation and the query parameters of the one `Link`."""
    match = re.fullmatch(r'<(.*)>; rel="(\w+)"', answer.headers["link"])
    assert match
    return match[2], dict(parse_qsl(urlsplit(match[1]).query, keep_blank_values=True))


def link_of(answer: Answer) -> dict[str, str]:
    """The query parameters of the next page's address."""
    address = answer.headers["link"].removeprefix("<").removesuffix('>; rel="next"')
    return dict(parse_qsl(urlsplit(address).query, strict_parsing=True))


def place_of(cursor: str) -> Place:
    """The place in a cursor, which is opaque to clients."""
    _, key, *_ = json.loads(urlsafe_b64decode(f"{cursor}=="))
    at, _, id_ = key.partition("#")
    return at, id_


def assert_holds(answer: Answer, expected: list[JSON]) -> None:
    """The answer's conversations are the expected ones, each field in its place."""
    assert answer.ids == [conversation["_id"] for conversation in expected]
    assert json.dumps(answer.json) == json.dumps(expected)


def assert_too_large(answer: Answer, encoding: str) -> None:
    detail = assert_problem(answer, 413, "response_too_large")
    assert "parameter limit" in detail
    assert ("zstd, gzip" in detail) == (CODINGS[encoding] != "zstd")
