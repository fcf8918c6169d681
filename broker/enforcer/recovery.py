"""What was interrupted is UNKNOWN, never silently retried; what waits goes on waiting.

After a crash the store is the only witness. A call that was RUNNING under another instance may or
may not have had its effect. One of an idempotent tool is tried again once its lease is over
(`reattempting`), and what the agent's process has said in time of its own counts (`last_words`);
any other becomes UNKNOWN and keeps its keys until its tool's own word (`reconciling`), or a Person
who is neither its principal nor its agent's owner, settles it.
Approved holds are taken up again; holds past their time expire, and files that are over are erased.
One that cannot be ended does not keep the others from it.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.control import RegisteredTool
from broker.core.credentials import Credential
from broker.core.errors import (
    BrokerError,
    IllegalTransition,
    MalformedRequest,
    NotFound,
    NotPermitted,
    OutcomeUnstored,
    StoreUnavailable,
)
from broker.core.hold_endings import EXPIRED, unit_of
from broker.core.holds import Hold
from broker.core.inspection import RESULT_INVALID, Released, inspect
from broker.core.lifecycle import InvocationState
from broker.core.limits import EVIDENCE_CHARACTERS_MAX
from broker.core.unit import Conflict, Unit
from broker.enforcer.carrying import Carrier
from broker.enforcer.concluding import interrupted
from broker.enforcer.last_words import LastWords
from broker.enforcer.reattempting import Reattempting
from broker.enforcer.reconciling import Reconciling, settled, settling
from broker.enforcer.resuming import Resuming
from broker.events import Events
from broker.ports import Clock, Store

_log = structlog.get_logger(__name__)

SWEEP_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Brings the store's unfinished business to an end.

    Attributes:
        owner: this instance.
        is_gone: whether another instance surely does nothing any more; every other one, where this
            one has the database alone.
        over_at: when at the latest the lease of what an instance before this one left is over, by
            invocation and attempt: a later attempt has a lease of its own.
    """

    resuming: Resuming
    reattempting: Reattempting
    reconciling: Reconciling
    last_words: LastWords
    carrier: Carrier
    store: Store
    events: Events
    clock: Clock
    owner: str
    is_gone: Callable[[str], bool] = bool
    over_at: dict[tuple[str, int], float] = field(default_factory=dict)

    async def recover(self) -> int:
        """Before the first request: end what an instance that is gone left RUNNING.

        Of others on the same database nobody is gone yet: the sweep ends what they leave.

        Returns:
            How many became UNKNOWN.
        """
        count = 0
        for invocation in await self.store.unfinished():
            if invocation.state is InvocationState.RUNNING and self._is_of_one_gone(invocation):
                if self.reattempting.is_repeatable(invocation):
                    self._wait_for_lease(invocation)
                    continue
                count += await self._interrupt(invocation)
        await self.reconciling.find()
        return count

    async def sweep(self) -> None:
        """For ever: expire what is overdue, take up what is approved. Ends by cancellation."""
        while True:
            try:
                await self.sweep_once()
            except BrokerError as error:
                _log.warning("sweep_failed", reason=error.reason, error=str(error))
            except Exception:  # noqa: BLE001 - one that fails must not end all
                # Without it nothing would expire any more, and nobody would be told.
                _log.exception("sweep_failed", reason="DEFECT")
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def sweep_once(self) -> None:
        """One round.

        Raises:
            StoreUnavailable: the store is away; the next round begins again.
        """
        await self.carrier.endings.record_unstored()
        now = self.clock()
        for hold in await self.store.overdue(now=now):
            try:
                await self._expire(hold, now=now)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - one that fails must not end all
                _log.exception("hold_not_expired", hold=hold.name)
        for invocation in await self.store.unfinished():
            if invocation.state is InvocationState.HELD:
                self.resuming.take_up_soon(invocation.hold)
            elif self._is_left_behind(invocation, now=now):
                try:
                    await self._take_over(invocation)
                except StoreUnavailable:
                    raise
                except Exception:  # noqa: BLE001 - one that fails must not keep the others from it
                    _log.exception("call_not_taken_over", invocation=invocation.name)
        self.reconciling.sweep()
        await self.last_words.permits.sweep()

    def _is_left_behind(self, invocation: Invocation, *, now: float) -> bool:
        """RUNNING, its lease is over, and nobody is at it."""
        name = invocation.name
        here = name in self.carrier.carrying or name in self.carrier.endings.unstored
        over_at = invocation.lease_expires_at
        if invocation.owner != self.owner:
            if not self.is_gone(invocation.owner):
                return False
            over_at = min(over_at, self.over_at.get((name, invocation.attempt), math.inf))
        return not here and now >= over_at

    def _is_of_one_gone(self, invocation: Invocation) -> bool:
        return invocation.owner != self.owner and self.is_gone(invocation.owner)

    def _wait_for_lease(self, invocation: Invocation) -> None:
        """Its owner is gone, but what that handed over may be under way yet.

        For no longer than a lease lasts from now on, whatever the clock said when it was written.
        """
        tool = self._tool(invocation)
        deadline_s = tool.manifest.deadline_s if tool is not None else limits.TOOL_DEADLINE_S_MAX
        over_at = self.clock() + deadline_s + limits.STORE_DEADLINE_S
        self.over_at[invocation.name, invocation.attempt] = over_at

    async def _take_over(self, invocation: Invocation) -> None:
        if self.reattempting.take_up_soon(invocation):
            return
        self.over_at.pop((invocation.name, invocation.attempt), None)
        await self._interrupt(invocation)

    async def _interrupt(self, invocation: Invocation) -> bool:
        """End it, as UNKNOWN mostly; False where another broker was faster, which is as good.

        Raises:
            OutcomeUnstored: the store did not come back in time; it is tried again later.
            StoreUnavailable: what was said of it cannot be read; as well.
        """
        ended, manifest = await self.last_words.of(invocation) or (interrupted(invocation), None)
        try:
            await self.carrier.endings.record(invocation, ended, actor="broker", manifest=manifest)
        except OutcomeUnstored:
            if invocation.name in self.carrier.endings.unstored:
                raise
            return False
        return True

    async def _expire(self, hold: Hold, *, now: float) -> None:
        invocation = await self.store.find_invocation(hold.invocation)
        if invocation is None or invocation.state is not InvocationState.HELD:
            return
        unit = unit_of(hold, invocation, EXPIRED, actor="broker", at=now)
        try:
            await self.store.commit(unit)
        except Conflict:
            return  # somebody decided, withdrew or claimed it first
        self.events.publish("hold", hold.name)
        self.events.publish("invocation", invocation.name)

    async def reconcile(
        self,
        operator: Credential,
        name: str,
        *,
        took_effect: bool,
        evidence: str,
        result_json: bytes = b"",
    ) -> Invocation:
        """Settle an UNKNOWN call with evidence; its keys are free again.

        Args:
            operator: whose Person is neither the call's principal nor its agent's owner.
            name: `invocations/{uuid}`.
            took_effect: SUCCEEDED if so, else FAILED.
            evidence: what shows it; kept in the log.
            result_json: the result, where it took effect and is known. It is released as if the
                tool had answered it.

        Raises:
            MalformedRequest: no evidence, or a result that is not what the tool declares.
            NotFound: no such invocation.
            NotPermitted: their own call, or their own agent's.
            IllegalTransition: it is not UNKNOWN.
        """
        if not 0 < len(evidence.strip()) <= EVIDENCE_CHARACTERS_MAX:
            raise MalformedRequest(
                f"Say what shows it, in at most {EVIDENCE_CHARACTERS_MAX} characters.",
                metadata={"field": "evidence"},
            )
        invocation = await self.store.find_invocation(name)
        session = await self.store.find_session(invocation.session) if invocation else None
        if invocation is None or session is None:
            raise NotFound("There is no such invocation.")
        if operator.person is None or operator.person in {
            session.principal.person,
            session.agent.owner,
        }:
            raise NotPermitted("Nobody settles their own call, or their own agent's.")
        if invocation.state is not InvocationState.UNKNOWN:
            raise IllegalTransition(
                f"The call is {invocation.state}; only one that is UNKNOWN is settled.",
                metadata={"state": invocation.state},
            )
        now = self.clock()
        known = result_json if took_effect else b""
        after = replace(
            settled(
                invocation,
                took_effect=took_effect,
                message="A person looked and settled this call.",
                at=now,
            ),
            result=await self._released(invocation, known) if known else None,
        )
        entry = EntryDraft(
            kind=EntryKind.CALL_RECONCILED,
            at=now,
            actor=operator.subject,
            invocation=name,
            session=invocation.session,
            body={"state": after.state.value, "person": str(operator.person)},
            contents={"evidence": evidence},
        )
        changes = settling(invocation, after, self._tool(invocation))
        try:
            await self.store.commit(Unit(changes=changes, entries=(entry,)))
        except Conflict:
            raise IllegalTransition("Somebody else settled it first.") from None
        self.events.publish("invocation", name)
        self.events.publish("key", name)
        return after

    async def _released(self, invocation: Invocation, result_json: bytes) -> bytes | None:
        """What of a result the agent may read: policy's duties bind whoever types it, too."""
        tool = self._tool(invocation)
        await self.carrier.compiler.ready(tool)
        obligations = invocation.decision.obligations if invocation.decision else ()
        looked = inspect(
            result_json,
            schema=tool.result if tool is not None else None,
            obligations=obligations,
        )
        if isinstance(looked, Released):
            return looked.result
        if looked.code == RESULT_INVALID:
            raise MalformedRequest(
                "The result is not what the tool declares.",
                metadata={"field": "result_json"},
            )
        return None

    def _tool(self, invocation: Invocation) -> RegisteredTool | None:
        """The tool as the call was decided on, if it is still so."""
        control = self.carrier.control()
        return control.tool_at(invocation.call.tool, invocation.tool_revision)
