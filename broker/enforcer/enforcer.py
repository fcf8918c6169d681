"""Invoke, take up again, cancel, recover: the order in which a call is decided and carried.

From the first look on a call is the broker's own task. The RPC only waits for it, and a client that
hangs up cancels nothing; whether it waits or not, every outcome is recorded.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from broker.core import limits
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.control import Control, RegisteredTool
from broker.core.credentials import Credential
from broker.core.decision import STAGE_SETTLE, Effect, Verdict, settle
from broker.core.errors import (
    BrokerError,
    Defect,
    IllegalTransition,
    NotFound,
    RequestIdReused,
)
from broker.core.holds import Hold
from broker.core.lifecycle import TERMINAL, HoldState, InvocationState
from broker.core.plan import Run, make_plan
from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.carrying import Carrier
from broker.enforcer.deciding import Considered, Decider, effective_scopes
from broker.enforcer.freezing import freeze_call
from broker.enforcer.recording import Recording, Stamp, record_again, record_new
from broker.enforcer.turns import Turns
from broker.events import Events
from broker.ports import Clock, IdFactory, Runner, Slot, Store
from broker.sessions import check_open, withdraw

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_NO_INVOCATION = "There is no such invocation."
_CONTENDED = Verdict(
    effect=Effect.DENY,
    stage=STAGE_SETTLE,
    code="CONTENDED",
    message="Too much changed while this call was decided.",
)
RUNNER_WAIT_S = 2.0


class Enforcer:
    """Mediates calls. `owner` names this broker instance; it alone ends what it began."""

    def __init__(
        self,
        *,
        decider: Decider,
        carrier: Carrier,
        runner: Runner,
        store: Store,
        control: Callable[[], Control],
        refresh: Callable[[], Awaitable[object]],
        events: Events,
        clock: Clock,
        ids: IdFactory,
        owner: str,
    ) -> None:
        """`refresh` reads again what is in force, when the store says that it has moved on."""
        self._decider = decider
        self._carrier = carrier
        self._runner = runner
        self._store = store
        self._control = control
        self._refresh = refresh
        self._events = events
        self._clock = clock
        self._ids = ids
        self._owner = owner
        self._turns = Turns()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._resuming: set[str] = set()

    def list_tools(self, caller: Caller) -> list[RegisteredTool]:
        """The tools all of whose scopes this caller holds, by name."""
        control = self._control()
        held = effective_scopes(control, caller, now=self._clock())
        return [
            control.tools[name]
            for name in sorted(control.tools)
            if all(scope.name in held for scope in control.tools[name].manifest.scopes)
        ]

    async def invoke(
        self,
        caller: Caller,
        *,
        request_id: str,
        tool: str,
        arguments_json: bytes,
        hold_wait_s: float = 0.0,
    ) -> Invocation:
        """Decide on one call and carry the decision out.

        Args:
            caller: principal, agent and session, authenticated.
            request_id: unique in the session; the same id with the same call is the same call.
            tool: its name.
            arguments_json: the bytes as they came.
            hold_wait_s: how long to wait for people before answering HELD, seconds.

        Returns:
            The record; a refusal is one too.

        Raises:
            MalformedRequest: the bytes are not one strict JSON object; an entry says so.
            RequestIdReused: the request id names another call.
            DependencyError: nothing was decided and nothing ran.
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        asked_at = self._clock()
        call = await freeze_call(
            self._store,
            caller,
            request_id=request_id,
            tool=tool,
            arguments_json=arguments_json,
            now=asked_at,
        )
        invocation = await asyncio.shield(self._own(self._mediate(call, caller, asked_at)))
        if invocation.state is InvocationState.HELD and hold_wait_s > 0:
            wait_s = min(hold_wait_s, limits.HOLD_WAIT_S_MAX)
            return await self._await_end(invocation, wait_s=wait_s)
        return invocation

    async def take_up(self, hold_name: str) -> None:
        """Run an approved hold through all stages again; its approval is one of their inputs.

        Where a part is away, the hold stays APPROVED and the next sweep tries again.
        """
        if hold_name in self._resuming:
            return
        self._resuming.add(hold_name)
        try:
            await asyncio.shield(self._own(self._resume(hold_name)))
        finally:
            self._resuming.discard(hold_name)

    def take_up_soon(self, hold_name: str) -> None:
        """Start taking an approved hold up; whatever is away now, the sweep tries again."""
        _ = self._own(self._try_to_take_up(hold_name))

    async def _try_to_take_up(self, hold_name: str) -> None:
        try:
            await self.take_up(hold_name)
        except BrokerError as error:
            _log.warning("hold_waits", hold=hold_name, reason=error.reason, error=str(error))

    async def find(self, agent: Credential, name: str) -> Invocation:
        """One of this agent's invocations.

        Raises:
            NotFound: absent, or another agent's.
        """
        invocation = await self._store.find_invocation(name)
        if invocation is None or invocation.agent != agent.subject:
            raise NotFound(_NO_INVOCATION)
        return invocation

    async def watch(self, agent: Credential, name: str) -> AsyncIterator[Invocation]:
        """The invocation now and after each change, until nothing more can come of itself."""
        with self._events.subscribe("invocation", name) as changes:
            etag = 0
            while True:
                invocation = await self.find(agent, name)
                if invocation.etag != etag:
                    etag = invocation.etag
                    yield invocation
                if _settled(invocation.state):
                    return
                await changes.next(1.0)

    async def cancel(self, agent: Credential, name: str) -> Invocation:
        """Take a held call back.

        Raises:
            NotFound: absent, or another agent's.
            IllegalTransition: it is not held any more.
        """
        invocation = await self.find(agent, name)
        found = await self._store.find_hold(invocation.hold) if invocation.hold else None
        if invocation.state is InvocationState.HELD and found is not None:
            hold = found[0]
            await withdraw(
                self._store,
                self._events,
                hold,
                actor=agent.subject,
                now=self._clock(),
            )
        invocation = await self.find(agent, name)
        if invocation.state is not InvocationState.CANCELLED:
            raise IllegalTransition(
                f"The call is {invocation.state} and cannot be taken back.",
                metadata={"state": invocation.state},
            )
        return invocation

    async def drain(self, *, within_s: float) -> None:
        """Wait for what is under way; what is left then is found by recovery as RUNNING."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _own(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        """Run something that no client can cancel."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen here too, in case that nobody waits any more

    async def _mediate(self, call: ToolCall, caller: Caller, asked_at: float) -> Invocation:
        known = await self._store.find_request(caller.session.name, call.request_id)
        if known is not None:
            return await self._same(known, call)
        async with self._turns.of(self._decider.contended(call, caller)):
            considered, slot, recording = await self._decide_and_record(call, caller, asked_at)
        if recording is None:
            known = await self._store.find_request(caller.session.name, call.request_id)
            if known is None:
                raise Defect("A request id is taken and nobody has it.")
            return await self._same(known, call)
        self._tell(recording)
        return await self._follow(recording, considered, caller, slot)

    async def _decide_and_record(
        self,
        call: ToolCall,
        caller: Caller,
        asked_at: float,
    ) -> tuple[Considered, Slot | None, Recording | None]:
        """Stages 1 to 9, again while what was read has moved, three times at most.

        No recording: another request with this id was recorded first.
        """
        name = f"invocations/{self._ids()}"
        considered = await self._decider.consider(call, caller)
        for attempt in range(limits.RECORD_ATTEMPTS_MAX + 1):
            if attempt == limits.RECORD_ATTEMPTS_MAX:
                decision = settle((*considered.plan.decision.verdicts, _CONTENDED))
                considered = replace(considered, plan=make_plan(decision))
            slot = await self._slot(considered)
            recording = record_new(name, call, caller, considered, self._stamp(asked_at))
            try:
                await self._store.commit(recording.unit)
            except Conflict as conflict:
                _release(slot)
                if conflict.on is ConflictOn.REQUEST_ID:
                    return considered, None, None
                if conflict.on is ConflictOn.SESSION:
                    session = await self._store.find_session(caller.session.name)
                    check_open(session or caller.session, now=self._clock())
                if conflict.on is ConflictOn.CONTROL:
                    await self._refresh()
                if attempt == limits.RECORD_ATTEMPTS_MAX:
                    raise Defect("A refusal could not be recorded.") from conflict
                considered = await self._decider.consider(call, caller)
            except BaseException:
                _release(slot)
                raise
            else:
                return considered, slot, recording
        raise Defect("Unreachable.")

    async def _resume(self, hold_name: str) -> None:
        found = await self._store.find_hold(hold_name)
        if found is None or found[0].state is not HoldState.APPROVED:
            return
        hold = found[0]
        held = await self._store.find_invocation(hold.invocation)
        session = await self._store.find_session(hold.session)
        if held is None or session is None or held.state is not InvocationState.HELD:
            return
        if self._clock() >= hold.run_by:
            return  # the sweep expires it
        caller = Caller(session=session, credential="broker")
        async with self._turns.of(self._decider.contended(held.call, caller)):
            resumed = await self._record_again(hold, held, caller)
        if resumed is None:
            return
        considered, slot, recording = resumed
        self._events.publish("hold", hold.name)
        self._tell(recording)
        await self._follow(recording, considered, caller, slot)

    async def _record_again(
        self,
        hold: Hold,
        held: Invocation,
        caller: Caller,
    ) -> tuple[Considered, Slot | None, Recording] | None:
        """Stages 1 to 9 of an approved hold. None: somebody else moved it, or nothing can run."""
        for _ in range(limits.RECORD_ATTEMPTS_MAX):
            considered = await self._decider.consider(held.call, caller, hold=hold)
            slot = await self._slot(considered)
            recording = record_again(held, hold, caller, considered, self._stamp(held.created_at))
            try:
                await self._store.commit(recording.unit)
            except Conflict as conflict:
                _release(slot)
                if conflict.on in {ConflictOn.HOLD, ConflictOn.INVOCATION}:
                    return None
                if conflict.on is ConflictOn.CONTROL:
                    await self._refresh()
            except BaseException:
                _release(slot)
                raise
            else:
                return considered, slot, recording
        return None

    async def _slot(self, considered: Considered) -> Slot | None:
        if not isinstance(considered.plan, Run) or considered.tool is None:
            return None
        return await self._runner.reserve(considered.tool.manifest, wait_s=RUNNER_WAIT_S)

    async def _follow(
        self,
        recording: Recording,
        considered: Considered,
        caller: Caller,
        slot: Slot | None,
    ) -> Invocation:
        plan = considered.plan
        if not isinstance(plan, Run) or slot is None or considered.tool is None:
            return recording.invocation
        return await self._carrier.carry(
            recording.invocation,
            caller,
            considered.tool,
            plan,
            slot,
        )

    async def _same(self, known: Invocation, call: ToolCall) -> Invocation:
        if known.call.digest != call.digest:
            raise RequestIdReused(
                "This request id was used for another call of this session.",
                metadata={"request_id": call.request_id},
            )
        if known.state is not InvocationState.RUNNING:
            return known
        left_s = max(known.lease_expires_at - self._clock(), 0.0)
        return await self._await_end(known, wait_s=left_s)

    async def _await_end(self, invocation: Invocation, *, wait_s: float) -> Invocation:
        """The invocation once it is settled, or as it is when the time is up."""
        with self._events.subscribe("invocation", invocation.name) as changes:
            try:
                async with asyncio.timeout(wait_s):
                    while not _settled(invocation.state):
                        found = await self._store.find_invocation(invocation.name)
                        invocation = found or invocation
                        if _settled(invocation.state):
                            break
                        await changes.next(1.0)
            except TimeoutError:
                pass
        return invocation

    def _stamp(self, asked_at: float) -> Stamp:
        return Stamp(
            asked_at=asked_at,
            now=self._clock(),
            owner=self._owner,
            hold_name=f"holds/{self._ids()}",
        )

    def _tell(self, recording: Recording) -> None:
        self._events.publish("invocation", recording.invocation.name)
        if recording.hold is not None:
            self._events.publish("hold", recording.hold.name)


def _settled(state: InvocationState) -> bool:
    """Nothing more happens to it by itself."""
    return state in TERMINAL or state is InvocationState.UNKNOWN


def _release(slot: Slot | None) -> None:
    if slot is not None:
        slot.release()
