"""Laws of the canonical form."""

import json

import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.arguments import parse_value
from broker.core.canonical import _is_plain, canonical_bytes, digest
from broker.core.limits import INTEGER_MAX

INTEGERS = st.integers(-INTEGER_MAX, INTEGER_MAX)
FRACTIONS = st.floats(-INTEGER_MAX, INTEGER_MAX).filter(lambda number: not number.is_integer())
TEXT = st.text(max_size=8)  # without surrogates
ASCII = st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=8)


def values(scalars, keys):
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=30,
    )


PLAIN = values(st.none() | st.booleans() | INTEGERS | TEXT, ASCII)
ANY = values(st.none() | st.booleans() | INTEGERS | FRACTIONS | TEXT, TEXT)
MANY = settings(max_examples=200, deadline=None)


@MANY
@given(PLAIN)
@example({"": 0, "\x7f": "\x7f", "\x00": "\x00\u2028\U0001f600"})
def test_the_fast_path_gives_the_bytes_of_the_rfc(value):
    assert _is_plain(value)
    assert canonical_bytes(value) == rfc8785.dumps(value)


@MANY
@given(ANY)
@example({"\ufb33": 1, "\U0001f600": 2, "a": 3})
@example([1e-7, 0.1, 4503599627370495.5])
def test_any_value_has_the_bytes_of_the_rfc(value):
    assert canonical_bytes(value) == rfc8785.dumps(value)


@MANY
@given(ANY)
def test_reading_the_canonical_form_gives_the_value_back(value):
    data = canonical_bytes(value)
    read = parse_value(data, bytes_max=1_000_000)
    assert read == value
    assert canonical_bytes(read) == data


@MANY
@given(ANY, st.sampled_from([None, 2]), st.booleans())
def test_spelling_does_not_change_a_digest(value, indent, ensure_ascii):
    text = json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)
    assert digest(parse_value(text.encode(), bytes_max=1_000_000)) == digest(value)


@MANY
@given(ANY, ANY)
def test_two_values_with_one_form_are_equal(one, other):
    # `==` of Python holds True and 1 equal, JSON does not; the forms must not either.
    same = canonical_bytes(one) == canonical_bytes(other)
    assert same == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))
