"""A YAML document means one thing or is refused."""

import pytest

from broker.policy.documents import DOCUMENT_BYTES_MAX, DocumentRefused, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: [1, 2.5, true, null, x]", {"a": [1, 2.5, True, None, "x"]}),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("9007199254740991", 9_007_199_254_740_991),
    ],
)
def test_json_values_are_read(text, value):
    assert parse_yaml(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\nb: 2\na: 3", "line 3: the key 'a' twice"),
        ("a: {b: 1, b: 1}", "the key 'b' twice"),
        ("a: &x [1]\nb: *x", "aliases are not allowed"),
        ("a: &x {b: 1}\nc:\n  <<: *x", "aliases are not allowed|not text"),
        ("1: a", "a key that is not text"),
        ("yes: a", "a key that is not text"),
        ("a: 2026-01-01", "a date, which JSON does not have"),
        ("a: !!binary aGk=", "a bytes, which JSON does not have"),
        ("a: !!set {b}", "a set, which JSON does not have"),
        ("a: .nan", "not finite"),
        ("a: 9007199254740992", "beyond"),
        ("a: !!python/object/apply:os.system [x]", "line 1"),
        ("a: [", "line"),
        ("a: 1\n---\nb: 2", "line"),
        ("a: 2026-99-99", "a value that JSON does not have"),
    ],
)
def test_anything_else_is_refused(text, why):
    with pytest.raises(DocumentRefused, match=why):
        parse_yaml(text.encode())


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\x00", b"a: \x00", b"[" * 100_000, b"x" * (DOCUMENT_BYTES_MAX + 1)]
)
def test_hostile_bytes_are_refused(data):
    with pytest.raises(DocumentRefused):
        parse_yaml(data)


def test_a_deep_document_is_refused():
    with pytest.raises(DocumentRefused, match="too deeply"):
        parse_yaml(b"[" * 70 + b"]" * 70)
