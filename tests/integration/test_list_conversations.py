"""The endpoint's handler against an embedded DynamoDB."""

import json
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.local.demo import DOCUMENTED, USER
from dev.local.dynamodb import embedded
from dev.local.template import ENDPOINT
from domain.conversation import Conversation
from domain.errors import ConversationTooLargeError, StoreRequestError
from handlers import list_conversations
from handlers.telemetry import fell_back
from storage.conversations import ConversationTable
from storage.dynamodb import client
from storage.reader import Reader, reader
from tests.support.api import EVENTS, Api, Context, assert_problem, conversation, play
from tests.support.budget import examples
from tests.support.tables import bury, fresh_tables, put, put_many, read_past_boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="module")
def address(_moto: None) -> Iterator[str]:
    """The address of moto's server, which holds what moto holds."""
    with embedded() as variables:
        yield str(variables[ENDPOINT])


@pytest.fixture(params=["boto3", "reader"])
def dynamodb(request: pytest.FixtureRequest, address: str) -> "Iterator[DynamoDBClient]":
    """A fresh DynamoDB: moto in this process, which only boto3 sees, and moto's server."""
    if request.param == "boto3":
        yield fresh_tables()
    else:
        with read_past_boto3(address) as store:
            assert isinstance(reader(fell_back), Reader)
            yield store


def test_the_documented_example_comes_back_byte_for_byte(
    api: Api, table: ConversationTable
) -> None:
    put(table, DOCUMENTED)
    answer = api.get()
    assert answer.status == 200
    assert answer.body == json.dumps([DOCUMENTED], separators=(",", ":")).encode()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert answer.headers["vary"] == "Accept-Encoding, x-api-key, x-workspace-id"
    assert answer.headers["x-request-id"] == "72447e1f-2b15-57d5-9654-9bd313522a97"
    assert "link" not in answer.headers


def test_no_conversations_are_an_empty_array(api: Api) -> None:
    assert api.get().body == b"[]"


def test_an_empty_workspace_of_another_user_is_as_empty(api: Api, table: ConversationTable) -> None:
    put(table, DOCUMENTED)
    put(table, conversation(userId="another"), workspace="demo-busy")
    assert api.get("demo-busy").body == b"[]"
    assert Api("another").get("demo").body == b"[]"


def test_a_missing_workspace_is_refused(api: Api) -> None:
    assert "x-workspace-id" in assert_problem(api.get(None), 400, "missing_workspace")


@pytest.mark.parametrize("workspace", ["", "*", "demo#x", "a b", "a" * 65, "démo", "demo\n", "a,b"])
def test_a_malformed_workspace_is_refused(api: Api, workspace: str) -> None:
    assert "x-workspace-id" in assert_problem(api.get(workspace), 400, "invalid_workspace")


def test_a_workspace_sent_twice_must_be_the_same(api: Api) -> None:
    twice = {"X-Workspace-Id": ["demo", "demo"]}
    assert api.get(None, headers=twice).status == 200
    twice = {"X-Workspace-Id": ["demo", "demo-busy"]}
    assert_problem(api.get(None, headers=twice), 400, "invalid_workspace")
    cased = {"X-WORKSPACE-ID": "demo-busy"}
    assert_problem(api.get("demo", headers=cased), 400, "invalid_workspace")


def test_two_api_keys_are_refused(api: Api) -> None:
    twice = {"x-api-key": ["tk_a", "tk_b"]}
    assert "x-api-key" in assert_problem(api.get(headers=twice), 400, "invalid_parameter")
    assert_problem(api.get(headers={"x-api-key": "a", "X-Api-Key": "b"}), 400, "invalid_parameter")
    assert api.get(headers={"x-api-key": ["tk_a", "tk_a"]}).status == 200


def test_a_workspace_without_a_grant_is_not_found(api: Api, table: ConversationTable) -> None:
    put(table, DOCUMENTED, workspace="secret")
    there = api.get("secret")
    assert_problem(there, 404, "workspace_not_found")
    assert there.body == api.get("nowhere").body


@pytest.mark.parametrize("context", [None, {}, {"principalId": "u"}, "u", {"userId": "a#b"}])
def test_without_a_caller_nobody_s_data_is_shown(
    api: Api, table: ConversationTable, output: Callable[[], str], context: object
) -> None:
    put(table, DOCUMENTED)
    api.authorizer = context
    assert_problem(api.get(), 500, "internal_error")
    assert '"InvalidCallers":[1.0]' in output()


@pytest.mark.usefixtures("_moto")
@settings(max_examples=examples(50))
@given(st.data())
def test_no_mix_of_ids_shows_a_caller_what_is_not_theirs(data: st.DataObject) -> None:
    users = ["a", "b", "ab", "a b", "demo", "A", "a-b", "a'b", 'a"b', "a\\b"]
    workspaces = ["demo", "demo-a", "a", "DEMO", "ab", "b"]
    owners = st.tuples(st.sampled_from(workspaces), st.sampled_from(users))
    table = ConversationTable(fresh_tables(), "ConversationsTable")
    owned = data.draw(st.lists(owners, min_size=1, max_size=8))
    for number, (workspace, user) in enumerate(owned):
        put(table, conversation(id=str(number), userId=user), workspace=workspace)
    user = data.draw(st.sampled_from(users))
    granted = data.draw(st.lists(st.sampled_from(workspaces), unique=True, max_size=4))
    asked = data.draw(st.sampled_from(workspaces) | st.text(max_size=8))
    answer = Api(user, " ".join(granted)).get(asked)
    if asked in granted:
        theirs = {str(n) for n, owner in enumerate(owned) if owner == (asked, user)}
        assert set(answer.ids) == theirs
    else:
        assert answer.status in {400, 404}


def test_a_list_over_several_pages_comes_complete_and_in_order(
    api: Api, table: ConversationTable, output: Callable[[], str]
) -> None:
    noise = random.Random(1)
    stored = []
    for number in range(700):
        # Text that zstd cannot shrink much: the items fill more than one page of 1 MB.
        text = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz .,", k=4000))
        message = DOCUMENTED["messages"][0] | {"message": text}
        created = f"2024-12-01T{number // 60:02}:{number % 60:02}:00Z"
        stored.append(conversation(id=f"c{number:04}", messages=[message], createdAt=created))
    put_many(table, stored)
    answer = api.get()
    assert answer.ids == [conversation["_id"] for conversation in reversed(stored)]
    is_complete = answer.json == list(reversed(stored))  # else the failure would show 3 MB
    assert is_complete
    reads = [line for line in output().splitlines() if '"listed"' in line]
    assert json.loads(reads[0])["reads"] >= 2


class Answers:
    """A DynamoDB client that gives these answers to Query in turn."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)

    def query(self, **_: Any) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def item(number: int) -> dict[str, Any]:
    text = json.dumps(conversation(id=f"c{number}"))
    return after(number) | {"document": {"S": text}}


def after(number: int) -> dict[str, Any]:
    sk = f"2024-12-01T08:45:00.000Z#c{number}"
    return {"pk": {"S": f"demo#{USER}"}, "sk": {"S": sk}}


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> Api:
    fake: Any = Answers(*answers)
    fake_table = ConversationTable(fake, "table")
    monkeypatch.setattr(list_conversations, "table", lambda: fake_table)
    return Api()


def test_an_empty_page_in_the_middle_does_not_end_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    api = answering(
        monkeypatch,
        {"Items": [item(1)], "LastEvaluatedKey": after(1)},
        {"Items": [], "LastEvaluatedKey": after(2)},
        {"Items": [item(3)], "LastEvaluatedKey": after(3)},
        {"Items": []},
    )
    assert api.get().ids == ["c1", "c3"]


NO_ITEMS: list[Any] = [{}, {"0": item(2)}, "", "text", 0, None, [None], [[]], [{}]]
NO_KEYS: list[Any] = [{}, [], "", 0, None, "x", {"sk": "x"}, {**after(2), "sk": {"S": 1}}]
INCOMPLETE: list[Any] = [
    {"ResponseMetadata": {"HTTPStatusCode": 200}},  # cut off on its way
    *({"Items": wrong} for wrong in NO_ITEMS),
    *({"Items": [{**item(2), name: wrong}]} for name in after(2) for wrong in ("x", {}, {"S": 1})),
    *({"Items": [], "LastEvaluatedKey": wrong} for wrong in NO_KEYS),
]


@pytest.mark.parametrize("incomplete", INCOMPLETE)
@pytest.mark.parametrize("before", [[], [{"Items": [item(1)], "LastEvaluatedKey": after(1)}]])
def test_an_incomplete_answer_is_a_503_and_never_a_part(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], str], before: list[Any], incomplete: Any
) -> None:
    api = answering(monkeypatch, *before, incomplete)
    assert_problem(api.get(), 503, "store_unavailable")
    assert '"reason":"IncompleteAnswer"' in output()


OTHERS = {"pk": {"S": f"demo-busy#{USER}"}}  # the same user's, of another workspace


@pytest.mark.parametrize(
    "foreign",
    [
        {"Items": [item(2) | OTHERS]},
        {"Items": [item(1), item(2) | OTHERS]},
        {"Items": [], "LastEvaluatedKey": after(2) | OTHERS},
    ],
)
def test_an_answer_about_another_partition_is_a_503_and_never_data(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], str], foreign: Any
) -> None:
    api = answering(monkeypatch, foreign, {"Items": []})
    assert_problem(api.get(), 503, "store_unavailable")
    assert '"reason":"ForeignAnswer"' in output()


@pytest.mark.parametrize("before", [[], [{"Items": [item(1)], "LastEvaluatedKey": after(1)}]])
@pytest.mark.parametrize(
    "error", [KeyError("Items"), UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), TimeoutError()]
)
def test_whatever_the_client_raises_is_a_503(
    monkeypatch: pytest.MonkeyPatch, before: list[Any], error: Exception
) -> None:
    assert_problem(answering(monkeypatch, *before, error).get(), 503, "store_unavailable")


def test_a_defect_is_a_500_without_its_text(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], str]
) -> None:
    def broken() -> ConversationTable:
        raise RuntimeError("secret text")

    monkeypatch.setattr(list_conversations, "table", broken)
    answer = Api().get()
    assert_problem(answer, 500, "internal_error")
    logged = output()
    assert "secret text" not in logged + answer.body.decode()
    line = json.loads(logged.splitlines()[0])
    assert (line["level"], line["error"]) == ("ERROR", "RuntimeError")
    assert any("test_list_conversations.py" in frame for frame in line["stack"])


def test_a_table_that_is_not_there_is_a_503(
    api: Api, monkeypatch: pytest.MonkeyPatch, output: Callable[[], str]
) -> None:
    missing = ConversationTable(client(), "Missing")
    monkeypatch.setattr(list_conversations, "table", lambda: missing)
    assert_problem(api.get(), 503, "store_unavailable")
    logged = output()
    assert '"reason":"ResourceNotFoundException"' in logged
    assert '"StoreErrors":[1.0]' in logged


def test_a_request_that_dynamodb_calls_invalid_is_a_defect_of_ours(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], str]
) -> None:
    def refuses(**_: Any) -> None:
        raise StoreRequestError("ValidationException")

    refusing: Any = SimpleNamespace(query=refuses)
    monkeypatch.setattr(list_conversations, "table", lambda: ConversationTable(refusing, "Table"))
    assert_problem(Api().get(), 500, "internal_error")
    logged = output()
    assert '"reason":"ValidationException"' in logged
    assert '"InternalErrors":[1.0]' in logged
    assert "StoreErrors" not in logged


def test_path_and_method_are_left_to_the_gateway(api: Api, table: ConversationTable) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    event = listing(**{ONE: LIMIT, MANY: LIMITS}, path="/base/conversations")
    event["requestContext"] |= {"path": "/base/conversations", "authorizer": api.authorizer}
    link = play(event).headers["link"]
    assert "/base/conversations?limit=1&cursor=" in link


def test_a_log_line_holds_the_request_id_and_no_personal_data(
    api: Api, table: ConversationTable, output: Callable[[], str]
) -> None:
    put(table, DOCUMENTED)
    api.get(headers={"x-api-key": "tk_DemoKeyOfTheDocumentedUser4IfRzy"})
    api.get("*")
    logged = output()
    lines = [json.loads(line) for line in logged.splitlines()]
    log = [line for line in lines if "message" in line]
    assert {line["correlation_id"] for line in log} == {"72447e1f-2b15-57d5-9654-9bd313522a97"}
    assert (log[0]["conversations"], log[0]["reads"], log[0]["status"]) == (1, 1, 200)
    for secret in ("tk_", "Test Customer", "customer@", "+123456789", "Thank you"):
        assert secret not in logged


def test_a_field_that_is_not_allowed_never_reaches_the_log(
    output: Callable[[], str],
) -> None:
    from handlers.telemetry import logger

    logger.info("listed", email="customer@example.com", status=200)
    logged = json.loads(output())
    assert "email" not in logged
    assert logged["status"] == 200


def test_metrics_count_conversations_bytes_and_reads(
    api: Api, table: ConversationTable, output: Callable[[], str]
) -> None:
    put(table, conversation(message="雪" * 1000))
    answer = api.get()
    metrics = json.loads(output().splitlines()[-1])
    assert metrics["ConversationsReturned"] == [1]
    # As Lambda's runtime sends it, and counts it.
    assert metrics["WholeListBytes"] == [len(json.dumps(answer.sent, ensure_ascii=False).encode())]
    assert metrics["StoreReads"] == [1]
    assert metrics["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Conversations"


def damaged(**attributes: Any) -> dict[str, Any]:
    item = {"pk": {"S": f"demo#{USER}"}, "sk": {"S": "2024-12-01T08:45:00.000Z#x"}}
    return item | attributes


@pytest.mark.parametrize(
    "stored",
    [
        damaged(),
        damaged(document={"N": "1"}),
        damaged(document={"NULL": True}),
        damaged(document={"M": {"_id": {"S": "x"}}}),
        damaged(document={"S": "{"}),
        damaged(document={"S": '{"_id": "x", "message": "secret text"}'}),
        damaged(document={"S": json.dumps(conversation(id="y"))}),
        damaged(document={"S": json.dumps(conversation(id="x", userId="other"))}),
        damaged(document={"B": b"secret text"}),
    ],
)
def test_an_unreadable_item_is_a_500_with_its_key_in_the_log_and_harms_nobody_else(
    dynamodb: Any,
    api: Api,
    table: ConversationTable,
    output: Callable[[], str],
    stored: dict[str, Any],
) -> None:
    put(table, DOCUMENTED, conversation(userId="other"))
    dynamodb.put_item(TableName="ConversationsTable", Item=stored)
    answer = api.get()
    assert_problem(answer, 500, "internal_error")
    logged = output()
    line = json.loads(logged.splitlines()[0])
    assert line["item_key"] == [stored["pk"]["S"], stored["sk"]["S"]]
    assert "secret text" not in logged + answer.body.decode()
    assert '"UnreadableConversations":[1.0]' in logged
    assert len(Api("other").get().ids) == 1


def test_a_plain_json_document_of_another_writer_is_read(dynamodb: Any, api: Api) -> None:
    text = json.dumps(conversation(id="x", createdAt="2024-12-01T10:45:00+02:00"), indent=2)
    dynamodb.put_item(TableName="ConversationsTable", Item=damaged(document={"S": text}))
    assert api.get().json == [conversation(id="x")]


def large(size: int) -> Conversation:
    noise = random.Random(size).randbytes(size).hex()
    message = DOCUMENTED["messages"][0] | {"message": noise}
    return Conversation.model_validate(conversation(messages=[message]))


def test_a_large_conversation_is_stored_and_read(api: Api, table: ConversationTable) -> None:
    stored = large(380_000)
    put(table, stored, workspace="demo")
    assert api.get().body == b"[" + stored.to_json() + b"]"


def test_a_conversation_over_400_kb_is_refused_by_name(table: ConversationTable) -> None:
    with pytest.raises(ConversationTooLargeError, match="675c8e368824aa5f130b94d6"):
        put(table, large(420_000), workspace="demo")


def only(name: str, value: str | list[str]) -> dict[str, Any]:
    return {name: value}


def test_each_parameter_is_refused_by_name_when_wrong(api: Api) -> None:
    wrong: dict[str, list[str | list[str]]] = {
        "limit": [
            "0",
            "1001",
            "-1",
            "+1",
            "1_0",
            "5.0",
            "1e2",
            " 1",
            "",
            "x",
            "\u0661",
            ["1", "2"],
        ],
        "agentId": ["", ["a", "b"], ["a", "a", "b"], ["", ""]],
        "pathwayId": ["", ["a", "b"]],
        "createdAtGe": [
            "",
            "1700000000",
            "2024-12-01",
            "2024-12-01T08:45:00",
        ],
        "createdAtLt": [
            "-1",
            "2024-12-01 08:45:00Z",
            ["2024-12-01T08:45:00Z", "2024-12-01T08:45:00+00:00"],
        ],
        "updatedAtGe": ["now"],
        "updatedAtLt": ["2024-12-01T08:45Z"],
        "sort": ["", "createdat", "--createdAt", ["createdAt", "updatedAt"]],
        "messages": ["", "first", ["all", "none"]],
        "deleted": ["", "only", "true", "Include", ["include", "exclude"]],
    }
    for name, values in wrong.items():
        for value in values:
            detail = assert_problem(api.get(**only(name, value)), 400, "invalid_parameter")
            differ = isinstance(value, list) and len(set(value)) > 1
            said = f"was sent {len(value)} times" if differ else "must be "
            assert detail.startswith(f"The query parameter {name} {said}")


def test_a_parameter_that_is_repeated_with_one_value_counts_once(
    api: Api, table: ConversationTable
) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    once: dict[str, Any] = {
        "limit": "1",
        "agentId": DOCUMENTED["agentId"],
        "createdAtGe": "2024-01-01T00:00:00Z",
    }
    twice: dict[str, Any] = {name: [value, value] for name, value in once.items()}
    first, again = api.get(**once), api.get(**twice)
    assert again.body == first.body
    assert again.headers["link"] == first.headers["link"]
    following = api.get(**twice, cursor=[str(first.cursor)] * 2)
    assert following.ids == api.get(**once, cursor=first.cursor).ids
    assert following.ids != first.ids


def listing(**changes: Any) -> dict[str, Any]:
    """The event of a list, with other maps of headers or parameters."""
    event: dict[str, Any] = json.loads((EVENTS / "list.json").read_text())
    return event | changes


LIMIT, LIMITS = {"limit": "1"}, {"limit": ["1"]}
ONE, MANY = "queryStringParameters", "multiValueQueryStringParameters"


@pytest.mark.parametrize("absent", [ONE, MANY, "headers", "multiValueHeaders"])
@pytest.mark.parametrize("how", ["null", "missing"])
def test_one_of_two_maps_is_enough(table: ConversationTable, absent: str, how: str) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    event = listing(**{ONE: LIMIT, MANY: LIMITS})
    if how == "null":
        event[absent] = None
    else:
        del event[absent]
    answer = play(event)
    assert len(answer.ids) == 1
    assert "?limit=1&cursor=" in answer.headers["link"]


@pytest.mark.parametrize(
    "maps",
    [
        {ONE: LIMIT, MANY: {}},
        {ONE: {}, MANY: LIMITS},
        {ONE: LIMIT, MANY: {"limit": ["2"]}},
        {ONE: LIMIT, MANY: {"limit": []}},
        {ONE: LIMIT, MANY: {"limit": None}},
        {ONE: LIMIT, MANY: {"limit": "1"}},
        {ONE: {"limit": 1}, MANY: {"limit": [1]}},
        {ONE: {"limit": None}, MANY: None},
        {ONE: LIMIT, MANY: {"limit": ["1"], "agentId": ["a"]}},
        {ONE: LIMIT, MANY: [["limit", "1"]]},
        {ONE: "limit=1", MANY: None},
        {"headers": {}},
        {"multiValueHeaders": {"x-workspace-id": ["demo"]}},
        {"multiValueHeaders": "x-workspace-id: demo"},
        {"version": "2.0", "rawQueryString": "limit=1", ONE: LIMIT, MANY: None},
    ],
)
def test_an_event_that_no_rest_api_sends_is_a_500_and_never_a_list(
    table: ConversationTable, output: Callable[[], str], maps: dict[str, Any]
) -> None:
    put(table, DOCUMENTED)
    assert_problem(play(listing(**maps)), 500, "internal_error")
    assert '"InternalErrors":[1.0]' in output()


@pytest.mark.parametrize("names", [(ONE, MANY), ("headers", "multiValueHeaders")])
def test_an_event_without_both_maps_is_a_500(names: tuple[str, str]) -> None:
    event = listing()
    for name in names:
        del event[name]
    assert_problem(play(event), 500, "internal_error")


def test_a_limit_out_of_range_is_named_with_its_bounds(api: Api) -> None:
    detail = assert_problem(api.get(limit="1001"), 400, "invalid_parameter")
    assert "from 1 to 1000" in detail


@pytest.mark.parametrize(
    "value", ["2024-02-30T00:00:00Z", "2024-13-01T00:00:00Z", "0001-01-01T00:00:00+23:00"]
)
def test_a_well_spelled_date_that_does_not_exist_is_told_apart(api: Api, value: str) -> None:
    detail = assert_problem(api.get(updatedAtLt=value), 400, "invalid_parameter")
    assert detail.startswith("The query parameter updatedAtLt must be a date that exists, ")


@pytest.mark.parametrize("cursor", ["", "x", ["a", "b"]])
def test_a_wrong_cursor_is_an_invalid_cursor(api: Api, cursor: str | list[str]) -> None:
    assert_problem(api.get(cursor=cursor), 400, "invalid_cursor")


@pytest.mark.parametrize(
    "name", ["limits", "Limit", "createdAt", "agent_id", "_", "offset", "foo[bar]"]
)
def test_an_unknown_parameter_is_refused_and_never_ignored(api: Api, name: str) -> None:
    detail = assert_problem(api.get(**only(name, "1")), 400, "unknown_parameter")
    assert detail.startswith(f"There is no query parameter {name}. Use only limit, ")
    assert "createdAtGe" in detail


def test_a_range_includes_its_beginning_and_not_its_end(api: Api, table: ConversationTable) -> None:
    times = ["2024-12-01T08:45:00Z", "2024-12-01T08:45:01Z", "2024-12-01T08:45:02Z"]
    put(table, *(conversation(id=time, createdAt=time, updatedAt=time) for time in times))
    for name in ("createdAt", "updatedAt"):
        some: dict[str, Any] = {f"{name}Ge": times[0], f"{name}Lt": times[2]}
        none: dict[str, Any] = {f"{name}Ge": times[1], f"{name}Lt": times[1]}
        assert sorted(api.get(**some).ids) == times[:2]
        assert api.get(**none).ids == []


def test_an_offset_needs_no_colon(api: Api, table: ConversationTable) -> None:
    put(table, conversation(createdAt="2024-12-01T08:45:00+0000"))
    assert api.get().json[0]["createdAt"] == "2024-12-01T08:45:00Z"
    for name, value in {
        "createdAtGe": "2024-12-01T08:45:00.000000+0000",
        "createdAtLt": "2024-12-01T10:45:01+02",
    }.items():
        assert len(api.get(**only(name, value)).ids) == 1
    assert api.get(createdAtLt="2024-12-01T03:45:00-0500").ids == []


def test_a_leap_second_is_no_parameter(api: Api) -> None:
    detail = assert_problem(api.get(createdAtGe="2016-12-31T23:59:60Z"), 400, "invalid_parameter")
    assert "must be one RFC 3339 timestamp" in detail


def test_a_key_in_place_of_a_parameter_is_not_repeated(api: Api) -> None:
    key = "tk_DemoKeyOfTheDocumentedUser4IfRzy"
    detail = assert_problem(api.get(**only(key, "")), 400, "unknown_parameter")
    assert detail.startswith("A query parameter is unknown. Use only ")
    assert key not in detail


def test_a_key_in_place_of_a_workspace_is_not_logged(api: Api, output: Callable[[], str]) -> None:
    key = "tk_DemoKeyOfTheDocumentedUser4IfRzy"
    assert_problem(api.get(key, headers={"x-api-key": key}), 404, "workspace_not_found")
    logged = output()
    assert "workspace_not_found" in logged
    assert key not in logged


def test_a_range_that_ends_before_it_begins_is_refused(api: Api) -> None:
    early, late = "2024-12-01T08:45:00Z", "2024-12-01T08:45:01Z"
    for name in ("createdAt", "updatedAt"):
        reversed_: dict[str, Any] = {f"{name}Ge": late, f"{name}Lt": early}
        assert f"{name}Ge" in assert_problem(api.get(**reversed_), 400, "invalid_parameter")
        empty: dict[str, Any] = {f"{name}Ge": early, f"{name}Lt": early}
        assert api.get(**empty).ids == []


def test_if_none_match_is_answered_with_304(api: Api, table: ConversationTable) -> None:
    put(table, DOCUMENTED)
    whole = api.get()
    tag = whole.headers["etag"]
    for coding in ("identity", "gzip", "zstd"):
        same = api.get(headers={"If-None-Match": tag, "Accept-Encoding": coding})
        assert (same.status, same.body) == (304, b"")
        assert same.headers == {k: v for k, v in whole.headers.items() if k != "content-type"}
    put(table, conversation(id="new"))
    changed = api.get(headers={"If-None-Match": tag})
    assert changed.status == 200
    assert changed.headers["etag"] != tag


def test_time_that_runs_out_cuts_a_page_and_refuses_a_whole_list(
    monkeypatch: pytest.MonkeyPatch, output: Callable[[], str]
) -> None:
    answers = [
        {"Items": [item(1)], "LastEvaluatedKey": after(1)},
        {"Items": [], "LastEvaluatedKey": after(2)},
    ]
    api = answering(monkeypatch, *answers)
    cut = api.get(limit="10", context=Context(28, 10))
    assert cut.ids == ["c1"]
    assert cut.cursor
    assert "WholeListBytes" not in output()  # it is about lists that cannot be cut
    follow = answering(monkeypatch, {"Items": [item(3)]})
    assert follow.get(limit="10", cursor=cut.cursor).ids == ["c3"]
    api = answering(monkeypatch, *answers)
    detail = assert_problem(api.get(context=Context(28, 10)), 413, "response_too_large")
    assert '"WholeListBytes":[6291456.0]' in output()
    assert "limit" in detail


def test_time_that_runs_out_within_a_read_cuts_a_page_and_refuses_a_whole_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = {"Items": [item(number) for number in range(5)]}
    cut = answering(monkeypatch, answer).get(limit="10", context=Context(28, 28, 1))
    assert cut.ids == ["c0", "c1", "c2"]
    assert cut.cursor
    shortest = answering(monkeypatch, answer).get(limit="10", context=Context(0))
    assert shortest.ids == ["c0"]  # there is always progress
    whole = answering(monkeypatch, answer).get(context=Context(28, 28, 1))
    assert_problem(whole, 413, "response_too_large")


def test_a_list_that_fits_only_compressed_is_a_304_without_compression_too(
    api: Api, table: ConversationTable
) -> None:
    message = DOCUMENTED["messages"][0] | {"message": "a" * 2_500_000}
    put(table, *(conversation(id=str(number), messages=[message]) for number in range(4)))
    whole = api.get(headers={"Accept-Encoding": "zstd"})
    assert whole.headers["content-encoding"] == "zstd"
    assert len(whole.ids) == 4
    zipped = api.get(headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert zipped.body == whole.body
    assert_problem(api.get(), 413, "response_too_large")
    tag = whole.headers["etag"]
    assert zipped.headers["etag"] == tag
    same = api.get(headers={"If-None-Match": tag})
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", tag)
    for other in ('"other"', "*"):
        assert_problem(api.get(headers={"If-None-Match": other}), 413, "response_too_large")
    # A page is cut where it is without the condition, so its own ETag holds.
    page = api.get(limit="4")
    assert len(page.ids) == 2
    assert api.get(limit="4", headers={"If-None-Match": page.headers["etag"]}).status == 304


def test_a_page_that_time_cuts_to_nothing_links_on(monkeypatch: pytest.MonkeyPatch) -> None:
    api = answering(monkeypatch, {"Items": [], "LastEvaluatedKey": after(2)})
    empty = api.get(limit="10", agentId="rare", context=Context(1))
    assert empty.ids == []
    assert empty.cursor


def test_the_link_repeats_the_address_as_the_client_used_it(
    api: Api, table: ConversationTable
) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    since = "2024-12-01T10:45:00+02:00"
    link = api.get(limit="2", createdAtGe=since, sort="createdAt").headers["link"]
    address = "https://a1b2c3d4e5.execute-api.us-east-1.amazonaws.com/prod/v1/api/conversations"
    assert link.startswith(
        f"<{address}?limit=2&createdAtGe=2024-12-01T10%3A45%3A00%2B02%3A00&sort=createdAt&cursor="
    )
    assert link.endswith('>; rel="next"')


def test_behind_another_gateway_the_link_names_the_public_address(
    api: Api, table: ConversationTable
) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    event = json.loads((EVENTS / "list.json").read_text())
    event["requestContext"]["authorizer"] = api.authorizer
    event["stageVariables"] = {"publicUrl": "https://www.example.com/chat"}
    event["headers"] |= {"X-Forwarded-Host": "other.example"}
    event["multiValueHeaders"] |= {"X-Forwarded-Host": ["other.example"]}
    event["queryStringParameters"] = {"limit": "2"}
    event["multiValueQueryStringParameters"] = {"limit": ["2"]}
    # Without the stage's /prod, which CloudFront or a domain's mapping adds.
    address = "https://www.example.com/chat/v1/api/conversations"
    assert play(event).headers["link"].startswith(f"<{address}?limit=2&cursor=")


def test_no_header_writes_into_the_link(api: Api, table: ConversationTable) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    expected = api.get(limit="2").headers["link"]
    host = "a1b2c3d4e5.execute-api.us-east-1.amazonaws.com"
    spoofed: tuple[dict[str, str | list[str]], ...] = (
        {"Host": [host, 'x/>; rel="x", <https://other.example'], "host": "other.example"},
        {"Host": [host, "other.example"]},
        {"Host": 'other.example/>; rel="x", <https://other.example'},
        {"X-Forwarded-Proto": 'x://other.example/>; rel="x", <https'},
        {"X-Forwarded-Proto": ["http", "https"]},
        {"X-Forwarded-Host": "other.example", "Forwarded": "host=other.example"},
    )
    for headers in spoofed:
        assert api.get(limit="2", headers=headers).headers["link"] == expected


@pytest.mark.parametrize("domain", ['x/>; rel="x", <https://other.example', "", None])
def test_without_a_valid_host_the_link_is_relative(
    api: Api, table: ConversationTable, domain: str | None
) -> None:
    put(table, *(conversation(id=str(number)) for number in range(3)))
    event = json.loads((EVENTS / "list.json").read_text())
    event["requestContext"] |= {"domainName": domain, "authorizer": api.authorizer}
    if domain is None:  # an emulator may leave it out
        del event["requestContext"]["domainName"]
    event["multiValueHeaders"]["Host"] = ["a.example", 'x/>; rel="x", <https://other.example']
    event["headers"]["Host"] = "a.example"
    event["queryStringParameters"] = {"limit": "2"}
    event["multiValueQueryStringParameters"] = {"limit": ["2"]}
    link = play(event).headers["link"]
    assert link.startswith("</prod/v1/api/conversations?limit=2&cursor=")
    assert link.count("<") == 1


def test_a_cursor_of_another_user_is_refused(api: Api, table: ConversationTable) -> None:
    for user in (USER, "other"):
        put(table, *(conversation(id=str(number), userId=user) for number in range(3)))
    cursor = Api("other").get(limit="1").cursor
    assert cursor
    assert_problem(api.get(limit="1", cursor=cursor), 400, "invalid_cursor")


def test_messages_are_cut_before_the_response_is_measured(
    api: Api, table: ConversationTable
) -> None:
    first, last = ({**DOCUMENTED["messages"][0], "_id": id_} for id_ in "ab")
    put(table, conversation(messages=[first, last]))
    assert api.get(messages="all").json[0]["messages"] == [first, last]
    assert api.get(messages="last").json[0]["messages"] == [last]
    assert api.get(messages="none").json[0]["messages"] == []


# tombstones

DELETED = "2025-01-01T00:00:00.123Z"


def tombstone(id_: str) -> dict[str, str]:
    return {"_id": id_, "updatedAt": DELETED, "deletedAt": DELETED}


@pytest.fixture
def buried(table: ConversationTable) -> list[dict[str, Any]]:
    """Three conversations, the second of which is deleted."""
    stored = [conversation(id=id_, createdAt=f"2024-12-0{id_}T00:00:00Z") for id_ in "123"]
    stored[1] |= {"agentId": "a", "pathwayId": "p"}
    put(table, *stored)
    bury(table, stored[1], at=DELETED)
    return stored


def test_a_tombstone_is_shown_to_who_asks_for_it_only(
    api: Api, buried: list[dict[str, Any]]
) -> None:
    queries: list[dict[str, Any]] = [{}, {"deleted": "exclude"}, {"limit": "2"}]
    for query in queries:
        answer = api.get(**query)
        assert answer.json == [buried[2], buried[0]]
        assert "link" not in answer.headers
    shown = json.dumps([tombstone("2")], separators=(",", ":")).encode()
    for messages in ("all", "last", "none"):
        listed = api.get(deleted="include", messages=messages)
        assert listed.ids == ["3", "2", "1"]
        assert shown[1:-1] in listed.body


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "321"),
        ({"sort": "createdAt"}, "123"),
        ({"sort": "updatedAt"}, "132"),
        ({"sort": "-updatedAt"}, "231"),
        ({"agentId": "a", "pathwayId": "p"}, "2"),
        ({"agentId": "b"}, ""),
        ({"createdAtGe": "2024-12-02T00:00:00Z"}, "32"),
        ({"createdAtLt": "2024-12-02T00:00:00Z", "sort": "updatedAt"}, "1"),
        ({"updatedAtGe": DELETED}, "2"),
        ({"updatedAtLt": DELETED}, "31"),
        ({"updatedAtGe": DELETED, "sort": "updatedAt"}, "2"),
    ],
)
@pytest.mark.usefixtures("buried")
def test_tombstones_keep_their_place_in_order_filters_and_pages(
    api: Api, query: dict[str, Any], ids: str
) -> None:
    assert api.get(deleted="include", **query).ids == list(ids)
    pages = api.pages(deleted="include", limit="1", **query)
    assert [page.ids for page in pages] == [[id_] for id_ in ids] or [[]]
    assert api.get(**query).ids == [id_ for id_ in ids if id_ != "2"]


@pytest.mark.usefixtures("buried")
def test_an_etag_and_a_cursor_tell_lists_with_tombstones_from_those_without(api: Api) -> None:
    tags = {api.get(deleted=deleted).headers["etag"] for deleted in ("include", "exclude")}
    assert len(tags) == 2
    for tag in tags:
        statuses = {
            api.get(deleted=deleted, headers={"If-None-Match": tag}).status
            for deleted in ("include", "exclude")
        }
        assert statuses == {200, 304}
    cursor = api.get(limit="1", deleted="include").cursor
    assert_problem(api.get(limit="1", cursor=cursor), 400, "invalid_cursor")
    plain = api.get(limit="1").cursor
    assert_problem(api.get(limit="1", deleted="include", cursor=plain), 400, "invalid_cursor")
    assert api.get(limit="1", deleted="exclude", cursor=plain).ids == ["1"]


STONE: dict[str, Any] = {
    "deletedAt": {"S": DELETED},
    "expiresAt": {"N": "1743465600"},
    "updatedKey": {"S": f"{DELETED}#x"},
}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in STONE.items() if key != name}


@pytest.mark.parametrize(
    "attributes",
    [
        without("deletedAt"),
        without("expiresAt"),
        without("updatedKey"),
        STONE | {"document": {"S": json.dumps(conversation(id="x"))}},
        STONE | {"document": {"B": b"secret text"}},
        STONE | {"deletedAt": {"N": "1735689600"}},
        STONE | {"deletedAt": {"S": ""}},
        STONE | {"deletedAt": {"S": "2025-01-01T00:00:00Z"}},
        STONE | {"deletedAt": {"S": "2025-01-01T01:00:00.123+01:00"}},
        STONE | {"updatedKey": {"S": "2025-01-01T00:00:00.124Z#x"}},
    ],
)
def test_what_is_neither_a_conversation_nor_a_tombstone_is_an_unreadable_conversation(
    dynamodb: Any, api: Api, output: Callable[[], str], attributes: dict[str, Any]
) -> None:
    stored = damaged()
    dynamodb.put_item(TableName="ConversationsTable", Item={**stored, **STONE})
    assert api.get().ids == []
    assert api.get(deleted="include").ids == ["x"]
    keys = {name: stored[name] for name in ("pk", "sk")}
    dynamodb.put_item(TableName="ConversationsTable", Item={**keys, **attributes})
    for deleted in ("include", "exclude"):
        output()
        assert_problem(api.get(deleted=deleted), 500, "internal_error")
        assert '"item_key"' in output()


def test_an_expiry_left_behind_hides_no_conversation(dynamodb: Any, api: Api) -> None:
    text = json.dumps(conversation(id="x"))
    left = {"expiresAt": STONE["expiresAt"], "document": {"S": text}}
    dynamodb.put_item(TableName="ConversationsTable", Item=damaged(**left))
    assert api.get().ids == api.get(deleted="include").ids == ["x"]


def test_tombstones_count_where_a_list_is_too_large(
    api: Api, table: ConversationTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(table, *(conversation(id=f"c{number:02}") for number in range(60)), at=DELETED)
    monkeypatch.setattr("handlers.response.MAX_ENVELOPE_BYTES", 4096)
    assert api.get().ids == []
    assert_problem(api.get(deleted="include"), 413, "response_too_large")
    pages = api.pages(deleted="include", limit="60")
    assert len(pages) > 1
    assert len({id_ for page in pages for id_ in page.ids}) == 60
