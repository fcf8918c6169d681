"""What each act of a reviewer has in common: which hold, whether this Person may, and the record.

An act is for exactly what was shown, so it names the hold's etag. Nobody acts on their own request
or their own agent's, and nobody approves what somebody else has taken. Whatever is done is an entry
in the log, in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.errors import IllegalTransition, NotFound, NotPermitted, StaleEtag
from broker.core.holds import CHANGED, Hold, Review, Reviewer, ineligible, taken_from
from broker.core.lifecycle import HoldState
from broker.core.unit import Change, Conflict, ConflictOn, Unit
from broker.events import Events
from broker.ports import Clock, Store

NO_HOLD = "There is no such hold."
ETAG_DIGITS_MAX = 17  # no hold changes as often as 64 bits count
ONCE = "You have reviewed this hold; one Person counts once."


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """Finds holds for reviewers, says what they may do, and records what they did."""

    store: Store
    events: Events
    clock: Clock

    async def find(self, name: str) -> tuple[Hold, tuple[Review, ...]]:
        """A hold and what was said of it.

        Raises:
            NotFound: there is none of this name.
        """
        found = await self.store.find_hold(name)
        if found is None:
            raise NotFound(NO_HOLD)
        return found

    async def invocation_of(self, hold: Hold) -> Invocation:
        """The call that waits.

        Raises:
            NotFound: it is gone.
        """
        invocation = await self.store.find_invocation(hold.invocation)
        if invocation is None:
            raise NotFound(NO_HOLD)
        return invocation

    async def check_pending(self, hold: Hold, *, at: float) -> None:
        """Whether there is anything to decide yet.

        Raises:
            IllegalTransition: it was decided, or its time is over.
        """
        if hold.state is not HoldState.PENDING:
            raise await self.over(hold)
        if at >= hold.decide_by:
            raise IllegalTransition("The time to decide on this hold is over.")

    async def over(self, hold: Hold) -> IllegalTransition:
        """Why there is nothing to decide on it, and which hold took its place, if one did."""
        instead = ""
        if hold.state is HoldState.VOID:
            invocation = await self.store.find_invocation(hold.invocation)
            latest = invocation.hold if invocation is not None else ""
            instead = f" {latest} took its place." if latest not in {"", hold.name} else ""
        told = f"The hold is {hold.state} already.{instead}"
        return IllegalTransition(told, metadata={"state": hold.state})

    def check_theirs(self, hold: Hold, reviewer: Reviewer) -> None:
        """Whether this Person may decide on it.

        Raises:
            NotPermitted: they may not.
        """
        why = ineligible(hold, reviewer)
        if why:
            raise NotPermitted(why)

    def check_shown(self, hold: Hold, *, etag: int) -> None:
        """Whether it is what was shown.

        Raises:
            StaleEtag: it has changed since.
        """
        if etag != hold.etag:
            raise StaleEtag(CHANGED, metadata={"etag": str(hold.etag)})

    def check_free(self, hold: Hold, reviewer: Reviewer, *, at: float) -> None:
        """Whether nobody else is at it.

        Raises:
            IllegalTransition: somebody has taken it.
        """
        other = taken_from(hold, reviewer, now=at)
        if other:
            raise IllegalTransition(
                f"{other} has taken this hold; it is free again once it is given back, or in "
                f"{hold.taken_until - at:.0f} s.",
                metadata={"taken_by": other},
            )

    async def commit(
        self,
        hold: Hold,
        changes: Sequence[Change],
        *,
        reviewer: Reviewer,
        at: float,
        said: Mapping[str, JsonValue],
        reason: str = "",
        kind: EntryKind = EntryKind.REVIEW_GIVEN,
    ) -> None:
        """Make the changes, with an entry that names the Person and what they were shown.

        Raises:
            StaleEtag: the hold has moved since.
            IllegalTransition: this Person has said so already.
            NotPermitted: the fresh sign-in that it needs is not there, or was spent.
        """
        entry = EntryDraft(
            kind=kind,
            at=at,
            actor=reviewer.name,
            invocation=hold.invocation,
            session=hold.session,
            body={
                "hold": hold.name,
                "person": str(reviewer.person),
                "groups": list(reviewer.groups),
                "call_digest": hold.call_digest,
                "tool_revision": hold.tool_revision,
                "facts": hold.facts_digest,
                "preview": hold.preview.digest if hold.preview else "",
                "codes": [r.code for r in hold.requirements],
                **said,
            },
            contents={"reason": reason},
        )
        try:
            await self.store.commit(Unit(changes=tuple(changes), entries=(entry,)))
        except Conflict as conflict:
            if conflict.on is ConflictOn.REVIEW:
                raise IllegalTransition(ONCE) from None
            if conflict.on is ConflictOn.STEP_UP:
                raise NotPermitted(STEP_UP_NEEDED) from None
            raise StaleEtag(CHANGED) from None
        self.events.publish("hold", hold.name)


def etag_of(text: str) -> int:
    """An etag as it was sent back. Any text that no hold has was never shown.

    Raises:
        StaleEtag: it is no such number.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= ETAG_DIGITS_MAX):
        raise StaleEtag(CHANGED)
    return int(text)


STEP_UP_NEEDED = "This hold needs a fresh sign-in for exactly what was shown, which counts once."
