# ruff: noqa: RUF001 - digits, dashes and blanks of many kinds
"""Which e-mail addresses and which phone numbers are the same."""

import subprocess
import sys
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contact import comparable_email, comparable_phone, digits_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gross@example.org", "groß@example.org"),
        ("strasse@example.org", "straße@example.org"),
        ("GROSS@example.org", "groß@example.org"),
        ("me@strasse.example", "me@straße.example"),
        ("sam@example.org", "ſam@example.org"),
        ("ﬁn@example.org", "fin@example.org"),  # a ligature
        ("ｍe@example.org", "me@example.org"),  # a wide letter
        ("x²@example.org", "x2@example.org"),
        ("Irem@example.org", "İrem@example.org"),
        ("m e@example.org", "me@example.org"),
        ("m.e@example.org", "me@example.org"),
    ],
)
def test_addresses_that_only_look_alike_are_two(one: str, other: str) -> None:
    assert comparable_email(one) != comparable_email(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Me@Example.COM", "me@example.com"),
        (" me@example.com\r\n", "me@example.com"),
        ("\u00a0me@example.com\u3000", "me@example.com"),
        ("jose\u0301@example.com", "JOSÉ@example.com"),
        ("GROẞ@example.org", "groß@example.org"),
        ("J\u030c@example.org", "\u01f0@example.org"),
    ],
)
def test_case_composition_and_blanks_around_make_no_other_address(one: str, other: str) -> None:
    assert comparable_email(one) == comparable_email(other)


@given(st.text())
def test_the_form_of_an_address_is_its_own_and_that_of_its_decomposition(text: str) -> None:
    form = comparable_email(text)
    assert form == comparable_email(normalize("NFD", text))
    assert form is None or form == comparable_email(form)


def test_a_blank_address_is_none() -> None:
    assert comparable_email(" \t\n") is comparable_email("") is None


@pytest.mark.parametrize(
    "phone",
    [
        "4930123",
        "+4930123",
        " 49 30 123",  # a `+` that arrived as a blank
        "+49 (30) 123",
        "(+49) 30/1-2.3",
        "＋４９（３０）１２３",
        "+49\u00a030\u202f123",  # blanks that do not break
        "\t+49\n30\r123",
        "+49‐30‑1–2—3",  # dashes
        "+49−30﹣1－23",  # minus signs
        "+49·30․1．2。3",  # dots
        "49⁄30∕1／23",  # slashes
        "\u202a+49 30\u200b123\u202c",  # as copied from a phone's contacts
        "\ufeff+49\u00ad30\u2060123",
        "٤٩٣٠١٢٣",
        "۴۹۳۰۱۲۳",
        "𝟒𝟗𝟑𝟎𝟏𝟐𝟑",
        "४९३०१२३",
    ],
)
def test_spellings_of_a_number_are_the_same(phone: str) -> None:
    assert comparable_phone(phone) == "4930123"


def test_another_prefix_is_another_number() -> None:
    assert comparable_phone("0049 30 123") == "004930123" != comparable_phone("+49 30 123")
    assert comparable_phone("030 123") == "030123" != comparable_phone("30 123")


@pytest.mark.parametrize(
    "phone",
    [
        *("49 30 123 (home)", "+49 30 123 ext. 5", "+49 30 123, +49 30 124", "49 30+123"),
        *("+49 30 123;124", "tel:+4930123", "4930123#", "49*30123", "49_30123", "49\\30123"),
        *("4930123²", "①4930123", "4930123½", "⑴4930123", "一4930123", "1️⃣4930123", "49:30123"),
        *("\x004930123", "\x1b4930123", "4930123\x7f", "me@4930123", "4930123\ud800"),
    ],
)
def test_what_is_not_only_a_number_cannot_be_compared_but_has_digits(phone: str) -> None:
    assert comparable_phone(phone) is None
    assert "4930123" in digits_of(phone)


@pytest.mark.parametrize("phone", ["", " ", "+", "-", "()", "\u200e", "none"])
def test_without_a_digit_there_is_no_number(phone: str) -> None:
    assert comparable_phone(phone) is None


@given(st.text())
def test_a_number_that_can_be_compared_is_all_of_its_digits(phone: str) -> None:
    assert comparable_phone(phone) in (None, digits_of(phone))
    assert comparable_phone(digits_of(phone)) == (digits_of(phone) or None)


def test_the_comparison_imports_nothing_that_the_read_path_lacks() -> None:
    check = "import sys; import domain.contact; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, check=True, text=True)
    loaded = run.stdout.split()
    assert "domain.contact" in loaded
    assert not {"pydantic", "boto3", "typer"} & set(loaded)
