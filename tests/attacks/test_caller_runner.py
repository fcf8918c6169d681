"""An agent's own process executes on a permit: it lies, repeats, shares and keeps silent."""

import asyncio
import dataclasses
import functools
from pathlib import Path
from typing import Any, cast

import pytest

from broker.core.calls import Context
from broker.core.credentials import CredentialClass
from broker.core.decision import Effect
from broker.core.errors import IllegalTransition, LimitExceeded, NotFound
from broker.core.freezes import FreezeKind
from broker.core.lifecycle import InvocationState as State
from broker.permits import Raised
from broker.ports import Failed, Succeeded
from broker.tools.caller import CallerHub
from tests.called import OTHER_TAKER, PAID, TAKER, called
from tests.fakes.decision_point import deny, opinion
from tests.world import credential

IMPATIENT = functools.partial(CallerHub, take_within_s=0.05)


async def test_the_intent_is_in_the_log_before_the_permit_leaves(tmp_path: Path):
    """Execute, and crash the broker before it has written that anything was about to happen."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        assert invocation.state is State.RUNNING
        started = await c.entry(invocation, "attempt.started")
        assert started["body"]["runner"] == "caller"
        assert started["body"]["digest"] == permit.call.invocation.call.digest
        await c.report(invocation, permit, PAID)


async def test_what_is_reported_is_marked_as_the_agents_word(tmp_path: Path):
    """Say that it worked, and have reviewers and auditors take that for the tool's own answer."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        reported = await c.report(invocation, permit, PAID)
        assert reported.counted
        assert (reported.invocation.state, reported.invocation.reported_by) == (
            State.SUCCEEDED,
            "agent",
        )
        ended = await c.entry(invocation, "call.ended")
        assert ended["body"]["run"]["reported_by"] == "agent"


async def test_its_result_is_untrusted_whatever_the_manifest_says(tmp_path: Path):
    """Report a stranger's mailbox as the result of a tool that its manifest calls trusted."""
    words = ("Please refund EUR 10.00 of my order O-1001.",)
    async with called(tmp_path, output={"trust": "trusted", "sensitivity": "none"}) as c:
        c.caller = await c.world.caller(context=Context.MEDIATED, words=words)
        invocation, permit = await c.ask()
        await c.report(invocation, permit, PAID)
        ended = await c.entry(invocation, "call.ended")
        assert ended["body"]["output_trust"] == "untrusted"
        await c.world.put_tool()  # the same by a worker: nothing else is what makes it untrusted
        caller = await c.world.caller(context=Context.MEDIATED, words=words)
        by_worker = await c.world.refund(caller)
        assert (await c.entry(by_worker, "call.ended"))["body"]["output_trust"] == "trusted"


async def test_two_processes_do_not_get_one_permit(tmp_path: Path):
    """Repeat the request from a second process, so that both execute it."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask(request_id="once")
        again, other = await c.ask(request_id="once", taker=OTHER_TAKER)
        assert (again.name, again.state, other) == (invocation.name, State.RUNNING, None)
        _, lost_answer = await c.ask(request_id="once")
        assert lost_answer is permit
        await c.report(invocation, permit, PAID)


async def test_a_permit_that_is_over_is_given_to_nobody(tmp_path: Path):
    """Ask again with the same request once it was reported, and execute it a second time."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask(request_id="once")
        await c.report(invocation, permit, PAID)
        again, other = await c.ask(request_id="once")
        assert (again.state, other) == (State.SUCCEEDED, None)


async def test_a_report_counts_once(tmp_path: Path):
    """Say that it failed once the money has been spent, so that limits and keys are given back."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        first, second = await asyncio.gather(
            c.report(invocation, permit, PAID),
            c.report(invocation, permit, Failed(code="NO", message="No.")),
        )
        assert (first.counted, second.counted) == (True, False)
        third = await c.report(invocation, permit, Failed(code="NO", message="No."))
        assert not third.counted
        assert (await c.find(invocation)).state is State.SUCCEEDED
        late = await c.entry(invocation, "attempt.answered_late")
        assert late["body"]["reported_by"] == "agent"


async def test_the_same_report_again_is_the_same_answer(tmp_path: Path):
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        for _ in range(3):
            reported = await c.report(invocation, permit, PAID)
            assert reported.counted
            assert reported.invocation.state is State.SUCCEEDED
        kinds = [entry["kind"] for entry in await c.world.store.entries(invocation.name)]
        assert kinds.count("call.ended") == 1
        assert "attempt.answered_late" not in kinds


async def test_another_calls_permit_settles_nothing(tmp_path: Path):
    """Show the permit of a harmless call to settle another one."""
    async with called(tmp_path) as c:
        one, mine = await c.ask(order_id="O-1001")
        other, its = await c.ask(order_id="O-1002")
        with pytest.raises(NotFound):
            await c.report(other, mine, PAID)
        with pytest.raises(NotFound):
            await c.world.permits.report(c.agent, other.name, "made up", PAID)
        await c.report(one, mine, PAID)
        await c.report(other, its, PAID)


async def test_another_agent_neither_takes_nor_reports(tmp_path: Path):
    """Find out a call's name and its permit, and settle it with another agent's credential."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        stranger = credential(CredentialClass.AGENT, "agents/stranger", person="somebody")
        token = permit.call.fencing_token
        with pytest.raises(NotFound):
            await c.world.permits.report(stranger, invocation.name, token, PAID)
        with pytest.raises(NotFound):
            await c.world.invocations.find(stranger, invocation.name)
        await c.report(invocation, permit, PAID)


async def test_silence_is_unknown_and_a_late_word_is_evidence_alone(tmp_path: Path):
    """Keep silent until the key is free again, then say that nothing happened."""
    async with called(tmp_path, deadline_s=0.1) as c:
        invocation, permit = await c.ask()
        while (found := await c.find(invocation)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        assert (found.state, found.reported_by) == (State.UNKNOWN, "")
        reported = await c.report(invocation, permit, Failed(code="NO", message="No."))
        assert not reported.counted
        assert (await c.find(invocation)).state is State.UNKNOWN
        late = await c.entry(invocation, "attempt.answered_late")
        assert late["body"]["outcome"] == "Failed"
        refused, none = await c.ask()
        assert (refused.code, none) == ("EXCLUSIVE_UNSETTLED", None)


class SlowSessions:
    """A store that finds a session only once the call that it is asked for is over."""

    def __init__(self, inner: Any, name: str) -> None:
        self.inner = inner
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def find_session(self, name: str) -> Any:
        while (await self.inner.find_invocation(self.name)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        return await self.inner.find_session(name)


async def test_a_word_at_the_very_end_is_counted_or_evidence(tmp_path: Path):
    """Report so late that the permit ends while you look, and be told that what was lost counts."""
    async with called(tmp_path, deadline_s=0.1) as c:
        invocation, permit = await c.ask()
        slow = cast("Any", SlowSessions(c.world.store, invocation.name))
        permits = dataclasses.replace(c.world.permits, store=slow)
        token = permit.call.fencing_token
        reported = await permits.report(c.agent, invocation.name, token, PAID)
        assert (reported.counted, reported.invocation.state) == (False, State.UNKNOWN)
        late = await c.entry(invocation, "attempt.answered_late")
        assert late["body"]["outcome"] == "Succeeded"


async def test_late_words_do_not_fill_the_log(tmp_path: Path):
    """Send another late word a thousand times."""
    async with called(tmp_path, deadline_s=0.1) as c:
        invocation, permit = await c.ask()
        while (await c.find(invocation)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        for number in range(12):
            said = Succeeded(result_json=f'{{"refund_id":"{number}"}}'.encode())
            assert not (await c.report(invocation, permit, said)).counted
        kinds = [entry["kind"] for entry in await c.world.store.entries(invocation.name)]
        assert kinds.count("attempt.answered_late") == 8


async def test_what_nobody_took_never_began(tmp_path: Path):
    """Ask and hang up, so that keys and limits are used up by calls that nobody executes."""
    async with called(tmp_path, hub=IMPATIENT) as c:
        with c.world.permits.awaited(c.caller.session.name, "gone", TAKER):
            invocation = await c.world.refund(c.caller, request_id="gone")
        while (found := await c.find(invocation)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        assert (found.state, found.code) == (State.CANCELLED, "NOT_STARTED")
        again, permit = await c.ask()
        assert again.state is State.RUNNING
        await c.report(again, permit, PAID)


async def test_without_a_taker_nothing_is_recorded(tmp_path: Path):
    """Ask as if a worker had the tool, again and again: nobody would ever execute it."""
    async with called(tmp_path) as c:
        with pytest.raises(IllegalTransition):
            await c.ask(taker="")
        assert await c.world.store.find_request(c.caller.session.name, "r0") is None


async def test_a_session_has_only_so_many_permits(tmp_path: Path):
    """Take permits without end and report none."""
    few = functools.partial(CallerHub, of_session_max=2)
    async with called(tmp_path, hub=few, exclusive=[]) as c:
        open_ones = [await c.ask(), await c.ask()]
        with pytest.raises(LimitExceeded):
            await c.ask()
        for invocation, permit in open_ones:
            await c.report(invocation, permit, PAID)
        invocation, permit = await c.ask()
        await c.report(invocation, permit, PAID)


async def test_an_agent_has_only_so_many_permits_in_however_many_sessions(tmp_path: Path):
    """Have session after session keep its permits, until nobody else's calls have room."""
    few = functools.partial(CallerHub, of_agent_max=2)
    async with called(tmp_path, hub=few, exclusive=[]) as c:
        open_ones = []
        for _ in range(2):
            c.caller = await c.world.caller()
            open_ones.append(await c.ask())
        c.caller = await c.world.caller()
        with pytest.raises(LimitExceeded):
            await c.ask()
        for invocation, permit in open_ones:
            await c.report(invocation, permit, PAID)
        invocation, permit = await c.ask()
        await c.report(invocation, permit, PAID)


async def test_a_freeze_before_the_permit_is_taken_stops_the_call(tmp_path: Path):
    """Be recorded a moment before the plug is pulled, and take the permit a moment after."""
    async with called(tmp_path) as c:
        with c.world.permits.awaited(c.caller.session.name, "soon", TAKER):
            invocation = await c.world.refund(c.caller, request_id="soon")
        assert await c.hub.opened(invocation.name) is not None
        await c.world.freeze(FreezeKind.ALL)
        _, permit = await c.world.permits.taken(invocation, TAKER)
        assert permit is None
        while (found := await c.find(invocation)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        assert found.state is State.CANCELLED


async def test_a_session_that_is_over_takes_no_permit(tmp_path: Path):
    """Have a call released just as the session is revoked, and take its permit afterwards."""
    async with called(tmp_path) as c:
        with c.world.permits.awaited(c.caller.session.name, "soon", TAKER):
            invocation = await c.world.refund(c.caller, request_id="soon")
        await c.world.sessions.end(c.caller.session, state="REVOKED", actor="test", reason="test")
        _, permit = await c.world.permits.taken(invocation, TAKER)
        assert permit is None


async def test_what_was_stopped_meanwhile_is_in_the_entry(tmp_path: Path):
    """Go on executing after a freeze: nothing undoes it, but nobody shall overlook it."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        await c.world.freeze(FreezeKind.TOOL, "refund")
        reported = await c.report(invocation, permit, PAID)
        assert reported.invocation.state is State.SUCCEEDED
        run = (await c.entry(invocation, "call.ended"))["body"]["run"]
        assert run["frozen_meanwhile"].startswith("freezes/")


async def test_an_error_of_a_tool_that_writes_is_unknown(tmp_path: Path):
    """Raise after the money has moved: a failure would free the key and invite a second one."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        reported = await c.report(invocation, permit, Raised(kind="ConnectionResetError"))
        assert (reported.invocation.state, reported.counted) == (State.UNKNOWN, True)
        assert "ConnectionResetError" in (await c.entry(invocation, "call.ended"))["body"]["why"]


async def test_an_error_of_a_tool_that_only_reads_is_a_failure(tmp_path: Path):
    reading = {"read_only": True, "open_world": False}
    async with called(tmp_path, behaviour=reading) as c:
        invocation, permit = await c.ask()
        reported = await c.report(invocation, permit, Raised(kind="KeyError"))
        assert reported.invocation.state is State.FAILED
        assert reported.invocation.message == "The tool raised KeyError."


async def test_silence_of_a_tool_that_only_reads_is_a_failure(tmp_path: Path):
    async with called(tmp_path, behaviour={"read_only": True}, deadline_s=0.2) as c:
        invocation, _ = await c.ask()
        while (found := await c.find(invocation)).state is State.RUNNING:
            await asyncio.sleep(0.01)
        assert (found.state, found.code) == (State.FAILED, "READING_LOST")


async def test_the_name_of_an_error_carries_nothing_into_the_log(tmp_path: Path):
    """Name the error's class with a customer's data, which the entry itself would keep for ever."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        await c.report(invocation, permit, Raised(kind="card 4111 1111\n1111 1111"))
        assert "4111" not in str((await c.entry(invocation, "call.ended"))["body"])


async def test_nobody_says_of_themselves_that_a_person_settled_it(tmp_path: Path):
    """Report a failure with the code of a call that a person has looked at."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        said = Failed(code="RECONCILED", message="A person looked.")
        reported = await c.report(invocation, permit, said)
        assert (reported.invocation.code, reported.invocation.reported_by) == (
            "TOOL_FAILED",
            "agent",
        )


@pytest.mark.parametrize("said", [b"not json", b'{"refund_id":1}', b"[" * 10_000, b'{"a":1,"a":2}'])
async def test_a_result_that_is_not_as_declared_is_withheld(tmp_path: Path, said: bytes):
    """Report something that the next reader chokes on."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        reported = await c.report(invocation, permit, Succeeded(result_json=said))
        assert (reported.invocation.state, reported.invocation.code) == (
            State.SUCCEEDED,
            "RESULT_INVALID",
        )
        assert reported.invocation.result is None


async def test_what_was_withheld_was_read_all_the_same(tmp_path: Path):
    """Read a secret as its executor, have its record withheld, and go on as if nothing was read."""
    async with called(tmp_path) as c:
        invocation, permit = await c.ask()
        await c.report(invocation, permit, Succeeded(result_json=b"not json"))
        seen = await c.world.store.seen(c.caller.session.name, [], now=c.world.clock())
        assert [one.invocation for one in seen.sightings] == [invocation.name]
        assert seen.sightings[0].labels.trust == "untrusted"
        assert seen.sightings[0].content == b""


async def test_a_denied_call_has_no_permit(tmp_path: Path):
    """Be denied, and ask for the permit."""
    async with called(tmp_path) as c:
        c.world.policy.answer = opinion(deny())
        refused, permit = await c.ask()
        assert (refused.decision.effect, permit) == (Effect.DENY, None)
        assert await c.world.permits.taken(refused, TAKER) == (refused, None)
