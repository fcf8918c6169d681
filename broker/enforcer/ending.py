"""How an attempt ended is recorded, or kept and tried again for as long as this broker lives.

FAILED means that nothing took effect; whatever cannot be shown to be that is UNKNOWN, and its keys
stay taken until a person has looked. What may have been written is never written twice: the row's
etag and owner say whose end it has.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.artefacts import Artefact
from broker.core.audit import EntryDraft, EntryKind
from broker.core.caller_word import CALLER
from broker.core.calls import Invocation
from broker.core.canonical import content_digest
from broker.core.errors import Defect, OutcomeUnstored, StoreUnavailable
from broker.core.labels import WORST, Labels
from broker.core.lifecycle import KEY_TAKEN, InvocationState, step
from broker.core.manifest import ToolManifest
from broker.core.reaching import counted
from broker.core.trail import trail_body, trail_contents
from broker.core.unit import (
    AddArtefact,
    AddSighting,
    Change,
    Conflict,
    ConflictOn,
    FreeKeys,
    MoveInvocation,
    ReleaseReservations,
    Unit,
)
from broker.enforcer.concluding import INTERRUPTED, NEVER_HANDED_OVER, Ended
from broker.enforcer.files import NOTHING_LEFT, Left
from broker.events import Events
from broker.ports import Clock, Store

_log = structlog.get_logger(__name__)

STORE_RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0)
_FINISH_RETRY_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Records how attempts ended.

    Attributes:
        retry_s: pauses between attempts, seconds.
        patience_s: after so long no other attempt is made while somebody waits.
        unstored: ends that the store has not taken yet, by invocation. While it takes nothing no
            call begins either, so they are no more than were under way.
        unknown: what became UNKNOWN here, until somebody takes note of it.
    """

    store: Store
    events: Events
    clock: Clock
    retry_s: tuple[float, ...] = STORE_RETRY_S
    patience_s: float = limits.OUTCOME_PATIENCE_S
    unstored: dict[str, "_Ending"] = field(default_factory=dict)
    unknown: dict[str, Invocation] = field(default_factory=dict)

    async def record(
        self,
        invocation: Invocation,
        ended: Ended,
        *,
        actor: str,
        left: Left = NOTHING_LEFT,
        manifest: ToolManifest | None = None,
        stored: Callable[[], None] = lambda: None,
    ) -> Invocation:
        """Record the end of an attempt, trying again while the store is away.

        What it left is stored with it, or not at all where the session has no room for it. Whom it
        has reached is remembered with it, where the tool's manifest is given. `stored` is called
        where it is recorded only after this has raised.

        Raises:
            OutcomeUnstored: the store did not come back in time, and it is tried again later; or
                somebody else has ended it.
        """
        ending = self._ending(invocation, ended, left, actor=actor, manifest=manifest)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        for pause_s in (*self.retry_s, None):
            try:
                return await self._commit(ending)
            except StoreUnavailable as away:
                _log.warning("outcome_not_stored_yet", invocation=invocation.name)
                if pause_s is None or loop.time() >= until:
                    self.unstored[invocation.name] = replace(ending, stored=stored)
                    raise _unstored(invocation.name) from away
                await asyncio.sleep(pause_s)
        raise Defect("Unreachable.")

    def check(self, invocation: Invocation) -> None:
        """Whether it is under way indeed, where it is recorded as that.

        Raises:
            OutcomeUnstored: it is over, and the store has not taken its end yet.
            StoreUnavailable: as well, and nothing ran.
        """
        ending = self.unstored.get(invocation.name)
        if ending is None or invocation.state is not InvocationState.RUNNING:
            return
        if ending.after.state is InvocationState.CANCELLED:
            raise StoreUnavailable("Nothing ran, and that could not be recorded yet.")
        raise _unstored(invocation.name)

    def abandon(self, invocation: Invocation) -> None:
        """It may have been recorded as RUNNING or not; either way nobody is handed this attempt.

        Before a later one another may have had its effect: then it is not as if nothing had begun.
        """
        ended = INTERRUPTED if invocation.attempt > 1 else NEVER_HANDED_OVER
        self.unstored[invocation.name] = self._ending(
            invocation, ended, NOTHING_LEFT, actor="broker"
        )

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
            else:
                ending.stored()
            self.unstored.pop(name, None)

    async def finish(self, *, within_s: float) -> None:
        """Try so long to have the store take what it has not, before the broker ends."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.unstored:
                    with contextlib.suppress(StoreUnavailable):
                        await self.record_unstored()
                        break
                    await asyncio.sleep(_FINISH_RETRY_S)
        for name in self.unstored:
            _log.error("outcome_not_stored", invocation=name)

    def _ending(
        self,
        invocation: Invocation,
        ended: Ended,
        left: Left,
        *,
        actor: str,
        manifest: ToolManifest | None = None,
    ) -> "_Ending":
        after = replace(
            invocation,
            state=step(invocation.state, ended.state),
            code=ended.code,
            message=ended.message,
            result=ended.result,
            artefacts=tuple(one.artefact for one in left.stored),
            updated_at=self.clock(),
            etag=invocation.etag + 1,
        )
        unit = Unit(
            changes=(
                *_end_changes(invocation, after),
                *_released(after, ended, left),
                *(counted(after, manifest) if manifest is not None else ()),
                *(AddArtefact(stored=one) for one in left.stored),
            ),
            entries=(_end_entry(after, ended, left, actor=actor),),
        )
        if not left.stored:
            return _Ending(after=after, unit=unit)
        without = self._ending(
            invocation, _without_room(ended), left.thrown_away, actor=actor, manifest=manifest
        )
        return _Ending(after=after, unit=unit, without_files=without)

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
            if conflict.on is ConflictOn.ARTEFACT and ending.without_files is not None:
                return await self._commit(ending.without_files)
            found = await self.store.find_invocation(after.name)
            if found is None or not _is_recorded(after, found):
                raise OutcomeUnstored(
                    "The call was ended by somebody else.",
                    metadata={"invocation": after.name},
                ) from conflict
            after = found  # perhaps without the files
        if after.state is InvocationState.UNKNOWN:
            self.unknown[after.name] = after
        self.events.publish("invocation", after.name)
        self.events.publish("key", after.name)
        return after


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ending:
    """An end, the unit that records it, and what is recorded where files have no room.

    Attributes:
        stored: called once it is recorded, where nobody waits for that any more.
    """

    after: Invocation
    unit: Unit
    without_files: "_Ending | None" = None
    stored: Callable[[], None] = lambda: None


def _unstored(name: str) -> OutcomeUnstored:
    return OutcomeUnstored(
        "The call ran, or may have, and its outcome could not be recorded.",
        metadata={"invocation": name},
    )


def _without_room(ended: Ended) -> Ended:
    return replace(
        ended,
        code="FILES_OVER_QUOTA",
        message="The call ran. Its files are not kept: the session has no room for them.",
    )


def _is_recorded(after: Invocation, found: Invocation) -> bool:
    """Whether this very end was written by an attempt whose fate was not known."""
    return (found.state, found.etag, found.owner, found.updated_at) == (
        after.state,
        after.etag,
        after.owner,
        after.updated_at,
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


def _released(after: Invocation, ended: Ended, left: Left) -> tuple[Change, ...]:
    """What the session's model gets to read: remembered before it is released.

    A file that is no text cannot be remembered by its values, and so counts as lost. A preview is
    for reviewers: no model gets to read it. What the agent's own process executed that process has
    read, whatever of it is released: nothing released counts as lost, too.
    """
    if after.is_preview:
        return ()
    had_by_agent = after.runner == CALLER and after.state is not InvocationState.CANCELLED
    if ended.labels is None:
        return (_unread(after, WORST),) if had_by_agent else ()
    told: list[JsonValue] = []
    if after.result is not None:
        told.append(json.loads(after.result))
    elif ended.state is InvocationState.FAILED:
        told += [after.code, after.message]
    texts = [_text(one.content) for one in left.stored]
    if not told and not texts:
        return (_unread(after, ended.labels),) if had_by_agent else ()
    content = b"" if None in texts else json.dumps([*told, *texts]).encode()
    sighting = AddSighting(
        session=after.session, invocation=after.name, labels=ended.labels, content=content
    )
    return (sighting,)


def _unread(after: Invocation, labels: Labels) -> AddSighting:
    """That something was read of which nobody here knows what."""
    return AddSighting(session=after.session, invocation=after.name, labels=labels, content=b"")


def _text(content: bytes) -> str | None:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _end_entry(after: Invocation, ended: Ended, left: Left, *, actor: str) -> EntryDraft:
    body: dict[str, JsonValue] = {
        "state": after.state.value,
        "code": after.code,
        "attempt": after.attempt,
        "why": ended.why,
        **trail_body(ended.trail),
    }
    contents: dict[str, JsonValue] = {"message": after.message, **trail_contents(ended.trail)}
    if ended.labels is not None:
        body["output_trust"] = ended.labels.trust
        body["output_sensitivity"] = ended.labels.sensitivity
    if after.result is not None:
        body["result_digest"] = content_digest(after.result)
        contents["result_json"] = after.result.decode()
    if left.stored:
        body["files"] = [_file(one.artefact) for one in left.stored]
        contents["file_names"] = [one.artefact.file_name for one in left.stored]
    if left.withheld:
        body["files_withheld"] = [{"sha256": d, "size": size} for d, size in left.withheld]
    return EntryDraft(
        kind=EntryKind.CALL_ENDED,
        at=after.updated_at,
        actor=actor,
        invocation=after.name,
        session=after.session,
        body=body,
        contents=contents,
    )


def _file(artefact: Artefact) -> JsonValue:
    """Its name in the session, and what it is: never what it is called, which a tool wrote."""
    return {
        "artefact": artefact.name,
        "sha256": artefact.sha256,
        "size": artefact.size,
        "trust": artefact.labels.trust,
        "sensitivity": artefact.labels.sensitivity,
    }
