"""Processes of the whole stack are killed while agents call, and each book agrees with the others.

`make soak CRASH="--stack --runs 300"` kills at random, the container engine too.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.crash.ledger import Line
from tests.crash.stack import open_stack
from tests.crash.stack_agent import Answer
from tests.crash.stack_books import Books, Row, once_settled
from tests.crash.stack_soak import StackSoak
from tests.engine_api import ContainerEngine

RUNS = {
    "sqlite": (("broker",), ("opa", "sandboxd"), ("broker", "worker")),
    "postgres": (("backend",), ("postgres", "broker"), ("container",)),
}
NAME = "invocations/1"


@pytest.mark.parametrize("kind", sorted(RUNS))
def test_whatever_is_killed_of_the_stack_its_books_hold(
    container_engine: ContainerEngine, kind: str
):
    """Kill one process or two under an agent's calls, so that one of them is had twice, or lost."""
    with open_stack(kind, container_engine) as stack:
        soak = StackSoak(stack=stack, choose=random.Random(7))
        assert not soak.carry_out(RUNS[kind], say=lambda _: None)
        assert soak.lines()
        assert {answer.outcome for answer in soak.told.answers} >= {"Succeeded"}


def books(**changed: Any) -> Books:
    """Of one call that was carried out and told of."""
    line = Line(
        invocation=NAME,
        tool="pay",
        attempt=1,
        fence="f",
        is_effect=True,
        state="RUNNING",
        attempts=1,
    )
    row = Row(name=NAME, tool="pay", request_id="r", state="SUCCEEDED", attempt=1)
    told = Answer(
        request_id="r",
        tool="pay",
        order="r",
        invocation=NAME,
        outcome="Succeeded",
        result=NAME,
    )
    begun = {"kind": "attempt.started", "invocation": NAME, "body": {"attempt": 1}}
    ended = {"kind": "call.ended", "invocation": NAME, "body": {"state": "SUCCEEDED"}}
    good = Books(rows={NAME: row}, entries=[begun, ended], lines=[line], answers=[told])
    return replace(good, **changed)


GOOD = books()
LINE, TOLD, ROW = GOOD.lines[0], GOOD.answers[0], GOOD.rows[NAME]
BEGUN, ENDED = GOOD.entries


def test_books_of_a_call_that_was_carried_out_hold():
    assert not once_settled(GOOD)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: books(lines=[LINE, replace(LINE, attempt=2, attempts=2)]),
        lambda: books(lines=[LINE, replace(LINE, is_effect=False)]),
        lambda: books(lines=[replace(LINE, state="HELD", attempts=0)]),
        lambda: books(lines=[replace(LINE, state="", attempts=0)]),
        lambda: books(lines=[]),
        lambda: books(rows={}),
        lambda: books(rows={NAME: replace(ROW, state="RUNNING")}),
        lambda: books(rows={NAME: replace(ROW, state="CANCELLED")}),
        lambda: books(rows={NAME: replace(ROW, state="UNKNOWN")}),
        lambda: books(rows={NAME: replace(ROW, attempt=2)}),
        lambda: books(entries=[ENDED]),
        lambda: books(entries=[BEGUN]),
        lambda: books(entries=[BEGUN, BEGUN, ENDED]),
        lambda: books(entries=[BEGUN, ENDED, ENDED]),
        lambda: books(answers=[replace(TOLD, outcome="Failed", result=None)]),
        lambda: books(answers=[replace(TOLD, outcome="Refused", result=None)]),
        lambda: books(answers=[replace(TOLD, outcome="Unknown", result=None)]),
        lambda: books(answers=[replace(TOLD, result="invocations/2")]),
        lambda: books(answers=[TOLD, replace(TOLD, invocation="invocations/2")]),
    ],
)
def test_books_that_disagree_are_seen_to(wrong: Callable[[], Books]):
    """Nothing is attacked: a harness that lets these pass would prove nothing of the stack."""
    assert once_settled(wrong())
