"""Laws of strict JSON."""

import json

from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.arguments import MalformedJson, parse_object, parse_value
from broker.core.limits import INTEGER_MAX

CODES = {"NOT_UTF8", "NOT_JSON", "DUPLICATE_KEY", "NOT_FINITE", "INTEGER_TOO_LARGE"}
CODES |= {"NUMBER_TOO_LONG", "LONE_SURROGATE", "TOO_DEEP", "TOO_MANY_NODES", "TOO_LARGE"}
CODES |= {"NOT_AN_OBJECT"}

TOKENS = st.sampled_from(
    [*'{}[]:,"\\0- ', '"a"', '"a":', "1", "1.5", "1e400", "NaN", "null", "\\u", "\\ud800", '\\"']
)
MANY = settings(max_examples=200, deadline=None)


@MANY
@given(st.binary() | st.lists(TOKENS).map(lambda tokens: "".join(tokens).encode()))
@example(b"[" * 10_000)
@example(b'{"a":' * 10_000)
@example(b"\\" * 50 + b'"' * 50)
def test_any_bytes_are_an_object_or_malformed(data):
    try:
        outcome = type(parse_object(data))
    except MalformedJson as error:
        outcome = error.code
    assert outcome is dict or outcome in CODES


@MANY
@given(st.lists(TOKENS, max_size=12).map("".join))
def test_whatever_is_read_is_what_the_standard_library_reads(text):
    try:
        value = parse_value(text.encode(), bytes_max=1_000)
    except MalformedJson:
        return
    assert value == json.loads(text)


def depth(value) -> int:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth, inner), default=0)
    return 0


def nodes(value) -> int:
    if isinstance(value, dict | list):
        return 1 + sum(map(nodes, value.values() if isinstance(value, dict) else value))
    return 1


ODD_TEXT = st.text(alphabet='[]{}",:\\ a', max_size=6)
NESTED = st.recursive(
    st.none() | st.integers(-INTEGER_MAX, INTEGER_MAX) | ODD_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ODD_TEXT, inner, max_size=4),
    max_leaves=40,
)


def code(data: bytes, depth_max: int, nodes_max: int) -> str:
    try:
        parse_value(data, bytes_max=100_000, depth_max=depth_max, nodes_max=nodes_max)
    except MalformedJson as error:
        return error.code
    return "read"


@MANY
@given(NESTED, st.sampled_from([None, 1]))
def test_depth_and_values_are_counted_exactly(value, indent):
    data = json.dumps(value, indent=indent).encode()
    deep, many = depth(value), nodes(value)
    assert code(data, deep, many) == "read"
    assert code(data, deep, many - 1) == "TOO_MANY_NODES"
    if deep:
        assert code(data, deep - 1, many) == "TOO_DEEP"
