"""An approved hold goes through every stage again; its approval is one of their inputs.

Nothing is claimed after the hold's time or in a session that is over. While a part is away, or
another call on the same thing is under way, the hold stays APPROVED and is tried again. So it is
while its tool cannot be asked what the call would change: an approval is for that, too. What the
agent's own process is to execute waits for it, at whichever broker it comes to. One of several
brokers at a time is at a hold: that spares looking up and asking twice, and nothing more.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import replace

import structlog

from broker.core import limits
from broker.core.calls import Caller, Invocation
from broker.core.errors import BrokerError, IllegalTransition, RunnerUnavailable
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.plan import Run
from broker.core.previews import Preview
from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.committing import Committer, Patience, Recorded
from broker.enforcer.deciding import Considered, Decider
from broker.enforcer.entries import Stamp
from broker.enforcer.previewing import Asked, Previewing, Wanted, changed, must_be_asked
from broker.enforcer.recording import Recording, record_again
from broker.enforcer.turns import Turns
from broker.events import Events
from broker.invocations import Invocations
from broker.own_work import OwnWork
from broker.ports import Asker, Clock, Store
from broker.sessions import OPEN

Claimed = Callable[[str], AbstractAsyncContextManager[bool]]
"""Whether a broker has this name, while the block runs, and no other has: see `store.claims`."""


def alone(name: str) -> AbstractAsyncContextManager[bool]:
    """All that there is to do is this broker's."""
    del name
    return nullcontext(enter_result=True)


Again = Callable[[Invocation], AbstractContextManager[object]]
"""Around all that is done about a call that was recorded before; does nothing to it."""

Awaited = Callable[[Invocation], bool]
"""Whether somebody is here to whom a held call can be released."""


def by_anybody(held: Invocation) -> bool:
    """It needs nobody to be here."""
    del held
    return True


_log = structlog.get_logger(__name__)


class Resuming:
    """Takes approved holds up."""

    def __init__(
        self,
        *,
        decider: Decider,
        committer: Committer,
        invocations: Invocations,
        previewing: Previewing,
        own: OwnWork,
        turns: Turns,
        store: Store,
        events: Events,
        clock: Clock,
        again: Again = nullcontext,
        claimed: Claimed = alone,
        awaited: Awaited = by_anybody,
    ) -> None:
        self._claimed = claimed
        self._awaited = awaited
        self._again = again
        self._decider = decider
        self._committer = committer
        self._invocations = invocations
        self._previewing = previewing
        self._own = own
        self._turns = turns
        self._store = store
        self._events = events
        self._clock = clock
        self._resuming: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._not_before: dict[str, float] = {}

    async def take_up(self, hold_name: str) -> None:
        """Run an approved hold through all stages again.

        Raises:
            DependencyError: a part is away; the hold stays APPROVED.
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        await self._own.run(self._once(hold_name))

    def take_up_soon(self, hold_name: str, ended: Callable[[], None] = lambda: None) -> None:
        """Start doing so, and say when it has ended; what is away now, the sweep tries again."""
        if hold_name not in self._resuming:
            self._own.start(self._try(hold_name, ended))

    async def _try(self, hold_name: str, ended: Callable[[], None]) -> None:
        try:
            await self._once(hold_name)
        except BrokerError as error:
            # Said once for each reason: the sweep tries every second.
            if self._waiting.get(hold_name) != error.reason:
                _log.warning("hold_waits", hold=hold_name, reason=error.reason, error=str(error))
            self._waiting[hold_name] = error.reason
        else:
            self._waiting.pop(hold_name, None)
        finally:
            ended()

    async def _once(self, hold_name: str) -> None:
        if hold_name in self._resuming:
            return
        self._resuming.add(hold_name)
        try:
            await self._resume(hold_name)
        finally:
            self._resuming.discard(hold_name)

    async def _resume(self, hold_name: str) -> None:
        found = await self._store.find_hold(hold_name)
        if found is None or found[0].state is not HoldState.APPROVED:
            return
        hold = found[0]
        held = await self._store.find_invocation(hold.invocation)
        session = await self._store.find_session(hold.session)
        if held is None or session is None or held.state is not InvocationState.HELD:
            return
        if not hold.run_from <= self._clock() < hold.run_by:
            return  # it can be taken back yet, or the sweep expires it
        if session.state != OPEN:
            await self._invocations.withdraw(hold.name, actor="broker")
            return
        if not self._awaited(held) or self._clock() < self._not_before.get(hold_name, 0.0):
            return
        caller = Caller(session=session, credential="broker")
        with self._again(held):
            async with self._claimed(hold.name) as is_mine:
                recorded = (
                    await self._recorded(hold, held, caller)
                    if is_mine and await self._is_still(hold)
                    else None
                )
            if recorded is None:
                return  # or another broker is at it
            self._events.publish("hold", hold.name)
            await self._committer.follow(recorded, caller)

    async def _is_still(self, hold: Hold) -> bool:
        """Whether nobody was at it before this broker had the claim."""
        found = await self._store.find_hold(hold.name)
        return found is not None and found[0].etag == hold.etag

    async def _recorded(self, hold: Hold, held: Invocation, caller: Caller) -> Recorded | None:
        """Stages 1 to 9, with what the tool says just before. None: as of `_record`."""
        asked: Asked | None = None
        for _ in range(limits.RECORD_ATTEMPTS_MAX):
            async with self._turns.of(await self._decider.contended(held.call, caller)):
                recorded = await self._record(hold, held, caller, asked)
            if not isinstance(recorded, Wanted):
                return recorded
            preview = await self._previewing.ask(held.call, caller, of=held.name)
            asked = Asked(preview=preview, keys=recorded.keys)
        return None

    async def _record(
        self, hold: Hold, held: Invocation, caller: Caller, asked: Asked | None
    ) -> Recorded | Wanted | None:
        """Stages 1 to 9. None: somebody else moved it, its time is over, or not just now.

        Raises:
            RunnerUnavailable: what was approved cannot be compared with what would change now.
            IllegalTransition: the agent's own process is to execute it, and none waits to.
        """
        patience = Patience()
        while patience.is_left:
            considered = patience.eased(await self._decider.consider(held.call, caller, hold=hold))
            if must_be_asked(considered, hold):
                runs = isinstance(considered.plan, Run)
                if asked is None or (runs and asked.keys != considered.keys):
                    return Wanted(keys=considered.keys)
                if runs and self._is_another(asked.preview, hold):
                    also = changed(hold.requirements)
                    considered = patience.eased(
                        await self._decider.consider(held.call, caller, also=also)
                    )
                considered = replace(considered, preview=asked.preview)
            if considered.is_busy:
                return None  # people have said yes: that is not thrown away
            make = functools.partial(_in_time, held, hold, caller, considered)
            try:
                asker = Asker(session=held.session, request_id=held.request_id, agent=held.agent)
                return await self._committer.record(considered, held.created_at, make, asker=asker)
            except IllegalTransition:
                self._put_off(hold, limits.PERMIT_RETRY_S)  # no process of the agent's waits
                raise
            except Conflict as conflict:
                if conflict.on is ConflictOn.SESSION:
                    await self._invocations.withdraw(hold.name, actor="broker")
                if conflict.on in {ConflictOn.SESSION, ConflictOn.HOLD, ConflictOn.INVOCATION}:
                    return None
                patience.tried(conflict)
                await self._committer.look_again(conflict, caller)
        return None

    def _is_another(self, preview: Preview, hold: Hold) -> bool:
        """Whether the tool says something else than its reviewers were shown.

        Raises:
            RunnerUnavailable: it says nothing, and is asked again later.
        """
        if preview.error:
            self._put_off(hold, limits.PREVIEW_RETRY_S)
            raise RunnerUnavailable(
                f"The preview of {hold.tool} cannot be asked: {preview.error}.",
                metadata={"tool": hold.tool, "preview": preview.error},
            )
        return hold.preview is not None and preview.digest != hold.preview.digest

    def _put_off(self, hold: Hold, pause_s: float) -> None:
        """What is away now is not asked for with every sweep."""
        now = self._clock()
        over = [name for name, until in self._not_before.items() if until <= now]
        for name in over:
            del self._not_before[name]
        self._not_before[hold.name] = now + pause_s


def _in_time(
    held: Invocation,
    hold: Hold,
    caller: Caller,
    considered: Considered,
    stamp: Stamp,
) -> Recording:
    """As `record_again`, unless looking and waiting took until the approval was over.

    Raises:
        Conflict: it is over; the sweep expires it.
    """
    if stamp.now >= hold.run_by:
        raise Conflict(ConflictOn.HOLD)
    return record_again(held, hold, caller, considered, stamp)
