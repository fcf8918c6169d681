"""Invoke: the order in which a call is decided, recorded and carried.

From the first look on a call is the broker's own task. The RPC only waits for it, and a client that
hangs up cancels nothing; whether it waits or not, every outcome is recorded.
"""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from broker.core import limits
from broker.core.calls import Caller, Invocation
from broker.core.control import Control, RegisteredTool
from broker.core.decision import STAGE_SETTLE, Effect, Verdict, settle
from broker.core.errors import Defect, LimitExceeded, RequestIdReused, retry_after
from broker.core.lifecycle import InvocationState
from broker.core.plan import Refuse, make_plan
from broker.core.previews import Preview
from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.committing import Committer, Patience, Recorded
from broker.enforcer.deciding import Considered, Decider, effective_scopes
from broker.enforcer.freezing import Frozen, freeze_call
from broker.enforcer.previewing import Previewing, Wanted, must_be_asked
from broker.enforcer.recording import record_new
from broker.enforcer.repeats import Repeats
from broker.enforcer.shadowing import Shadowing
from broker.enforcer.turns import Turns
from broker.fairness.admission import Admission
from broker.fairness.queue import FairQueue, NoPlace, Place, Places
from broker.invocations import Invocations
from broker.own_work import OwnWork
from broker.ports import Asker, Clock, IdFactory, Store

_CONTENDED = Verdict(
    effect=Effect.DENY,
    stage=STAGE_SETTLE,
    code="CONTENDED",
    message="Too much changed while this call was decided.",
)


_HOLDS_LATER_S: Final = 60.0

CALLS: Final = Places(most=192, alone_max=16, crowd_max=12, each_min=2)
"""That are decided at once: an agent's, which its principals share. Alone it keeps a processor busy
with fewer, and whoever comes then waits for all of them."""


class Busy:
    """Another call on the same thing is under way: nothing was decided yet."""


class Enforcer:
    """Mediates calls."""

    def __init__(
        self,
        *,
        decider: Decider,
        committer: Committer,
        invocations: Invocations,
        own: OwnWork,
        turns: Turns,
        previewing: Previewing,
        shadowing: Shadowing,
        repeats: Repeats,
        admission: Admission,
        store: Store,
        control: Callable[[], Control],
        clock: Clock,
        ids: IdFactory,
    ) -> None:
        self._decider = decider
        self._committer = committer
        self._invocations = invocations
        self._own = own
        self._turns = turns
        self._previewing = previewing
        self._shadowing = shadowing
        self.repeats = repeats
        self._admission = admission
        self.places = FairQueue(CALLS)
        self._store = store
        self._control = control
        self._clock = clock
        self._ids = ids

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
            IllegalTransition: the session is over.
            LimitExceeded: too much is under way.
            DependencyError: nothing was decided and nothing ran.
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        try:
            self._admission.spend(caller, size=len(arguments_json))
        except LimitExceeded:
            # Whoever asks again at once is not answered at once: a refusal costs, too.
            await asyncio.sleep(limits.REFUSED_PAUSE_S)
            raise
        mediated = self._mediate(caller, request_id, tool, arguments_json)
        invocation = await self._own.run(mediated, share=caller.session.name)
        if invocation.state is InvocationState.HELD and hold_wait_s > 0:
            wait_s = min(hold_wait_s, limits.HOLD_WAIT_S_MAX)
            return await self._invocations.wait(invocation, wait_s=wait_s)
        return invocation

    async def _mediate(
        self, caller: Caller, request_id: str, tool: str, arguments_json: bytes
    ) -> Invocation:
        try:
            with self._admission.room(caller):
                return await self._in_turn(caller, request_id, tool, arguments_json)
        except NoPlace:
            raise LimitExceeded(
                "Nothing was decided: too many calls wait for their turn.",
                metadata=retry_after(),
            ) from None

    async def _in_turn(
        self, caller: Caller, request_id: str, tool: str, arguments_json: bytes
    ) -> Invocation:
        asked_at = self._clock()
        async with self._place(caller) as place:
            place.rest_s = limits.REFUSED_PAUSE_S  # unless it is a call
            frozen = await freeze_call(
                self._store,
                caller,
                request_id=request_id,
                tool=tool,
                arguments_json=arguments_json,
                now=asked_at,
                note=self.repeats.note_malformed,
            )
            place.rest_s = 0.0
        return await self._decided(frozen, caller, asked_at)

    def _place(self, caller: Caller) -> Place:
        """In turn among agents and principals; held while a call looks and records."""
        return self.places.place(caller.agent.id, caller.principal.id, within_s=limits.CALL_PLACE_S)

    async def _decided(self, frozen: Frozen, caller: Caller, asked_at: float) -> Invocation:
        call = frozen.call
        known = await self._store.find_request(caller.session.name, call.request_id)
        if known is not None:
            return await self._same(known, frozen)
        name, preview = f"invocations/{self._ids()}", None
        while True:
            async with self._turns.of(await self._decider.contended(call, caller)):
                recorded = await self._in_places(name, frozen, caller, asked_at, preview)
            if not isinstance(recorded, Wanted):
                break
            # A tool runs now: nobody else's turn waits for that.
            preview = await self._previewing.ask(call, caller, of=name)
        if isinstance(recorded, Invocation):
            return recorded
        if recorded is not None:
            self.repeats.took(recorded.recording.invocation, recorded.considered)
            self._shadowing.offer(recorded.recording.invocation, recorded.considered)
            return await self._committer.follow(recorded, caller)
        known = await self._store.find_request(caller.session.name, call.request_id)
        if known is None:
            raise Defect("A request id is taken and nobody has it.")
        return await self._same(known, frozen)

    async def _in_places(
        self,
        name: str,
        frozen: Frozen,
        caller: Caller,
        asked_at: float,
        preview: Preview | None,
    ) -> Recorded | Wanted | Invocation | None:
        """Stages 1 to 9 in a place, which is somebody else's while a key of the call is busy."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._decider.keys.wait_s
        while True:
            left_s = until - loop.time()
            async with self._place(caller) as place:
                place.rest_s = limits.REFUSED_PAUSE_S  # a refusal costs, too
                recorded = await self._decide_and_record(
                    name, frozen, caller, asked_at, preview, is_patient=left_s > 0.0
                )
                if not _is_refused_at_once(recorded):
                    place.rest_s = 0.0
            if not isinstance(recorded, Busy):
                return recorded
            await self._decider.freed(frozen.call, within_s=left_s)

    async def _decide_and_record(
        self,
        name: str,
        frozen: Frozen,
        caller: Caller,
        asked_at: float,
        preview: Preview | None,
        *,
        is_patient: bool,
    ) -> Recorded | Wanted | Busy | Invocation | None:
        """Stages 1 to 9, again while what was read has moved, for as long as patience lasts.

        Busy: it waits for a key, if it is patient; else it is denied for that.
        An invocation: what was recorded of the very same denial before answers this one, too.
        None: another request with this id was recorded first.
        """
        call = frozen.call
        asker = Asker(
            session=caller.session.name, request_id=call.request_id, agent=caller.agent.id
        )
        patience = Patience()
        while True:
            is_pinned = patience.is_left  # a refusal at the end needs nothing to stand still
            considered = await self._considered(frozen, caller, patience)
            if considered.is_busy and is_patient:
                return Busy()
            if must_be_asked(considered):
                if preview is None:
                    return Wanted()
                considered = replace(considered, preview=preview)
            repeated = await self.repeats.counted(call, caller, considered)
            if repeated is not None:
                return repeated
            make = functools.partial(
                record_new, name, call, caller, considered, is_pinned=is_pinned
            )
            try:
                return await self._committer.record(considered, asked_at, make, asker=asker)
            except Conflict as conflict:
                if conflict.on is ConflictOn.REQUEST_ID:
                    return None
                if conflict.on is ConflictOn.HOLDS:
                    raise _too_many_wait() from None
                if not is_pinned:
                    await self._committer.look_again(conflict, caller)  # perhaps it is over
                    raise Defect("A refusal could not be recorded.") from conflict
                patience.tried(conflict)
                await self._committer.look_again(conflict, caller)

    async def _considered(self, frozen: Frozen, caller: Caller, patience: Patience) -> Considered:
        """Stages 1 to 8; a refusal, where patience is over."""
        considered = patience.eased(
            await self._decider.consider(
                frozen.call, caller, refusal=frozen.refusal, is_asked=True, waits=False
            )
        )
        if patience.is_left:
            return considered
        decision = settle((*considered.plan.decision.verdicts, _CONTENDED))
        return replace(considered, plan=make_plan(decision))

    async def _same(self, known: Invocation, frozen: Frozen) -> Invocation:
        # What its handles stood for then, or nothing yet.
        asked = known.asked or known.call
        is_same = asked.digest in {frozen.call.digest, frozen.asked_digest}
        if known.is_preview or not is_same:
            raise RequestIdReused(
                "This request id was used for another call of this session.",
                metadata={"request_id": frozen.call.request_id},
            )
        if known.state is not InvocationState.RUNNING:
            return known
        left_s = max(known.deadline_at + limits.STORE_DEADLINE_S - self._clock(), 0.0)
        endings = self._committer.carrier.endings
        known = await self._invocations.wait(
            known, wait_s=left_s, unless=lambda: known.name in endings.unstored
        )
        endings.check(known)
        return known


def _is_refused_at_once(recorded: Recorded | Wanted | Busy | Invocation | None) -> bool:
    """Whether policy was spared it; an invocation is a denial that was counted once more."""
    if isinstance(recorded, Recorded):
        considered = recorded.considered
        return isinstance(considered.plan, Refuse) and considered.question is None
    return isinstance(recorded, Invocation)


def _too_many_wait() -> LimitExceeded:
    return LimitExceeded(
        "Nothing was decided: too many calls of this agent or principal wait for people.",
        metadata=retry_after(_HOLDS_LATER_S),
    )
