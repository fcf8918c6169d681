"""A call runs under what its manifest asks for or under something tighter, or not at all."""

import pytest

from broker.core.decision import Effect, Obligation, Verdict, settle
from broker.core.manifest import SandboxSpec, ToolManifest, parse
from broker.core.plan import Refuse, Run, Suspend, make_plan
from broker.core.profiles import ChosenProfile, OfferedProfile
from tests.fakes.desk import document

IMAGE = f"sha256:{'0f' * 32}"
ALLOW = Verdict(effect=Effect.ALLOW, stage="policy", code="A", message="")
WITHOUT_TERMS = Verdict(effect=Effect.HOLD, stage="policy", code="H", message="")


def digest(name: str) -> str:
    return f"sha256:{name.encode().hex():0>64}"


def offer(name: str, *tightens: str, because: str = "", content: str = "") -> OfferedProfile:
    return OfferedProfile(
        name=name,
        digest=digest(content or name),
        available=not because,
        unavailable_because=because,
        tightens=frozenset({name, *tightens}),
        isolated=True,
    )


NODE = (
    offer("strict", "compute", "egress"),
    offer("compute"),
    offer("egress", "compute"),
    offer("gvisor", "strict", "compute", "egress", because="The engine has no runsc."),
    offer("other", "compute"),
)


def sandboxed(profile: str = "compute", runner: str = "sandbox") -> ToolManifest:
    if runner != "sandbox":
        return parse(document())
    return parse(document(runner=runner, sandbox={"image": IMAGE, "profile": profile}))


def asked(*names: str) -> tuple[Obligation, ...]:
    return tuple(Obligation(kind="profile", parameters={"profile": name}) for name in names)


def planned(*names: str, profile: str = "compute", offered=NODE, verdict: Verdict = ALLOW):
    decision = settle([verdict], obligations=asked(*names))
    return make_plan(decision, manifest=sandboxed(profile), offered=offered)


def code(plan) -> str:
    assert isinstance(plan, Refuse)
    assert plan.decision.effect is Effect.DENY
    return plan.decision.reasons[0].code


def test_a_sandbox_runs_under_its_manifests_profile_unless_policy_speaks():
    plan = planned()
    assert isinstance(plan, Run)
    assert plan.profile == ChosenProfile(name="compute", digest=digest("compute"))


def test_policy_may_tighten():
    assert planned("strict").profile.name == "strict"
    assert planned("strict", "compute", "egress").profile.name == "strict"
    assert planned("egress").profile.name == "egress"


def test_policy_may_ask_for_what_the_manifest_asks_for_already():
    assert planned("compute").profile.name == "compute"


@pytest.mark.parametrize("names", [("compute",), ("egress",), ("compute", "egress")])
def test_policy_never_loosens(names):
    assert code(planned(*names, profile="strict")) == "OBLIGATION_UNSUPPORTED"


def test_two_wishes_of_which_neither_is_the_tighter_deny():
    assert code(planned("egress", "other")) == "OBLIGATION_UNSUPPORTED"


@pytest.mark.parametrize("name", ["unknown", "", "STRICT"])
def test_a_profile_that_nobody_knows_denies(name):
    assert code(planned(name)) == "OBLIGATION_UNSUPPORTED"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("strickt",), '"strickt", which no node knows.'),
        (("compute", "egress"), '"compute" and "egress", which'),
        (("egress", "other"), "of which none is as tight as each of the others."),
        (("\x1b[2J",), "which no node knows."),
    ],
)
def test_whoever_writes_rules_is_told_which_isolation_was_wrong(names, told):
    profile = "strict" if "compute" in names else "compute"
    message = planned(*names, profile=profile).decision.reasons[0].message
    assert message.startswith("Policy asks for the isolation ")
    assert told in message
    assert "\x1b" not in message


def test_a_duty_of_an_unknown_kind_is_named():
    asked_for = [Obligation(kind="profiles", parameters={"profile": "strict"})]
    plan = make_plan(settle([ALLOW], obligations=asked_for), manifest=sandboxed(), offered=NODE)
    assert 'Policy asks for "profiles" as neither' in plan.decision.reasons[0].message


def test_what_no_node_can_give_is_refused_with_its_reason_and_never_a_downgrade():
    plan = planned("gvisor")
    assert code(plan) == "PROFILE_UNAVAILABLE"
    assert "gvisor" in plan.decision.reasons[0].message
    assert "The engine has no runsc." in plan.decision.reasons[0].message


def test_a_manifest_whose_profile_no_node_knows_is_refused():
    assert code(planned(profile="tiny")) == "PROFILE_UNAVAILABLE"


def test_a_nodes_reason_cannot_act_on_a_terminal():
    offered = (offer("compute", because="no\x1b[2J\n" + "x" * 5_000),)
    message = planned(offered=offered).decision.reasons[0].message
    assert message.isprintable()
    assert len(message) < 1_000


def test_another_node_that_can_give_it_is_enough():
    offered = (*NODE, offer("gvisor", "strict", "compute", "egress", content="gvisor"))
    assert planned("gvisor", offered=offered).profile.name == "gvisor"


def test_where_nodes_mean_different_things_by_a_name_it_is_what_most_of_them_mean():
    odd = offer("compute", content="odd")
    offered = (odd, offer("compute"), offer("compute"))
    assert planned(offered=offered).profile.digest == digest("compute")


def test_where_no_node_is_known_nobody_is_named_to_run_it():
    plan = planned("strict", offered=())
    assert isinstance(plan, Run)
    assert plan.profile == ChosenProfile()


def test_a_tool_that_runs_elsewhere_cannot_be_shut_in():
    decision = settle([ALLOW], obligations=asked("strict"))
    manifest = sandboxed(runner="worker")
    assert code(make_plan(decision, manifest=manifest, offered=NODE)) == "OBLIGATION_UNSUPPORTED"


@pytest.mark.parametrize(
    "parameters",
    [{}, {"profile": 7}, {"profile": None}, {"profile": "strict", "more": 1}, {"name": "strict"}],
    ids=repr,
)
def test_a_profile_that_is_asked_for_in_another_form_denies(parameters):
    decision = settle([ALLOW], obligations=[Obligation(kind="profile", parameters=parameters)])
    plan = make_plan(decision, manifest=sandboxed(), offered=NODE)
    assert code(plan) == "OBLIGATION_UNSUPPORTED"


def test_a_call_that_would_be_held_is_refused_at_once_where_its_isolation_cannot_be_given():
    held = planned("gvisor", verdict=WITHOUT_TERMS)
    assert code(held) == "PROFILE_UNAVAILABLE"
    assert not isinstance(held, Suspend)


def test_the_profile_that_a_manifest_names_is_strict_unless_it_says_another():
    assert SandboxSpec(image=IMAGE).profile == "strict"
