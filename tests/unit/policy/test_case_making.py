"""A past decision becomes a case that holds where it is pasted, without what does not matter."""

import functools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.cli.case_text import case_lines
from broker.core.arguments import JsonValue
from broker.core.question_schema import EXAMPLE
from broker.core.recorded import RecordedDecision
from broker.policy.bundle import PolicyBundle, build
from broker.policy.case_making import MadeCase, difference, families_of, make_case
from broker.policy.cases.judging import differences
from broker.policy.cases.patches import merge_patch
from broker.policy.cases.running import run
from broker.policy.cases.tables import read_cases
from broker.policy.many import ManyQuestions
from tests.exported_decisions import NOW, refund
from tests.fakes.decision_point import hold
from tests.fakes.policy_trees import opa
from tests.policies.trees import TREES, tools_beside

DESK = TREES["support_desk"]
NAME = 'Refund "EUR" 55.00\nof order O-1001: \N{SNOWMAN}'


@functools.cache
def desk() -> PolicyBundle:
    return build(opa=opa(), directory=DESK, tools=tools_beside(DESK))


def decided(question: dict[str, Any], tmp_path: Path) -> RecordedDecision:
    """What the desk's rules say of a question, as the log would have it."""
    path = tmp_path / "bundle.tar.gz"
    path.write_bytes(desk().bundle)
    [opinion] = ManyQuestions(opa=opa(), bundle=path, revision=desk().revision).ask([question])
    return RecordedDecision(
        entry="e-1",
        invocation="invocations/1",
        at=NOW,
        tool=question["call"]["tool"],
        tool_revision="sha256:t",
        policy_revision=desk().revision,
        effect=min(verdict.effect for verdict in opinion.verdicts),
        verdicts=opinion.verdicts,
        obligations=opinion.obligations,
        summary=NAME,
        question=question,
    )


def made(question: dict[str, Any], tmp_path: Path, family: str = "refunds") -> MadeCase:
    return make_case(decided(question, tmp_path), family, bundle=desk(), opa=opa())


def pasted(cases: dict[str, MadeCase], tmp_path: Path) -> dict[str, list[str]]:
    """How each case differs once it is pasted into the desk's table of refunds, by its name."""
    tree = tmp_path / "pasted"
    shutil.copytree(DESK, tree)
    table = tree / "broker" / "rules" / "refunds" / "refunds_cases.yaml"
    with table.open("a", encoding="utf-8") as file:
        for name, case in cases.items():
            file.writelines(f"{line}\n" for line in case_lines(name, case.given, case.expect))
    bundle = build(opa=opa(), directory=tree, tools=tools_beside(DESK))
    mine = [one for one in read_cases(bundle) if one.name in cases]
    outcomes, _ = run(opa(), bundle, mine)
    return {
        one.name: differences(one.expected, outcome)
        for one, outcome in zip(mine, outcomes, strict=True)
    }


def failed_fact() -> dict[str, Any]:
    question = refund(4_000)
    question["facts"] = {"order": {"source": "shop", "error": "DEADLINE_EXCEEDED"}}
    return question


def no_counter() -> dict[str, Any]:
    question = refund(4_000)
    question["usage"] = {}
    return question


def other_tool() -> dict[str, Any]:
    question = refund(4_000)
    question["call"]["tool"] = "read_order"
    return question


QUESTIONS = [
    (refund(4_000), "ALLOW", ["REFUND_COVERED"]),
    (refund(5_500), "HOLD", ["REFUND_NEEDS_PERSON"]),
    (refund(4_000, used=2), "HOLD", ["REFUND_NEEDS_PERSON"]),
    (refund(9_000), "DENY", ["REFUND_NOT_COVERED"]),
    (refund(4_000, currency="USD"), "DENY", ["REFUND_NOT_COVERED"]),
    (failed_fact(), "DENY", ["REFUND_NOT_COVERED"]),
    (no_counter(), "HOLD", ["REFUND_NEEDS_PERSON"]),
    (other_tool(), None, []),
]


def test_every_case_holds_where_it_is_pasted(tmp_path):
    cases = {}
    for number, (question, effect, codes) in enumerate(QUESTIONS):
        case = cases[f"{NAME} {number}"] = made(question, tmp_path)
        assert (case.expect.get("effect"), case.expect["codes"]) == (effect, codes)
        assert case.holds
    assert pasted(cases, tmp_path) == {name: [] for name in cases}


def test_what_does_not_matter_is_left_out(tmp_path):
    case = made(refund(5_500), tmp_path)
    # The table's own `given` says the rest: order, currency and what is left of the payment.
    assert case.given == {"call": {"arguments": {"amount_minor": 5_500}}}


def test_terms_that_the_preset_does_not_say_are_expected(tmp_path):
    case = made(refund(5_500), tmp_path)
    assert case.expect["hold"] == {"reviewers": ["support-leads"]}


def test_a_fact_that_a_rule_reads_stays_even_where_a_missing_one_denies_too(tmp_path):
    question = refund(4_000)
    question["facts"]["order"]["value"]["currency"] = "USD"
    assert made(question, tmp_path).given == {"facts": {"order": {"value": {"currency": "USD"}}}}


def test_somebody_new_stays_new_and_not_somebody_of_whom_nothing_is_told(tmp_path):
    question = refund(4_000)
    question["call"]["tool"] = "pay"
    question["tool"] |= {"targets": ["/to"]}
    question["tool"]["behaviour"]["open_world"] = True
    traced = {"source": "words", "from": [], "carries": "none", "approved": "none"}
    question["provenance"] = {"/to": {**traced, "characters": 9}}
    question["reached"] = {"/to": {}}
    new = hold("TARGET_NEW")
    decision = replace(
        decided(question, tmp_path), effect=new.effect, verdicts=(replace(new, family="novelty"),)
    )
    case = make_case(decision, "novelty", bundle=desk(), opa=opa())
    assert case.holds
    assert case.given["reached"]["/to"] == {}


def test_what_the_family_said_then_is_expected_even_where_it_says_something_else_now(tmp_path):
    decision = decided(refund(5_500), tmp_path)
    case = make_case(
        RecordedDecision(
            **{
                **{name: getattr(decision, name) for name in decision.__slots__},
                "question": refund(100),
            }
        ),
        "refunds",
        bundle=desk(),
        opa=opa(),
    )
    assert case.expect["effect"] == "HOLD"
    assert not case.holds
    assert case.found is not None
    assert case.found.effect == "ALLOW"


def test_of_a_family_that_is_not_here_everything_is_told(tmp_path):
    decision = decided(refund(5_500), tmp_path)
    case = make_case(decision, "gone", bundle=desk(), opa=opa())
    assert (case.found, case.holds, case.expect) == (None, False, {"codes": []})
    assert merge_patch(dict(EXAMPLE), dict(case.given)) == decision.question


def test_a_null_is_told_because_no_patch_can_say_it(tmp_path):
    question = refund(5_500)
    question["call"]["arguments"]["reason"] = None
    assert made(question, tmp_path).inexpressible == ("/call/arguments/reason",)


def test_the_family_that_decided_is_the_first(tmp_path):
    assert families_of(decided(refund(5_500), tmp_path))[0] == "refunds"


def test_without_a_question_there_is_no_case(tmp_path):
    decision = decided(refund(5_500), tmp_path)
    spared = RecordedDecision(
        **{**{name: getattr(decision, name) for name in decision.__slots__}, "question": None}
    )
    with pytest.raises(ValueError, match="not asked"):
        make_case(spared, "refunds", bundle=desk(), opa=opa())


_JSON: st.SearchStrategy[JsonValue] = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
_OBJECTS = st.dictionaries(st.sampled_from("abcd"), _JSON, max_size=4)


@given(base=_OBJECTS, wanted=_OBJECTS)
def test_the_difference_laid_over_the_base_is_what_was_wanted(base, wanted):
    patched = merge_patch(base, difference(base, wanted))
    assert repr(_sorted(patched)) == repr(_sorted(wanted))


@given(value=_OBJECTS)
def test_of_what_is_alike_there_is_no_difference(value):
    assert difference(value, value) == {}


def _sorted(value: JsonValue) -> Any:
    if isinstance(value, dict):
        return sorted((name, _sorted(member)) for name, member in value.items())
    return [_sorted(item) for item in value] if isinstance(value, list) else value
