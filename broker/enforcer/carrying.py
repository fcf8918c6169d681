"""Stages 10 to 12: hand over, look at the answer, record the outcome; only then release it.

This is the only effect in the world. It runs as the broker's own task: nobody who hangs up cancels
it. FAILED means that nothing took effect; whatever cannot be shown to be that is UNKNOWN, and its
keys stay taken until a person has looked.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import structlog

from broker.core import freezes, limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation
from broker.core.control import Control, RegisteredTool
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.inspection import Released, inspect
from broker.core.lifecycle import KEY_TAKEN, InvocationState, step
from broker.core.plan import Run
from broker.core.unit import (
    Change,
    Conflict,
    FreeKeys,
    MoveInvocation,
    ReleaseReservations,
    Unit,
)
from broker.events import Events
from broker.ports import (
    Clock,
    Failed,
    FrozenCall,
    Lost,
    NeverStarted,
    Outcome,
    Slot,
    Store,
    Succeeded,
)

_log = structlog.get_logger(__name__)

STORE_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an attempt leaves its invocation."""

    state: InvocationState
    code: str = ""
    message: str = ""
    result: bytes | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """Hands calls over and records how they ended."""

    control: Callable[[], Control]
    store: Store
    events: Events
    clock: Clock

    async def carry(
        self,
        invocation: Invocation,
        caller: Caller,
        tool: RegisteredTool,
        plan: Run,
        slot: Slot,
    ) -> Invocation:
        """Have a RUNNING invocation carried out, and record the outcome.

        Returns:
            The invocation as it was recorded.

        Raises:
            OutcomeUnstored: it ran, or may have, and that could not be recorded.
        """
        try:
            outcome = await self._hand_over(invocation, caller, tool, slot)
        finally:
            slot.release()
        ended = conclude(outcome, tool, plan)
        return await self.record_end(invocation, ended, actor="broker")

    async def _hand_over(
        self,
        invocation: Invocation,
        caller: Caller,
        tool: RegisteredTool,
        slot: Slot,
    ) -> Outcome:
        # A freeze that came after the decision still stops what has not been handed over.
        freeze = freezes.covering(
            self.control().freezes,
            tool=invocation.call.tool,
            agent=invocation.agent,
            principal=invocation.principal,
            session=invocation.session,
            now=self.clock(),
        )
        if freeze is not None:
            return NeverStarted(why=f"frozen: {freeze.name}")
        deadline_s = tool.manifest.deadline_s
        frozen = FrozenCall(
            invocation=invocation,
            manifest=tool.manifest,
            principal=caller.principal,
            fencing_token=secrets.token_urlsafe(24),
            deadline_s=deadline_s,
        )
        try:
            # The runner keeps the deadline; this one only catches a runner that does not.
            async with asyncio.timeout(deadline_s + limits.STORE_DEADLINE_S):
                return await slot.run(frozen)
        except TimeoutError:
            return Lost(why="the runner did not keep the deadline")
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it may have happened
            _log.exception("runner_failed", invocation=invocation.name)
            return Lost(why=f"the runner failed: {type(error).__name__}")

    async def record_end(self, invocation: Invocation, ended: Ended, *, actor: str) -> Invocation:
        """Record the end of an attempt, trying again while the store is away.

        Raises:
            OutcomeUnstored: the store did not come back, or somebody else has ended it.
        """
        after = replace(
            invocation,
            state=step(invocation.state, ended.state),
            code=ended.code,
            message=ended.message,
            result=ended.result,
            updated_at=self.clock(),
            etag=invocation.etag + 1,
        )
        unit = Unit(
            changes=_end_changes(invocation, after),
            entries=(_end_entry(after, ended, actor=actor),),
        )
        for pause_s in (*STORE_RETRY_S, None):
            try:
                await self.store.commit(unit)
                break
            except Conflict as conflict:
                raise OutcomeUnstored(
                    "The call was ended by somebody else.",
                    metadata={"invocation": invocation.name},
                ) from conflict
            except StoreUnavailable as away:
                _log.warning("outcome_not_stored_yet", invocation=invocation.name)
                if pause_s is None:
                    raise OutcomeUnstored(
                        "The call ran, or may have, and its outcome could not be recorded.",
                        metadata={"invocation": invocation.name},
                    ) from away
                await asyncio.sleep(pause_s)
        self.events.publish("invocation", after.name)
        self.events.publish("key", after.name)
        return after


def conclude(outcome: Outcome, tool: RegisteredTool, plan: Run) -> Ended:
    """What an outcome makes of an invocation."""
    match outcome:
        case Succeeded(result_json=answer):
            looked = inspect(answer, schema=tool.result, obligations=plan.obligations)
            if isinstance(looked, Released):
                return Ended(state=InvocationState.SUCCEEDED, result=looked.result)
            return Ended(
                state=InvocationState.SUCCEEDED,
                code=looked.code,
                message=looked.message,
            )
        case Failed(code=code, message=message):
            cut = message[: limits.TOOL_MESSAGE_CHARACTERS_MAX]
            return Ended(state=InvocationState.FAILED, code=code, message=cut)
        case Lost(why=why):
            return Ended(
                state=InvocationState.UNKNOWN,
                code="OUTCOME_UNKNOWN",
                message="It may have happened. Do not repeat it; a person must look.",
                why=why,
            )
        case NeverStarted(why=why):
            return Ended(
                state=InvocationState.CANCELLED,
                code="NOT_STARTED",
                message="The call was stopped before anything ran.",
                why=why,
            )


def _end_changes(before: Invocation, after: Invocation) -> tuple[Change, ...]:
    moved: Change = MoveInvocation(invocation=after, from_etag=before.etag, owner=before.owner)
    freed: tuple[Change, ...] = ()
    if after.state not in KEY_TAKEN:
        freed = (FreeKeys(invocation=after.name),)
    if after.state is InvocationState.CANCELLED:
        # Nothing was handed to a runner, so nothing was used up.
        return (moved, *freed, ReleaseReservations(invocation=after.name))
    return (moved, *freed)


def _end_entry(after: Invocation, ended: Ended, *, actor: str) -> EntryDraft:
    body: dict[str, JsonValue] = {
        "state": after.state.value,
        "code": after.code,
        "attempt": after.attempt,
        "why": ended.why,
    }
    contents: Mapping[str, JsonValue] = {"message": after.message}
    if after.result is not None:
        body["result_digest"] = "sha256:" + hashlib.sha256(after.result).hexdigest()
        contents = {"message": after.message, "result_json": after.result.decode()}
    return EntryDraft(
        kind=EntryKind.CALL_ENDED,
        at=after.updated_at,
        actor=actor,
        invocation=after.name,
        session=after.session,
        body=body,
        contents=contents,
    )
