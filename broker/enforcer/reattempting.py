"""Of all that was interrupted, only an idempotent tool is tried again: fenced, and while RUNNING.

The key is the invocation's name, as before, so that for the tool twice is as once. Everything that
let it run must still be in force: tool and policy of the same revision, the scopes with what they
are bound to, no freeze, a session that is not over. Facts are not looked up again: what a scope is
bound to by one is not shown, and the call is not tried. The attempt is in the log before it begins,
and there are only so many of them. Whatever is in the way ends the call as UNKNOWN; nothing that is
UNKNOWN is ever tried again.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import structlog

from broker.core import freezes, limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation, Session
from broker.core.control import Control, RegisteredTool
from broker.core.errors import BrokerError, OutcomeUnstored, RunnerUnavailable, StoreUnavailable
from broker.core.known import Known
from broker.core.labels import WORST
from broker.core.leases import leased_until
from broker.core.lifecycle import InvocationState
from broker.core.plan import Run, make_plan
from broker.core.scopes import covers
from broker.core.unit import (
    Conflict,
    ConflictOn,
    MoveInvocation,
    RequireControl,
    RequireSession,
    Unit,
)
from broker.enforcer.carrying import Carrier
from broker.enforcer.concluding import interrupted
from broker.enforcer.deciding import effective_scopes
from broker.own_work import OwnWork
from broker.ports import Clock, Runner, Slot, Store
from broker.sessions import is_over

_log = structlog.get_logger(__name__)

_REPEATABLE_RUNNER = "worker"
_PLACE_WAIT_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeatable:
    """A call that may be tried again, and how."""

    session: Session
    tool: RegisteredTool
    plan: Run
    control: Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Reattempting:
    """Hands over once more what an owner that is gone left RUNNING.

    Attributes:
        owner: this instance, which then has it.
        under_way: what is being tried, by invocation.
    """

    carrier: Carrier
    runner: Runner
    store: Store
    own: OwnWork
    refresh: Callable[[], Awaitable[object]]
    clock: Clock
    owner: str
    under_way: set[str] = field(default_factory=set)

    def is_repeatable(self, invocation: Invocation) -> bool:
        """Whether its tool, as it was decided on, may be tried again; nothing is looked up."""
        tool = self.carrier.control().tool_at(invocation.call.tool, invocation.tool_revision)
        return (
            tool is not None
            and invocation.state is InvocationState.RUNNING
            and not invocation.is_preview
            and tool.manifest.behaviour.idempotent
            and tool.manifest.runner == _REPEATABLE_RUNNER
            and 0 < invocation.attempt < limits.ATTEMPTS_MAX
        )

    def take_up_soon(self, invocation: Invocation) -> bool:
        """Begin another attempt of a RUNNING call whose owner is surely gone.

        Returns:
            Whether it is in hand; else whoever asks ends it.
        """
        if invocation.name in self.under_way:
            return True
        if not self.is_repeatable(invocation):
            return False
        self.under_way.add(invocation.name)
        self.own.start(self._try(invocation))
        return True

    async def _try(self, invocation: Invocation) -> None:
        try:
            await self._again(invocation)
        except BrokerError as error:
            # The sweep comes back to it, or the outcome is kept by those who record it.
            _log.warning(
                "attempt_not_made",
                invocation=invocation.name,
                reason=error.reason,
                error=str(error),
            )
        finally:
            self.under_way.discard(invocation.name)

    async def _again(self, invocation: Invocation) -> None:
        may = await self._allowed(invocation)
        if may is None:
            await self._give_up(invocation)
            return
        try:
            slot = await self.runner.reserve(may.tool.manifest, profile="", wait_s=_PLACE_WAIT_S)
        except RunnerUnavailable:
            if self.clock() >= invocation.lease_expires_at + limits.ATTEMPT_WAIT_S:
                await self._give_up(invocation)
            return
        try:
            begun = await self._begin(invocation, may, slot)
        except BaseException:
            slot.release()
            raise
        if begun is not None:
            await self.carrier.carry(
                begun,
                Caller(session=may.session, credential="broker"),
                may.tool,
                may.plan,
                slot,
                given=WORST,  # what it carried in was looked at by a broker that is gone
            )

    async def _allowed(self, invocation: Invocation) -> Repeatable | None:
        """How to try it again, if all that let it run is as it was."""
        control, now = self.carrier.control(), self.clock()
        tool = control.tool_at(invocation.call.tool, invocation.tool_revision)
        session = await self.store.find_session(invocation.session)
        if tool is None or invocation.decision is None or session is None:
            return None
        caller = Caller(session=session, credential="broker")
        is_frozen = freezes.covering_call(control.freezes, invocation, now=now) is not None
        is_of_another_policy = control.policy_revision != invocation.policy_revision
        if is_over(session, now=now) or is_frozen or is_of_another_policy:
            return None
        held = effective_scopes(control, caller, now=now)
        plan = make_plan(invocation.decision, manifest=tool.manifest)
        known = Known(arguments=invocation.call.arguments, session=session)
        for scope in tool.manifest.scopes:
            if scope.name not in held or not covers(held[scope.name], known.values_of):
                return None
        if isinstance(plan, Run):
            return Repeatable(session=session, tool=tool, plan=plan, control=control)
        return None

    async def _begin(
        self, invocation: Invocation, may: Repeatable, slot: Slot
    ) -> Invocation | None:
        """Record the attempt; None where it is not this broker's to make, or not now."""
        now, deadline_s = self.clock(), may.tool.manifest.deadline_s
        after = replace(
            invocation,
            attempt=invocation.attempt + 1,
            owner=self.owner,
            deadline_at=now + deadline_s,
            lease_expires_at=leased_until(now, deadline_s),
            updated_at=now,
            etag=invocation.etag + 1,
        )
        entry = EntryDraft(
            kind=EntryKind.ATTEMPT_STARTED,
            at=now,
            actor="broker",
            invocation=after.name,
            session=after.session,
            body={
                "attempt": after.attempt,
                "owner": after.owner,
                "owner_before": invocation.owner,
                "digest": after.call.digest,
            },
        )
        changes = (
            RequireControl(revision=may.control.revision),
            RequireSession(name=after.session, at=now),
            MoveInvocation(invocation=after, from_etag=invocation.etag, owner=invocation.owner),
        )
        try:
            await self.store.commit(Unit(changes=changes, entries=(entry,)))
        except Conflict as conflict:
            slot.release()
            if conflict.on is ConflictOn.CONTROL:
                await self.refresh()  # and the sweep looks at it anew
            elif conflict.on is ConflictOn.SESSION:
                await self._give_up(invocation)
            return None
        except OutcomeUnstored as doubt:
            # It may be ours now, and nobody is handed it. If it is not, this end is not wanted.
            self.carrier.endings.abandon(after)
            raise StoreUnavailable("Whether the attempt was recorded is not known.") from doubt
        return after

    async def _give_up(self, invocation: Invocation) -> None:
        await self.carrier.endings.record(invocation, interrupted(invocation), actor="broker")
