"""What was interrupted is UNKNOWN, never silently retried; what waits goes on waiting.

After a crash the store is the only witness. A call that was RUNNING under another instance may or
may not have had its effect: it becomes UNKNOWN and keeps its keys until a Person who is neither its
principal nor its agent's owner settles it with evidence. Approved holds are taken up again; holds
past their time expire.
"""

import asyncio
from dataclasses import dataclass, replace

import structlog

from broker.core.arguments import MalformedJson, parse_value
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.canonical import canonical_bytes
from broker.core.credentials import Credential
from broker.core.errors import (
    BrokerError,
    IllegalTransition,
    MalformedRequest,
    NotFound,
    NotPermitted,
)
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState, step, step_hold
from broker.core.limits import RESULT_BYTES_MAX
from broker.core.unit import Conflict, FreeKeys, MoveHold, MoveInvocation, Unit
from broker.enforcer.carrying import Carrier, Ended
from broker.enforcer.enforcer import Enforcer
from broker.events import Events
from broker.ports import Clock, Store

_log = structlog.get_logger(__name__)

SWEEP_INTERVAL_S = 1.0
_LATE = "Nobody decided in time, or the approval was not used in time. Nothing ran."


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Brings the store's unfinished business to an end. `owner` is this instance."""

    enforcer: Enforcer
    carrier: Carrier
    store: Store
    events: Events
    clock: Clock
    owner: str

    async def recover(self) -> int:
        """Before the first request: end what an earlier instance left RUNNING.

        SQLite serves one broker at a time, so whoever else owned a call is gone.

        Returns:
            How many became UNKNOWN.
        """
        count = 0
        for invocation in await self.store.unfinished():
            if invocation.state is InvocationState.RUNNING and invocation.owner != self.owner:
                await self.carrier.record_end(invocation, INTERRUPTED, actor="broker")
                count += 1
        return count

    async def sweep(self) -> None:
        """For ever: expire what is overdue, take up what is approved. Ends by cancellation."""
        while True:
            try:
                await self.sweep_once()
            except BrokerError as error:
                _log.warning("sweep_failed", reason=error.reason, error=str(error))
            await asyncio.sleep(SWEEP_INTERVAL_S)

    async def sweep_once(self) -> None:
        """One round."""
        now = self.clock()
        for hold in await self.store.overdue(now=now):
            await self._expire(hold, now=now)
        for invocation in await self.store.unfinished():
            if invocation.state is InvocationState.HELD:
                self.enforcer.take_up_soon(invocation.hold)

    async def _expire(self, hold: Hold, *, now: float) -> None:
        invocation = await self.store.find_invocation(hold.invocation)
        if invocation is None or invocation.state is not InvocationState.HELD:
            return
        unit = Unit(
            changes=(
                MoveHold(
                    hold=replace(
                        hold,
                        state=step_hold(hold.state, HoldState.EXPIRED),
                        etag=hold.etag + 1,
                    ),
                    from_etag=hold.etag,
                ),
                MoveInvocation(
                    invocation=replace(
                        invocation,
                        state=step(invocation.state, InvocationState.EXPIRED),
                        code="EXPIRED",
                        message=_LATE,
                        updated_at=now,
                        etag=invocation.etag + 1,
                    ),
                    from_etag=invocation.etag,
                ),
            ),
            entries=(
                EntryDraft(
                    kind=EntryKind.HOLD_CHANGED,
                    at=now,
                    actor="broker",
                    invocation=invocation.name,
                    session=hold.session,
                    body={"hold": hold.name, "state": HoldState.EXPIRED.value},
                ),
            ),
        )
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
            result_json: the result, where it took effect and is known.

        Raises:
            MalformedRequest: no evidence, or a result that is not JSON.
            NotFound: no such invocation.
            NotPermitted: their own call, or their own agent's.
            IllegalTransition: it is not UNKNOWN.
        """
        if not evidence.strip():
            raise MalformedRequest("Say what shows it.", metadata={"field": "evidence"})
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
        state = InvocationState.SUCCEEDED if took_effect else InvocationState.FAILED
        now = self.clock()
        after = replace(
            invocation,
            state=step(invocation.state, state),
            code="RECONCILED",
            message="A person looked and settled this call.",
            result=_result(result_json) if took_effect and result_json else None,
            updated_at=now,
            etag=invocation.etag + 1,
        )
        entry = EntryDraft(
            kind=EntryKind.CALL_RECONCILED,
            at=now,
            actor=operator.subject,
            invocation=name,
            session=invocation.session,
            body={"state": state.value, "person": str(operator.person)},
            contents={"evidence": evidence},
        )
        changes = (
            MoveInvocation(invocation=after, from_etag=invocation.etag),
            FreeKeys(invocation=name),
        )
        try:
            await self.store.commit(Unit(changes=changes, entries=(entry,)))
        except Conflict:
            raise IllegalTransition("Somebody else settled it first.") from None
        self.events.publish("invocation", name)
        self.events.publish("key", name)
        return after


INTERRUPTED = Ended(
    state=InvocationState.UNKNOWN,
    code="OUTCOME_UNKNOWN",
    message="It may have happened. Do not repeat it; a person must look.",
    why="the broker stopped while the call was under way",
)


def _result(result_json: bytes) -> bytes:
    try:
        return canonical_bytes(parse_value(result_json, bytes_max=RESULT_BYTES_MAX))
    except MalformedJson as malformed:
        raise MalformedRequest(str(malformed), metadata={"field": "result_json"}) from None
