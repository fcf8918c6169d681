"""YAML is read as JSON, and whatever two readers would see apart is refused."""

import pytest

from broker.yaml_documents import YamlRefused, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"a: 1\nb: [x, 2.5, true, null, -3]\n", {"a": 1, "b": ["x", 2.5, True, None, -3]}),
        (b"{order#/id: principal#/id, /a: '1'}", {"order#/id": "principal#/id", "/a": "1"}),
        (b"a: yes\nb: on\nc: No\n", {"a": "yes", "b": "on", "c": "No"}),
        (b"a: 2020-01-01\nb: 0o17\nc: 017\nd: 1_000\n", None),
        (b"a: .nan\nb: .inf\nc: 1:30\n", {"a": ".nan", "b": ".inf", "c": "1:30"}),
        (b"a: 1e3\n", {"a": 1000.0}),
        (b"a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        (b"a: ~\nb:\n", {"a": None, "b": None}),
        (b"", None),
    ],
)
def test_only_jsons_types_are_seen(text, value):
    expected = value
    if b"2020" in text:
        expected = {"a": "2020-01-01", "b": "0o17", "c": "017", "d": "1_000"}
    assert read_yaml(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a: 1\na: 2\n", "line 2: the key a is there twice"),
        (b"{b: {a: 1, a: 2}}", "twice"),
        (b"a: &x 1\nb: *x\n", "line 2: aliases are not taken"),
        (b"a: &x [1]\n<<: *x\n", "aliases"),
        (b"a: !!python/object/apply:os.system [ls]", "tags are not taken"),
        (b"a: !!str 1", "tags are not taken"),
        (b"1: a", "a key is a string"),
        (b"true: a", "a key is a string"),
        (b"? [a]\n: b", "a key is a string"),
        (b"a: 1\n---\nb: 2\n", "line 2"),
        (b"a: [1\n", "line"),
        (b"\xff\xfe", "not UTF-8"),
        (b"a: \x00", "."),
        (b"[" * 5_000, "nested too deeply"),
        (b"x" * 300_000, "longer than"),
        (b"a: 9007199254740992", "line 1: an integer beyond"),
        (b"a: 1.0e999", "line 1: a number that is not finite"),
        (b"[" * 150 + b"]" * 150, "nested too deeply"),
    ],
)
def test_anything_else_is_refused_with_its_line(text, told):
    with pytest.raises(YamlRefused, match=told):
        read_yaml(text)
