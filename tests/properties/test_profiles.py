"""The law of obligations on isolation: whatever policy asks for, nothing gets looser by it."""

from hypothesis import given
from hypothesis import strategies as st

from broker.core.decision import Effect, Obligation, Verdict, settle
from broker.core.manifest import SandboxSpec
from broker.core.plan import Refuse, Run, make_plan
from broker.core.profiles import (
    NO_PROFILE,
    ChosenProfile,
    OfferedProfile,
    choose_profile,
)
from tests.unit.core.test_profiles import IMAGE, sandboxed

names = st.sampled_from(["strict", "compute", "egress", "gvisor"])
offers = st.builds(
    lambda name, others, content, available: OfferedProfile(
        name=name,
        digest=f"sha256:{content * 64}",
        available=available,
        unavailable_because="" if available else "Not here.",
        tightens=frozenset({name, *others}),
        isolated=True,
    ),
    names,
    st.frozensets(names),
    st.sampled_from("0f"),
    st.booleans(),
)
obligations = st.builds(
    lambda name: Obligation(kind="profile", parameters={"profile": name}),
    names | st.just("unknown"),
)


@given(names, st.lists(obligations), st.lists(offers, min_size=1))
def test_what_is_chosen_is_given_and_is_as_tight_as_everything_that_was_asked(name, asked, offered):
    chosen = choose_profile(SandboxSpec(image=IMAGE, profile=name), asked, offered)
    if isinstance(chosen, Verdict):
        assert chosen.effect is Effect.DENY
        return
    wanted = {name, *(o.parameters["profile"] for o in asked)}
    assert any(
        o.available and (o.name, o.digest) == (chosen.name, chosen.digest) and wanted <= o.tightens
        for o in offered
    )


@given(names, st.lists(obligations), obligations, st.lists(offers, min_size=1))
def test_one_more_wish_of_policy_never_allows_what_was_refused(name, asked, more, offered):
    sandbox = SandboxSpec(image=IMAGE, profile=name)
    before = choose_profile(sandbox, asked, offered)
    after = choose_profile(sandbox, [*asked, more], offered)
    if isinstance(after, ChosenProfile):
        # An alternative to one that no node can give may be tighter than it, but not looser.
        assert not isinstance(before, Verdict) or before.code == "PROFILE_UNAVAILABLE"


@given(names, st.lists(obligations), st.lists(offers), st.randoms(use_true_random=False))
def test_the_order_of_wishes_and_nodes_changes_nothing(name, asked, offered, random):
    sandbox = SandboxSpec(image=IMAGE, profile=name)
    one = choose_profile(sandbox, asked, offered)
    random.shuffle(asked)
    random.shuffle(offered)
    other = choose_profile(sandbox, asked, offered)
    assert type(one) is type(other)
    assert getattr(one, "code", one) == getattr(other, "code", other)


@given(st.lists(obligations), st.lists(offers))
def test_a_plan_names_an_isolation_or_refuses_unless_nobody_is_there_to_give_one(asked, offered):
    allow = Verdict(effect=Effect.ALLOW, stage="policy", code="A", message="")
    decision = settle([allow], obligations=asked)
    plan = make_plan(decision, manifest=sandboxed("strict"), offered=offered)
    assert isinstance(plan, Refuse | Run)
    if isinstance(plan, Run):
        assert (plan.profile == NO_PROFILE) == (not offered)
