"""The entry point adds denials and silence, nothing else; what is no question is not allowed."""

import random
import string

import pytest

from broker.core.decision import Effect
from broker.core.question_schema import EXAMPLE
from broker.policy.bundle import build
from broker.policy.cases.patches import merge_patch
from broker.policy.opinion import opinion_of
from tests.fakes.policy_trees import ALLOW_ALL, bundle_of, family, opa
from tests.policies.asking import ask

READ = merge_patch(
    EXAMPLE, {"tool": {"behaviour": {"read_only": True, "destructive": False, "open_world": False}}}
)
ODD_CALL = merge_patch(EXAMPLE, {"call": {"tool": "odd"}})
ODD = '\n_odd if input.call.tool == "odd"\n'
HOLD = '"effect": "HOLD", "code": "WAIT", "message": "Wait."'


@pytest.fixture(scope="module")
def library():
    """With one family, so that no other speaks."""
    return bundle_of({})


def said(bundle, question=EXAMPLE, **replaced):
    """(effect, code, family) of each verdict, through the entry point and the reader of answers."""
    (answer,) = ask(bundle, [question], **replaced)
    opinion = opinion_of({"result": answer} if answer is not None else {}, revision=bundle.revision)
    return {(v.effect.name, v.code, v.family) for v in opinion.verdicts}


def test_where_no_rule_speaks_the_balanced_preset_holds(library):
    assert said(library) == {("HOLD", "SILENCE", "")}


def test_where_no_rule_speaks_the_strict_preset_denies():
    assert said(bundle_of({}, preset="strict")) == {("DENY", "SILENCE", "")}


def test_where_a_rule_speaks_silence_does_not(library):
    assert said(library, READ) == {("ALLOW", "READ_ONLY", "behaviour")}


ADDS = f"tightens_only := true\n\nverdicts contains {{{HOLD}}}"


def test_a_hold_that_only_adds_does_not_stand_where_silence_denies():
    verdicts = said(bundle_of(family(ADDS), preset="strict"))
    assert verdicts == {("HOLD", "WAIT", "sample"), ("DENY", "SILENCE", "")}


def test_a_family_that_only_adds_and_allows_does_not_break_silence():
    bundle = bundle_of(family(f"tightens_only := true\n\n{ALLOW_ALL}"))
    assert said(bundle) == {("ALLOW", "FINE", "sample"), ("HOLD", "SILENCE", "")}


def test_a_family_that_only_adds_takes_nothing_from_one_that_speaks():
    bundle = bundle_of(family(ADDS) | family(ALLOW_ALL, name="other"), preset="strict")
    assert said(bundle) == {("HOLD", "WAIT", "sample"), ("ALLOW", "FINE", "other")}


@pytest.mark.parametrize("word", ['"yes"', "{}", "0"])
def test_a_family_that_says_in_another_way_that_it_only_adds_is_taken_at_its_word(word):
    bundle = bundle_of(family(f"tightens_only := {word}\n\nverdicts contains {{{HOLD}}}"))
    assert ("HOLD", "SILENCE", "") in said(bundle)


@pytest.mark.parametrize("silence", ["ALLOW", "allow", "", None, True, ["HOLD"], {"HOLD": 1}])
def test_any_other_silence_denies(library, silence):
    assert said(library, silence=silence) == {("DENY", "SILENCE", "")}


def test_a_family_that_is_listed_and_absent_denies(library):
    verdicts = said(library, READ, families=["behaviour", "refunds"])
    assert ("DENY", "FAMILY_MISSING", "refunds") in verdicts


@pytest.mark.parametrize("families", [[], None, "behaviour", {}, 1])
def test_an_unknown_list_of_families_denies(library, families):
    assert ("DENY", "FAMILY_MISSING", "") in said(library, READ, families=families or [])
    assert {v[0] for v in said(library, READ, families=families or [])} == {"DENY", "HOLD"}


@pytest.mark.parametrize("value", ['"ALLOW"', "{}", '[{"effect": "ALLOW"}]', "null"])
def test_a_family_whose_verdicts_are_no_set_denies(value):
    bundle = bundle_of(
        family(f"verdicts := set() if not _odd\n\nverdicts := {value} if _odd\n{ODD}")
    )
    assert ("DENY", "FAMILY_MISSING", "sample") in said(bundle, ODD_CALL)


def test_a_family_whose_verdicts_are_undefined_denies():
    bundle = bundle_of(family(f"verdicts := set() if not _odd\n{ODD}"))
    assert ("DENY", "FAMILY_MISSING", "sample") in said(bundle, ODD_CALL)


@pytest.mark.parametrize(
    "verdict",
    [
        '"ALLOW"',
        "{}",
        '{"effect": "ALLOW"}',
        '{"effect": "ALLOW", "code": 1, "message": "x"}',
        '{"effect": "ALLOW", "code": "fine", "message": "x"}',
        '{"effect": "ALLOW", "code": "FINE\\n", "message": "x"}',
        '{"effect": "ALLOW", "code": "FINE", "message": ["x"]}',
        '{"effect": "allow", "code": "FINE", "message": "x"}',
        '{"effect": true, "code": "FINE", "message": "x"}',
        '{"effect": "ALLOW", "code": "FINE", "message": "x", "enforced": false}',
        '{"effect": "ALLOW", "code": "FINE", "message": "x", "family": "other"}',
        '{"effect": "ALLOW", "code": "FINE", "message": "x", "hold": {"reviewers": ["a"]}}',
        f'{{{HOLD}, "hold": "leads"}}',
        f'{{{HOLD}, "hold": {{"reviewers": "leads"}}}}',
        f'{{{HOLD}, "hold": {{"reviewers": []}}}}',
        f'{{{HOLD}, "hold": {{"approvals_required": 0}}}}',
        f'{{{HOLD}, "hold": {{"approvals_required": "1"}}}}',
        f'{{{HOLD}, "hold": {{"waived": true}}}}',
    ],
)
def test_a_malformed_verdict_denies(verdict):
    bundle = bundle_of(family(f"verdicts contains {verdict}"))
    assert ("DENY", "VERDICT_MALFORMED", "sample") in said(bundle)


@pytest.mark.parametrize("number", ["1.5", "1e300"])
def test_terms_that_only_rego_can_count_spoil_the_answer(number):
    terms = f'{{"approvals_required": {number}}}'
    bundle = bundle_of(family(f'verdicts contains {{{HOLD}, "hold": {terms}}} if _odd\n{ODD}'))
    assert said(bundle, ODD_CALL) == {("DENY", "POLICY_MALFORMED", "")}


def test_terms_that_a_rule_leaves_out_are_the_presets():
    bundle = bundle_of(family(f'verdicts contains {{{HOLD}, "hold": {{"reviewers": ["leads"]}}}}'))
    (answer,) = ask(bundle, [EXAMPLE])
    (verdict,) = answer["verdicts"]
    assert verdict["hold"] == {
        "reviewers": ["leads"],
        "approvals_required": 1,
        "decide_within_s": 14_400,
        "run_within_s": 3_600,
        "step_up": False,
    }


def test_without_the_presets_terms_a_hold_is_a_denial_and_does_not_vanish():
    bundle = bundle_of(family(f"{ALLOW_ALL}\n\nverdicts contains {{{HOLD}}}"))
    assert ("DENY", "VERDICT_MALFORMED", "sample") in said(bundle, hold={})


def test_an_obligation_goes_with_its_familys_name():
    bundle = bundle_of(
        family(f'{ALLOW_ALL}\n\nobligations contains {{"kind": "redact", "pointers": ["/a"]}}')
    )
    (answer,) = ask(bundle, [EXAMPLE])
    assert answer["obligations"] == [{"kind": "redact", "pointers": ["/a"], "family": "sample"}]


@pytest.mark.parametrize(
    "obligations",
    [
        'obligations contains "redact"',
        'obligations contains {"pointers": []}',
        'obligations contains {"kind": 1}',
        'obligations contains {"kind": "redact", "family": "other"}',
        'obligations := ["redact"]',
        'obligations := {"kind": "redact"}',
        'obligations := "redact"',
    ],
)
def test_a_malformed_obligation_denies(obligations):
    bundle = bundle_of(family(f"{ALLOW_ALL}\n\n{obligations}"))
    assert ("DENY", "OBLIGATION_MALFORMED", "sample") in said(bundle)


def test_removing_any_one_family_denies_every_call():
    bundle = bundle_of(family(ALLOW_ALL) | family(ALLOW_ALL, name="other"))
    for left in ("sample", "other"):
        (gone,) = {"sample", "other"} - {left}
        smaller = bundle_of(family(ALLOW_ALL, name=left))
        verdicts = said(smaller, READ, families=[*bundle.families])
        assert ("ALLOW", "FINE", left) in verdicts
        assert ("DENY", "FAMILY_MISSING", gone) in verdicts


def test_three_thousand_pieces_of_nonsense_are_not_allowed():
    library = build(opa=opa())
    chance = random.Random(20_261_121)
    questions = [_nonsense(chance, depth=4) for _ in range(2_000)]
    questions += [_mutilated(chance) for _ in range(1_000)]
    for question, answer in zip(questions, ask(library, questions), strict=True):
        body = {} if answer is None else {"result": answer}
        opinion = opinion_of(body, revision=library.revision)
        if _reads_only(question):
            continue
        assert min(v.effect for v in opinion.verdicts) < Effect.ALLOW, question


WORDS = ["version", "call", "tool", "behaviour", "read_only", "open_world", "destructive", "facts"]


def _nonsense(chance, *, depth):
    """Random JSON that likes the words of a question."""
    kind = chance.randrange(8 if depth else 6)
    if kind == 6:
        return [_nonsense(chance, depth=depth - 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        names = chance.sample(WORDS, chance.randrange(len(WORDS)))
        return {name: _nonsense(chance, depth=depth - 1) for name in names}
    text = "".join(chance.choices(string.printable, k=chance.randrange(6)))
    return chance.choice(
        [None, True, False, chance.randrange(-9, 9), chance.random(), text, "true"]
    )


def _mutilated(chance):
    """A question that reads only, with one to three of its parts replaced by nonsense."""
    question = merge_patch(READ, {})
    for _ in range(chance.randrange(1, 4)):
        part = question
        names = [*part]
        while True:
            name = chance.choice(names)
            if not isinstance(part[name], dict) or not part[name] or chance.random() < 0.4:
                part[name] = _nonsense(chance, depth=2)
                break
            part[name] = dict(part[name])
            part = part[name]
            names = [*part]
    return question


def _reads_only(question):
    """What a correct reading of the one shipped family allows, written apart from it."""
    tool = question.get("tool") if isinstance(question, dict) else None
    behaviour = tool.get("behaviour") if isinstance(tool, dict) else None
    return isinstance(behaviour, dict) and (
        behaviour.get("read_only"),
        behaviour.get("destructive"),
        behaviour.get("open_world"),
    ) == (True, False, False)
