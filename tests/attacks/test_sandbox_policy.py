"""Isolation is decided by manifest, policy and node together, and only ever gets tighter."""

from pathlib import Path

import pytest

from broker.core.errors import RunnerUnavailable
from broker.core.lifecycle import InvocationState
from tests.attacks.sandboxed import entry_of, sandbox_world, tightened
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.fakes.sandbox_node import digest, profile, sandbox_node
from tests.world import reviewer

LEAD = reviewer("lead-1", "reviewers")


async def test_a_rule_cannot_have_a_call_run_under_less_than_its_manifest_asks_for(tmp_path: Path):
    """Get a rule changed, or mistaken, so that code which I sent runs with a way out."""
    async with (
        sandbox_node(tmp_path) as node,
        sandbox_world(tmp_path, node.address, sandbox=_sandbox("strict")) as (w, _),
    ):
        caller = await w.caller()
        for looser in ("compute", "egress"):
            tightened(w, looser)
            refused = await w.refund(caller)
            assert refused.state is InvocationState.DENIED
            assert refused.code == "OBLIGATION_UNSUPPORTED"
        assert not node.reserved


async def test_a_tighter_isolation_is_what_it_runs_under(tmp_path: Path):
    """Hope that the duty is written down and forgotten."""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        tightened(w, "strict")
        done = await w.refund(await w.caller())
        assert done.state is InvocationState.SUCCEEDED
        assert [(r.profile, r.profile_digest) for r in node.reserved] == [
            ("strict", digest("strict"))
        ]
        started = await entry_of(w, done, "attempt.started")
        assert started["body"]["profile"] == "strict"
        assert started["body"]["profile_digest"] == digest("strict")


async def test_what_no_node_can_give_is_refused_and_nothing_looser_is_used(tmp_path: Path):
    """Take the strong isolation away from the node, so that the call runs under the weak one.

    Or, where it is refused, learn from the refusal how the node is built.
    """
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        tightened(w, "gvisor")
        refused = await w.refund(await w.caller())
        assert refused.state is InvocationState.DENIED
        assert refused.code == "PROFILE_UNAVAILABLE"
        assert "runsc" not in refused.message
        decided = await entry_of(w, refused, "call.decided")
        assert "The engine has no runsc." in decided["body"]["verdicts"][0]["message"]
        assert not node.reserved


async def test_a_tool_in_a_worker_cannot_pass_for_one_that_is_shut_in(tmp_path: Path):
    """Have the tool moved out of its sandbox while the rules still ask for one."""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        await w.put_tool()
        tightened(w, "strict")
        refused = await w.refund(await w.caller())
        assert refused.code == "OBLIGATION_UNSUPPORTED"
        assert not w.runner.ran
        assert not node.reserved


async def test_rules_see_where_a_call_would_run(tmp_path: Path):
    """Rely on rules that cannot tell a shell in a sandbox from one on the host."""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        await w.refund(await w.caller())
        tool = w.policy.asked[-1]["tool"]
        assert (tool["runner"], tool["sandbox"]) == ("sandbox", {"profile": "compute"})


async def test_an_approved_call_runs_under_the_isolation_that_policy_asks_for_when_it_runs(
    tmp_path: Path,
):
    """Have it approved while it is shut in, and run after the rule or the node has changed."""
    async with sandbox_node(tmp_path) as node, sandbox_world(tmp_path, node.address) as (w, _):
        w.policy.answer = opinion(hold("LARGE", TERMS))
        held = await w.refund(await w.caller())
        one, _ = await w.store.find_hold(held.hold)
        tightened(w, "gvisor")
        await w.reviews.approve(LEAD, one.name, etag=one.etag)
        while w.own.tasks:
            await next(iter(w.own.tasks))
        after = await w.store.find_invocation(held.name)
        assert (after.state, after.code) == (InvocationState.DENIED, "PROFILE_UNAVAILABLE")
        assert not node.reserved


async def test_another_profile_under_the_same_name_is_not_what_was_decided_on(tmp_path: Path):
    """Edit the profile on the node between the decision and the hand-over."""
    async with (
        sandbox_node(tmp_path) as node,
        sandbox_world(tmp_path, node.address, interval_s=60.0) as (w, _),
    ):
        loosened = profile("compute")
        loosened.digest = digest("loosened")
        node.profiles = (loosened,)
        with pytest.raises(RunnerUnavailable, match="another isolation"):
            await w.refund(await w.caller())
        assert not node.called
        assert (await w.store.counts()).running == 0


async def test_without_a_node_nothing_is_decided_and_nothing_runs_elsewhere(tmp_path: Path):
    """Stop the sandboxes, so that the tool falls back to a worker."""
    async with sandbox_world(tmp_path) as (w, _):
        with pytest.raises(RunnerUnavailable, match="callbroker sandboxd"):
            await w.refund(await w.caller())
        assert not w.runner.ran


async def test_a_node_that_never_answered_makes_no_decision(tmp_path: Path):
    """Keep the node from being heard, so that its profiles cannot be missed."""
    nobody = f"unix:{tmp_path}/nobody.sock"
    async with sandbox_world(tmp_path, nobody, away_wait_s=0.2) as (w, _):
        with pytest.raises(RunnerUnavailable, match="no sandbox node answers"):
            await w.refund(await w.caller())


def _sandbox(name: str) -> dict[str, str]:
    return {"image": f"sha256:{'0f' * 32}", "profile": name}
