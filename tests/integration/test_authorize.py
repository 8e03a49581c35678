"""The authorizer's handler against an embedded DynamoDB."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from console.tables.api_keys import IssuedKeys
from domain.api_key import ApiKey, generate, hash_of
from domain.caller import Caller
from domain.errors import StoreUnavailableError
from handlers import authorize
from storage.api_keys import ApiKeyTable
from tests.support.api import EVENTS, Context

KEY = generate()
LONG_AGO, FAR_AHEAD = "2024-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"


def issue(keys: IssuedKeys, **fields: Any) -> None:
    known = {"expires_at": None, "revoked_at": None} | fields
    granted = frozenset({"demo", "demo-busy"})
    keys.put(ApiKey(hash_of(KEY), "key_1", "user", granted, LONG_AGO, **known))


def authorized(headers: dict[str, str] | None) -> dict[str, Any]:
    event = json.loads((EVENTS / "authorize_good_key.json").read_text())
    return authorize.handler(event | {"headers": headers}, cast("Any", Context()))


def statement(answer: dict[str, Any]) -> dict[str, str]:
    (only,) = answer["policyDocument"]["Statement"]
    return cast("dict[str, str]", only)


def test_a_known_key_is_allowed_every_method_and_names_its_caller(keys: IssuedKeys) -> None:
    issue(keys)
    answer = authorized({"X-API-Key": KEY})
    assert answer["principalId"] == "user"
    assert statement(answer) == {
        "Action": "execute-api:Invoke",
        "Effect": "Allow",
        "Resource": "arn:aws:execute-api:us-east-1:123456789012:a1b2c3d4e5/prod/*",
    }
    caller = Caller("user", frozenset({"demo", "demo-busy"}), "key_1")
    assert Caller.from_context(answer["context"]) == caller
    assert all(isinstance(value, str) for value in answer["context"].values())


def test_unknown_expired_and_revoked_keys_get_one_answer(keys: IssuedKeys) -> None:
    issue(keys)
    answers = [authorized({"x-api-key": generate()})]
    for ended in ({"expires_at": LONG_AGO}, {"revoked_at": LONG_AGO}):
        issue(keys, **ended)
        answers.append(authorized({"x-api-key": KEY}))
    issue(keys, expires_at=FAR_AHEAD, revoked_at=FAR_AHEAD)
    assert statement(authorized({"x-api-key": KEY}))["Effect"] == "Allow"
    assert statement(answers[0])["Effect"] == "Deny"
    assert answers[0]["context"] == {}
    assert answers[1:] == answers[:1] * 2


@pytest.mark.parametrize("headers", [None, {}, {"x-api-key": ""}, {"x-api-key": KEY[:-1] + "!"}])
def test_a_malformed_key_is_denied_without_a_read(
    headers: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authorize, "table", lambda: pytest.fail("a read"))
    assert statement(authorized(headers))["Effect"] == "Deny"


GOOD = {"userId": {"S": "u"}, "keyId": {"S": "k"}, "workspaceIds": {"SS": ["demo"]}}


class CutOff:
    """A DynamoDB client whose answers are cut off on the way."""

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}


def test_an_answer_cut_off_is_a_failure_and_no_unknown_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cut_off: Any = CutOff()
    monkeypatch.setattr(authorize, "table", lambda: ApiKeyTable(cut_off, "table"))
    with pytest.raises(StoreUnavailableError):
        authorized({"x-api-key": KEY})


@pytest.mark.parametrize(
    "item",
    [
        {"userId": {"S": "user"}},
        {"userId": {"N": "1"}, "keyId": {"S": "k"}, "workspaceIds": {"SS": ["demo"]}},
        {"userId": {"S": "u"}, "keyId": {"S": "k"}, "workspaceIds": {"S": "demo"}},
        GOOD | {"expiresAt": {"N": "1"}},  # as for DynamoDB's own expiry
        GOOD | {"expiresAt": {"S": "never"}},
        GOOD | {"revokedAt": {"BOOL": True}},
        GOOD | {"userId": {"S": "a#b"}},  # could forge a partition
    ],
)
def test_a_malformed_item_is_a_failure_and_lets_nobody_in(
    dynamodb: Any, item: dict[str, Any], output: Callable[[], str]
) -> None:
    key = {"keyHash": {"S": hash_of(KEY)}, "createdAt": {"S": LONG_AGO}}
    dynamodb.put_item(TableName="ApiKeysTable", Item=key | item)
    with pytest.raises(StoreUnavailableError):
        authorized({"x-api-key": KEY})
    logged = json.loads(output())
    assert (logged["level"], logged["reason"]) == ("ERROR", "MalformedApiKey")
    assert logged["item_key"] == hash_of(KEY)[:8]


class Another:
    """A DynamoDB client that answers with another key than it was asked for."""

    def get_item(self, **_: Any) -> dict[str, Any]:
        item = GOOD | {"keyHash": {"S": hash_of("another")}, "createdAt": {"S": LONG_AGO}}
        return {"ConsumedCapacity": {"CapacityUnits": 0.5}, "Item": item}


def test_the_item_of_another_key_lets_nobody_in(monkeypatch: pytest.MonkeyPatch) -> None:
    another: Any = Another()
    monkeypatch.setattr(authorize, "table", lambda: ApiKeyTable(another, "table"))
    with pytest.raises(StoreUnavailableError):
        authorized({"x-api-key": KEY})


def test_the_log_names_the_key_by_its_id_only(keys: IssuedKeys, output: Callable[[], str]) -> None:
    issue(keys)
    authorized({"x-api-key": KEY})
    authorized({"x-api-key": generate()})
    logged = output()
    lines = [json.loads(line) for line in logged.splitlines()]
    assert [line["message"] for line in lines] == ["authorized", "denied"]
    assert lines[0]["key_id"] == "key_1"
    assert all(line["correlation_id"] for line in lines)
    assert "tk_" not in logged
    assert hash_of(KEY) not in logged
