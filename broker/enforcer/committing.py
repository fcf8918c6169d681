"""Stage 9 as an act: a place at the runner, one transaction, and then the effect, in this order.

Whatever goes wrong in between gives the place back. A record whose fate is not known is as good as
none: nothing is handed over for it, and it is ended as soon as the store answers again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from broker.core import limits
from broker.core.calls import Caller, Invocation
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.labels import BEST
from broker.core.lifecycle import InvocationState
from broker.core.plan import Run
from broker.core.previews import PREVIEW_SUFFIX
from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.carrying import Carrier
from broker.enforcer.deciding import Considered
from broker.enforcer.entries import Stamp
from broker.enforcer.recording import Recording
from broker.events import Events
from broker.own_work import OwnWork
from broker.ports import Asker, Clock, IdFactory, Runner, Slot, Store
from broker.sessions import check_open

RUNNER_WAIT_S = 2.0
SANDBOX_WAIT_S = 10.0  # where none is warm, a container is made first


@dataclass(slots=True)
class Patience:
    """How often a call is decided again because what was read has moved.

    Other calls of the same session move what it has seen as often as they release something. A call
    that was asked before cannot have come from that: after a few times it need not stand still.
    Calls of this broker take turns at a key or counter, those of others do not: who loses to them
    was never wrong about anything else, and tries oftener.
    """

    _left: int = limits.RECORD_ATTEMPTS_MAX
    _left_for_memory: int = limits.RECORD_ATTEMPTS_MAX
    _left_for_turns: int = limits.RECORD_TURNS_MAX

    @property
    def is_left(self) -> bool:
        """Whether it may be tried again."""
        return self._left > 0 and self._left_for_turns > 0

    def tried(self, conflict: Conflict) -> None:
        """It did not work, for this."""
        if conflict.on is ConflictOn.MEMORY:
            self._left_for_memory -= 1
        elif conflict.on in {ConflictOn.KEY, ConflictOn.COUNTER}:
            self._left_for_turns -= 1
        else:
            self._left -= 1

    def eased(self, considered: Considered) -> Considered:
        """What was considered, with no more than must stand still."""
        if self._left_for_memory > 0 or considered.traced is None:
            return considered
        return replace(considered, traced=replace(considered.traced, positions={}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What was decided and written, and the place that is kept where there is something to run."""

    considered: Considered
    recording: Recording
    slot: Slot | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Committer:
    """Writes decisions. `owner` names this broker instance; it alone ends what it began.

    `own` has what goes on once whoever asked was answered.

    `refresh` reads again what is in force, when the store says that it has moved on.
    """

    carrier: Carrier
    runner: Runner
    store: Store
    own: OwnWork
    refresh: Callable[[], Awaitable[object]]
    events: Events
    clock: Clock
    ids: IdFactory
    owner: str

    async def record(
        self,
        considered: Considered,
        asked_at: float,
        make: Callable[[Stamp], Recording],
        *,
        asker: Asker | None = None,
    ) -> Recorded:
        """Write a decision, once, with a place at the runner where there is something to run.

        `asker`: whose call it is; None where the broker itself asks.

        Raises:
            Conflict: what was read has moved.
            DependencyError: nothing ran, and the same request may be repeated.
        """
        slot = await self._slot(considered, asker)
        try:
            recording = make(self._stamp(asked_at))
            await self._commit(recording)
        except BaseException:
            if slot is not None:
                slot.release()
            raise
        return Recorded(considered=considered, recording=recording, slot=slot)

    async def look_again(self, conflict: Conflict, caller: Caller) -> None:
        """Before the next attempt: read what has moved.

        Raises:
            IllegalTransition: the session is over.
        """
        if conflict.on is ConflictOn.SESSION:
            session = await self.store.find_session(caller.session.name)
            check_open(session or caller.session, now=self.clock())
        if conflict.on is ConflictOn.CONTROL:
            await self.refresh()

    async def follow(self, recorded: Recorded, caller: Caller) -> Invocation:
        """Have done what was recorded.

        What the agent's own process executes is RUNNING when this returns: whoever asked gets its
        permit, and says how it ended.

        Raises:
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        recording, considered = recorded.recording, recorded.considered
        self.events.publish("invocation", recording.invocation.name)
        if recording.hold is not None:
            self.events.publish("hold", recording.hold.name)
        plan = considered.plan
        if not isinstance(plan, Run) or recorded.slot is None or considered.tool is None:
            return recording.invocation
        carried = self.carrier.carry(
            recording.invocation,
            caller,
            considered.tool,
            plan,
            recorded.slot,
            given=considered.traced.given if considered.traced is not None else BEST,
        )
        if recording.invocation.is_with_caller:
            self.own.go_on(carried, share=caller.session.name)
            return recording.invocation
        return await carried

    async def _slot(self, considered: Considered, asker: Asker | None) -> Slot | None:
        plan = considered.plan
        if not isinstance(plan, Run) or considered.tool is None:
            return None
        manifest = considered.tool.manifest
        wait_s = RUNNER_WAIT_S if manifest.sandbox is None else SANDBOX_WAIT_S
        if manifest.name.endswith(PREVIEW_SUFFIX):
            wait_s = limits.PREVIEW_PLACE_WAIT_S
        return await self.runner.reserve(
            manifest, profile=plan.profile.digest, wait_s=wait_s, asker=asker
        )

    async def _commit(self, recording: Recording) -> None:
        try:
            await self.store.commit(recording.unit)
        except OutcomeUnstored as doubt:
            # It may be there as RUNNING, with its keys taken.
            if recording.invocation.state is InvocationState.RUNNING:
                self.carrier.endings.abandon(recording.invocation)
            raise StoreUnavailable("Whether it was recorded is not known; nothing ran.") from doubt

    def _stamp(self, asked_at: float) -> Stamp:
        return Stamp(
            asked_at=asked_at,
            now=self.clock(),
            owner=self.owner,
            hold_name=f"holds/{self.ids()}",
        )
