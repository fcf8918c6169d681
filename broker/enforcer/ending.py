"""How an attempt ended is recorded, or kept and tried again for as long as this broker lives.

FAILED means that nothing took effect; whatever cannot be shown to be that is UNKNOWN, and its keys
stay taken until a person has looked. What may have been written is never written twice: the row's
etag and owner say whose end it has.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import structlog

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.control import RegisteredTool
from broker.core.errors import Defect, OutcomeUnstored, StoreUnavailable
from broker.core.inspection import RESULT_INVALID, Released, Withheld, failure, inspect
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
from broker.ports import Clock, Failed, Lost, NeverStarted, Outcome, Store, Succeeded

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


NEVER_HANDED_OVER = Ended(
    state=InvocationState.CANCELLED,
    code="NOT_STARTED",
    message="The call was stopped before anything ran.",
    why="whether it was recorded was not known, so it was not handed over",
)


INTERRUPTED = Ended(
    state=InvocationState.UNKNOWN,
    code="OUTCOME_UNKNOWN",
    message="It may have happened. Do not repeat it; a person must look.",
    why="the broker stopped while the call was under way",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Records how attempts ended.

    Attributes:
        retry_s: pauses between attempts, seconds.
        unstored: ends that the store has not taken yet, by invocation. While it takes nothing no
            call begins either, so they are no more than were under way.
    """

    store: Store
    events: Events
    clock: Clock
    retry_s: tuple[float, ...] = STORE_RETRY_S
    unstored: dict[str, "_Ending"] = field(default_factory=dict)

    async def record(self, invocation: Invocation, ended: Ended, *, actor: str) -> Invocation:
        """Record the end of an attempt, trying again while the store is away.

        Raises:
            OutcomeUnstored: the store did not come back in time, and it is tried again later; or
                somebody else has ended it.
        """
        ending = self._ending(invocation, ended, actor=actor)
        for pause_s in (*self.retry_s, None):
            try:
                return await self._commit(ending)
            except StoreUnavailable as away:
                _log.warning("outcome_not_stored_yet", invocation=invocation.name)
                if pause_s is None:
                    self.unstored[invocation.name] = ending
                    raise OutcomeUnstored(
                        "The call ran, or may have, and its outcome could not be recorded.",
                        metadata={"invocation": invocation.name},
                    ) from away
                await asyncio.sleep(pause_s)
        raise Defect("Unreachable.")

    def abandon(self, invocation: Invocation) -> None:
        """It may have been recorded as RUNNING or not; either way nobody is handed it."""
        ending = self._ending(invocation, NEVER_HANDED_OVER, actor="broker")
        self.unstored[invocation.name] = ending

    async def record_unstored(self) -> None:
        """Try again, once each, what the store has not taken.

        Raises:
            StoreUnavailable: it is still away.
        """
        for name, ending in tuple(self.unstored.items()):
            try:
                await self._commit(ending)
            except OutcomeUnstored:
                _log.warning("outcome_not_wanted", invocation=name)  # never recorded, or over
            self.unstored.pop(name, None)

    def _ending(self, invocation: Invocation, ended: Ended, *, actor: str) -> "_Ending":
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
        return _Ending(after=after, unit=unit)

    async def _commit(self, ending: "_Ending") -> Invocation:
        """Record an end once.

        Raises:
            StoreUnavailable: it is not recorded, as far as is known.
            OutcomeUnstored: somebody else has ended it.
        """
        after = ending.after
        try:
            await self.store.commit(ending.unit)
        except OutcomeUnstored as doubt:
            # It may have been written all the same; the next attempt finds that out.
            raise StoreUnavailable("Whether the outcome was recorded is not known.") from doubt
        except Conflict as conflict:
            if not _is_recorded(after, await self.store.find_invocation(after.name)):
                raise OutcomeUnstored(
                    "The call was ended by somebody else.",
                    metadata={"invocation": after.name},
                ) from conflict
        self.events.publish("invocation", after.name)
        self.events.publish("key", after.name)
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """An end, and the unit that records it."""

    after: Invocation
    unit: Unit


def _is_recorded(after: Invocation, found: Invocation | None) -> bool:
    """Whether this very end was written by an attempt whose fate was not known."""
    return found is not None and (found.state, found.etag, found.owner, found.updated_at) == (
        after.state,
        after.etag,
        after.owner,
        after.updated_at,
    )


def conclude(outcome: Outcome, tool: RegisteredTool, plan: Run) -> Ended:
    """What an outcome makes of an invocation."""
    match outcome:
        case Succeeded(result_json=answer):
            looked = _inspected(answer, tool, plan)
            if isinstance(looked, Released):
                return Ended(state=InvocationState.SUCCEEDED, result=looked.result)
            return Ended(
                state=InvocationState.SUCCEEDED,
                code=looked.code,
                message=looked.message,
            )
        case Failed(code=code, message=message):
            code, message = failure(code, message)
            return Ended(state=InvocationState.FAILED, code=code, message=message)
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


def _inspected(answer: bytes, tool: RegisteredTool, plan: Run) -> Released | Withheld:
    try:
        return inspect(answer, schema=tool.result, obligations=plan.obligations)
    except Exception:  # noqa: BLE001 - the effect is there, whatever is wrong with its result
        _log.exception("result_not_inspected", tool=tool.manifest.name)
        return Withheld(
            code=RESULT_INVALID,
            message="The call ran. Its result is withheld: it could not be checked.",
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
