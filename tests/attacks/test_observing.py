"""Profiting from a rule family that an operator merely observes."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Caller, Invocation
from broker.core.decision import Effect, Opinion, Verdict
from broker.core.errors import PolicyUnavailable
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.observing import Observation
from broker.core.observing_rows import OBSERVATION, observation_row
from broker.core.unit import DropControl, Unit
from broker.ports import Succeeded
from tests.fakes.decision_point import deny, hold, opinion
from tests.unit.core.trials import note
from tests.world import AGENT, World, reviewer, world

DENIED, HELD, SUCCEEDED = InvocationState.DENIED, InvocationState.HELD, InvocationState.SUCCEEDED


def of(verdict: Verdict, family: str = "careful") -> Verdict:
    return dataclasses.replace(verdict, family=family)


async def observe(w: World, **given: Any) -> Observation:
    fields: dict[str, Any] = {
        "name": f"observations/{w.ids()}",
        "family": "careful",
        "agent": "",
        "reason": "to see",
        "observed_by": "operator-1",
        "created_at": w.clock(),
        "expires_at": w.clock() + 60,
    }
    one = Observation(**{**fields, **given})
    await w.put(observation_row(one))
    return one


async def prepared(w: World, *verdicts: Verdict, **tool: Any) -> Caller:
    """The tool `note` is there, policy says this of every call, and the family is observed."""
    await w.put_tool(note(**tool))
    w.runner.effect = lambda _call: Succeeded(result_json=b"{}")
    w.policy.answer = opinion(*verdicts)
    await observe(w)
    return await w.caller()


async def ask(w: World, caller: Caller, text: str = "O-1001") -> Invocation:
    w.requests += 1
    return await w.enforcer.invoke(
        caller,
        request_id=f"r{w.requests}",
        tool="note",
        arguments_json=f'{{"order_id":"{text}"}}'.encode(),
    )


async def test_what_is_observed_runs_and_the_log_has_its_real_verdict(tmp_path: Path):
    """Hide in the log, behind a family without force: the verdict stands there as it was."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        done = await ask(w, caller)
        assert done.state is SUCCEEDED
        (entry,) = [e for e in await w.store.entries(done.name) if e["kind"] == "call.decided"]
        assert [(v["code"], v["effect"], v["enforced"]) for v in entry["body"]["verdicts"]] == [
            ("CAREFUL", "HOLD", False)
        ]
        kept = await w.store.find_invocation(done.name)
        assert [v.code for v in kept.decision.observed] == ["CAREFUL"]


@pytest.mark.parametrize("trait", ["open_world", "destructive"])
async def test_a_tool_that_reaches_out_or_destroys_waits_all_the_same(tmp_path: Path, trait: str):
    """Have a family observed for reading's sake, and send the shop's data away under it."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")), **{trait: True})
        assert (await ask(w, caller)).state is HELD
        w.policy.answer = opinion(of(deny("CAREFUL")))
        assert (await ask(w, caller, "two")).state is DENIED


async def test_a_tool_that_is_opened_to_the_world_is_observed_no_more(tmp_path: Path):
    """Wait until an observed tool is registered anew as one that reaches out."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        assert (await ask(w, caller)).state is SUCCEEDED
        await w.put_tool(note(open_world=True))
        assert (await ask(w, caller, "two")).state is HELD


async def test_a_denial_that_rests_on_a_fact_stands(tmp_path: Path):
    """Ask, under an observed family, for what the system of record shows not to be mine."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(deny("NOT_COVERED")), with_facts=True)
        assert (await ask(w, caller)).code == "NOT_COVERED"


async def test_an_absent_row_a_missing_scope_and_a_limit_stand(tmp_path: Path):
    """Name rows that are not there, use tools without a scope, and go past a limit."""
    async with world(tmp_path) as w:
        caller = await prepared(
            w,
            of(hold("CAREFUL")),
            with_facts=True,
            limits={"notes": {"per": "session", "window_s": 60, "calls": 1}},
        )
        assert (await ask(w, caller, "O-9999")).code == "SCOPE_NOT_BOUND"
        assert (await ask(w, caller)).state is SUCCEEDED
        assert (await ask(w, caller)).code == "LIMIT_EXCEEDED"
        await w.put_tool(note(scopes=[{"name": "notes:write"}]))
        assert (await ask(w, caller)).code == "TOOL_UNAVAILABLE"


async def test_a_freeze_stands(tmp_path: Path):
    """Go on after somebody pulled the plug, as the family is only observed."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        await w.freeze(FreezeKind.AGENT, AGENT)
        assert (await ask(w, caller)).code == "FROZEN"


async def test_silence_is_nobodys_and_cannot_be_observed(tmp_path: Path):
    """Find a call that no rule speaks for, while every family is observed."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("SILENCE"), family=""))
        await observe(w, family="")
        assert (await ask(w, caller)).state is HELD


async def test_another_familys_word_stands_beside_the_observed_one(tmp_path: Path):
    """Have one family observed and hope that what another says goes with it."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(deny("CAREFUL")), of(hold("STRICT"), family="strict"))
        held = await ask(w, caller)
        assert (held.state, held.code) == (HELD, "STRICT")
        (stopped, _) = await w.store.find_hold(held.hold)
        assert [r.code for r in stopped.requirements] == ["STRICT"]


async def test_a_family_that_breaks_or_vanishes_denies_though_it_is_observed(tmp_path: Path):
    """Make a rule fail on this input, while nobody minds what its family says."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(deny("FAMILY_MISSING")))
        assert (await ask(w, caller)).state is DENIED
        w.policy.answer = opinion(of(deny("VERDICT_MALFORMED")))
        assert (await ask(w, caller)).state is DENIED
        w.policy.answer = opinion(of(deny("POLICY_ERROR"), family=""))
        assert (await ask(w, caller)).state is DENIED
        w.policy.away = True
        with pytest.raises(PolicyUnavailable):
            await ask(w, caller)


async def test_it_ends_by_itself_and_a_clock_set_back_begins_it_no_sooner(tmp_path: Path):
    """Act just after the observing is over, or set the broker's clock to before it."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        assert (await ask(w, caller)).state is SUCCEEDED
        w.clock.advance(-1)
        assert (await ask(w, caller, "before")).state is HELD
        w.clock.advance(61)
        assert (await ask(w, caller, "after")).state is HELD


async def test_another_agent_has_no_part_in_it(tmp_path: Path):
    """Act as an agent beside the one for which a family is observed."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        for row in w.room.current().observations:
            await w.put(DropControl(kind=OBSERVATION, key=row.name))
        await observe(w, agent="agents/other")
        assert (await ask(w, caller)).state is HELD


async def test_what_was_ended_while_a_call_was_decided_stops_that_call(tmp_path: Path):
    """Have the call decided before the observing is ended, and recorded after it."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")))
        (known,) = w.room.current().observations
        ended = False

        def answer(_question: object) -> Opinion:
            return opinion(of(hold("CAREFUL")))

        w.policy.answer = answer
        gather = w.store.seen

        async def seen(*given: Any, **named: Any) -> Any:
            nonlocal ended
            if not ended:
                ended = True
                drop = DropControl(kind=OBSERVATION, key=known.name)
                await w.store.commit(Unit(changes=(drop,), entries=()))
            return await gather(*given, **named)

        w.use(store=_Seeing(w.store, seen))
        assert (await ask(w, caller)).state is HELD


async def test_an_approval_is_for_what_stopped_the_call_and_for_no_observed_code(tmp_path: Path):
    """Have a hold approved while a family is observed, and run once it has its force again."""
    async with world(tmp_path) as w:
        caller = await prepared(w, of(hold("CAREFUL")), of(hold("STRICT"), family="strict"))
        held = await ask(w, caller)
        stopped, _ = await w.store.find_hold(held.hold)
        for row in w.room.current().observations:
            await w.put(DropControl(kind=OBSERVATION, key=row.name))
        await w.reviews.approve(
            reviewer("lead", "reviewers"), held.hold, etag=stopped.etag, reason="", call_digest=""
        )
        await w.resuming.take_up(held.hold)
        after, _ = await w.store.find_hold(held.hold)
        again = await w.store.find_invocation(held.name)
        assert after.state is HoldState.VOID
        assert again.state is HELD
        assert again.hold != held.hold
        assert again.decision.effect is Effect.HOLD


class _Seeing:
    """A store of which one read is another."""

    def __init__(self, store: Any, seen: Any) -> None:
        self._store = store
        self.seen = seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
