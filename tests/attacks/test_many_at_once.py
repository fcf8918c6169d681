"""Calls that race for the same money, the same counter or the same name."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from broker.core.errors import IllegalTransition, LimitExceeded, RequestIdReused
from broker.core.lifecycle import InvocationState
from broker.core.limits import RECORD_ATTEMPTS_MAX
from broker.own_work import OwnWork
from broker.ports import Lost
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.fakes.faulty_store import FaultyStore
from tests.world import REFUND, world


def covered(question):
    """As a rule would: the payment covers the refund."""
    order = question["facts"]["order"]["value"]
    left = order["captured_minor"] - order["refunded_minor"]
    return opinion(
        allow() if question["call"]["arguments"]["amount_minor"] <= left else deny("NOT_COVERED"),
    )


async def test_parallel_refunds_of_one_order_never_pay_out_more_than_was_captured(tmp_path: Path):
    """Each of 32 refunds of 10.00 fits the 60.00 that are left; send them all at once, so that
    all of them are checked before any is paid."""
    async with world(tmp_path) as w:
        w.policy.answer = covered
        caller = await w.caller()
        done = await asyncio.gather(*(w.refund(caller, 1_000) for _ in range(32)))
        states = Counter(i.state for i in done)
        assert states == {InvocationState.SUCCEEDED: 6, InvocationState.DENIED: 26}
        assert {i.code for i in done if i.state is InvocationState.DENIED} == {"NOT_COVERED"}
        assert w.shop.orders["O-1001"]["refunded_minor"] == 12_000


async def test_refunds_from_many_sessions_share_the_same_key(tmp_path: Path):
    """Open a fresh session for each refund, so that what one holds the next does not see."""
    async with world(tmp_path) as w:
        w.policy.answer = covered
        callers = [await w.caller() for _ in range(8)]
        await asyncio.gather(*(w.refund(c, 2_000) for c in callers))
        assert w.shop.orders["O-1001"]["refunded_minor"] == 12_000


async def test_the_third_of_a_day_is_the_third_however_many_arrive_at_once(tmp_path: Path):
    """Two refunds a day run alone; send eight at once on different orders, so that each still
    counts none before it."""

    def at_most_two_alone(question):
        return opinion(allow() if question["usage"]["refunds"]["used"] < 2 else hold("REPEATED"))

    async with world(tmp_path) as w:
        w.policy.answer = at_most_two_alone
        w.shop.orders |= {f"O-3{n:03}": dict(w.shop.orders["O-1002"]) for n in range(8)}
        caller = await w.caller()
        done = await asyncio.gather(*(w.refund(caller, order_id=f"O-3{n:03}") for n in range(8)))
        assert Counter(i.state for i in done) == {
            InvocationState.SUCCEEDED: 2,
            InvocationState.HELD: 6,
        }


async def test_the_limit_is_a_floor_however_many_arrive_at_once(tmp_path: Path):
    """Policy allows everything; only the manifest's limit of three stands in the way."""
    async with world(tmp_path) as w:
        await w.put_tool(limits={"refunds": {"per": "principal", "window_s": 86_400, "calls": 3}})
        caller = await w.caller()
        done = await asyncio.gather(*(w.refund(caller, 1, order_id="O-1002") for _ in range(10)))
        assert Counter(i.code for i in done) == {"": 3, "LIMIT_EXCEEDED": 7}
        w.clock.advance(86_401)
        assert (await w.refund(await w.caller(), 1)).state is InvocationState.SUCCEEDED


async def test_one_request_id_is_one_call_however_often_it_is_sent(tmp_path: Path):
    """Send the same request sixteen times at once, hoping for sixteen refunds."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        done = await asyncio.gather(*(w.refund(caller, request_id="same") for _ in range(16)))
        assert len({i.name for i in done}) == 1
        assert len(w.runner.ran) == 1


async def test_a_request_id_cannot_be_used_for_another_call(tmp_path: Path):
    """Have a small refund allowed, then send a large one under its request id."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        await w.refund(caller, 100, request_id="same")
        with pytest.raises(RequestIdReused):
            await w.refund(caller, 5_000, request_id="same")
        assert len(w.runner.ran) == 1


async def test_a_call_is_refused_and_not_lost_when_everything_changes_all_the_time(tmp_path: Path):
    """Change what is in force before each attempt to record a call, the refusal's included."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        store = FaultyStore(w.store)
        w.use(store=store)

        async def change_first(unit):
            if any(entry.kind == "call.decided" for entry in unit.entries):
                await w.grant("groups/others", "orders:read")

        store.before = change_first
        refused = await w.refund(caller)
        assert (refused.state, refused.code) == (InvocationState.DENIED, "CONTENDED")
        assert not w.runner.ran
        assert w.runner.free == 100


async def test_a_refusal_that_comes_after_its_sessions_end_says_so(tmp_path: Path):
    """Have everything change until a call is refused for it, and the session ended just then."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        store = FaultyStore(w.store)
        w.use(store=store)
        tried: list[str] = []

        async def change_first(unit):
            if not any(entry.kind == "call.decided" for entry in unit.entries):
                return
            tried.append("")
            if len(tried) > RECORD_ATTEMPTS_MAX:
                over = {"state": "CLOSED", "actor": "operators/1", "reason": "over"}
                await w.sessions.end(caller.session, **over)
            else:
                await w.grant("groups/others", "orders:read")

        store.before = change_first
        with pytest.raises(IllegalTransition, match="CLOSED"):
            await w.refund(caller)
        assert not w.runner.ran


async def test_a_session_cannot_fill_the_broker_with_calls_that_nobody_waits_for(tmp_path: Path):
    """Ask and hang up, again and again, while the tool takes its time."""
    async with world(tmp_path) as w:
        w.use(own=OwnWork(share_max=3))
        w.runner.going.clear()
        caller, other = await w.caller(), await w.caller()
        for _ in range(3):
            task = asyncio.ensure_future(w.refund(caller, order_id="O-1002"))
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        with pytest.raises(LimitExceeded):
            await w.refund(caller)
        w.runner.going.set()
        assert (await w.refund(other)).state is InvocationState.SUCCEEDED


async def test_an_unsettled_effect_keeps_its_key(tmp_path: Path):
    """Make a refund's outcome unknown, then refund again while nobody knows what was paid."""
    async with world(tmp_path) as w:
        w.runner.effect = lambda _: Lost(why="no answer")
        caller = await w.caller()
        assert (await w.refund(caller)).state is InvocationState.UNKNOWN
        again = await w.refund(caller)
        assert (again.state, again.code) == (InvocationState.DENIED, "EXCLUSIVE_UNSETTLED")
        assert len(w.runner.ran) == 1


async def test_waiting_for_a_key_is_bounded(tmp_path: Path):
    """Keep one refund running for ever, so that every other call on its order waits for ever."""
    async with world(tmp_path) as w:
        w.use(exclusive_wait_s=0.05)
        w.runner.going.clear()
        caller = await w.caller()
        first = asyncio.ensure_future(w.refund(caller))
        while w.runner.free == 100:
            await asyncio.sleep(0)
        busy = await w.refund(caller)
        assert (busy.state, busy.code) == (InvocationState.DENIED, "EXCLUSIVE_BUSY")
        w.runner.going.set()
        assert (await first).state is InvocationState.SUCCEEDED


async def test_sums_count_per_currency_and_never_pass_the_maximum(tmp_path: Path):
    """Split 500.00 into many small refunds, each far below every threshold."""
    limits = {
        "refunded": {
            "per": "principal",
            "window_s": 86_400,
            "sum": "/amount_minor",
            "currency": "/currency",
            "maximum": 5_000,
        },
    }
    async with world(tmp_path) as w:
        await w.put_tool({**REFUND, "limits": limits})
        caller = await w.caller()
        done = await asyncio.gather(*(w.refund(caller, 999, order_id="O-1002") for _ in range(9)))
        assert Counter(i.state for i in done)[InvocationState.SUCCEEDED] == 5
        assert w.shop.orders["O-1002"]["refunded_minor"] == 4_995
