"""Whom a call reaches, as it is remembered: equal values alone are one target."""

import dataclasses
import unicodedata

import pytest

from broker.core.calls import Invocation, ToolCall
from broker.core.lifecycle import InvocationState
from broker.core.limits import TARGETS_MAX
from broker.core.manifest import parse
from broker.core.reaching import counted, targets

ANN = "customers/ann"
MANIFEST = {
    "name": "send",
    "description": "Sends something.",
    "summary": "Send",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"to": {}, "toll": {}, "body": {"type": "string"}},
    },
    "behaviour": {"read_only": False, "open_world": True},
    "targets": ["/to"],
    "payload": ["/body"],
    "scopes": [{"name": "mail:send"}],
    "runner": "worker",
    "deadline_s": 10,
}


def named(arguments, *, principal=ANN, **changed):
    document = {**MANIFEST, **changed}
    document = {name: value for name, value in document.items() if value is not None}
    return targets(principal, parse(document), arguments)


def one(value, **changed):
    (target,) = named({"to": value}, **changed).values()
    return target


def test_every_leaf_below_a_target_is_one_and_nothing_else_is():
    found = named({"to": ["a", {"x": "b"}], "toll": "c", "body": "d"})
    assert list(found) == ["/to/0", "/to/1/x"]


def test_where_it_stands_does_not_matter():
    found = named({"to": ["a", "b", "a"]})
    assert found["/to/0"] == found["/to/2"] != found["/to/1"]


def test_what_is_empty_is_nobody():
    assert named({"to": ["", None, [], {}]}) == {}
    assert named({}) == {}


def test_a_name_that_the_model_chose_is_part_of_the_target():
    found = named({"to": {"a@x.example": "", "b@x.example": ""}})
    assert len(set(found.values())) == len(found) == 2
    assert one({"a@x.example": 1}) != one(1)


def test_undeclared_targets_of_what_writes_are_every_leaf():
    assert set(named({"to": "a", "body": "b"}, targets=None)) == {"/to", "/body"}


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", unicodedata.normalize("NFD", "caf\xe9"))],
)
def test_two_ways_to_write_one_value_are_one_target(left, right):
    assert one(left) == one(right)


@pytest.mark.parametrize(
    "other",
    [
        "Ann@shop.example",
        "ann@SHOP.example",
        " ann@shop.example",
        "ann@shop.example.",
        "Ann <ann@shop.example>",
        "ann%40shop.example",
        "YW5uQHNob3AuZXhhbXBsZQ==",
        "ann\N{FULLWIDTH COMMERCIAL AT}shop.example",
        "\N{CYRILLIC SMALL LETTER A}nn@shop.example",
        "ann\N{ZERO WIDTH SPACE}@shop.example",
        "ann@shop.example\x00",
    ],
)
def test_what_only_looks_alike_is_another_target(other):
    assert one("ann@shop.example") != one(other)


@pytest.mark.parametrize(("left", "right"), [("1", 1), (1, True), (0, False), ("null", "")])
def test_values_of_other_types_are_other_targets(left, right):
    assert named({"to": left}) != named({"to": right})


def test_each_principal_has_digests_of_their_own():
    assert one("a") != one("a", principal="customers/bob")


def test_of_a_call_that_reaches_too_many_none_is_told():
    assert len(named({"to": [str(n) for n in range(TARGETS_MAX)]})) == TARGETS_MAX
    assert named({"to": [str(n) for n in range(TARGETS_MAX + 1)]}) == {}


def ended(state, arguments):
    return Invocation(
        name="invocations/1",
        session="sessions/1",
        principal=ANN,
        agent="agents/a",
        request_id="r",
        call=ToolCall(
            tool="send", arguments=arguments, canonical=b"{}", digest="sha256:0", request_id="r"
        ),
        state=state,
        decision=None,
        tool_revision="",
        policy_revision="",
        control_revision=1,
        created_at=1.0,
        updated_at=2.0,
        etag=2,
    )


@pytest.mark.parametrize("state", InvocationState)
def test_only_what_took_effect_has_reached_anybody(state):
    told = counted(ended(state, {"to": ["a", "b", "a"]}), parse(MANIFEST))
    expected = set(named({"to": ["a", "b"]}).values())
    assert {one.target for one in told} == (
        expected if state is InvocationState.SUCCEEDED else set()
    )


def test_each_target_counts_once_a_call_by_tool_and_principal_at_its_end():
    (told,) = counted(ended(InvocationState.SUCCEEDED, {"to": ["a", "a"]}), parse(MANIFEST))
    assert dataclasses.astuple(told) == (ANN, one("a"), "send", 2.0)


def test_what_only_reads_has_reached_nobody():
    manifest = parse({**MANIFEST, "behaviour": {"read_only": True, "open_world": True}})
    assert counted(ended(InvocationState.SUCCEEDED, {"to": "a"}), manifest) == ()
