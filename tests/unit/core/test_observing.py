"""Observing takes the force from one family's HOLD or DENY, and from nothing else."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.core.control import ControlRow
from broker.core.decision import Effect, HoldTerms, Verdict, settle
from broker.core.errors import Defect
from broker.core.limits import OBSERVATION_LIFE_S_MAX
from broker.core.manifest import ToolManifest, parse
from broker.core.observing import LIMITING, OF_BROKEN_RULES, Observation, observed
from broker.core.observing_rows import observation_row, observations_in
from tests.unit.core.trials import NOW, observation, tool, verdict

AGENT = "agents/a"
HOLD, DENY, ALLOW = Effect.HOLD, Effect.DENY, Effect.ALLOW


def lifted(
    one: Verdict, *known: Observation, manifest: ToolManifest | None = None, **given_as: Any
) -> bool:
    at = {"agent": AGENT, "now": NOW, **given_as}
    (after,) = observed([one], known or [observation()], manifest or tool(), **at)
    assert dataclasses.replace(after, enforced=one.enforced) == one
    return not after.enforced


@pytest.mark.parametrize("effect", [HOLD, DENY])
def test_a_hold_or_denial_of_the_family_has_no_force_and_keeps_its_effect(effect: Effect) -> None:
    one = verdict(effect)
    assert lifted(one)
    after = settle(observed([one], [observation()], tool(), agent=AGENT, now=NOW))
    assert after.effect is ALLOW
    assert [(v.effect, v.enforced) for v in after.observed] == [(effect, False)]


def test_an_allow_of_the_family_is_what_it_was() -> None:
    assert not lifted(verdict(ALLOW))


def test_other_families_and_no_family_keep_their_force() -> None:
    assert not lifted(verdict(DENY, family="other"))
    assert not lifted(verdict(HOLD, family="", code="SILENCE"))
    assert not lifted(verdict(DENY, family=""), observation(family=""))


@pytest.mark.parametrize("stage", ["screen", "floor", "settle"])
def test_no_other_stage_is_observed_whatever_family_it_names(stage: str) -> None:
    assert not lifted(verdict(DENY, stage=stage))
    assert not lifted(verdict(HOLD, stage=stage))


@pytest.mark.parametrize("code", sorted(OF_BROKEN_RULES))
def test_a_family_that_is_missing_or_speaks_nonsense_denies(code: str) -> None:
    assert not lifted(verdict(DENY, code=code))


@pytest.mark.parametrize("trait", ["destructive", "open_world"])
def test_nothing_is_lifted_of_a_tool_that_destroys_or_reaches_out(trait: str) -> None:
    assert not lifted(verdict(HOLD), manifest=tool(**{trait: True}))
    assert not lifted(verdict(DENY), manifest=tool(**{trait: True}))


def test_a_denial_that_may_rest_on_facts_stays_and_a_hold_goes() -> None:
    with_facts = tool(with_facts=True)
    assert not lifted(verdict(DENY), manifest=with_facts)
    assert lifted(verdict(HOLD), manifest=with_facts)


@pytest.mark.parametrize("family", sorted(LIMITING))
def test_a_limit_stays_one_in_whatever_language_it_is_written(family: str) -> None:
    assert not lifted(verdict(DENY, family=family), observation(family=family))
    assert lifted(verdict(HOLD, family=family), observation(family=family))


def test_it_is_for_one_agent_or_for_all() -> None:
    assert lifted(verdict(HOLD), observation(agent=AGENT))
    assert not lifted(verdict(HOLD), observation(agent="agents/b"))
    assert not lifted(verdict(HOLD), observation(agent=AGENT), agent="agents/b")


def test_it_begins_when_it_is_made_and_ends_at_its_end() -> None:
    one = observation(created_at=NOW, expires_at=NOW + 60)
    assert [lifted(verdict(HOLD), one, now=NOW + s) for s in (-0.001, 0, 59.999, 60, 10**9)] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_no_row_lifts_for_longer_than_anybody_may_ask_for() -> None:
    one = observation(created_at=NOW, expires_at=NOW + 10**12)
    assert lifted(verdict(HOLD), one, now=NOW + OBSERVATION_LIFE_S_MAX - 1)
    assert not lifted(verdict(HOLD), one, now=NOW + OBSERVATION_LIFE_S_MAX)


verdicts = st.lists(
    st.builds(
        Verdict,
        effect=st.sampled_from(Effect),
        stage=st.sampled_from(["screen", "floor", "policy", "settle"]),
        code=st.sampled_from(["A", "SILENCE", *OF_BROKEN_RULES]),
        message=st.just("m"),
        family=st.sampled_from(["", "f", "g"]),
        terms=st.sampled_from(
            [None, HoldTerms(reviewers=("r",), decide_within_s=1, run_within_s=1)]
        ),
        enforced=st.booleans(),
    )
)


traits = st.fixed_dictionaries(
    {name: st.booleans() for name in ("destructive", "open_world", "with_facts")}
)


@given(verdicts, traits)
def test_what_is_lifted_is_always_policys_own_and_of_that_family(
    said: list[Verdict], of: dict[str, bool]
) -> None:
    manifest = tool(**of)
    after = observed(said, [observation(family="f")], manifest, agent=AGENT, now=NOW)
    assert [dataclasses.replace(v, enforced=True) for v in after] == [
        dataclasses.replace(v, enforced=True) for v in said
    ]
    for before, now in zip(said, after, strict=True):
        assert before.enforced or not now.enforced
        if before.enforced and not now.enforced:
            assert (now.stage, now.family) == ("policy", "f")
            assert now.effect in {HOLD, DENY}
            assert not of["destructive"]
            assert not of["open_world"]
            assert now.effect is HOLD or not of["with_facts"]
    assert settle(after).effect >= settle(said).effect


def test_an_observation_comes_back_from_its_row_as_it_went_in() -> None:
    one = observation(agent=AGENT, created_at=1.5, expires_at=2.25)
    row = observation_row(one)
    kept = ControlRow(kind=row.kind, key=row.key, digest=row.digest, body=row.body)
    assert observations_in([kept]) == (one,)
    with pytest.raises(Defect):
        observations_in([dataclasses.replace(kept, body=b'{"family":"f"}')])


def test_manifests_in_these_tests_are_what_they_say() -> None:
    assert parse(dict(tool(open_world=True).document)).behaviour.open_world
    assert tool(with_facts=True).facts
