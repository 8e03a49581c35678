import pytest

from domain.sync import Round

START = "2024-12-01T08:45:00.000Z"


def test_a_first_round_lists_everything_and_its_copy_ages_from_a_minute_before_it() -> None:
    assert Round.first("2024-12-01T00:00:30.000Z") == Round(
        lower="", day="2024-11-30", start="2024-12-01T00:00:30.000Z"
    )


@pytest.mark.parametrize(
    ("lower", "newest", "expected"),
    [
        # A minute before the newest that was listed, or before the start if that is earlier.
        ("", "2024-12-01T08:00:00.000Z#a", "2024-12-01T07:59:00.000Z"),
        ("", "2025-12-01T08:00:00.000Z#a", "2024-12-01T08:44:00.000Z"),
        # Never before the round's own lower bound, which a round that lists nothing keeps.
        ("2024-12-01T07:59:30.000Z", "2024-12-01T08:00:00.000Z#a", "2024-12-01T07:59:30.000Z"),
        ("2024-12-01T07:59:30.000Z", None, "2024-12-01T07:59:30.000Z"),
        ("", None, ""),
        # No time is before the year 1.
        ("", "0001-01-01T00:00:59.999Z#a", "0001-01-01T00:00:00.000Z"),
        # What is no instant counts as the start.
        ("", "yesterday", "2024-12-01T08:44:00.000Z"),
        ("", "2024-12-01T08:00:00Z#abcdef", "2024-12-01T08:44:00.000Z"),
        ("", "2024-02-30T08:00:00.000Z#a", "2024-12-01T08:44:00.000Z"),
        ("", "", "2024-12-01T08:44:00.000Z"),
    ],
)
def test_the_next_round_begins_a_minute_before_what_this_one_has_surely_seen(
    lower: str, newest: str | None, expected: str
) -> None:
    assert Round(lower, "2024-11-30", START).following(newest) == (expected, "2024-12-01")


@pytest.mark.parametrize(
    ("now", "expired"),
    [
        ("2024-12-01T08:45:00.000Z", False),
        ("2025-02-27T23:59:59.999Z", False),
        ("2025-02-28T00:00:00.000Z", True),  # 89 days after the day
        ("2026-01-01T00:00:00.000Z", True),
    ],
)
def test_a_copy_expires_89_days_after_the_day_of_the_round_before(now: str, expired: bool) -> None:
    assert Round("", "2024-12-01", START).is_expired(now) == expired


@pytest.mark.parametrize(
    ("lower", "day", "start"),
    [
        ("x", "2024-12-01", START),
        ("", "2024-13-01", START),
        ("", "20241201", START),
        ("", "", START),
        ("", "2024-12-01", "now"),
        ("", "2024-12-01", "2024-12-01T08:45:00Z"),
        ("2024-12-01T08:45:00+00:00", "2024-12-01", START),
    ],
)
def test_a_round_with_a_malformed_time_is_refused(lower: str, day: str, start: str) -> None:
    with pytest.raises(ValueError):
        Round(lower, day, start)
