import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_key import ApiKey, generate, hash_of, is_well_formed

KEY = "tk_DemoKeyOfTheDocumentedUser4IfRzy"


def test_generated_keys_are_well_formed_and_differ() -> None:
    keys = {generate() for _ in range(100)}
    assert len(keys) == 100
    assert all(re.fullmatch("tk_[0-9A-Za-z]{32}", key) and is_well_formed(key) for key in keys)


@given(st.integers(0, len(KEY) - 1), st.characters(codec="utf-8"))
def test_a_key_with_one_wrong_character_is_malformed(place: int, character: str) -> None:
    key = KEY[:place] + character + KEY[place + 1 :]
    assert is_well_formed(key) == (key == KEY)


@pytest.mark.parametrize(
    "key", ["", "tk_", KEY[:-1], KEY + "0", KEY + "\n", " " + KEY, KEY.lower()]
)
def test_what_is_not_spelled_as_a_key_is_malformed(key: str) -> None:
    assert not is_well_formed(key)


def test_a_key_is_stored_as_its_sha_256() -> None:
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "active"),
    [
        (None, None, True),
        ("2024-01-02T00:00:00.001Z", None, True),
        ("2024-01-02T00:00:00.000Z", None, False),
        (None, "2024-01-02T00:00:00.000Z", False),
        (None, "2024-01-03T00:00:00.000Z", True),
        ("2024-01-03T00:00:00.000Z", "2024-01-01T00:00:00.000Z", False),
    ],
)
def test_a_key_is_active_until_it_expires_or_is_revoked(
    expires_at: str | None, revoked_at: str | None, *, active: bool
) -> None:
    key = ApiKey(
        "hash", "key_1", "user", frozenset(), "2024-01-01T00:00:00.000Z", expires_at, revoked_at
    )
    assert key.is_active("2024-01-02T00:00:00.000Z") is active
