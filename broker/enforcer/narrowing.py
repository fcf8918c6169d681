"""A narrowed call goes through every stage like a new one, and waits under a hold of its own.

Less was asked for by a reviewer, so it runs only once the people who were needed before have said
yes to exactly that: whatever policy says of it, the requirements that stopped the first call stop
this one, too. A denial refuses the narrowing, and the first call goes on waiting as it was.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.errors import IllegalTransition, StaleEtag
from broker.core.holds import CHANGED, Hold, Reviewer, needed_again
from broker.core.narrowing import narrow
from broker.core.plan import Suspend
from broker.core.unit import Conflict, ConflictOn, Unit
from broker.enforcer.committing import Committer, Patience, Recorded
from broker.enforcer.deciding import Considered, Decider
from broker.enforcer.entries import Stamp
from broker.enforcer.previewing import Previewing, must_be_asked
from broker.enforcer.recording import Recording, record_narrowed
from broker.ports import Store
from broker.sessions import OPEN

_MESSAGE = "A reviewer made this call smaller; it waits for a yes to exactly that."
_OTHER_TOOL = "The tool has changed since the call was held."


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowed:
    """What a reviewer wants in place of what.

    Attributes:
        hold, held: the hold as it was shown, and its call.
        call: with less in it.
        reason: for the record.
    """

    reviewer: Reviewer
    hold: Hold
    held: Invocation
    call: ToolCall
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """Puts a narrowed call in place of one that waits."""

    decider: Decider
    committer: Committer
    previewing: Previewing
    store: Store

    async def narrow(
        self,
        reviewer: Reviewer,
        hold: Hold,
        held: Invocation,
        changes: Mapping[str, JsonValue],
        *,
        reason: str,
    ) -> str:
        """Put less in place of what waits.

        Args:
            reviewer: who may decide on the hold.
            hold: as it was shown.
            held: its call.
            changes: new values by JSON Pointer.
            reason: for the record.

        Returns:
            The name of the hold that the narrowed call waits under.

        Raises:
            MalformedRequest: the changes are not narrower.
            IllegalTransition: the tool has changed, the session is over, or the stages deny it.
            StaleEtag: the hold has moved since.
            DependencyError: a part cannot be asked; nothing has changed.
        """
        session = await self.store.find_session(hold.session)
        if session is None or session.state != OPEN:
            raise IllegalTransition("The session is over.")
        tool = self.decider.control().tool_at(hold.tool, hold.tool_revision)
        if tool is None:
            raise IllegalTransition(_OTHER_TOOL)
        narrowed = Narrowed(
            reviewer=reviewer,
            hold=hold,
            held=held,
            call=ToolCall.of(
                held.call.tool,
                narrow(tool.manifest, held.call.arguments, changes),
                held.call.request_id,
            ),
            reason=reason,
        )
        caller = Caller(session=session, credential="broker")
        recorded = await self._record(narrowed, caller)
        await self.committer.follow(recorded, caller)
        self.committer.events.publish("hold", hold.name)
        return recorded.recording.invocation.hold

    async def _record(self, narrowed: Narrowed, caller: Caller) -> Recorded:
        patience, preview = Patience(), None
        # Whom the first call waited for, this one waits for.
        also = needed_again(narrowed.hold.requirements, code="NARROWED", message=_MESSAGE)
        while patience.is_left:
            considered = patience.eased(
                await self.decider.consider(narrowed.call, caller, also=also)
            )
            if not isinstance(considered.plan, Suspend):
                raise IllegalTransition(_why(considered))
            revision = considered.tool.manifest.revision if considered.tool else ""
            if revision != narrowed.hold.tool_revision:
                raise IllegalTransition(_OTHER_TOOL)  # another word on what is less
            if must_be_asked(considered):
                preview = preview or await self.previewing.ask(
                    narrowed.call, caller, of=narrowed.held.name
                )
                considered = replace(considered, preview=preview)
            make: Callable[[Stamp], Recording] = functools.partial(
                _recording, narrowed, caller, considered
            )
            try:
                return await self.committer.record(considered, narrowed.held.created_at, make)
            except Conflict as conflict:
                if conflict.on in {ConflictOn.HOLD, ConflictOn.INVOCATION}:
                    break
                patience.tried(conflict)
                await self.committer.look_again(conflict, caller)
        raise StaleEtag(CHANGED)


def _why(considered: Considered) -> str:
    reasons = considered.plan.decision.reasons
    told = " ".join(f"{v.message} ({v.code})" for v in reasons)
    return f"This would not be allowed: {told}"


def _recording(
    narrowed: Narrowed, caller: Caller, considered: Considered, stamp: Stamp
) -> Recording:
    """The unit, and whose doing it is.

    Raises:
        Conflict: the time to decide is over.
    """
    hold, held, reviewer = narrowed.hold, narrowed.held, narrowed.reviewer
    if stamp.now >= hold.decide_by:
        raise Conflict(ConflictOn.HOLD)
    recording = record_narrowed(held, hold, narrowed.call, caller, considered, stamp)
    entry = EntryDraft(
        kind=EntryKind.REVIEW_GIVEN,
        at=stamp.now,
        actor=reviewer.name,
        invocation=held.name,
        session=held.session,
        body={
            "hold": hold.name,
            "effect": "NARROW",
            "person": str(reviewer.person),
            "groups": list(reviewer.groups),
            "state": "VOID",
            "counted": True,
            "etag": hold.etag,
            "call_digest": hold.call_digest,
            "narrowed_digest": narrowed.call.digest,
            "codes": [r.code for r in hold.requirements],
        },
        contents={"reason": narrowed.reason},
    )
    unit = Unit(changes=recording.unit.changes, entries=(entry, *recording.unit.entries))
    return replace(recording, unit=unit)
