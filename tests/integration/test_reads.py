"""The reads of both functions over a real connection: nothing damaged ever reaches a client."""

import json
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.local.demo import DOCUMENTED, USER
from dev.local.dynamodb import embedded
from dev.local.template import ENDPOINT
from domain.api_key import generate, hash_of
from domain.conversation import Conversation
from domain.errors import StoreError
from handlers import authorize
from storage import items
from storage.dynamodb import client
from storage.reader import Reader, reader
from tests.support.api import EVENTS, Api, Context, conversation
from tests.support.tables import read_past_boto3
from tests.support.wire import Fault, Sent, Wire, body_of, whole, wire

KEY, OTHER_KEY = generate(), generate()


def query_answer(**fields: Any) -> bytes:
    """A conversation whose document is plain text, without a checksum."""
    stored = conversation(**fields)
    item = items.pack("demo", Conversation.model_validate(stored)).attributes
    text = json.dumps(stored, separators=(",", ":"))
    return body_of(Items=[{**item, "document": {"S": text}}], Count=1)


def compressed_answer() -> bytes:
    item = items.pack("demo", Conversation.model_validate(conversation())).attributes
    frame = b64encode(item["document"]["B"]).decode()
    return body_of(Items=[{**item, "document": {"B": frame}}], Count=1)


def key_answer(key: str, user: str) -> bytes:
    item = {
        "keyHash": {"S": hash_of(key)},
        "keyId": {"S": "key_1"},
        "userId": {"S": user},
        "workspaceIds": {"SS": ["demo"]},
        "createdAt": {"S": "2024-01-01T00:00:00.000Z"},
    }
    return body_of(Item=item, ConsumedCapacity={"CapacityUnits": 0.5})


FOREIGN = {
    "Query": query_answer(id="foreign", userId="somebody"),
    "GetItem": key_answer(OTHER_KEY, "somebody"),
}


@pytest.fixture
def dynamodb() -> Iterator[Wire]:
    with wire(Query=query_answer(), GetItem=key_answer(KEY, USER)) as seen:
        yield seen


def read_list() -> str | None:
    """What a client reads of the list; `None` where it is told to come again."""
    answer = Api().get()
    assert answer.status in (200, 503)
    if answer.status == 503:
        assert answer.json["error"]["code"] == "store_unavailable"
        return None
    return answer.body.decode()


def read_key() -> str | None:
    """Whom the authorizer lets in, and where; `None` where it fails, which becomes a 503."""
    event = json.loads((EVENTS / "authorize_good_key.json").read_text())
    try:
        said = authorize.handler(event | {"headers": {"x-api-key": KEY}}, cast("Any", Context()))
    except StoreError:
        return None
    assert said["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    return json.dumps(said["context"], sort_keys=True)


ALLOWED = {"keyId": "key_1", "userId": USER, "workspaceIds": "demo"}
READS: dict[str, tuple[Callable[[], str | None], str]] = {
    "Query": (read_list, json.dumps([DOCUMENTED], separators=(",", ":"))),
    "GetItem": (read_key, json.dumps(ALLOWED)),
}


@pytest.fixture(params=READS)
def operation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def broken(then: str) -> Fault:
    """The connection ends within the body."""
    return lambda body: Sent(whole(body[: len(body) // 2], promised=body).content, then)


def damaged(body: bytes) -> Sent:
    """A letter of what a client would see is another; it is JSON still."""
    changed = body.replace(b"Test Customer", b"Text Customer").replace(b'"demo"', b'"dema"')
    assert changed != body
    return whole(changed, promised=body)


FAULTS: dict[str, tuple[Fault, str]] = {  # and the reason that is logged
    "killed": (broken("reset"), "ConnectionResetError"),
    "truncated": (broken("closed"), "TruncatedAnswer"),
    "truncated, its length adjusted": (
        lambda body: Sent(whole(body[: len(body) // 2]).content),
        "JSONDecodeError",
    ),
    "corrupt": (damaged, "CorruptAnswer"),
    "failed": (
        lambda _: whole(b'{"__type": "x#InternalServerError", "message": "tk_"}', status=500),
        "InternalServerError",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_that_fails_once_is_done_by_boto3_counted_and_logged_without_data(
    dynamodb: Wire, operation: str, fault: str, output: Callable[[], str]
) -> None:
    read, right = READS[operation]
    send, reason = FAULTS[fault]
    dynamodb.faults = [send]
    assert read() == right
    assert dynamodb.by == ["reader", "boto3"]
    lines = [json.loads(line) for line in output().splitlines()]
    counted = [line for line in lines if "StoreFallbacks" in line]
    (line,) = counted
    assert line["StoreFallbacks"] == [1.0]
    (emitted,) = line["_aws"]["CloudWatchMetrics"]
    assert emitted["Namespace"] == "Conversations"
    assert emitted["Dimensions"] == [["service"]]
    assert line["service"] == "conversations"
    (warning,) = [line for line in lines if line.get("level") == "WARNING"]
    assert (warning["message"], warning["reason"]) == ("fell back to boto3", reason)
    said = json.dumps([warning, counted])
    for data in ("tk_", KEY, hash_of(KEY), USER, DOCUMENTED["_id"], "Customer"):
        assert str(data) not in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_read_that_keeps_failing_is_a_failure_and_never_data(
    dynamodb: Wire, operation: str, fault: str
) -> None:
    read, _ = READS[operation]
    dynamodb.faults = [FAULTS[fault][0]] * 3
    assert read() is None
    # botocore cannot tell a truncated body with an adjusted length from an empty response.
    attempts = 1 if "adjusted" in fault else 2
    assert dynamodb.by == ["reader", *["boto3"] * attempts]


@pytest.mark.parametrize("then", ["closed", "reset"])
def test_a_stale_connection_is_replaced_without_boto3(
    dynamodb: Wire, operation: str, then: str, output: Callable[[], str]
) -> None:
    read, right = READS[operation]
    dynamodb.faults = [whole, lambda _: Sent(b"", then)]
    assert read() == read() == right
    assert dynamodb.by == ["reader"] * 3
    assert dynamodb.connections == 2
    assert "StoreFallbacks" not in output()


def test_an_answer_about_somebody_else_is_a_failure_and_never_data(
    dynamodb: Wire, operation: str
) -> None:
    read, right = READS[operation]
    dynamodb.faults = [lambda _: whole(FOREIGN[operation])]
    assert read() is None
    assert read() == right


def test_a_hundred_reads_use_one_connection(dynamodb: Wire, operation: str) -> None:
    read, right = READS[operation]
    assert {read() for _ in range(100)} == {right}
    assert dynamodb.connections == 1
    assert dynamodb.by == ["reader"] * 100


def test_a_successful_read_loads_nothing_heavy(dynamodb: Wire, operation: str) -> None:
    script = f"""
import json, sys
from domain import api_key
from handlers import authorize, list_conversations
class Context:
    function_name = invoked_function_arn = aws_request_id = "x"
    memory_limit_in_mb = 1769
    def get_remaining_time_in_millis(self):
        return 28_000
event = json.loads(sys.argv[1])
handler = {"authorize" if operation == "GetItem" else "list_conversations"}.handler
print(json.dumps([handler(event, Context()), [*sys.modules]]))
"""
    name = "authorize_good_key" if operation == "GetItem" else "list"
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if operation == "GetItem":
        event["headers"] = {"x-api-key": KEY}
    else:
        dynamodb.faults = [lambda _: whole(compressed_answer())]
    result = subprocess.run(
        [sys.executable, "-c", script, json.dumps(event)], check=True, capture_output=True
    )
    answer, modules = json.loads(result.stdout.splitlines()[-1])
    if operation == "GetItem":
        assert answer["principalId"] == USER
        assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"
    else:
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"]) == [DOCUMENTED]
    # Powertools imports the bare top level of botocore.
    packages = {module.partition(".")[0] for module in modules if module != "botocore"}
    heavy = {"boto3", "botocore", "s3transfer", "urllib3", "pydantic", "pydantic_core"}
    assert not packages & heavy
    assert "aws_lambda_powertools.event_handler" not in modules
    assert dynamodb.by == ["reader"]


TYPED = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, st.text(max_size=5)),
        st.builds(lambda number: {"N": str(number)}, st.integers(-(10**9), 10**9)),
        st.builds(lambda content: {"B": content}, st.binary(min_size=1, max_size=9)),
        st.builds(lambda many: {"BS": sorted(many)}, st.sets(st.binary(min_size=1), min_size=1)),
        st.builds(
            lambda many: {"SS": sorted(many)}, st.sets(st.text("ab", min_size=1), min_size=1)
        ),
        st.sampled_from([{"NULL": True}, {"BOOL": False}]),
    ),
    lambda inner: st.one_of(
        st.builds(lambda values: {"L": values}, st.lists(inner, max_size=3)),
        st.builds(
            lambda values: {"M": values},
            st.dictionaries(st.sampled_from(["B", "BS", "S", "x"]), inner, max_size=3),
        ),
    ),
    max_leaves=6,
)
ITEMS = st.lists(
    st.dictionaries(st.sampled_from(["B", "S", "document", "x"]), TYPED, max_size=3), max_size=5
)


@pytest.fixture
def server() -> Iterator[str]:
    """moto's server, with a table in it."""
    with embedded() as variables, read_past_boto3(str(variables[ENDPOINT])):
        yield str(variables[ENDPOINT])


@settings(max_examples=20)
@given(items=ITEMS)
def test_answers_are_those_of_boto3(server: str, items: list[dict[str, Any]]) -> None:
    assert server
    store: Any = client()
    short = reader.__wrapped__(pytest.fail)
    assert isinstance(short, Reader)
    partition = f"p{time.monotonic_ns()}"
    for number, item in enumerate(items):
        keys = {"pk": {"S": partition}, "sk": {"S": str(number)}}
        store.put_item(TableName="ConversationsTable", Item=item | keys)
    question: dict[str, Any] = {
        "TableName": "ConversationsTable",
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": {":pk": {"S": partition}},
        "Limit": 3,
    }
    expected = store.query(**question)
    del expected["ResponseMetadata"]
    assert short.query(**question) == expected
    key = {
        "TableName": "ConversationsTable",
        "Key": {"pk": {"S": partition}, "sk": {"S": "0"}},
        "ReturnConsumedCapacity": "TOTAL",
    }
    expected = store.get_item(**key)
    del expected["ResponseMetadata"]
    assert short.get_item(**key) == expected
