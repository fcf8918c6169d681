"""One Person's yes or no to a hold.

An approval is an input and not a bypass: it moves the hold to APPROVED, and the enforcer then runs
the whole decision again. It is for exactly what was shown, so it needs the hold's etag. Nobody
reviews their own request or their own agent's, and one Person counts once. A review that comes too
late is kept, and changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from broker.core import limits
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    NotFound,
    NotPermitted,
    StaleEtag,
)
from broker.core.hold_endings import moves_of, rejected
from broker.core.holds import (
    Hold,
    Resolution,
    Review,
    ReviewEffect,
    Reviewer,
    ineligible,
    run_within_s,
    tally,
)
from broker.core.inspection import plain
from broker.core.lifecycle import HoldState, step_hold
from broker.core.unit import (
    AddReview,
    Change,
    Conflict,
    ConflictOn,
    MoveHold,
    Unit,
)
from broker.events import Events
from broker.own_work import OwnWork
from broker.ports import Clock, Store
from broker.reviews.showing import NO_HOLD, HoldView, HoldViews

TAKE_UP_WAIT_S = 2.0

_CHANGED = "The hold has changed since it was shown. Look at it again."
_ONCE = "You have reviewed this hold; one Person counts once."


class Reviews:
    """Holds as reviewers decide them."""

    def __init__(
        self,
        *,
        views: HoldViews,
        store: Store,
        own: OwnWork,
        events: Events,
        clock: Clock,
        take_up: Callable[[str, Callable[[], None]], None],
    ) -> None:
        """`take_up` starts an approved hold on its way through all stages, and returns at once.

        It calls its second argument when that has ended, whatever came of it.
        """
        self._views = views
        self._store = store
        self._own = own
        self._events = events
        self._clock = clock
        self._take_up = take_up

    async def approve(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str = "",
        call_digest: str = "",
    ) -> HoldView:
        """Say yes to exactly what the etag was shown for.

        Raises:
            NotFound: there is none of this name.
            NotPermitted: this reviewer may not decide on it.
            StaleEtag: it has changed since, or the digest is another.
            IllegalTransition: it was decided, or this Person has said so already.
        """
        await self._own.run(
            self._approve(reviewer, name, etag=etag, reason=reason, call_digest=call_digest),
        )
        return await self._views.show(reviewer, name)

    async def reject(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
    ) -> HoldView:
        """Say no; one veto is enough. The reason reaches the model.

        Raises:
            MalformedRequest: no reason, or one that is too long.
            NotFound, NotPermitted, StaleEtag, IllegalTransition: as for `approve`.
        """
        if not 0 < len(reason.strip()) <= limits.TOOL_MESSAGE_CHARACTERS_MAX:
            raise MalformedRequest(
                f"A rejection has a reason of at most {limits.TOOL_MESSAGE_CHARACTERS_MAX} "
                "characters; the model reads it.",
                metadata={"field": "reason"},
            )
        await self._own.run(self._reject(reviewer, name, etag=etag, reason=plain(reason)))
        return await self._views.show(reviewer, name)

    async def _approve(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
        call_digest: str,
    ) -> None:
        hold, reviews = await self._find(name)
        review = _review(reviewer, hold, ReviewEffect.APPROVE, reason, at=self._clock())
        await self._check(review, hold, reviews, etag=etag)
        if call_digest and call_digest != hold.call_digest:
            raise StaleEtag(_CHANGED)
        if any(r.terms.step_up for r in hold.requirements):
            raise NotPermitted("This hold needs a fresh sign-in, which a token cannot show.")
        after = replace(hold, etag=hold.etag + 1)
        if tally(hold, (*reviews, review)) is Resolution.APPROVED:
            after = replace(
                after,
                state=step_hold(hold.state, HoldState.APPROVED),
                run_by=await self._run_by(hold, review.at),
            )
        changes = (AddReview(review=review), MoveHold(hold=after, from_etag=hold.etag))
        await self._commit(hold, changes, review, after)
        if after.state is HoldState.APPROVED:
            await self._taken_up(hold.name)

    async def _reject(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
    ) -> None:
        hold, reviews = await self._find(name)
        review = _review(reviewer, hold, ReviewEffect.REJECT, reason, at=self._clock())
        await self._check(review, hold, reviews, etag=etag)
        invocation = await self._invocation(hold)
        moved, ended = moves_of(hold, invocation, rejected(reason), at=review.at)
        await self._commit(hold, (AddReview(review=review), moved, ended), review, moved.hold)
        self._events.publish("invocation", invocation.name)

    async def _taken_up(self, name: str) -> None:
        """Start it, and give it a moment, so that the reviewer mostly sees what came of it."""
        with self._events.subscribe("hold", name) as changes:
            self._take_up(name, changes.close)
            await changes.next(TAKE_UP_WAIT_S)

    async def _check(
        self,
        review: Review,
        hold: Hold,
        reviews: Sequence[Review],
        *,
        etag: int,
    ) -> None:
        """Whether this review counts; one that comes too late is kept, once for each Person."""
        why = ineligible(hold, review.reviewer)
        if why:
            raise NotPermitted(why)
        theirs = [r for r in reviews if r.reviewer.person == review.reviewer.person]
        if any(r.counted for r in theirs):
            raise IllegalTransition(_ONCE)
        if hold.state is not HoldState.PENDING or review.at >= hold.decide_by:
            if not theirs:
                late = replace(review, counted=False)
                await self._commit(hold, (AddReview(review=late),), late, hold)
            if hold.state is HoldState.PENDING:
                raise IllegalTransition("The time to decide on this hold is over.")
            raise IllegalTransition(
                f"The hold is {hold.state} already.",
                metadata={"state": hold.state},
            )
        if etag != hold.etag:
            raise StaleEtag(_CHANGED, metadata={"etag": str(hold.etag)})

    async def _run_by(self, hold: Hold, now: float) -> float:
        """Until when the approval is good: never beyond the absolute end of the session."""
        until = now + run_within_s(hold.requirements)
        session = await self._store.find_session(hold.session)
        return min(until, session.expires_at) if session else until

    async def _commit(
        self,
        hold: Hold,
        changes: tuple[Change, ...],
        review: Review,
        after: Hold,
    ) -> None:
        entry = EntryDraft(
            kind=EntryKind.REVIEW_GIVEN,
            at=review.at,
            actor=review.reviewer.name,
            invocation=hold.invocation,
            session=hold.session,
            body={
                "hold": hold.name,
                "effect": review.effect.value,
                "person": str(review.reviewer.person),
                "groups": list(review.reviewer.groups),
                "state": after.state.value,
                "counted": review.counted,
                "etag": review.etag,
                "call_digest": hold.call_digest,
                "tool_revision": hold.tool_revision,
                "facts": hold.facts_digest,
                "codes": [r.code for r in hold.requirements],
            },
            contents={"reason": review.reason},
        )
        try:
            await self._store.commit(Unit(changes=changes, entries=(entry,)))
        except Conflict as conflict:
            if conflict.on is ConflictOn.REVIEW:
                raise IllegalTransition(_ONCE) from None
            raise StaleEtag(_CHANGED) from None
        self._events.publish("hold", hold.name)

    async def _find(self, name: str) -> tuple[Hold, tuple[Review, ...]]:
        found = await self._store.find_hold(name)
        if found is None:
            raise NotFound(NO_HOLD)
        return found

    async def _invocation(self, hold: Hold) -> Invocation:
        invocation = await self._store.find_invocation(hold.invocation)
        if invocation is None:
            raise NotFound(NO_HOLD)
        return invocation


def _review(
    reviewer: Reviewer,
    hold: Hold,
    effect: ReviewEffect,
    reason: str,
    *,
    at: float,
) -> Review:
    return Review(
        hold=hold.name,
        reviewer=reviewer,
        effect=effect,
        reason=reason,
        etag=hold.etag,
        at=at,
    )
