"""Files of all layouts → records, damaged ones included; Extended JSON → JSON."""

import gzip
import io
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.console import records
from ops.console.records import MalformedValueError, UnreadableFileError, opened, plain, read
from tests.support.strategies import json_values

FIRST = {
    "_id": "1",
    "m": [{"_id": "x", "t": 'a}{"]\\'}, {"_id": "y"}],
    "s": "é\u2028 # line 3: x\n",
}
SECOND = {"_id": "2", "m": [], "n": {"a": [1.5, -2e3, True, None]}}
THIRD = {"_id": "3", "m": [[]], "s": "[{"}
ALL: list[dict[str, Any]] = [FIRST, SECOND, THIRD]
LAYOUTS: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda values: "".join(json.dumps(value) + "\n" for value in values),
    "raw lines": lambda values: "\r\n".join(json.dumps(v, ensure_ascii=False) for v in values),
    "one line": lambda values: " ".join(map(json.dumps, values)),
    "array": lambda values: json.dumps(values, separators=(",", ":")),
    "array in lines": lambda values: "[" + ",\n".join(map(json.dumps, values)) + "]\n",
    "array around lines": lambda values: "[\n" + "\n,".join(map(json.dumps, values)) + "\n]",
    "pretty": lambda values: "\n".join(json.dumps(value, indent="\t") for value in values),
    "pretty array": lambda values: json.dumps(values, indent=2),
    "mongoexport's pretty array": lambda values: (
        "[" + ",\n".join(json.dumps(value, indent="\t") for value in values) + "]\n"
    ),
}


def values_of(content: str | bytes) -> list[Any]:
    return [record.value for record in read_all(content)]


def read_all(content: str | bytes) -> list[records.Record]:
    return list(read(io.BytesIO(content.encode() if isinstance(content, str) else content)))


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_every_layout_is_read(layout: Callable[[list[Any]], str], count: int) -> None:
    values = (ALL * count)[:count]
    assert values_of(layout(values)) == values
    assert values_of("\ufeff" + layout(values)) == values
    assert values_of("\n \n" + layout(values)) == values


@given(
    st.sampled_from(sorted(LAYOUTS)),
    st.lists(st.dictionaries(st.text(st.characters(codec="utf-8")), json_values), max_size=4),
)
def test_whatever_json_holds_is_read_in_every_layout(layout: str, values: list[Any]) -> None:
    assert values_of(LAYOUTS[layout](values)) == values


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_record_may_begin_and_end_anywhere_in_a_chunk(
    layout: Callable[[list[Any]], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (1, 2, 3, 7, 61):
        monkeypatch.setattr(records, "_CHUNK", size)
        assert values_of(layout(ALL)) == ALL


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_line_numbers_are_those_of_the_file(layout: Callable[[list[Any]], str]) -> None:
    text = "\n" + layout(ALL * 3)
    numbers = [record.line for record in read_all(text)]
    starts = [text[:place].count("\n") + 1 for place in _places(text)]
    assert numbers == starts


def _places(text: str) -> list[int]:
    places, at = [], 0
    for value in ALL * 3:
        at = text.index(f'"{value["_id"]}"', at)
        places.append(text.rindex("{", 0, at))
    return places


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: text.replace('"_id": "2"', '"_id": "2').replace('"_id":"2"', '"_id":"2'),
        lambda text: text.replace("null", "nul"),
        lambda text: text.replace("null", "NaN"),
        lambda text: text.replace("[]", "[}"),
        lambda text: text.replace("[]", "[\x00]"),
        lambda text: text.replace("true", "true,,"),
        lambda text: text[: len(text) // 2],
    ],
)
def test_a_damaged_record_does_not_cost_its_neighbours(
    layout: Callable[[list[Any]], str], damage: Callable[[str], str]
) -> None:
    whole = layout([FIRST, SECOND, THIRD, FIRST])
    # What stands between the first record's end and the third one's start.
    parts = whole.split(layout([SECOND]).strip("[]\r\n "))
    if len(parts) != 2:
        indented = json.dumps([SECOND], indent=2)[2:-2].strip()
        parts = whole.split(indented)
        damaged = damage(indented)
    else:
        damaged = damage(layout([SECOND]).strip("[]\r\n "))
    found = read_all(damaged.join(parts))
    assert [record.value for record in found if record.value] in (
        [FIRST, THIRD, FIRST],
        *([[FIRST, FIRST]] if layout is LAYOUTS["one line"] else []),
    )
    assert [record.error for record in found if record.value is None]


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_file_cut_off_keeps_what_came_before(layout: Callable[[list[Any]], str]) -> None:
    text = layout(ALL).rstrip("]\n ")[:-2]
    *before, last = read_all(text)
    assert [record.value for record in before] == [FIRST, SECOND]
    assert last.value is None
    assert "JSON" in last.error


def test_a_file_that_begins_with_damage_is_read_on() -> None:
    for start in ('{"_id": "0", "s": "', "hello", "[1]", "{", "}", '"'):
        found = read_all(start + "\n" + LAYOUTS["lines"](ALL))
        assert [record.value for record in found if record.value] == ALL, start
        assert found[0].value is None


def test_a_record_too_long_to_be_one_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 5000)
    monkeypatch.setattr(records, "_CHUNK", 1000)
    long = {"_id": "9", "m": [], "s": "x" * 12_000}
    for name, layout in LAYOUTS.items():
        if name == "one line":
            continue
        found = read_all(layout([FIRST, long, THIRD]))
        assert [record.value for record in found if record.value] == [FIRST, THIRD], name
        assert any("longer than 5,000 bytes" in record.error for record in found)
        assert all(len(record.text) <= 5000 for record in found)


def test_what_is_no_utf_8_text_is_refused_as_a_whole() -> None:
    bson = b"\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00"
    for content in ('{"_id": "1"}\n'.encode("utf-16"), bson, b"PK\x03\x04\x14\x00"):
        with pytest.raises(UnreadableFileError, match="UTF-8"):
            read_all(content)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    text = LAYOUTS["lines"](ALL).encode()
    path = tmp_path / "plainly.json"
    for content in (text, gzip.compress(text), gzip.compress(text[:40]) + gzip.compress(text[40:])):
        path.write_bytes(content)
        with opened(path) as (stream, position):
            assert [record.value for record in read(stream)] == ALL
            assert position() == len(content)


def test_gzip_that_is_cut_off_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    whole = gzip.compress(LAYOUTS["lines"](ALL * 20).encode())
    for content in (whole[:-9], whole[:60], whole[:50] + b"??" + whole[52:]):
        path.write_bytes(content)
        with pytest.raises(UnreadableFileError, match="gzip"), opened(path) as (stream, _):
            list(read(stream))


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
        ({"$symbol": "s"}, "s"),
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
    assert all(one < other for one, other in pairwise(spelled))


@pytest.mark.parametrize(
    "extended",
    [
        {"$oid": "xyz"},
        {"$oid": 5},
        {"$oid": "675c8e368824aa5f130b94d6", "more": 1},
        {"$date": "yesterday"},
        {"$date": ""},
        {"$date": None},
        {"$date": {"$numberLong": "253402300800000"}},
        {"$date": {"$numberLong": "99999999999999999999"}},
        {"$numberLong": "soon"},
        {"$numberInt": "1.5"},
        {"$numberDecimal": "ten"},
        {"$binary": {"base64": "!", "subType": "zz"}},
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
    assert str(caught.value) in (f"a {kind} is malformed", f"a {kind} has no counterpart in JSON")
