import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.caller import ID, WORKSPACE_ID, Caller
from domain.errors import InvalidCallerError, RequestError
from storage.items import partition_key, partition_of

users = st.from_regex(ID, fullmatch=True)
workspaces = st.from_regex(WORKSPACE_ID, fullmatch=True)


@given(users, st.frozensets(workspaces, max_size=5))
def test_a_caller_survives_the_authorizer_s_context(user: str, granted: frozenset[str]) -> None:
    caller = Caller(user, granted, "key_1")
    assert Caller.from_context(caller.to_context()) == caller


@pytest.mark.parametrize(
    "context",
    [
        None,
        {},
        [],
        "user",
        {"userId": "u", "workspaceIds": "w"},
        {"userId": None, "workspaceIds": "w", "keyId": "k"},
        {"userId": 1, "workspaceIds": "w", "keyId": "k"},
        {"userId": "", "workspaceIds": "w", "keyId": "k"},
        {"userId": "a#b", "workspaceIds": "w", "keyId": "k"},
        {"userId": "ü", "workspaceIds": "w", "keyId": "k"},
        {"userId": "u" * 129, "workspaceIds": "w", "keyId": "k"},
        {"userId": "u\n", "workspaceIds": "w", "keyId": "k"},
        {"userId": "u", "workspaceIds": ["w"], "keyId": "k"},
        {"userId": "u", "workspaceIds": "w#x", "keyId": "k"},
        {"userId": "u", "workspaceIds": "w,x", "keyId": "k"},
    ],
)
def test_an_absent_or_odd_context_is_nobody(context: object) -> None:
    with pytest.raises(InvalidCallerError):
        Caller.from_context(context)


@given(users, workspaces, workspaces)
def test_only_a_granted_workspace_has_a_partition(user: str, granted: str, asked: str) -> None:
    caller = Caller(user, frozenset({granted}), "key_1")
    if asked == granted:
        assert partition_of(caller, asked) == f"{asked}#{user}"
    else:
        with pytest.raises(RequestError):
            partition_of(caller, asked)


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_no_mix_of_ids_makes_the_partition_of_another(w1: str, u1: str, w2: str, u2: str) -> None:
    keys = []
    for workspace, user in ((w1, u1), (w2, u2)):
        try:
            keys.append(partition_key(workspace, user))
        except ValueError:
            return
    assert (keys[0] == keys[1]) == ((w1, u1) == (w2, u2))


@pytest.mark.parametrize(
    ("workspace", "user"),
    [
        ("demo#x", "y"),
        ("demo", "x#y"),
        ("", "u"),
        ("w" * 65, "u"),
        ("w", ""),
        ("w", "é"),
        ("w\n", "u"),
    ],
)
def test_an_identifier_that_could_forge_a_key_is_refused(workspace: str, user: str) -> None:
    with pytest.raises(ValueError, match="an identifier must match"):
        partition_key(workspace, user)
