"""Strict JSON: what is read, what is refused, and under which code."""

import json

import pytest

from broker.core.arguments import MalformedJson, parse_object, parse_value
from broker.core.limits import JSON_DEPTH_MAX, JSON_NODES_MAX


def read(text: str | bytes):
    data = text.encode() if isinstance(text, str) else text
    return parse_value(data, bytes_max=1_000_000)


def code(text: str | bytes, **bounds) -> str:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(MalformedJson) as refused:
        parse_value(data, **{"bytes_max": 1_000_000, **bounds})
    return refused.value.code


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        (" [true, false] ", [True, False]),
        ('{"a": {"b": []}, "c": ""}', {"a": {"b": []}, "c": ""}),
        ("9007199254740991", 2**53 - 1),
        ("-9007199254740991", -(2**53) + 1),
        ("0.1", 0.1),
        ("4503599627370495.5", 4503599627370495.5),
        ("2.5e-3", 0.0025),
        ('"\\ud83d\\ude00"', "\U0001f600"),
        ('"\\\\ud800"', "\\ud800"),
        ('"\\u0000\\uffff"', "\0\uffff"),
    ],
)
def test_strict_json_is_read(text, value):
    assert read(text) == value


@pytest.mark.parametrize(("text", "value"), [("1.0", 1), ("-0.0", 0), ("-0", 0), ("1e3", 1000)])
def test_what_is_an_integer_becomes_one(text, value):
    number = read(text)
    assert number == value
    assert type(number) is int
    assert str(number) == str(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'"\xff"', "NOT_UTF8"),
        (b'"\xed\xa0\x80"', "NOT_UTF8"),  # a surrogate, encoded
        (b"\xef\xbb\xbf{}", "NOT_JSON"),  # a byte order mark
        ("{}".encode("utf-16"), "NOT_UTF8"),
        ("", "NOT_JSON"),
        ("{} {}", "NOT_JSON"),
        ("{'a': 1}", "NOT_JSON"),
        ('{"a": 1,}', "NOT_JSON"),
        ("[1 2]", "NOT_JSON"),
        ("01", "NOT_JSON"),
        ("+1", "NOT_JSON"),
        (".5", "NOT_JSON"),
        ("\u0661", "NOT_JSON"),  # a digit, but not of JSON
        ('"\n"', "NOT_JSON"),
        ('"\\x41"', "NOT_JSON"),
        ("// x\n1", "NOT_JSON"),
        ('{"a": 1, "a": 1}', "DUPLICATE_KEY"),
        ('{"a": 1, "\\u0061": 2}', "DUPLICATE_KEY"),
        ('[{"b": {"a": 1, "a": 2}}]', "DUPLICATE_KEY"),
        ("NaN", "NOT_FINITE"),
        ("[-Infinity]", "NOT_FINITE"),
        ("1e400", "NOT_FINITE"),
        ("-1e400", "NOT_FINITE"),
        ("1e-400", "NOT_FINITE"),
        ("9007199254740992", "INTEGER_TOO_LARGE"),
        ("-9007199254740993", "INTEGER_TOO_LARGE"),
        ("9007199254740993.0", "INTEGER_TOO_LARGE"),
        ("1e300", "INTEGER_TOO_LARGE"),
        ("1" * 41, "NUMBER_TOO_LONG"),
        ("0." + "1" * 39, "NUMBER_TOO_LONG"),
        ('"\\ud800"', "LONE_SURROGATE"),
        ('{"\\uDFFF": 1}', "LONE_SURROGATE"),
        ('"\\ude00\\ud83d"', "LONE_SURROGATE"),
    ],
)
def test_anything_that_readers_may_differ_on_is_refused(text, expected):
    assert code(text) == expected


def test_zero_may_be_written_in_any_way():
    assert [read("0.000"), read("0e5"), read("-0.0e-999")] == [0, 0, 0]


@pytest.mark.parametrize("inner", ["", "0", '"[[["', '{"]": "]"}'])
def test_depth_is_counted_outside_strings(inner):
    deepest = JSON_DEPTH_MAX - inner.count("{")
    assert read("[" * deepest + inner + "]" * deepest) is not None
    assert code("[" * (deepest + 1) + inner + "]" * (deepest + 1)) == "TOO_DEEP"


@pytest.mark.parametrize("text", ['"' + "[" * 500 + '"', '"' + '\\"[' * 500 + '"', '"\\\\\\"[[[["'])
def test_brackets_in_a_string_are_text(text):
    assert read(f"[{text}]") == [json.loads(text)]


@pytest.mark.parametrize("member", ["0", "{}", "[ ]", '"a,b"', '{"a":0}'])
def test_values_are_counted_exactly(member):
    values = 2 if ":" in member else 1
    most = (JSON_NODES_MAX - 1) // values
    assert len(read("[" + ",".join([member] * most) + "]")) == most
    assert code("[" + ",".join([member] * (most + 1)) + "]") == "TOO_MANY_NODES"


def test_bounds_are_the_callers_to_tighten():
    assert code("[[]]", depth_max=1) == "TOO_DEEP"
    assert code("[1,2]", nodes_max=2) == "TOO_MANY_NODES"
    assert code("[1,2]", bytes_max=4) == "TOO_LARGE"
    assert parse_value(b"[1,2]", bytes_max=5, nodes_max=3, depth_max=1) == [1, 2]


@pytest.mark.parametrize("text", [b"[]", b"null", b'"{}"', b"1"])
def test_arguments_are_an_object(text):
    with pytest.raises(MalformedJson) as refused:
        parse_object(text)
    assert refused.value.code == "NOT_AN_OBJECT"


def test_a_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(MalformedJson) as refused:
        parse_object(b'{"hunter2": 1, "hunter2": 2}')
    assert "hunter2" not in str(refused.value)
    assert str(refused.value) == "An object names the same key twice."


def test_a_syntax_error_is_told_by_line_and_column():
    with pytest.raises(MalformedJson, match=r"line 2, column 4"):
        read('{"a":\n 1 x}')
