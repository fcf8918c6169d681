"""An agent's process says how its call ended to a broker that does not have it, and lies there."""

import asyncio
import itertools
from pathlib import Path

import pytest

from broker.core import limits
from broker.core.credentials import CredentialClass
from broker.core.errors import NotFound
from broker.core.lifecycle import HoldState
from broker.core.lifecycle import InvocationState as State
from broker.core.reports import KeepReport, KeptReport
from broker.core.unit import Unit
from broker.permits import Raised, Report
from broker.ports import Failed, Succeeded
from broker.tools.reports import digest_of, written
from tests.called import OTHER_TAKER, PAID, TAKER, beside, called
from tests.fakes.decision_point import hold, opinion
from tests.world import TERMS, credential, reviewer

NO = Failed(code="NO", message="No.")


def all_bytes(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.rglob("*") if one.is_file())


async def test_a_word_counts_at_another_broker_as_at_the_calls_own(tmp_path: Path):
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask()
        reported = await other.report(invocation, permit, PAID)
        assert reported.counted
        assert (reported.invocation.state, reported.invocation.reported_by) == (
            State.SUCCEEDED,
            "agent",
        )
        assert reported.invocation.result == PAID.result_json
        assert await c.kinds(invocation) == {
            "call.decided": 1,
            "attempt.started": 1,
            "call.ended": 1,
        }
        assert (await c.entry(invocation, "call.ended"))["body"]["run"]["reported_by"] == "agent"
        again, _ = await c.ask()  # the key is free again
        assert again.state is State.RUNNING


@pytest.mark.parametrize(
    ("said", "state", "code"),
    [
        (NO, State.FAILED, "NO"),
        (Raised(kind="ConnectionResetError"), State.UNKNOWN, "OUTCOME_UNKNOWN"),
        (Failed(code="RECONCILED", message="A person looked."), State.FAILED, "TOOL_FAILED"),
        (Succeeded(result_json=b"\xffnot json"), State.SUCCEEDED, "RESULT_INVALID"),
        (
            Succeeded(result_json=b'"' + b"a" * limits.RESULT_BYTES_MAX + b'"'),
            State.SUCCEEDED,
            "RESULT_INVALID",
        ),
    ],
)
async def test_a_word_means_elsewhere_what_it_means_at_the_calls_own(
    tmp_path: Path, said: Report, state: State, code: str
):
    """Say at another broker what the call's own would have withheld, or read in another way."""
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask()
        reported = await other.report(invocation, permit, said)
        assert reported.counted
        assert (reported.invocation.state, reported.invocation.code) == (state, code)
        assert reported.invocation.result is None


async def test_a_made_up_permit_says_nothing_at_another_broker(tmp_path: Path):
    """Make a token up, or show another call's, where nobody remembers having given it."""
    async with called(tmp_path, exclusive=[]) as c, beside(c) as other:
        invocation, permit = await c.ask()
        its, another = await c.ask()
        tokens = ["", "made up", another.call.fencing_token, permit.call.fencing_token[:-1] + "_"]
        for token in tokens:
            with pytest.raises(NotFound):
                await other.world.permits.report(c.agent, invocation.name, token, PAID)
        assert await c.world.store.find_report(invocation.name) is None
        assert (await c.find(invocation)).state is State.RUNNING
        for one, mine in ((invocation, permit), (its, another)):
            assert (await other.report(one, mine, PAID)).counted
        with pytest.raises(NotFound):  # nor is it evidence afterwards
            await other.world.permits.report(c.agent, invocation.name, "made up", NO)
        assert "attempt.answered_late" not in await c.kinds(invocation)


async def test_another_agent_says_nothing_at_another_broker_though_it_has_the_permit(
    tmp_path: Path,
):
    """Find out a call's name and its permit, and settle it elsewhere by another credential."""
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask()
        stranger = credential(CredentialClass.AGENT, "agents/stranger", person="somebody")
        token = permit.call.fencing_token
        with pytest.raises(NotFound):
            await other.world.permits.report(stranger, invocation.name, token, NO)
        assert await c.world.store.find_report(invocation.name) is None
        assert (await c.report(invocation, permit, PAID)).counted


async def test_of_different_words_at_two_brokers_at_once_one_counts(tmp_path: Path):
    """Say at one broker that it worked, and at the other that it failed, so that the money is
    spent and the limit given back."""
    async with (
        called(tmp_path, exclusive=[]) as c,
        beside(c) as other,
        beside(c, "brokers/3") as third,
    ):
        words = {State.SUCCEEDED: PAID, State.FAILED: NO, State.UNKNOWN: Raised(kind="KeyError")}
        for brokers in itertools.permutations((c, other, third)):
            invocation, permit = await c.ask()
            said = await asyncio.gather(
                *(
                    broker.report(invocation, permit, word)
                    for broker, word in zip(brokers, words.values(), strict=True)
                )
            )
            (state,) = {one.invocation.state for one in said}
            assert [one.counted for one in said] == [state is one for one in words]
            assert (await c.kinds(invocation))["call.ended"] == 1


async def test_the_same_word_again_is_the_same_answer_at_every_broker(tmp_path: Path):
    """Lose the answer, and be told elsewhere that what counted has not."""
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask()
        for broker in (c, other, c, other):
            reported = await broker.report(invocation, permit, PAID)
            assert (reported.counted, reported.invocation.state) == (True, State.SUCCEEDED)
        assert (await c.kinds(invocation))["call.ended"] == 1
        assert not (await other.report(invocation, permit, NO)).counted
        assert (await c.find(invocation)).state is State.SUCCEEDED
        assert (await c.kinds(invocation))["attempt.answered_late"] == 1


async def test_a_word_after_the_end_is_evidence_at_another_broker_too(tmp_path: Path):
    """Keep silent until the call is settled as UNKNOWN, then deny elsewhere that it happened."""
    async with called(tmp_path, deadline_s=0.1) as c, beside(c) as other:
        invocation, permit = await c.ask()
        await c.beyond(invocation, State.RUNNING)
        reported = await other.report(invocation, permit, NO)
        assert (reported.counted, reported.invocation.state) == (False, State.UNKNOWN)
        late = await c.entry(invocation, "attempt.answered_late")
        assert (late["body"]["reported_by"], late["body"]["outcome"]) == ("agent", "Failed")
        refused, none = await c.ask()
        assert (refused.code, none) == ("EXCLUSIVE_UNSETTLED", None)


async def test_a_word_beyond_the_permits_time_is_not_kept_while_the_call_still_runs(tmp_path: Path):
    """Wait with my word until I have seen what came of it; the call's own broker is slow."""
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask()
        c.world.clock.advance(10.0)
        with other.world.events.subscribe("report") as brought:
            saying = asyncio.create_task(other.report(invocation, permit, NO))
            assert await brought.next(5.0) == invocation.name
        assert await c.world.store.find_report(invocation.name) is None
        assert (await c.report(invocation, permit, PAID)).counted
        assert not (await saying).counted
        assert (await c.find(invocation)).state is State.SUCCEEDED


async def test_a_word_is_found_at_the_last_moment_though_nobody_told_of_it(tmp_path: Path):
    """Cut the brokers off from each other, so that a word is kept, and its call ends in silence."""
    async with called(tmp_path, deadline_s=0.3) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        reported = await other.report(invocation, permit, PAID)
        assert (reported.counted, reported.invocation.state) == (True, State.SUCCEEDED)


async def test_a_word_that_nobody_is_told_of_is_found_while_there_is_time(tmp_path: Path):
    """Keep from a broker what another one tells, so that my word comes too late."""
    async with called(tmp_path, deadline_s=300) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        following = asyncio.create_task(c.world.permits.follow_reports())
        try:
            assert (await other.report(invocation, permit, PAID)).counted
        finally:
            following.cancel()


async def test_after_the_last_look_no_word_is_taken(tmp_path: Path):
    """Say it elsewhere in the very moment in which the call ends in silence: it is never both."""
    async with called(tmp_path, deadline_s=0.1) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        look = c.hub.last_look
        between = asyncio.Event()

        async def slow(opened):
            await look(opened)
            between.set()
            await asyncio.sleep(0.05)

        c.hub.last_look = slow
        await between.wait()
        last = await c.kept(invocation)
        reported = await other.report(invocation, permit, PAID)
        assert (reported.counted, reported.invocation.state) == (False, State.UNKNOWN)
        assert (last.said, await c.world.store.find_report(invocation.name)) == (b"", last)


async def test_who_writes_to_the_database_puts_no_word_into_an_agents_mouth(tmp_path: Path):
    """Write a row that says that it failed, so that its key and limit are given back."""
    async with called(tmp_path, deadline_s=0.3) as c, beside(c) as other:
        invocation, _ = await c.ask()
        body = written(NO)
        row = KeptReport(
            invocation=invocation.name,
            attempt=1,
            body=body,
            said=digest_of(body, "not the token"),
            at=c.world.clock(),
        )
        await other.world.store.commit(Unit(changes=(KeepReport(report=row),), entries=()))
        other.world.events.publish("report", invocation.name)
        found = await c.beyond(invocation, State.RUNNING)
        assert found.state is State.UNKNOWN


async def test_nothing_that_is_kept_shows_a_permit(tmp_path: Path):
    """Read the database, and report as whoever has the permit."""
    async with called(tmp_path) as c, beside(c, is_heard=False) as other:
        invocation, permit = await c.ask()
        saying = asyncio.create_task(other.report(invocation, permit, PAID))
        await c.kept(invocation)
        on_the_disk = await asyncio.to_thread(all_bytes, tmp_path)
        assert b"refunds:write" in on_the_disk
        assert permit.call.fencing_token.encode() not in on_the_disk
        opened = c.hub.find(invocation.name)
        assert opened is not None
        await c.world.permits.close(opened)
        assert (await saying).counted


async def test_a_permit_is_taken_at_its_own_broker_alone(tmp_path: Path):
    """Take the permit once more at another broker, while my first process executes."""
    async with called(tmp_path) as c, beside(c) as other:
        invocation, permit = await c.ask(request_id="once")
        for taker in (OTHER_TAKER, TAKER):
            seen, its = await other.world.permits.taken(await c.find(invocation), taker)
            assert (seen.state, its) == (State.RUNNING, None)
        assert (await c.report(invocation, permit, PAID)).counted


async def test_what_is_approved_elsewhere_is_released_where_its_process_waits(tmp_path: Path):
    """Approve at one broker what waits at another: neither is a permit left lying about where
    nobody takes it, nor is policy asked there."""
    async with called(tmp_path) as c, beside(c) as other:
        c.world.policy.answer = opinion(hold(terms=TERMS))
        held, _ = await c.ask()
        with other.world.permits.awaited(held.session, held.request_id, TAKER, hold=held.hold):
            asked = len(c.world.policy.asked)
            found, _ = await c.world.store.find_hold(held.hold)
            await c.world.reviews.approve(reviewer("lead-1"), found.name, etag=found.etag)
            running = await c.beyond(held, State.HELD)
            assert (running.state, running.owner) == (State.RUNNING, "brokers/2")
            assert len(c.world.policy.asked) == asked
            _, permit = await other.world.permits.taken(running, TAKER)
            assert permit is not None
        assert (await c.report(running, permit, PAID)).counted  # and back at the first


async def test_who_comes_to_another_broker_after_the_approval_is_served_at_once(tmp_path: Path):
    async with called(tmp_path) as c, beside(c) as other:
        c.world.policy.answer = opinion(hold(terms=TERMS))
        held, _ = await c.ask()
        found, _ = await c.world.store.find_hold(held.hold)
        await c.world.reviews.approve(reviewer("lead-1"), found.name, etag=found.etag)
        assert (await c.world.store.find_hold(held.hold))[0].state is HoldState.APPROVED
        with other.world.permits.awaited(held.session, held.request_id, TAKER, hold=held.hold):
            running = await c.beyond(held, State.HELD)
            _, permit = await other.world.permits.taken(running, TAKER)
        assert permit is not None
        assert (await other.report(running, permit, PAID)).counted


async def test_one_who_waits_at_two_brokers_gets_one_permit(tmp_path: Path):
    """Wait at two brokers for the same approved call, to execute it twice."""
    async with called(tmp_path) as c, beside(c) as other:
        c.world.policy.answer = opinion(hold(terms=TERMS))
        held, _ = await c.ask()
        with (
            c.world.permits.awaited(held.session, held.request_id, TAKER, hold=held.hold),
            other.world.permits.awaited(held.session, held.request_id, OTHER_TAKER, hold=held.hold),
        ):
            found, _ = await c.world.store.find_hold(held.hold)
            await c.world.reviews.approve(reviewer("lead-1"), found.name, etag=found.etag)
            running = await c.beyond(held, State.HELD)
            taken = [
                (await b.world.permits.taken(running, taker))[1]
                for b, taker in ((c, TAKER), (other, OTHER_TAKER))
            ]
        (permit,) = [one for one in taken if one is not None]
        assert (await c.report(running, permit, PAID)).counted
