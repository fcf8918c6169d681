"""JSON Pointer (RFC 6901) and references to arguments, facts and callers."""

import pytest

from broker.core.pointers import MISSING, Pointer, Reference

# RFC 6901 §5
DOCUMENT = {
    "foo": ["bar", "baz"],
    "": 0,
    "a/b": 1,
    "c%d": 2,
    "e^f": 3,
    "g|h": 4,
    "i\\j": 5,
    'k"l': 6,
    " ": 7,
    "m~n": 8,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_a_pointer_names_what_the_rfc_says(text, value):
    assert Pointer.parse(text).resolve(DOCUMENT) == value
    assert str(Pointer.parse(text)) == text


# RFC 6901 §6
@pytest.mark.parametrize(
    ("fragment", "value"),
    [
        ("", DOCUMENT),
        ("/a~1b", 1),
        ("/c%25d", 2),
        ("/e%5Ef", 3),
        ("/g%7Ch", 4),
        ("/i%5Cj", 5),
        ("/k%22l", 6),
        ("/%20", 7),
        ("/m~0n", 8),
    ],
)
def test_a_reference_to_a_fact_is_a_fragment(fragment, value):
    reference = Reference.parse(f"order#{fragment}")
    assert reference.root == "order"
    assert reference.pointer.resolve(DOCUMENT) == value
    assert str(reference) == f"order#{fragment}"


def test_a_bare_reference_points_into_the_arguments_as_it_stands():
    reference = Reference.parse("/c%d#/x")
    assert reference == Reference("", Pointer(("c%d#", "x")))
    assert str(reference) == "/c%d#/x"


def test_an_escaped_tilde_before_a_one_is_no_slash():
    assert Pointer.parse("/~01").tokens == ("~1",)
    assert str(Pointer(("~1", "/"))) == "/~01/~1"


@pytest.mark.parametrize("text", ["a", "a/b", "#/a", "/~", "/~2", "/a~", "/~a/b"])
def test_what_is_no_pointer_is_refused(text):
    with pytest.raises(ValueError, match="JSON Pointer"):
        Pointer.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *["", "order", "#/a", "Order#/a", "or der#/a", "1#/a", "\u00f6rder#/a", "order\n#/a"],
        *["order#a", "order#/%", "order#/%zz", "order#/%ff", "order#/~", f"{'a' * 65}#/a"],
    ],
)
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        Reference.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/-1", "/foo/1.0", "/foo/\u0661"],
        *["/nope", "/foo/0/0", "/m~0n/x", f"/foo/{'9' * 5000}", "/foo/", "/foo/0\n"],
    ],
)
def test_what_is_not_there_is_missing(text):
    assert Pointer.parse(text).resolve(DOCUMENT) is MISSING


def test_null_is_not_missing():
    assert Pointer.parse("/a").resolve({"a": None}) is None
    assert not MISSING


def test_a_pointer_is_extended_by_keys_and_indexes():
    assert str(Pointer() / "a/b" / 0) == "/a~1b/0"
