"""What a second policy would have done is counted by class, what loosens first."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.control import ControlRow
from broker.core.decision import Effect, Obligation, Verdict
from broker.core.errors import Defect
from broker.core.limits import SHADOW_EXAMPLES_MAX
from broker.core.plan import Plan
from broker.core.shadow_rows import shadow_in, shadow_row, tally_bytes, tally_of
from broker.core.shadowing import (
    TRANSITIONS,
    Example,
    Shadow,
    Tally,
    compared,
    difference,
    joined,
    outcome,
    said_by_policy,
)
from tests.unit.core.trials import NOW, tool, verdict

DENY, HOLD, ALLOW = Effect.DENY, Effect.HOLD, Effect.ALLOW
REDACTED = Obligation(kind="redact", parameters={"pointers": ["/a"]})


def plan(*opinion: Verdict, owed: tuple[Obligation, ...] = ()) -> Plan:
    return outcome((), opinion, tool(), obligations=owed)


def test_every_pair_of_effects_that_can_differ_has_a_class() -> None:
    pairs = {(before, after) for before in Effect for after in Effect} - {(DENY, DENY)}
    assert set(TRANSITIONS) == pairs
    loosening = [after > before for before, after in TRANSITIONS]
    assert loosening == sorted(loosening, reverse=True)


@pytest.mark.parametrize(("before", "after"), [t for t in TRANSITIONS if t[0] is not t[1]])
def test_another_effect_is_a_difference(before: Effect, after: Effect) -> None:
    assert difference(plan(verdict(before)), plan(verdict(after))) == (before, after)


def test_another_denial_is_none_and_other_words_are_none() -> None:
    assert difference(plan(verdict(DENY)), plan(verdict(DENY, code="OTHER"))) is None
    assert difference(plan(verdict(ALLOW)), plan(verdict(ALLOW, code="OTHER"))) is None
    assert difference(plan(verdict(HOLD)), plan(verdict(HOLD, message="Other."))) is None


def test_other_terms_and_other_duties_are_differences() -> None:
    one = verdict(HOLD)
    assert one.terms is not None
    easier = dataclasses.replace(one, terms=dataclasses.replace(one.terms, reviewers=("anybody",)))
    assert difference(plan(one), plan(easier)) == (HOLD, HOLD)
    assert difference(plan(verdict(ALLOW), owed=(REDACTED,)), plan(verdict(ALLOW))) == (
        ALLOW,
        ALLOW,
    )


def test_a_duty_that_nobody_can_do_denies_here_as_it_does_there() -> None:
    odd = Obligation(kind="sing")
    assert difference(plan(verdict(ALLOW)), plan(verdict(ALLOW), owed=(odd,))) == (ALLOW, DENY)


def test_what_other_stages_say_counts_on_both_sides_and_what_settling_said_on_none() -> None:
    floor = verdict(HOLD, stage="floor", family="", code="FACT_ABSENT")
    settled = verdict(DENY, stage="settle", family="", code="CONTENDED")
    decided = [floor, settled, verdict(ALLOW)]
    before = outcome(decided, said_by_policy(decided), tool())
    after = outcome(decided, [verdict(ALLOW)], tool())
    assert before.decision.effect is HOLD
    assert difference(before, after) is None


def test_the_first_examples_are_kept_and_all_are_counted() -> None:
    tally = Tally()
    for number in range(SHADOW_EXAMPLES_MAX + 5):
        tally = compared(
            tally,
            plan(verdict(DENY, code="NO")),
            plan(verdict(ALLOW, code="YES")),
            invocation=f"invocations/{number}",
            tool="note",
            at=NOW + number,
        )
    assert tally.decisions == tally.differences[(DENY, ALLOW)] == SHADOW_EXAMPLES_MAX + 5
    examples = tally.examples[(DENY, ALLOW)]
    assert [e.invocation for e in examples] == [
        f"invocations/{n}" for n in range(SHADOW_EXAMPLES_MAX)
    ]
    assert (examples[0].codes_before, examples[0].codes_after) == (("NO",), ("YES",))


counts = st.integers(min_value=0, max_value=2**40)
examples = st.builds(
    Example,
    invocation=st.text(max_size=5),
    tool=st.text(max_size=5),
    codes_before=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    codes_after=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    at=st.floats(min_value=0, max_value=2**40),
)
classes = st.dictionaries(
    st.sampled_from(TRANSITIONS),
    st.tuples(counts.filter(bool), st.lists(examples, max_size=3).map(tuple)),
)
tallies = st.builds(
    lambda d, n, u, c: Tally(
        decisions=d,
        dropped=n,
        unanswered=u,
        differences={t: one[0] for t, one in c.items()},
        examples={t: one[1] for t, one in c.items()},
    ),
    counts,
    counts,
    counts,
    classes,
)


@given(tallies)
def test_a_tally_comes_back_as_it_was_kept(tally: Tally) -> None:
    assert tally_of(tally_bytes(tally)) == tally


@given(st.lists(tallies, max_size=4))
def test_what_brokers_saw_adds_up_in_any_order(seen: list[Tally]) -> None:
    together, reverse = joined(seen), joined(reversed(seen))
    assert together.decisions == sum(one.decisions for one in seen)
    assert together.differences == reverse.differences
    assert joined([together]) == together
    assert all(len(kept) <= SHADOW_EXAMPLES_MAX for kept in together.examples.values())


def test_what_cannot_be_read_is_a_defect() -> None:
    with pytest.raises(Defect):
        tally_of(b'{"decisions":1}')
    row = ControlRow(kind="shadow", key="on", digest="d", body=b"{}")
    with pytest.raises(Defect):
        shadow_in([row])


def test_a_shadow_comes_back_from_its_row() -> None:
    shadow = Shadow(
        name="shadows/1",
        revision="sha256:1",
        families=("a", "b"),
        reason="why",
        started_by="operator-1",
        started_at=1.5,
    )
    row = shadow_row(shadow)
    kept = ControlRow(kind=row.kind, key=row.key, digest=row.digest, body=row.body)
    assert shadow_in([kept]) == shadow
    assert shadow_in([]) is None
