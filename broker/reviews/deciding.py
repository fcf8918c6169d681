"""One Person's yes or no to a hold.

An approval is an input and not a bypass: it moves the hold to APPROVED, and the enforcer then runs
the whole decision again. It is for exactly what was shown, so it needs the hold's etag. One Person
counts once. A review that comes too late is kept, and changes nothing. For a few seconds before it
is used, whoever gave an approval can take it back.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from broker.core import limits
from broker.core.errors import IllegalTransition, MalformedRequest, NotPermitted, StaleEtag
from broker.core.hold_endings import moves_of, rejected
from broker.core.holds import (
    CHANGED,
    Hold,
    Resolution,
    Review,
    ReviewEffect,
    Reviewer,
    needs_step_up,
    run_within_s,
    tally,
)
from broker.core.inspection import plain
from broker.core.lifecycle import HoldState, step_hold
from broker.core.retention import RequireUnerased
from broker.core.sign_ins import SpendStepUp
from broker.core.standing import remembered
from broker.core.unit import AddReview, Change, MoveHold, UncountReviews
from broker.own_work import OwnWork
from broker.reviews.docket import ONCE, STEP_UP_NEEDED, Docket
from broker.reviews.showing import HoldView, HoldViews

TAKE_UP_WAIT_S: Final = 2.0
TAKE_BACK_S_MAX: Final = 60.0


class Reviews:
    """Holds as reviewers decide them."""

    def __init__(
        self,
        *,
        views: HoldViews,
        docket: Docket,
        own: OwnWork,
        take_up: Callable[[str, Callable[[], None]], None],
    ) -> None:
        """`take_up` starts an approved hold on its way through all stages, and returns at once.

        It calls its second argument when that has ended, whatever came of it.
        """
        self._views = views
        self._docket = docket
        self._own = own
        self._take_up = take_up

    async def approve(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str = "",
        call_digest: str = "",
        take_back_s: float = 0.0,
        sign_in: bytes = b"",
    ) -> HoldView:
        """Say yes to exactly what the etag was shown for.

        Args:
            reviewer: who.
            name: `holds/{uuid}`.
            etag: as shown.
            reason: for the record.
            call_digest: as shown; where given, it must be the hold's.
            take_back_s: seconds, at most TAKE_BACK_S_MAX, for which it can be taken back. It does
                not run before.
            sign_in: of the page; where the hold needs a step-up, that of this sign-in is spent.

        Raises:
            NotFound: there is none of this name.
            NotPermitted: this reviewer may not decide on it, or it needs a fresh sign-in.
            StaleEtag: it has changed since, or the digest is another.
            IllegalTransition: it was decided, somebody else has taken it, or this Person has said
                so already.
        """
        work = self._approve(
            reviewer,
            name,
            etag=etag,
            reason=reason,
            call_digest=call_digest,
            take_back_s=min(max(take_back_s, 0.0), TAKE_BACK_S_MAX),
            sign_in=sign_in,
        )
        await self._own.run(work)
        return await self._views.show(reviewer, name)

    async def reject(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
    ) -> HoldView:
        """Say no; one veto is enough, whoever has taken it. The reason reaches the model.

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

    async def take_back(self, reviewer: Reviewer, name: str, *, etag: int) -> HoldView:
        """Take one's own approval back, as long as it has not been used.

        Raises:
            NotFound: there is none of this name.
            StaleEtag: it has changed since it was shown.
            IllegalTransition: it runs already, or this Person has not approved it.
        """
        await self._own.run(self._take_back(reviewer, name, etag=etag))
        return await self._views.show(reviewer, name)

    async def _approve(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
        call_digest: str,
        take_back_s: float,
        sign_in: bytes,
    ) -> None:
        hold, reviews = await self._docket.find(name)
        review = _review(reviewer, hold, ReviewEffect.APPROVE, reason, at=self._docket.clock())
        await self._check(review, hold, reviews, etag=etag)
        self._docket.check_free(hold, reviewer, at=review.at)
        if call_digest and call_digest != hold.call_digest:
            raise StaleEtag(CHANGED)
        spent = _spent(hold, sign_in, at=review.at)
        after = replace(hold, etag=hold.etag + 1, taken_by=None, taken_until=0.0)
        if tally(hold, (*reviews, review)) is Resolution.APPROVED:
            run_by = await self._run_by(hold, review.at)
            after = replace(
                after,
                state=step_hold(hold.state, HoldState.APPROVED),
                run_by=run_by,
                run_from=min(review.at + take_back_s, (review.at + run_by) / 2),
            )
        moved = MoveHold(hold=after, from_etag=hold.etag)
        await self._commit(hold, (*spent, AddReview(review=review), moved), review, after)
        if after.state is HoldState.APPROVED and not take_back_s:
            await self._taken_up(hold.name)

    async def _reject(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        reason: str,
    ) -> None:
        hold, reviews = await self._docket.find(name)
        review = _review(reviewer, hold, ReviewEffect.REJECT, reason, at=self._docket.clock())
        await self._check(review, hold, reviews, etag=etag)
        invocation = await self._docket.invocation_of(hold)
        moved, ended = moves_of(hold, invocation, rejected(reason), at=review.at)
        kept = remembered(invocation, hold.reached, at=review.at)
        changes = (AddReview(review=review), moved, ended, kept)
        await self._commit(hold, changes, review, moved.hold)
        self._docket.events.publish("invocation", invocation.name)

    async def _take_back(self, reviewer: Reviewer, name: str, *, etag: int) -> None:
        hold, reviews = await self._docket.find(name)
        theirs = [
            r
            for r in reviews
            if r.counted
            and r.effect is ReviewEffect.APPROVE
            and r.reviewer.person == reviewer.person
        ]
        if not theirs:
            raise IllegalTransition("You have not approved this hold.")
        if hold.state not in {HoldState.PENDING, HoldState.APPROVED}:
            raise await self._docket.over(hold)
        self._docket.check_shown(hold, etag=etag)
        after = replace(hold, etag=hold.etag + 1, run_by=0.0, run_from=0.0)
        if hold.state is HoldState.APPROVED:
            after = replace(after, state=step_hold(hold.state, HoldState.PENDING))
        await self._docket.commit(
            hold,
            (
                UncountReviews(hold=hold.name, person=reviewer.person),
                MoveHold(hold=after, from_etag=hold.etag),
            ),
            reviewer=reviewer,
            at=self._docket.clock(),
            said={"effect": "UNDO", "state": after.state.value, "etag": etag},
        )

    async def _taken_up(self, name: str) -> None:
        """Start it, and give it a moment, so that the reviewer mostly sees what came of it."""
        with self._docket.events.subscribe("hold", name) as changes:
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
        self._docket.check_theirs(hold, review.reviewer)
        theirs = [r for r in reviews if r.reviewer.person == review.reviewer.person]
        if any(r.counted for r in theirs):
            raise IllegalTransition(ONCE)
        try:
            await self._docket.check_pending(hold, at=review.at)
        except IllegalTransition:
            if not theirs:
                await self._keep_late(replace(review, counted=False), hold)
            raise
        self._docket.check_shown(hold, etag=etag)

    async def _keep_late(self, review: Review, hold: Hold) -> None:
        """Keep a review that counts nothing, without its reason where the call is erased."""
        unerased = RequireUnerased(invocation=hold.invocation)
        try:
            await self._commit(hold, (unerased, AddReview(review=review)), review, hold)
        except StaleEtag:
            # Nothing that is erased is erased again: a reason would stay for ever.
            blank = replace(review, reason="")
            await self._commit(hold, (AddReview(review=blank),), blank, hold)

    async def _run_by(self, hold: Hold, now: float) -> float:
        """Until when the approval is good: never beyond the absolute end of the session."""
        until = now + run_within_s(hold.requirements)
        session = await self._docket.store.find_session(hold.session)
        return min(until, session.expires_at) if session else until

    async def _commit(
        self, hold: Hold, changes: tuple[Change, ...], review: Review, after: Hold
    ) -> None:
        await self._docket.commit(
            hold,
            changes,
            reviewer=review.reviewer,
            at=review.at,
            said={
                "effect": review.effect.value,
                "state": after.state.value,
                "counted": review.counted,
                "etag": review.etag,
            },
            reason=review.reason,
        )


def _spent(hold: Hold, sign_in: bytes, *, at: float) -> tuple[SpendStepUp, ...]:
    """What an approval of this hold uses up.

    Raises:
        NotPermitted: it needs a fresh sign-in, which this credential cannot show.
    """
    if not needs_step_up(hold.requirements):
        return ()
    if not sign_in:
        raise NotPermitted(STEP_UP_NEEDED)
    return (
        SpendStepUp(
            sign_in=sign_in,
            hold=hold.name,
            etag=hold.etag,
            call_digest=hold.call_digest,
            at=at,
        ),
    )


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
