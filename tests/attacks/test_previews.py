"""Previews: what an agent, a tool or a stranger would make of what reviewers are shown."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from broker.core.decision import CONCEALED_TOOL
from broker.core.errors import RequestIdReused
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.manifest import ManifestRefused, parse
from broker.core.screening import visible_reasons
from broker.ports import Failed
from tests.attacks.worker_hub import WORKER, answer, hub_world, next_call, offer
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.pages import site
from tests.previewed import LEAD, REVIEW, previewed, telling
from tests.world import REFUND

ARGUMENTS = b'{"order_id":"O-1001","amount_minor":1000,"currency":"EUR"}'


async def test_an_agent_cannot_call_a_preview_and_learns_nothing_of_there_being_one(tmp_path: Path):
    """Ask the tool beforehand oneself, to read what only reviewers should, or to find its name."""
    async with previewed(tmp_path) as p:
        p.world.policy.answer = opinion(allow())
        caller = await p.world.caller()
        refusals = [
            await p.world.enforcer.invoke(
                caller, request_id=tool, tool=tool, arguments_json=ARGUMENTS
            )
            for tool in ("refund.preview", "refund.nothing")
        ]
        for refused in refusals:
            assert refused.state is InvocationState.DENIED
            assert visible_reasons(refused.decision) == ((*CONCEALED_TOOL, ""),)
        assert p.asked == []


async def test_an_agent_cannot_have_a_preview_by_its_name(tmp_path: Path):
    """Name the preview's invocation as a handle, as a request id, or to ask how it ended."""
    async with previewed(tmp_path) as p:
        caller = await p.world.caller()
        held = await p.world.refund(caller)
        name = (await p.world.store.find_hold(held.hold))[0].preview.invocation
        handle = {"$result": name, "pointer": "/0/label"}
        arguments = {"order_id": handle, "amount_minor": 1, "currency": "EUR"}
        by_handle = await p.world.enforcer.invoke(
            caller,
            request_id="by-handle",
            tool="refund",
            arguments_json=json.dumps(arguments).encode(),
        )
        assert (by_handle.state, by_handle.code) == (InvocationState.DENIED, "RESULT_UNKNOWN")
        with pytest.raises(RequestIdReused):
            await p.world.enforcer.invoke(
                caller, request_id=name, tool="refund.preview", arguments_json=ARGUMENTS
            )


async def test_a_tool_that_says_something_else_after_the_approval_runs_nothing(tmp_path: Path):
    """Bait and switch: show a harmless change, get the yes, then change what would change."""
    async with previewed(tmp_path) as p:
        one = await p.held()
        p.says({"label": "left on the payment", "before_minor": 6_000, "after_minor": -90_000})
        assert (await p.approve(one)).state is HoldState.VOID
        assert p.effects == []
        waits = await p.world.store.find_invocation(one.invocation)
        assert waits.state is InvocationState.HELD
        anew = (await p.world.store.find_hold(waits.hold))[0]
        assert anew.state is HoldState.PENDING
        assert {r.code for r in anew.requirements} == {"LARGE", "PREVIEW_CHANGED"}
        assert json.loads(anew.preview.content)[0]["after_minor"] == -90_000
        # A yes to what it says now is a yes.
        assert (await p.approve(anew)).state is HoldState.CLAIMED
        assert len(p.effects) == 1


async def test_a_changed_preview_needs_a_yes_even_where_policy_would_let_it_run_now(tmp_path: Path):
    """Have the rule go quiet between the approval and the effect, and the change grow."""
    async with previewed(tmp_path) as p:
        one = await p.held()
        p.says({"label": "everything", "before": "there", "after": "gone"})
        p.world.policy.answer = lambda question: opinion(
            allow(), *([hold("LARGE")] if question["call"]["tool"] == "refund" else [])
        )
        await p.world.reviews.approve(LEAD, one.name, etag=one.etag, take_back_s=10)
        p.world.policy.answer = opinion(allow())
        p.world.clock.advance(11)
        await p.world.resuming.take_up(one.name)
        assert (await p.again(one)).state is HoldState.VOID
        assert p.effects == []


async def test_an_effect_of_another_call_after_the_preview_has_it_asked_again(tmp_path: Path):
    """Slip a second refund of the same order between the last preview and the claim."""
    async with previewed(tmp_path, facts={}, scopes=[{"name": "refunds:write"}]) as p:
        one = await p.held()
        w = p.world
        asking = w.runner.effect

        def slipped(call):
            said = asking(call)
            if len(p.asked) == 2:
                w.shop.orders["O-1001"]["refunded_minor"] += 500
                moved.append(call)
            return said

        moved: list = []
        w.runner.effect = slipped
        original = w.store.keys

        async def keys(names):
            seen = await original(names)
            return {n: replace(k, version=k.version + len(moved)) for n, k in seen.items()}

        w.store.keys = keys
        assert (await p.approve(one)).state is HoldState.VOID
        assert len(p.asked) == 3
        assert p.effects == []


async def test_policy_that_denies_a_preview_has_none_made_and_is_told_as_the_reason(tmp_path: Path):
    """Use the broker's own question to read what rules keep from this session."""
    async with previewed(tmp_path) as p:
        p.preview_verdict = deny("NOT_HERE")
        one = await p.held()
        assert (one.preview.error, p.asked) == ("NOT_HERE", [])
        asked = await p.world.store.find_invocation(one.preview.invocation)
        assert asked.state is InvocationState.DENIED


async def test_a_preview_waits_for_nobody(tmp_path: Path):
    """Have policy hold everything, so that holds are made of holds without end."""
    async with previewed(tmp_path) as p:
        p.preview_verdict = hold("ALL")
        one = await p.held()
        assert (one.preview.error, p.asked) == ("PREVIEW_HELD", [])
        assert (await p.world.store.counts()).holds_pending == 1


async def test_a_freeze_of_the_tool_stops_its_preview_too(tmp_path: Path):
    """Go on asking what a frozen tool would change, through the calls that wait for it."""
    async with previewed(tmp_path) as p:
        one = await p.held()
        await p.world.freeze(FreezeKind.TOOL, "refund", is_heard=False)
        asked = len(p.asked)
        await p.approve(one)
        assert (len(p.asked), p.effects) == (asked, [])


async def test_a_slow_preview_keeps_no_other_call_from_the_same_order(tmp_path: Path):
    """Hold a call whose preview never answers, and so block everybody who needs the same key."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool({**REFUND, "review": {**REVIEW, "preview": {"deadline_s": 5}}})
        told = offer(slots=2)
        connection = hub.connect(WORKER, _with_preview(told))
        w.policy.answer = lambda question: opinion(
            hold("LARGE")
            if question["call"]["arguments"]["amount_minor"] == 1_000
            and question["call"]["tool"] == "refund"
            else allow()
        )
        slow = asyncio.ensure_future(w.refund(await w.caller(), 1_000))
        preview = await next_call(connection)
        assert preview.call.manifest.name == "refund.preview"
        quick = asyncio.ensure_future(w.refund(await w.caller(), 2_000))
        async with asyncio.timeout(2):
            await connection.answer(answer(await next_call(connection)))
            assert (await quick).state is InvocationState.SUCCEEDED
        assert not slow.done()
        await connection.answer(answer(preview, Failed(code="LATE", message="Late.")))
        assert (await slow).state is InvocationState.HELD


async def test_a_worker_that_offers_no_preview_is_not_waited_for(tmp_path: Path):
    """Leave the preview out, so that every hold takes as long as a worker's place is waited for."""
    async with hub_world(tmp_path) as (w, hub):
        await w.put_tool({**REFUND, "review": REVIEW})
        hub.connect(WORKER, offer())
        w.policy.answer = lambda question: opinion(
            hold("LARGE") if question["call"]["tool"] == "refund" else allow()
        )
        held = await w.refund(await w.caller())
        one = (await w.store.find_hold(held.hold))[0]
        assert one.preview.error == "NO_PREVIEW"
        assert [v.without_preview for v in hub.views()] == [("refund",)]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "{{ 7 * 7 }}",
        "6\u202e00.06\u2069",
        "5\u200b0\x1b[2J",
    ],
)
async def test_what_a_tool_tells_beforehand_is_only_ever_text_on_the_page(
    tmp_path: Path, text: str
):
    """Have a stranger's words in a record, and so in a preview, act on the reviewer's page."""
    async with site(tmp_path) as s:
        p = await telling(s.world)
        p.says({"label": text, "before": text, "after": 1})
        one = await p.held()
        browser = await s.signed_in()
        async with browser:
            page = (await browser.get(f"/{one.name}")).text
        assert "What changes" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert not {"\u202e", "\u2069", "\u200b", "\x1b"} & set(page)
        assert ">49<" not in page


def test_no_tool_is_named_like_the_preview_of_another():
    """Register a tool that answers where the broker looks for a preview."""
    with pytest.raises(ManifestRefused, match="choose another name"):
        parse({**REFUND, "name": "refund.preview"})


def _with_preview(told):
    [tool] = told.tools
    preview = replace(tool, name="refund.preview")
    return replace(told, tools=(replace(tool, preview=preview),))
