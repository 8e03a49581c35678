"""Timestamps: RFC 3339 with an offset, kept as text, compared as instants."""

import re
from datetime import UTC, datetime

_LOCAL = r"^\d{4}-\d{2}-\d{2}[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?"
# RFC 3339, section 5.6, without leap seconds: the form that parameters must have.
RFC_3339 = rf"{_LOCAL}([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
# Also read: offsets such as +0000 and +00 (ISO 8601), which some generated clients send.
READABLE = rf"{_LOCAL}([Zz]|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)$"
_PATTERN = re.compile(READABLE, re.ASCII)


def to_utc(text: str) -> str:
    """The timestamp in UTC with `Z`. One that already has this form is returned unchanged.

    A leap second, which `datetime` cannot represent, becomes the second before.

    Raises:
        ValueError: the text is not an RFC 3339 timestamp, or its date does not exist.
    """
    is_leap_second = text[16:19] == ":60"
    if is_leap_second:
        text = f"{text[:16]}:59{text[19:]}"
    if not (match := _PATTERN.fullmatch(text)):
        raise ValueError("must be an RFC 3339 timestamp with an offset")
    try:
        moment = datetime.fromisoformat(text[:19] + match[3].upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("must be a date that exists, from the year 0001 to 9999 in UTC") from None
    if is_leap_second and (moment.hour, moment.minute) != (23, 59):
        raise ValueError("must be a time that exists; a leap second is at 23:59:60 UTC")
    return f"{moment.isoformat()[:19]}{match[2] or ''}Z"


def to_instant(text: str) -> str:
    """The timestamp in UTC, cut to milliseconds (`2024-12-01T08:45:00.000Z`): sorts as text.

    Raises:
        ValueError: as `to_utc`.
    """
    utc = to_utc(text)
    return f"{utc[:19]}.{utc[20:-1]:0<3.3}Z"


def now() -> str:
    """The current time, in the form of `to_instant`."""
    return spell(datetime.now(UTC))


def spell(moment: datetime) -> str:
    """A time in UTC, in the form of `to_instant`."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
