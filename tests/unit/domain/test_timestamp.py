from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.timestamp import now, to_instant, to_utc


@pytest.mark.parametrize(
    "text",
    ["2024-12-01T08:45:00Z", "2024-12-01T08:45:00.1Z", "2024-02-29T23:59:59.123456789Z"],
)
def test_a_spelling_with_z_is_kept(text: str) -> None:
    assert to_utc(text) == text


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-12-01T10:45:00+02:00", "2024-12-01T08:45:00Z"),
        ("2024-12-31T23:30:00.5000-01:00", "2025-01-01T00:30:00.5000Z"),
        ("2024-12-01T08:45:00-00:00", "2024-12-01T08:45:00Z"),
        ("2024-12-01t08:45:00z", "2024-12-01T08:45:00Z"),
        ("2024-12-01T08:45:00.000000+0000", "2024-12-01T08:45:00.000000Z"),
        ("2024-12-01T10:15:00+0130", "2024-12-01T08:45:00Z"),
        ("2024-12-01T03:45:00-05", "2024-12-01T08:45:00Z"),
        ("0999-01-01T00:00:00+00:00", "0999-01-01T00:00:00Z"),
    ],
)
def test_another_offset_is_rewritten_to_utc(text: str, utc: str) -> None:
    assert to_utc(text) == utc


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2017-01-01T05:29:60.25+05:30", "2016-12-31T23:59:59.25Z"),
    ],
)
def test_a_leap_second_is_read_as_the_second_before(text: str, utc: str) -> None:
    assert to_utc(text) == utc


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2024-12-01T08:45:00Z", "2024-12-01T08:45:00.000Z"),
        ("2024-12-01T08:45:00.9999Z", "2024-12-01T08:45:00.999Z"),
        ("2024-12-01T08:45:00.1Z", "2024-12-01T08:45:00.100Z"),
        ("2024-12-01T10:45:00.12+02:00", "2024-12-01T08:45:00.120Z"),
    ],
)
def test_an_instant_is_cut_to_milliseconds(text: str, instant: str) -> None:
    assert to_instant(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1700000000",
        "-1",
        "2024-12-01",
        "2024-12-01 08:45:00Z",
        "2024-12-01T08:45:00",
        "2024-12-01T08:45Z",
        "2024-12-01T08:45:00.Z",
        "2024-12-01T08:45:00,5Z",
        "2024-12-01T24:00:00Z",
        "2024-12-01T08:60:00Z",
        "2024-12-01T23:58:60Z",  # a leap second ends a day in UTC
        "2024-12-01T23:59:60+01:00",
        "2024-12-01T23:59:61Z",
        "2024-12-01T08:45:00+24:00",
        "2024-12-01T08:45:00+2",
        "2024-12-01T08:45:00+24",
        "2024-12-01T08:45:00+0260",
        "2024-12-01T08:45:00+02:0",
        "2024-12-01T08:45:00+020000",
        "2024-12-01T08:45:00Z00",
        "2024-13-01T08:45:00Z",
        "2023-02-29T08:45:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:00",
        "9999-12-31T23:59:59-00:01",
        "2024-12-01T08:45:00Z\n",
        " 2024-12-01T08:45:00Z",
        "\uff12\uff10\uff12\uff14-12-01T08:45:00Z",
        "20241201T084500Z",
        "+2024-12-01T08:45:00Z",
    ],
)
def test_what_is_no_strict_rfc_3339_timestamp_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        to_utc(text)


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)


@given(moments, moments)
def test_instants_sort_as_the_moments_that_they_stand_for(
    first: datetime, second: datetime
) -> None:
    instants = [to_instant(moment.isoformat(timespec="microseconds")) for moment in (first, second)]
    cut = [
        moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
        for moment in (first, second)
    ]
    assert (instants[0] < instants[1]) == (cut[0] < cut[1])
    assert [datetime.fromisoformat(instant) for instant in instants] == cut


def test_now_is_spelled_as_an_instant() -> None:
    moment = now()
    assert to_instant(moment) == moment
    assert abs(datetime.fromisoformat(moment) - datetime.now(UTC)) < timedelta(minutes=1)
