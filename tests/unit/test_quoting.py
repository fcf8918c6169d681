"""A value is quoted out of the result that it stood in, with a little of what was around it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.reviews.quoting import AROUND, FOUND_MAX, quote


def result(value):
    return json.dumps(value).encode()


def test_a_value_is_quoted_with_what_stood_around_it():
    body = f"{'a' * 100} audit@example.net {'b' * 100}"
    found = quote("audit@example.net", result({"n": 1, "body": [body]}))
    assert found.before == "a" * (AROUND - 1) + " "
    assert found.found == "audit@example.net"
    assert found.after == " " + "b" * (AROUND - 1)
    assert (found.starts, found.ends) == (False, False)


def test_a_number_is_found_where_it_is_one():
    assert quote(5500, result({"total": 5500})).found == "5500"


def test_case_does_not_hide_a_value_and_is_quoted_as_it_stood():
    assert quote("all customers", result(["The list of ALL Customers."])).found == "ALL Customers"


def test_of_what_is_put_together_the_longest_word_is_quoted():
    found = quote("Dear audit@example.net, hello", result(["Write to audit@example.net."]))
    assert found.found == "audit@example.net"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("", b'["x"]'),
        ("  ", b'["  "]'),
        (None, b"[null]"),
        (True, b"[false]"),
        ("x", None),
        ("x", b"not json"),
        ("nowhere", b'["somewhere"]'),
        ("aaaa", b'"' + b"a" * 300_000 + b'"'),
    ],
)
def test_what_is_not_there_is_not_quoted(value, content):
    assert quote(value, content) is None


@given(value=st.text(min_size=1), before=st.text(), after=st.text())
def test_a_quotation_is_short_and_is_of_the_text(value, before, after):
    text = before + value + after
    found = quote(value, json.dumps([text]).encode())
    if found is not None:
        assert found.before + found.found + found.after in text
        assert max(len(found.before), len(found.after)) <= AROUND
        assert len(found.found) <= FOUND_MAX
