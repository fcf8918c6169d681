"""What a call would change is asked before it waits, shown, and asked again before it runs."""

import asyncio
import json

import pytest

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.canonical import content_digest
from broker.core.errors import NotFound, RunnerUnavailable
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.previews import changes_of
from broker.ports import Failed, Lost, Succeeded
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.previewed import LEAD, REVIEW, previewed
from tests.world import world

LEFT = {"label": "left on the payment", "before_minor": 6_000, "after_minor": 5_000}


async def test_a_hold_shows_what_its_tool_says_that_the_call_would_change(tmp_path):
    async with previewed(tmp_path) as p:
        one = await p.held()
        assert json.loads(one.preview.content) == [LEFT]
        assert one.preview.digest == content_digest(one.preview.content)
        [line] = changes_of(one.preview)
        assert (line.label, line.before, line.after) == ("left on the payment", 6_000, 5_000)
        assert (line.is_money, line.currency) == (True, "")
        assert p.effects == []


async def test_a_preview_is_a_call_of_its_own_decided_recorded_and_audited(tmp_path):
    async with previewed(tmp_path) as p:
        one = await p.held()
        asked = await p.world.store.find_invocation(one.preview.invocation)
        assert asked.call.tool == "refund.preview"
        assert (asked.state, asked.is_preview) == (InvocationState.SUCCEEDED, True)
        entries = await p.world.store.entries(asked.name)
        assert [e["kind"] for e in entries] == ["call.decided", "attempt.started", "call.ended"]
        assert {e["actor"] for e in entries} == {"broker"}
        assert entries[0]["body"]["preview_of"] == one.invocation
        questions = [q for q in p.world.policy.asked if q["call"]["tool"] == "refund.preview"]
        assert {q["tool"]["behaviour"]["read_only"] for q in questions} == {True}
        assert questions[0]["tool"]["output"] == {"trust": "untrusted", "sensitivity": "secret"}
        opened = [
            e
            for e in await p.world.store.entries(one.invocation)
            if e["kind"] == EntryKind.HOLD_OPENED
        ]
        assert opened[0]["body"]["preview"] == one.preview.digest


async def test_what_was_shown_runs_once_it_is_approved_and_was_asked_again(tmp_path):
    async with previewed(tmp_path) as p:
        after = await p.approve(await p.held())
        assert after.state is HoldState.CLAIMED
        assert (len(p.asked), len(p.effects)) == (2, 1)


async def test_an_allowed_call_is_not_previewed(tmp_path):
    async with previewed(tmp_path) as p:
        p.world.policy.answer = opinion(allow())
        await p.world.refund(await p.world.caller())
        assert p.asked == []


async def test_a_tool_without_a_preview_is_not_asked_for_one(tmp_path):
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE"))
        held = await w.refund(await w.caller())
        assert (await w.store.find_hold(held.hold))[0].preview is None


async def test_a_denied_call_is_not_previewed(tmp_path):
    async with previewed(tmp_path) as p:
        p.world.policy.answer = opinion(deny())
        await p.world.refund(await p.world.caller())
        assert p.asked == []


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (Failed(code="ORDER_CLOSED", message="Closed."), "ORDER_CLOSED"),
        (Lost(why="no answer"), "PREVIEW_LOST"),
        (Succeeded(result_json=b'{"not":"a list"}'), "RESULT_INVALID"),
        (Succeeded(result_json=b'[{"label":"x","before":["nested"]}]'), "RESULT_INVALID"),
        (Succeeded(result_json=json.dumps([LEFT] * 21).encode()), "RESULT_INVALID"),
    ],
)
async def test_a_preview_that_says_nothing_holds_all_the_same_and_says_why(
    tmp_path, outcome, error
):
    async with previewed(tmp_path) as p:
        p.instead = outcome
        one = await p.held()
        assert one.state is HoldState.PENDING
        assert (one.preview.error, one.preview.digest, one.preview.content) == (error, "", b"")
        assert changes_of(one.preview) == ()
        counts = await p.world.store.counts()
        assert counts.unknown == 0


async def test_without_a_worker_the_hold_opens_and_says_so(tmp_path):
    async with previewed(tmp_path) as p:
        p.world.runner.free = 0
        one = await p.held()
        assert (one.preview.error, one.preview.invocation) == ("RUNNER_UNAVAILABLE", "")


async def test_who_approved_without_a_preview_approved_without_one(tmp_path):
    async with previewed(tmp_path) as p:
        p.instead = Failed(code="NOT_NOW", message="Not now.")
        after = await p.approve(await p.held())
        assert after.state is HoldState.CLAIMED
        assert (len(p.asked), len(p.effects)) == (1, 1)


async def test_an_approved_call_waits_while_its_preview_cannot_be_asked(tmp_path):
    async with previewed(tmp_path) as p:
        one = await p.held()
        p.instead = Failed(code="NOT_NOW", message="Not now.")
        assert (await p.approve(one)).state is HoldState.APPROVED
        asked = len(p.asked)
        await p.world.resuming.take_up(one.name)
        assert (len(p.asked), p.effects) == (asked, [])  # it is not asked every second
        p.world.clock.advance(limits.PREVIEW_RETRY_S)
        with pytest.raises(RunnerUnavailable, match="NOT_NOW"):
            await p.world.resuming.take_up(one.name)
        p.instead = None
        p.world.clock.advance(limits.PREVIEW_RETRY_S)
        await p.world.recovery.sweep_once()
        await p.quiet()
        assert (await p.again(one)).state is HoldState.CLAIMED
        assert len(p.effects) == 1


async def test_an_approval_whose_preview_is_never_asked_again_expires_unused(tmp_path):
    async with previewed(tmp_path) as p:
        one = await p.held()
        p.instead = Lost(why="gone")
        after = await p.approve(one)
        p.world.clock.now = after.run_by
        await p.world.recovery.sweep_once()
        assert (await p.again(one)).state is HoldState.EXPIRED
        assert p.effects == []


async def test_a_narrowed_call_is_previewed_as_it_would_run(tmp_path):
    async with previewed(tmp_path) as p:
        one = await p.held()
        less = await p.world.handling.narrow(
            LEAD, one.name, etag=one.etag, changes={"/amount_minor": 400}
        )
        assert json.loads(less.hold.preview.content)[0]["after_minor"] == 5_600
        assert (await p.approve(less.hold)).state is HoldState.CLAIMED
        assert p.world.shop.orders["O-1001"]["refunded_minor"] == 6_400


async def test_a_preview_counts_neither_as_use_nor_as_history_nor_as_seen_by_the_model(tmp_path):
    async with previewed(tmp_path) as p:
        caller = await p.world.caller()
        held = await p.world.refund(caller)
        seen = await p.world.store.seen(
            caller.session.name,
            [],
            now=p.world.clock(),
            after=0,
            elders={},
            principal=caller.principal.id,
            targets=set(),
        )
        assert {(h.tool, h.effect) for h in seen.history} == {("refund", "HOLD")}
        assert seen.sightings == ()
        one = (await p.world.store.find_hold(held.hold))[0]
        with pytest.raises(NotFound):
            await p.world.invocations.find(p.world.agent, one.preview.invocation)


async def test_a_preview_interrupted_by_a_crash_asks_nobody_to_look(tmp_path):
    async with previewed(tmp_path) as p:
        w = p.world
        w.runner.going.clear()
        task = asyncio.ensure_future(p.held())
        while not (running := await w.store.unfinished()):
            await asyncio.sleep(0)
        w.use(owner="brokers/2")
        assert await w.recovery.recover() == 1
        ended = await w.store.find_invocation(running[0].name)
        assert (ended.state, ended.code) == (InvocationState.FAILED, "PREVIEW_LOST")
        w.runner.going.set()
        await task


async def test_what_the_agent_did_before_has_no_preview_in_it(tmp_path):
    async with previewed(tmp_path) as p:
        caller = await p.world.caller()
        await p.world.refund(caller)
        later = await p.world.refund(caller, order_id="O-1002")
        shown = await p.world.views.show(LEAD, later.hold)
        assert [(e.tool, e.effect) for e in shown.earlier] == [("refund", "HOLD")]


async def test_lists_name_no_preview_as_a_tool(tmp_path):
    async with previewed(tmp_path) as p:
        tools = p.world.enforcer.list_tools(await p.world.caller())
        assert [tool.manifest.name for tool in tools] == ["refund"]
        assert set(p.world.room.current().tools) == {"refund"}


async def test_the_deadline_of_a_preview_is_that_of_the_manifest(tmp_path):
    async with previewed(tmp_path, review={**REVIEW, "preview": {}}) as p:
        await p.held()
        assert p.asked[0].deadline_s == limits.PREVIEW_DEADLINE_S
        tool = p.world.room.current().tools["refund"].manifest
        assert p.asked[0].manifest.revision == tool.revision
