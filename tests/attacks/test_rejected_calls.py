"""Attacks on a reviewer's no: what was rejected is to be had by asking once more."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Caller, Invocation
from broker.core.decision import Effect
from broker.core.lifecycle import InvocationState
from broker.core.standing import REJECTED_BEFORE
from broker.core.unit import Conflict, ConflictOn
from broker.ports import Succeeded
from tests.fakes.decision_point import allow, hold, opinion
from tests.world import AGENT, CUSTOMER, TERMS, World, build, reviewer, world

THIEF = "thief@evil.example"
LEA = reviewer("lea", "reviewers", "leads")
WHY = "We do not know this account."
PAY: dict[str, Any] = {
    "name": "pay",
    "description": "Pays somebody.",
    "summary": "Pay",
    "arguments": {
        "type": "object",
        "additionalProperties": False,
        "properties": {"to": {}, "amount": {"type": "integer"}, "note": {"type": "string"}},
    },
    "behaviour": {"read_only": False, "destructive": False, "open_world": True},
    "targets": ["/to"],
    "payload": ["/note"],
    "scopes": [{"name": "money:pay"}],
    "runner": "worker",
    "deadline_s": 10,
}
NOTE = {**PAY, "name": "note", "targets": [], "payload": []}


async def bank(w: World, principal: str = CUSTOMER, **session: Any) -> Caller:
    """Tools that pay anybody, and a session of a customer."""
    w.runner.effect = lambda _: Succeeded(result_json=b'"done"')
    if "pay" not in w.room.current().tools:
        for document in (PAY, {**PAY, "name": "give"}, NOTE):
            await w.put_tool(document)
        await w.grant("groups/customers", "money:pay")
        await w.grant(AGENT, "money:pay")
    w.policy.answer = opinion(hold(terms=TERMS))
    return await w.caller(principal, scopes=("money:pay",), **session)


async def ask(w: World, by: Caller, tool: str = "pay", **arguments: Any) -> Invocation:
    w.requests += 1
    return await w.enforcer.invoke(
        by, request_id=f"p{w.requests}", tool=tool, arguments_json=json.dumps(arguments).encode()
    )


async def reject(w: World, held: Invocation, why: str = WHY) -> None:
    found = await w.store.find_hold(held.hold)
    assert found is not None
    await w.reviews.reject(LEA, held.hold, etag=found[0].etag, reason=why)


async def rejected(w: World, by: Caller, tool: str = "pay", **arguments: Any) -> Invocation:
    held = await ask(w, by, tool, **arguments)
    assert held.state is InvocationState.HELD
    await reject(w, held)
    return held


async def test_the_same_call_is_denied_and_the_model_is_told_why(tmp_path: Path):
    """Ask again until another reviewer, or the same one in a hurry, says yes."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF, amount=5)
        again = await ask(w, by, to=THIEF, amount=5)
        assert (again.state, again.code) == (InvocationState.DENIED, REJECTED_BEFORE)
        assert WHY in again.message
        assert not w.runner.ran


@pytest.mark.parametrize(
    "arguments",
    [
        {"to": THIEF, "amount": 4},
        {"amount": 5, "to": THIEF},
        {"to": THIEF, "amount": 5, "note": "It is urgent."},
        {"to": "Thief@Evil.Example", "amount": 5},
        {"to": " thief@evil.example\n", "amount": 5},
        {"to": "thief%40evil.example", "amount": 5},
        {"to": "th\u0456ef@evil.example", "amount": 5},
        {"to": "thief\u200b@evil.example", "amount": 5},
        {"to": [THIEF], "amount": 5},
        {"to": [THIEF, "friend@shop.example"], "amount": 5},
        {"to": {THIEF: True}, "amount": 5},
        {"to": {"address": THIEF}, "amount": 5},
    ],
)
async def test_another_spelling_or_amount_is_the_same_call(
    tmp_path: Path, arguments: dict[str, Any]
):
    """Ask for a little less, in another order, with a friend beside me, or write me otherwise."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF, amount=5)
        w.policy.answer = opinion(allow())
        again = await ask(w, by, **arguments)
        assert (again.state, again.code) == (InvocationState.DENIED, REJECTED_BEFORE)
        assert not w.runner.ran


async def test_the_same_request_id_is_the_rejected_call(tmp_path: Path):
    """Send the very request once more, as if its answer had been lost."""
    async with world(tmp_path) as w:
        by = await bank(w)
        w.requests = 41
        held = await rejected(w, by, to=THIEF)
        w.requests = 41
        again = await ask(w, by, to=THIEF)
        assert (again.name, again.state) == (held.name, InvocationState.REJECTED)


async def test_what_declares_no_target_is_known_by_all_that_it_says(tmp_path: Path):
    """Ask for a tool that names nobody, with its arguments in another order and one more."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, "note", to=THIEF, amount=5)
        again = await ask(w, by, "note", note="please", amount=5, to=THIEF)
        other = await ask(w, by, "note", to=THIEF, amount=6)
        assert (again.code, other.state) == (REJECTED_BEFORE, InvocationState.HELD)


async def test_nothing_is_looked_up_or_asked_for_a_rejected_call(tmp_path: Path):
    """Keep policy and the systems of record busy with what was refused long ago."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF)
        asked = len(w.policy.asked)
        await ask(w, by, to=THIEF)
        assert len(w.policy.asked) == asked


async def test_of_two_that_wait_the_other_stays_a_persons_decision(tmp_path: Path):
    """Ask twice at once; whatever is said of one, the other is neither lost nor let through."""
    async with world(tmp_path) as w:
        by = await bank(w)
        one, two = await asyncio.gather(ask(w, by, to=THIEF), ask(w, by, to=THIEF, amount=2))
        await reject(w, one)
        found = await w.store.find_invocation(two.name)
        assert found is not None
        assert found.state is InvocationState.HELD
        held, _ = await w.store.find_hold(two.hold)
        await w.reviews.approve(LEA, two.hold, etag=held.etag)
        ended = await w.invocations.wait(found, wait_s=5.0)
        assert ended.state is InvocationState.SUCCEEDED
        assert (await ask(w, by, to=THIEF)).code == REJECTED_BEFORE


async def test_a_no_that_comes_while_a_call_is_decided_counts(tmp_path: Path):
    """Have the second call looked at just before the no to the first, and recorded just after:
    policy would let the small one run alone."""
    async with world(tmp_path) as w:
        by = await bank(w)
        first = await ask(w, by, to=THIEF, amount=500)
        w.policy.answer = opinion(allow())
        w.policy.answering.clear()
        asked = len(w.policy.asked)
        second = asyncio.create_task(ask(w, by, to=THIEF, amount=1))
        while len(w.policy.asked) == asked:
            await asyncio.sleep(0)
        await reject(w, first)
        w.policy.answering.set()
        assert (await second).code == REJECTED_BEFORE
        assert not w.runner.ran


async def test_another_broker_knows_of_it_and_so_does_one_that_starts_anew(tmp_path: Path):
    """Ask at a broker that never heard of the no."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF)
        other = await build(w.store, w.clock, owner="brokers/2")
        other.policy.answer, other.requests = opinion(allow()), 100
        again = await ask(other, by, to=THIEF)
        assert again.code == REJECTED_BEFORE
        await other.own.drain(within_s=5.0)


async def test_a_session_that_goes_on_from_it_knows_of_it(tmp_path: Path):
    """Go on in a fresh session, in which nobody has said no."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF)
        child = await bank(w, parent=by.session.name)
        assert (await ask(w, child, to=THIEF)).code == REJECTED_BEFORE


async def test_other_tools_targets_sessions_and_people_are_not_concerned(tmp_path: Path):
    """Nothing is attacked: a no is to what was asked, and to nothing else."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF)
        assert (await ask(w, by, to="amy@shop.example")).state is InvocationState.HELD
        assert (await ask(w, by, "give", to=THIEF)).state is InvocationState.HELD
        assert (await ask(w, await bank(w), to=THIEF)).state is InvocationState.HELD


async def test_what_was_taken_back_or_ran_late_was_never_rejected(tmp_path: Path):
    """Nothing is attacked: only a Person's no is one."""
    async with world(tmp_path) as w:
        by = await bank(w)
        held = await ask(w, by, to=THIEF)
        await w.invocations.cancel(w.agent, held.name)
        late = await ask(w, by, to=THIEF)
        w.clock.advance((await w.store.find_hold(late.hold))[0].decide_by - w.clock())
        await w.recovery.sweep_once()
        assert (await w.invocations.find(w.agent, late.name)).state is InvocationState.EXPIRED
        assert (await ask(w, by, to=THIEF)).state is InvocationState.HELD


async def test_the_reason_is_in_no_part_of_the_log_that_cannot_be_erased(tmp_path: Path):
    """Read in the log for ever what a reviewer wrote of a customer."""
    async with world(tmp_path) as w:
        by = await bank(w)
        await rejected(w, by, to=THIEF)
        again = await ask(w, by, to=THIEF)
        assert again.decision is not None
        assert again.decision.effect is Effect.DENY
        (entry,) = await w.store.entries(again.name)
        body = {name: value for name, value in entry.items() if name != "contents"}
        assert WHY not in json.dumps(body)


async def test_a_no_and_its_memory_are_one(tmp_path: Path):
    """Have the broker die between the no and what it is remembered by."""
    async with world(tmp_path) as w:
        by = await bank(w)
        held = await ask(w, by, to=THIEF)
        commit, units = w.store.commit, []

        async def failing(unit: Any) -> None:
            units.append(unit)
            raise Conflict(ConflictOn.HOLD)

        w.store.commit = failing
        with pytest.raises(Exception, match="has changed"):
            await reject(w, held)
        w.store.commit = commit
        (unit,) = units
        kinds = [type(change).__name__ for change in unit.changes]
        assert {"MoveHold", "MoveInvocation", "AddRejection"} <= {*kinds}
        assert (await ask(w, by, to=THIEF)).state is InvocationState.HELD
