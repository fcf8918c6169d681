"""Laws of narrowing: whatever a reviewer sends, what comes of it is less or nothing."""

import json
from collections import Counter
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from broker.core.errors import MalformedRequest
from broker.core.manifest import parse
from broker.core.narrowing import narrow

MANIFEST = parse(
    {
        "name": "pay",
        "description": "Pay.",
        "summary": "Pay",
        "arguments": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "amount": {"type": "integer"},
                "to": {"type": "array", "items": {}},
                "deep": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "count": {"type": "integer"},
                        "list": {"type": "array", "items": {}},
                    },
                },
                "note": {},
            },
        },
        "output": {"trust": "trusted", "sensitivity": "none"},
        "scopes": [{"name": "payments:write"}],
        "review": {
            "narrowing": {
                "/amount": "smaller",
                "/to": "subset",
                "/deep/count": "smaller",
                "/deep/list": "subset",
            }
        },
    }
)
NUMBERS = ("/amount", "/deep/count")
LISTS = ("/to", "/deep/list")
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, "", "a", "1"])
VALUES = st.recursive(
    SCALARS,
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below, max_size=2)
    ),
    max_leaves=6,
)
ELEMENTS = st.lists(st.sampled_from(["a", "b", 1, True, 1.0, [1], {"a": 1}]), max_size=5)
NUMBER = st.integers(-5, 10) | st.sampled_from([2**53, 10**400, True, False, 1.0, 2.5, "3", None])
ASKED = st.fixed_dictionaries(
    {
        "amount": st.integers(-2, 9),
        "to": ELEMENTS,
        "deep": st.fixed_dictionaries({"count": st.integers(0, 9), "list": ELEMENTS}),
        "note": VALUES,
    }
)
POINTERS = st.sampled_from(
    ["/amount", "/to", "/to/0", "/deep", "/deep/count", "/deep/list", "/deep/list/1", "/note", ""]
)
CHANGES = st.dictionaries(POINTERS, NUMBER | ELEMENTS | VALUES, max_size=4)


def at(document: dict[str, Any], pointer: str) -> Any:
    value: Any = document
    for token in pointer.split("/")[1:]:
        value = value[token]
    return value


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def without(document: dict[str, Any]) -> str:
    """All that may never change."""
    deep = {k: v for k, v in document["deep"].items() if k not in {"count", "list"}}
    rest = {k: v for k, v in document.items() if k not in {"amount", "to", "deep"}}
    return text([rest, deep])


@settings(deadline=None, max_examples=400)
@given(ASKED, CHANGES)
@example(
    asked={"amount": 2, "to": ["a"], "deep": {"count": 0, "list": []}, "note": None},
    changes={"/amount": True},
)
def test_whatever_is_sent_comes_to_less_or_to_nothing(asked, changes):
    before = text(asked)
    try:
        narrowed = narrow(MANIFEST, asked, changes)
    except MalformedRequest:
        return
    finally:
        assert text(asked) == before
    assert text(narrowed) != before
    assert without(narrowed) == without(asked)
    assert narrowed.keys() == asked.keys()
    for pointer in NUMBERS:
        now, then = at(narrowed, pointer), at(asked, pointer)
        assert type(now) is int
        assert now == then or 0 <= now < then
        assert (now != then) == (pointer in changes)
    for pointer in LISTS:
        now, then = ([text(one) for one in at(d, pointer)] for d in (narrowed, asked))
        assert not Counter(now) - Counter(then)
        assert now == then or 0 < len(now) < len(then)
        if now:  # in the order in which it was asked
            rest = iter(then)
            assert all(one in rest for one in now)


@settings(deadline=None, max_examples=200)
@given(ASKED, st.lists(CHANGES, max_size=4))
def test_less_of_less_is_less_of_what_was_asked(asked, rounds):
    narrowed = asked
    for changes in rounds:
        try:
            narrowed = narrow(MANIFEST, narrowed, changes)
        except MalformedRequest:
            continue
    for pointer in NUMBERS:
        assert at(narrowed, pointer) <= at(asked, pointer)
    for pointer in LISTS:
        now, then = ([text(one) for one in at(d, pointer)] for d in (narrowed, asked))
        assert not Counter(now) - Counter(then)
    assert without(narrowed) == without(asked)


@settings(deadline=None, max_examples=200)
@given(ASKED, CHANGES)
def test_the_order_in_which_changes_come_makes_no_difference(asked, changes):
    results = []
    for order in (changes.items(), reversed(changes.items())):
        try:
            results.append(text(narrow(MANIFEST, asked, dict(order))))
        except MalformedRequest:
            results.append("")
    assert results[0] == results[1]
