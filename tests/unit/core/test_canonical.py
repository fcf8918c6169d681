"""RFC 8785: the bytes of a value, and its digest."""

import enum
import hashlib

import pytest

from broker.core.arguments import parse_value
from broker.core.canonical import call_digest, canonical_bytes, digest


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        ({"b": 1, "a": [True, False]}, '{"a":[true,false],"b":1}'),
        ('\x00\b\t\n\f\r"\\/\x1f\x7f', '"\\u0000\\b\\t\\n\\f\\r\\"\\\\/\\u001f\x7f"'),
        ("\u20ac\U0001f600", '"\u20ac\U0001f600"'),
        # §3.2.3: U+1F600 is D83D DE00 in UTF-16 and sorts before U+FB33.
        ({"\ufb33": 1, "\U0001f600": 2}, '{"\U0001f600":2,"\ufb33":1}'),
        # §3.2.2.3 and appendix B
        ([1e21, 1e20, 1e-7, 1e-6, 4.5, -0.0], "[1e+21,100000000000000000000,1e-7,0.000001,4.5,0]"),
        ([5e-324, 1.7976931348623157e308], "[5e-324,1.7976931348623157e+308]"),
        ([333333333.33333329, 2.0], "[333333333.3333333,2]"),
    ],
)
def test_a_value_has_the_bytes_of_the_rfc(value, expected):
    assert canonical_bytes(value) == expected.encode()


def test_the_example_of_the_rfc_has_its_bytes():
    # §3.2.2, §3.2.4; its numbers are beyond what arguments may hold, so it is given as values
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert (
        canonical_bytes(value)
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


def test_subclasses_count_as_what_they_hold():
    assert canonical_bytes([Colour.RED, Level.HIGH]) == b'["red",3]'


def holds_itself():
    value: list = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        2**53,
        -(2**53),
        [float("nan")],
        float("inf"),
        "\ud800",
        {"\ud800": 1},
        ["\u20ac", {"\ud800": 1.5}],
        {1: 2},
        {None: 2},
        {"a": b"bytes"},
        {"a": {1, 2}},
        holds_itself(),
    ],
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(ValueError, match="canonical form"):
        canonical_bytes(value)


def test_a_digest_is_the_hash_of_the_bytes():
    assert digest({}) == "sha256:" + hashlib.sha256(b"{}").hexdigest()


def test_a_call_is_named_by_its_tool_and_arguments_together():
    expected = digest({"tool": "refund", "arguments": {"order_id": "O-1001"}})
    assert call_digest("refund", {"order_id": "O-1001"}) == expected
    assert call_digest("refunds", {"order_id": "O-1001"}) != expected


def test_two_spellings_of_one_call_have_one_digest():
    one = parse_value(b'{"b": 1.0, "a": "\\u0041"}', bytes_max=100)
    other = parse_value(b'{"a":"A","b":1}', bytes_max=100)
    assert digest(one) == digest(other)
