"""Turns Extended JSON, which MongoDB's tools write, into plain JSON."""

import re
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any
from uuid import UUID

from bson import Binary, Code, Decimal128, ObjectId
from bson.errors import BSONError
from bson.json_util import JSONOptions, object_hook

_OPTIONS = JSONOptions(tz_aware=True)
# Of numbers, times and ids. Python's constructors, which bson calls, also ignore underscores and
# spaces, and read the digits of every script.
_SPELLED = re.compile("[!-^`-~]*")
_KINDS = ("$date", "$numberDecimal", "$numberDouble", "$numberInt", "$numberLong", "$uuid")


class MalformedValueError(ValueError):
    """A value of Extended JSON is malformed, or has no counterpart in JSON."""


def plain(value: Any) -> Any:
    """Convert Extended JSON v2, canonical or relaxed, to the JSON of the API.

    ObjectIds and UUIDs become their usual text; dates become RFC 3339 in UTC with milliseconds;
    numbers stay numbers; decimals become text with all digits; binary data becomes base64.

    Raises:
        MalformedValueError: a value is malformed, or its type has no counterpart in JSON.
    """
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    converted = {
        name: plain(item) if isinstance(item, dict | list) else item for name, item in value.items()
    }
    kind = next(iter(converted), "")
    return _json_of(kind, converted) if kind.startswith("$") else converted


def _json_of(kind: str, value: dict[str, Any]) -> Any:
    try:
        _check(value)
        match object_hook(value, _OPTIONS):
            case datetime() as moment:
                return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"
            case Code(scope=dict()):
                kind += " with a $scope"
            case float() | str() as same:  # Code is a str
                return str(same) if isinstance(same, str) else same
            case int() as number:  # Int64 is one
                return int(number)
            case ObjectId() | UUID() | Decimal128() as named:
                return str(named)
            case Binary(subtype=4) as uuid:
                return str(uuid.as_uuid())
            case bytes() as data:
                return b64encode(data).decode()
            case dict() as unknown:
                return unknown
    except (ArithmeticError, AttributeError, BSONError, LookupError, TypeError, ValueError):
        raise MalformedValueError(f"a {kind} is malformed") from None
    raise MalformedValueError(f"a {kind} has no counterpart in JSON")


def _check(value: dict[str, Any]) -> None:
    """Refuse values that bson would misread, or read only in part."""
    spelled = [value.get(kind) for kind in _KINDS]
    if "$oid" in value and not isinstance(value["$oid"], str):
        raise TypeError
    if isinstance(value.get("$date"), bool) or isinstance(value.get("$numberLong"), bool | float):
        raise TypeError
    if "$binary" in value:
        if value.keys() - {"$binary", "$type"}:
            raise TypeError
        data, subtype = value["$binary"], value.get("$type")
        if isinstance(data, dict):
            data, subtype = data["base64"], data["subType"]
        b64decode(data, validate=True)
        spelled.append(subtype)
    if not all(_SPELLED.fullmatch(text) for text in spelled if isinstance(text, str)):
        raise ValueError
