"""The parts of running cases that need no OPA: patches, judging, and lines."""

import pytest

from broker.policy.cases.coverage import Lines, lines_of
from broker.policy.cases.judging import differences
from broker.policy.cases.patches import merge_patch
from broker.policy.cases.running import Outcome, outcome_of
from broker.policy.cases.tables import Expected

HOLD = Expected(effect="HOLD", codes=("WAIT",), hold={"approvals_required": 2})
REDACT = {"kind": "redact", "pointers": ["/a"]}


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7396, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_patch_does_what_its_standard_says(target, patch, result):
    assert merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("expected", "found", "told"),
    [
        (HOLD, Outcome(effect="HOLD", codes=("WAIT",), terms=({"approvals_required": 2},)), []),
        (
            HOLD,
            Outcome(effect="HOLD", codes=("WAIT",), terms=({"approvals_required": 1},)),
            ["expected hold approvals_required 2, got 1"],
        ),
        (
            HOLD,
            Outcome(effect="HOLD", codes=("MORE", "WAIT"), terms=({"approvals_required": 2},)),
            ["expected HOLD WAIT, got HOLD MORE, WAIT"],
        ),
        (HOLD, Outcome(effect=None, codes=()), ["expected HOLD WAIT, got silence"]),
        (
            Expected(effect="ALLOW", codes=("FINE",), obligations=()),
            Outcome(effect="ALLOW", codes=("FINE",), obligations=(REDACT,)),
            ['expected obligations none, got {"kind": "redact", "pointers": ["/a"]}'],
        ),
        (
            Expected(effect="ALLOW", codes=("FINE",)),
            Outcome(effect="ALLOW", codes=("FINE",), obligations=(REDACT,)),
            [],
        ),
        (
            Expected(effect=None, codes=()),
            Outcome(effect="DENY", codes=("POLICY_ERROR",), error="a.rego:1: divide by zero"),
            ["expected silence, got DENY POLICY_ERROR", "a.rego:1: divide by zero"],
        ),
        (
            Expected(effect="DENY", codes=("POLICY_ERROR",)),
            Outcome(effect="DENY", codes=("POLICY_ERROR",), error="a.rego:1: divide by zero"),
            [],
        ),
    ],
)
def test_a_case_holds_where_all_of_it_is_said_and_nothing_else(expected, found, told):
    assert differences(expected, found) == told


def test_only_the_strictest_verdicts_of_families_count():
    def verdict(effect, code, family="sample"):
        return {"effect": effect, "code": code, "message": "x", "family": family}

    verdicts = [verdict("ALLOW", "A"), verdict("DENY", "C"), verdict("DENY", "B")]
    answer = {"verdicts": [*verdicts, verdict("HOLD", "SILENCE", "")], "obligations": []}
    assert outcome_of(answer) == Outcome(effect="DENY", codes=("B", "C"))
    assert outcome_of({"verdicts": verdicts[:0], "obligations": []}).effect is None
    assert outcome_of(None).codes == ("POLICY_UNDEFINED",)


def at(start: int, end: int, column: int = 1) -> dict[str, dict[str, int]]:
    return {"start": {"row": start, "col": column}, "end": {"row": end, "col": 9}}


def test_a_line_is_covered_where_nothing_that_begins_on_it_failed_in_every_run():
    runs = [
        {"a.rego": {"covered": [at(1, 3), at(6, 6, 2)], "not_covered": [at(5, 7), at(9, 9)]}},
        {"a.rego": {"covered": [at(9, 9)], "not_covered": [at(1, 3), at(5, 7)]}},
    ]
    assert lines_of(runs) == {"a.rego": Lines(covered=5, missed=(5, 7))}
