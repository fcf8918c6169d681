"""Many questions at once are answered one by one, and a bad one spoils nobody else's answer."""

import copy
import dataclasses
import json

import pytest

from broker.core.question_schema import EXAMPLE
from broker.policy import many
from broker.policy.many import ManyQuestions
from tests.fakes.policy_trees import bundle_of, family, opa

RULES = """
verdicts contains {"effect": "ALLOW", "code": "FINE", "message": "Fine."} if {
	input.call.tool == "fine"
}

verdicts contains {"effect": "DENY", "code": "NOT_FINE", "message": "No."} if {
	input.call.tool == "erring"
	to_number(input.call.digest) > 0
}

verdicts contains {"effect": "DENY", "code": "SLOW", "message": "No."} if {
	input.call.tool == "slow"
	count([1 | numbers.range(1, 3000)[_] > numbers.range(1, 3000)[_]]) > 0
}
"""


@pytest.fixture(scope="module")
def candidate(tmp_path_factory):
    built = bundle_of(family(RULES))
    path = tmp_path_factory.mktemp("many") / "bundle.tar.gz"
    path.write_bytes(built.bundle)
    return ManyQuestions(opa=opa(), bundle=path, revision=built.revision)


def question(tool: str):
    asked = copy.deepcopy(EXAMPLE)
    asked["call"]["tool"] = tool
    return asked


def codes(candidate: ManyQuestions, *tools: str) -> list[list[str]]:
    opinions = candidate.ask([question(tool) for tool in tools])
    return [sorted(verdict.code for verdict in one.verdicts) for one in opinions]


def test_each_is_answered_in_its_place(candidate):
    assert codes(candidate, "fine", "other", "fine") == [["FINE"], ["SILENCE"], ["FINE"]]
    assert codes(candidate) == []


def test_one_that_errs_is_denied_alone(candidate):
    found = codes(candidate, *["fine"] * 5, "erring", *["fine"] * 4)
    assert found == [["FINE"]] * 5 + [["POLICY_ERROR"]] + [["FINE"]] * 4


def test_one_that_loops_is_denied_alone(candidate):
    hurried = dataclasses.replace(candidate, batch_deadline_s=2.0, alone_deadline_s=1.0)
    assert codes(hurried, "fine", "slow") == [["FINE"], ["POLICY_LATE"]]


def test_an_answer_of_another_policy_is_denied(candidate):
    other = dataclasses.replace(candidate, revision="sha256:other")
    assert codes(other, "fine") == [["POLICY_WRONG_REVISION"]]


def test_large_questions_are_asked_in_smaller_batches():
    texts = ["x" * (many.BATCH_CHARACTERS_MAX // 2 + 1)] * 3
    assert [len(batch) for batch in many._batches(texts)] == [1, 1, 1]
    assert [len(batch) for batch in many._batches([json.dumps(EXAMPLE)] * 3)] == [3]
