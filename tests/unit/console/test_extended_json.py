"""Extended JSON → JSON."""

import json
from itertools import pairwise
from typing import Any

import pytest

from console.extended_json import MalformedValueError, plain

NUMBERS = ("$numberInt", "$numberLong", "$numberDouble", "$numberDecimal")
INSTANT = "2024-12-01T08:45:00.123Z"


@pytest.mark.parametrize(
    ("extended", "expected"),
    [
        ({"$oid": "675c8e368824aa5f130b94d6"}, "675c8e368824aa5f130b94d6"),
        ({"$oid": "675C8E368824AA5F130B94D6"}, "675c8e368824aa5f130b94d6"),
        ({"$date": {"$numberLong": "1733042700123"}}, INSTANT),
        ({"$date": 1733042700123}, INSTANT),
        ({"$date": INSTANT}, INSTANT),
        ({"$date": "2024-12-01T09:45:00.123+01:00"}, INSTANT),
        ({"$date": "2024-12-01T09:45:00.123+0100"}, INSTANT),
        ({"$date": "2024-12-01T08:45:00Z"}, "2024-12-01T08:45:00.000Z"),
        ({"$date": {"$numberLong": "-1"}}, "1969-12-31T23:59:59.999Z"),
        ({"$date": {"$numberLong": "-62135596800000"}}, "0001-01-01T00:00:00.000Z"),
        ({"$date": {"$numberLong": "253402300799999"}}, "9999-12-31T23:59:59.999Z"),
        ({"$numberInt": "-7"}, -7),
        ({"$numberLong": "9007199254740993"}, 9007199254740993),
        ({"$numberDouble": "1.5"}, 1.5),
        ({"$numberDecimal": "0.10"}, "0.10"),
        ({"$uuid": "6f2a1c9e-0b0d-4d1e-8f3a-3c2b1a0d9e8f"}, "6f2a1c9e-0b0d-4d1e-8f3a-3c2b1a0d9e8f"),
        ({"$binary": {"base64": "AP8=", "subType": "00"}}, "AP8="),
        (
            {"$binary": {"base64": "byocngsNTR6POjwrGg2ejw==", "subType": "04"}},
            "6f2a1c9e-0b0d-4d1e-8f3a-3c2b1a0d9e8f",
        ),
        ({"$binary": "AP8=", "$type": "00"}, "AP8="),
        ({"$symbol": "s"}, "s"),
        ({"$code": "c"}, "c"),
        ({"$unknown": 1}, {"$unknown": 1}),
        ({"price": {"$numberInt": "1"}, "$oid": "x"}, {"price": 1, "$oid": "x"}),
        ([{"a": [{"$numberInt": "1"}]}], [{"a": [1]}]),
        ({}, {}),
        ("$oid", "$oid"),
    ],
)
def test_extended_json_becomes_plain(extended: object, expected: object) -> None:
    converted = plain(extended)
    assert converted == expected
    json.dumps(converted)
    assert type(converted) in (bool, dict, float, int, list, str)


def test_every_millisecond_survives() -> None:
    spelled = [plain({"$date": f"2024-12-01T08:45:00.{ms:03}Z"}) for ms in range(1000)]
    assert spelled == [plain({"$date": 1733042700000 + ms}) for ms in range(1000)]
    assert all(earlier < later for earlier, later in pairwise(spelled))


@pytest.mark.parametrize(
    "extended",
    [
        {"$oid": "xyz"},
        {"$oid": 5},
        {"$oid": None},
        {"$code": "c", "$scope": {}},
        {"$oid": "675c8e368824aa5f130b94d6", "more": 1},
        {"$date": "yesterday"},
        {"$date": ""},
        {"$date": True},
        {"$numberLong": True},
        {"$numberLong": 5.7},
        {"$date": None},
        {"$date": {"$numberLong": "253402300800000"}},
        {"$date": {"$numberLong": "99999999999999999999"}},
        {"$numberLong": "soon"},
        {"$numberInt": "1.5"},
        *({kind: text} for kind in NUMBERS for text in ("1_0", "٣", " 1", "1\n", "")),
        {"$date": "2024-12-01T0٣:45:00Z"},
        {"$date": "2024-12-01T08:45:00.1_0Z"},
        {"$date": "2024-12-01T08:45:00+0٣:00"},
        {"$uuid": "6f2a1c9e-0b0d-4d1e-8f3a-3c2b1a0d9e_f"},
        {"$uuid": "٣f2a1c9e-0b0d-4d1e-8f3a-3c2b1a0d9e8f"},
        {"$oid": "675c8e368824aa5f130b94_6"},
        {"$oid": "675c8e368824aa5f130b 4d6"},
        {"$binary": {"base64": "AP8=", "subType": "٤"}},
        {"$binary": "AP8=", "$type": "0_4"},
        {"$numberDecimal": "ten"},
        {"$binary": {"base64": "!", "subType": "zz"}},
        {"$binary": {"base64": "!!!", "subType": "00"}},
        {"$binary": "A*P8=", "$type": "00"},
        {"$binary": "AP8=", "$type": "00", "note": "more"},
        {"$uuid": "x"},
        {"$minKey": 1},
        {"$maxKey": 1},
        {"$undefined": True},
        {"$regularExpression": {"pattern": "a", "options": ""}},
        {"$timestamp": {"t": 1, "i": 1}},
        {"$ref": "users", "$id": {"$oid": "675c8e368824aa5f130b94d6"}},
    ],
)
def test_what_json_has_nothing_for_is_refused_without_its_content(extended: dict[str, Any]) -> None:
    with pytest.raises(MalformedValueError) as caught:
        plain({"a": [extended]})
    kind = next(iter(extended))
    scope = " with a $scope" if "$scope" in extended else ""
    assert str(caught.value) in (
        f"a {kind} is malformed",
        f"a {kind}{scope} has no counterpart in JSON",
    )
