"""Files of all layouts → records, damaged ones included."""

import gzip
import io
import json
import re
from collections.abc import Callable
from contextlib import suppress
from json import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from console import records
from console.files import UnreadableFileError, opened
from console.records import read
from tests.support.strategies import json_values

FIRST = {
    "_id": "1",
    "m": [{"_id": "x", "t": 'a}{"]\\'}, {"_id": "y"}],
    "s": "é\u2028 # line 3: x\n",
}
SECOND = {"_id": "2", "m": [], "n": {"a": [1.5, -2e3, True, None]}}
THIRD = {"_id": "3", "m": [[]], "s": "[{"}
ALL: list[dict[str, Any]] = [FIRST, SECOND, THIRD]
LINES = ("lines", "raw lines")
LAYOUTS: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda values: "".join(json.dumps(value) + "\n" for value in values),
    "raw lines": lambda values: "\r\n".join(json.dumps(v, ensure_ascii=False) for v in values),
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


def as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


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
    st.lists(
        st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, min_size=1), max_size=4
    ),
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


DAMAGES: list[Callable[[str], str]] = [
    lambda text: text[:-1],
    lambda text: text.replace('"_id": "2"', '"_id": "2').replace('"_id":"2"', '"_id":"2'),
    lambda text: text.replace("null", "nul"),
    lambda text: text.replace("[]", "[}"),
    lambda text: text.replace("[]", "[\x00]"),
    lambda text: text.replace("true", "true,,"),
    lambda text: text[: len(text) // 2],
]


LIGHT_DAMAGES: list[Callable[[str], str]] = [  # which leave it clear where the record ends
    lambda text: text.replace("null", "NaN"),
    lambda text: text.replace("null", "-Infinity"),
    lambda text: text.replace("null", '"\f"'),
    lambda text: text.replace("null", '"\x01"'),
    lambda text: text.replace("null", '"\udcff"'),  # a byte that is not UTF-8
    lambda text: text.replace("null", '"\udced\udca0\udc80"'),  # a lone surrogate as bytes
    lambda text: text.replace("null", "[" * 300 + "]" * 300),
    lambda text: text.replace("null", "9" * 5000),
]


@pytest.mark.parametrize("layout", LINES)
@pytest.mark.parametrize("damage", DAMAGES + LIGHT_DAMAGES)
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_damaged_line_is_one_reject(
    layout: str, damage: Callable[[str], str], count: int
) -> None:
    line = LAYOUTS[layout]([SECOND]).strip()
    whole = LAYOUTS[layout]([*[SECOND] * count, FIRST, SECOND, THIRD])
    damaged = as_bytes(damage(line))
    found = read_all(as_bytes(whole).replace(as_bytes(line), damaged))
    assert [record.value for record in found] == [*[None] * count, FIRST, None, THIRD]
    rejects = [record for record in found if record.value is None]
    assert {record.text for record in rejects} == {damaged}
    assert all(record.error.startswith(("not JSON: ", "not UTF-8")) for record in rejects)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("damage", LIGHT_DAMAGES)
def test_damage_that_hides_no_end_costs_only_its_record(
    layout: str, damage: Callable[[str], str]
) -> None:
    whole = LAYOUTS[layout]([FIRST, SECOND, THIRD])
    first, second, third = read_all(as_bytes(damage(whole)))
    assert (first.value, second.value, third.value) == (FIRST, None, THIRD)
    start = whole.rindex("{", 0, whole.index('"2"'))
    end = whole.rindex("}", 0, whole.rindex("{", 0, whole.index('"3"'))) + 1
    assert second.text == as_bytes(damage(whole[start:end]))
    assert second.error.startswith(("not JSON: ", "not UTF-8"))
    place = re.search(r"line (\d+) column", second.error)
    assert place
    assert int(place[1]) == whole[: whole.index("null")].count("\n") + 1


@pytest.mark.parametrize("layout", sorted({*LAYOUTS} - {*LINES}))
@pytest.mark.parametrize("damage", DAMAGES)
def test_an_array_is_read_up_to_its_first_damage_and_says_where(
    layout: str, damage: Callable[[str], str]
) -> None:
    whole = LAYOUTS[layout]([FIRST, SECOND, THIRD])
    start = whole.rindex("{", 0, whole.index('"2"'))
    end = whole.rindex("}", 0, whole.rindex("{", 0, whole.index('"3"'))) + 1
    records_read = read(io.BytesIO((whole[:start] + damage(whole[start:end])).encode()))
    assert next(records_read).value == FIRST
    with pytest.raises(UnreadableFileError, match=r"^record 2 \(line ") as caught:
        next(records_read)
    said = re.search(r"\(line (\d+), byte ([\d,]+)\) is damaged: not JSON: ", str(caught.value))
    assert said
    assert whole[:start].count("\n") - 1 <= int(said[1]) - 1 <= whole[:start].count("\n")
    offset = int(said[2].replace(",", ""))
    assert whole.encode()[offset:].lstrip(b", \n").startswith(whole[start:end].encode())


@pytest.mark.parametrize("layout", LINES)
def test_lines_cut_off_keep_what_came_before(layout: str) -> None:
    *before, last = read_all(LAYOUTS[layout](ALL).rstrip()[:-2])
    assert [record.value for record in before] == [FIRST, SECOND]
    assert (last.value, last.error[:13]) == (None, "not JSON: EOF")


def test_a_file_that_begins_with_damage_is_read_on() -> None:
    for start in ('{"_id": "0", "s": "', "hello", "{", "}", '"', '{"_id": [', "{},"):
        found = read_all(start + "\n" + LAYOUTS["lines"](ALL))
        assert [record.value for record in found if record.value] == ALL, start
        assert found[0].value is None


def test_a_line_too_long_to_be_a_record_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 5000)
    monkeypatch.setattr(records, "_CHUNK", 1000)
    long = {"_id": "9", "m": [], "s": "x" * 12_000}
    for name, layout in LAYOUTS.items():
        text = layout([FIRST, long, THIRD])
        if name in LINES:
            first, too_long, third = read_all(text)
            assert (first.value, third.value, too_long.text) == (FIRST, THIRD, b"")
            assert "longer than 5,000 bytes" in too_long.error
        else:
            with pytest.raises(UnreadableFileError, match=r"record 2 .*longer than 5,000 bytes"):
                read_all(text)


@pytest.mark.parametrize("chunk", [1, 700, 999, 1000, 1001, 9000])
def test_how_long_an_element_may_be_does_not_depend_on_where_it_begins(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "_CHUNK", chunk)
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", 2000)
    longest = {"s": "x" * (2000 - len('{"s": ""}'))}
    for before in range(5):
        values: list[dict[str, str]] = [*[{}] * before, longest, {}]
        assert values_of(json.dumps(values)) == values
        for text in (f'{{"s": "{"x" * 1992}"}}', "9" * 2001):
            with pytest.raises(UnreadableFileError, match="longer than 2,000 bytes"):
                read_all(f"[{'{},' * before}{text},{{}}]")
        with pytest.raises(UnreadableFileError, match="not JSON: expected"):
            read_all(f'[{"{}," * before}{{"a": x}}, {"{}, " * 2000}]')


def test_a_second_line_longer_than_a_chunk_is_one_record() -> None:
    long = {"_id": "2", "s": "x" * 3_000_000}
    for first in (FIRST, {"_id": "1", "s": "x" * 3_000_000}):
        assert values_of(LAYOUTS["lines"]([first, long, THIRD])) == [first, long, THIRD]
    assert values_of("hello\n" + LAYOUTS["lines"]([long])) == [None, long]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_and_text_are_those_of_a_json_parser(layout: str) -> None:
    spelled = ("0.1", "1e5", "-0.0", "-0", "1", "1.0", "5e-324", "123456789012345678901234567890")
    text = LAYOUTS[layout]([{"n": f"<{number}>"} for number in spelled])
    for number in spelled:
        text = text.replace(f'"<{number}>"', number)
    expected = [repr({"n": json.loads(number)}) for number in spelled]
    assert [repr(value) for value in values_of(text)] == expected


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("escaped", "read_as"),
    [
        (r"\ud800", "\ufffd"),
        (r"\uDFFF", "\ufffd"),
        (r"\udc00\ud800", "\ufffd\ufffd"),
        (r"\ud83dx\ud83d\ude00", "\ufffdx\U0001f600"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800é", "\\\ufffdé"),
    ],
)
def test_a_lone_surrogate_is_replaced_and_costs_nothing(
    layout: str, escaped: str, read_as: str
) -> None:
    text = LAYOUTS[layout]([FIRST, {"?": ["?"]}, THIRD]).replace("?", escaped)
    first, second, third = read_all(text)
    assert (first.value, second.value, third.value) == (FIRST, {read_as: [read_as]}, THIRD)
    assert escaped.encode() in second.text  # as it stands in the file, should it be rejected


def test_the_place_of_damage_does_not_depend_on_lone_surrogates_before_it() -> None:
    places = [read_all(f'{{"a": "{text}", b}}')[0].error for text in (r"\ud800", r"\u0000")]
    assert places[0] == places[1]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("character", ["\f", "\v", "\f\v\f"])
def test_form_feeds_count_as_space_between_records_and_as_damage_in_one(
    layout: str, character: str
) -> None:
    text = LAYOUTS[layout](ALL)
    between = re.sub(r'(?<=[\s\[,])(?=\{\s*"_id": ?"\d)', character, text)
    assert between.count(character) >= 2
    assert values_of(between) == ALL
    within = text.replace("null", f"null{character}")
    if layout in LINES:
        assert values_of(within) == [FIRST, None, THIRD]
        return
    found = read(io.BytesIO(within.encode()))
    assert next(found).value == FIRST
    with pytest.raises(UnreadableFileError, match=r"^record 2 .* not JSON: "):
        next(found)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_concatenated_files_with_byte_order_marks_are_read(
    layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = LAYOUTS[layout](ALL)
    for gap in ("\n\ufeff", "\n\n \ufeff", "\n\ufeff\ufeff", "\n"):
        assert values_of("\ufeff" + text + gap + text) == [*ALL, *ALL]
    assert values_of("\n \n\ufeff\n\ufeff " + text) == ALL
    for size in range(1, 8):  # so that the first piece ends within a mark
        monkeypatch.setattr(records, "_CHUNK", size)
        assert values_of("\n\ufeff\ufeff \ufeff" + text) == ALL
        assert values_of(b"\n\xef\n" + LAYOUTS["lines"](ALL).encode()) == [None, *ALL]
        assert values_of(b"\n\xef") == [None]
        assert [r.text for r in read_all(b"\xef\xbb\xbf\xbb\xbf")] == [b"\xbb\xbf"]
    monkeypatch.undo()
    before_each = re.sub(r'(?<=[\s\[,])(?=\{\s*"_id": ?"\d)', "\ufeff", text)
    assert values_of(before_each) == ALL


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 61])
def test_values_of_every_kind_may_be_cut_anywhere(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = (
        *("0", "-12.5e-7", "true", "false", "null", "-Infinity", '""', r'"\ud83d\ude00\\"', "[]"),
        *(
            r'{ "a" : [ -1E5 , "\\" , false ] , "é" : { } }',
            '[\n{"a":\n\n1}\n]',
            r'"\ud83d"',
            "{ }",
        ),
    )
    monkeypatch.setattr(records, "_CHUNK", size)
    for gap in (",", " ,\n", "\n\ufeff", "      \n      "):
        text = f"[{gap}{gap.join(values)}{gap}]"
        assert [record.text.decode() for record in read_all(text)] == [*values]


@pytest.mark.parametrize("end", ["", ",", ", ", "\n"])
def test_an_array_without_its_end_is_said_to_be_cut_off(end: str) -> None:
    found = read(io.BytesIO(b'[{"a": 1}, {"a": 2}' + end.encode()))
    assert [next(found).value, next(found).value] == [{"a": 1}, {"a": 2}]
    with pytest.raises(UnreadableFileError, match=r"record 3 .* damaged: not JSON: EOF"):
        next(found)


@pytest.mark.parametrize("rest", ["]", "}", ")", "x", ":", '"'])
def test_what_follows_an_array_is_named_if_it_is_no_record(rest: str) -> None:
    found = read(io.BytesIO(b'[{"a": 1}]\n' + rest.encode()))
    assert next(found).value == {"a": 1}
    with pytest.raises(UnreadableFileError, match=r"record 2 \(line 2, byte 11\) is damaged"):
        next(found)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "number", ["9" * 5000, "9" * 2_000_000, "1e99999999999999999999", "-1E-99999999999999999999"]
)
def test_a_number_too_large_for_python_costs_at_most_its_record(layout: str, number: str) -> None:
    text = LAYOUTS[layout]([FIRST, {"n": "<>"}, THIRD]).replace('"<>"', number)
    first, _, third = values_of(text)  # within a second: ijson would take minutes for its digits
    assert (first, third) == (FIRST, THIRD)


@pytest.mark.parametrize("start", ["[", "{\n", '[{"a":'])
@pytest.mark.parametrize("nested", ["[", '{"a":'])
def test_deep_nesting_is_damage(start: str, nested: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"record 1 .* not JSON"):
        read_all(start + ('"a":' if start == "{\n" else "") + nested * 300_000)


HOSTILE: dict[str, Callable[[int], bytes]] = {
    "blank lines": lambda size: b"\n" * size,
    "blank lines between": lambda size: b'{"a": 1}\n' + b"\n" * size + b'{"a": 2}\n',
    "blank lines in an array": lambda size: b'[{"a": 1},' + b"\n" * size + b'{"a": 2}]',
    "pretty records": lambda size: b'{\n"a":1\n}\n' * (size // 20),
    "open objects": lambda size: b"{\n" * (size // 10),
    "damaged lines": lambda size: b'{"a": [1, \n' * (size // 20),
    "long records": lambda size: (
        b"[%s]" % b",".join([b'{"a": "%s"}' % (b"x" * 1_000_000)] * (size // 100_000))
    ),
    "reasons": lambda size: b"# line 1: x\n\n" * (size // 10),
    "a record below a reason": lambda size: b"# line 1: x\n" + b"{\n" * (size // 10),
    "a long record": lambda size: b'[{"a": "%s"}]' % (b"x" * size),
    "a record cut off": lambda size: b'[{"a": "%s' % (b"x" * size),
    "a record of numbers": lambda size: b"[[%s]]" % b",".join([b"12"] * (size // 3)),
    "a long number": lambda size: b"[%s]" % (b"1" * size),
    "lone surrogates": lambda size: b'[{"a": "%s"}]' % (rb"\ud800" * (size // 6)),
    "brackets": lambda size: b"[]" * (size // 2),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_no_byte_is_parsed_more_than_a_few_times(
    content: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = 0

    def count(text: bytes, **options: Any) -> Any:
        nonlocal parsed
        parsed += len(text)
        return from_json(text, **options)

    class Counting(JSONDecoder):
        def raw_decode(self, text: str, at: int = 0) -> tuple[Any, int]:
            nonlocal parsed
            end = len(text)
            try:
                value, end = super().raw_decode(text, at)
            except JSONDecodeError as error:
                end = end if error.msg.startswith("Unterminated") else error.pos
                raise
            finally:
                parsed += end - at
            return value, end

    monkeypatch.setattr(records, "from_json", count)
    monkeypatch.setattr(records, "_DECODER", Counting(strict=False, parse_int=str))
    monkeypatch.setattr(records, "_CHUNK", 1000)
    text = content(240_000)
    with suppress(UnreadableFileError):
        read_all(text)
    assert parsed < 6 * len(text)


def test_what_is_no_text_is_refused_as_a_whole() -> None:
    bson = b"\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00"
    for content in (bson, b"\x7b" + bson[1:], b"PK\x03\x04\x14\x00"):
        with pytest.raises(UnreadableFileError, match=r"it is not UTF-8 text\. .*bsondump"):
            read_all(content)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]
)
@pytest.mark.parametrize("before", ["", "\n", " \r\n\t"])
def test_utf_16_and_utf_32_are_called_by_their_names(
    layout: str, encoding: str, before: str
) -> None:
    text = before + LAYOUTS[layout](ALL)
    marks = ("", "\ufeff") if encoding[-1] == "e" else ("",)
    for mark in marks:
        with pytest.raises(UnreadableFileError, match=r"^it is UTF-16 or UTF-32, .*iconv$"):
            read_all((mark + text).encode(encoding))


def test_a_json_text_sequence_is_called_by_its_name() -> None:
    for value in (json.dumps(FIRST), json.dumps(FIRST, indent=1), json.dumps(ALL)):
        with pytest.raises(UnreadableFileError, match=r"^it is a JSON text sequence .*tr -d"):
            read_all(f"\x1e{value}\n\x1e{value}\n")


SHELL = ('ISODate("2024-12-01T00:00:00Z")', 'new Date("2024")', "NumberLong(5)", 'BinData(0,"")')


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", SHELL)
def test_the_syntax_of_the_mongo_shell_is_called_by_its_name(layout: str, value: str) -> None:
    text = LAYOUTS[layout](ALL).replace("null", value)
    if layout in LINES:
        error = read_all(text)[1].error
    else:
        with pytest.raises(UnreadableFileError) as caught:
            read_all(text)
        error = str(caught.value)
    name = value[: value.index("(")]
    line = text[: text.index(value)].count("\n") + 1
    assert f"not JSON but mongo shell syntax ({name}) at line {line} column " in error


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    text = LAYOUTS["lines"](ALL).encode()
    path = tmp_path / "plainly.json"
    for content in (text, gzip.compress(text), gzip.compress(text[:40]) + gzip.compress(text[40:])):
        path.write_bytes(content)
        with opened(path) as (stream, position):
            assert [record.value for record in read(stream)] == ALL
            assert position() == len(content)


def read_file(path: Path) -> tuple[list[records.Record], str]:
    """The records of a file, and why there are no more."""
    found = list[records.Record]()
    try:
        with opened(path) as (stream, _):
            found.extend(read(stream))
    except UnreadableFileError as error:
        return found, str(error)
    return found, ""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("rest", [b"\n", b"\r\n", b"x", b"\x1f", b"\x1f\x8b", b"# more" * 999])
def test_what_follows_gzip_data_is_named_and_costs_nothing(
    layout: str, rest: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(LAYOUTS[layout](ALL).rstrip().encode()) + rest)
    found, problem = read_file(path)
    assert [record.value for record in found] == ALL
    is_gzip = rest == b"\x1f\x8b"
    assert problem == (
        "its gzip data is damaged or cut off" if is_gzip else "other bytes follow its gzip data"
    )


def test_zeros_after_gzip_data_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(gzip.compress(json.dumps(ALL).encode()) + bytes(1000))
    found, problem = read_file(path)
    assert ([record.value for record in found], problem) == (ALL, "")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gzip_that_is_cut_off_is_said_to_be_after_what_was_whole(
    layout: str, tmp_path: Path
) -> None:
    path = tmp_path / "cut.gz"
    text = LAYOUTS[layout](ALL * 20)
    whole = gzip.compress(text.encode())
    for content in (whole[:-9], whole[:60], whole[:50] + b"??" + whole[52:]):
        path.write_bytes(content)
        found, problem = read_file(path)
        assert problem == "its gzip data is damaged or cut off"
        values = [record.value for record in found if record.value]
        assert values == (ALL * 20)[: len(values)]
        assert len(found) - len(values) <= (layout in LINES)  # a line that is cut off
    path.write_bytes(whole[:-9])
    assert len(read_file(path)[0]) >= 59
