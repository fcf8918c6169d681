"""The reviewer's use cases: what waits, what exactly it is, and one Person's yes or no to it.

An approval is an input and not a bypass: it moves the hold to APPROVED, and the enforcer then runs
the whole decision again. It is for exactly what was shown, so it needs the hold's etag. Nobody
reviews their own request or their own agent's, and one Person counts once.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Fact, Invocation
from broker.core.control import Control
from broker.core.errors import (
    IllegalTransition,
    MalformedRequest,
    NotFound,
    NotPermitted,
    StaleEtag,
)
from broker.core.holds import (
    Hold,
    Resolution,
    Review,
    ReviewEffect,
    Reviewer,
    ineligible,
    tally,
)
from broker.core.lifecycle import HoldState, InvocationState, step, step_hold
from broker.core.review_view import ArgumentView, argument_views
from broker.core.unit import (
    AddReview,
    Change,
    Conflict,
    ConflictOn,
    MoveHold,
    MoveInvocation,
    Unit,
)
from broker.events import Events
from broker.ports import Clock, HoldQuery, InvocationQuery, Store

EARLIER_MAX = 20
TAKE_UP_WAIT_S = 2.0

_NO_HOLD = "There is no such hold."
_CHANGED = "The hold has changed since it was shown. Look at it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierView:
    """A call that the session made before."""

    at: float
    tool: str
    effect: str
    invocation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldView:
    """One hold with all that its reviewer is shown."""

    hold: Hold
    reviews: tuple[Review, ...]
    invocation: Invocation
    words: tuple[str, ...]
    arguments: tuple[ArgumentView, ...]
    earlier: tuple[EarlierView, ...]
    eligible: bool
    ineligible_reason: str


class Reviews:
    """Holds as reviewers see and decide them."""

    def __init__(
        self,
        *,
        store: Store,
        control: Callable[[], Control],
        events: Events,
        clock: Clock,
        take_up: Callable[[str], None],
    ) -> None:
        """`take_up` starts running an approved hold through all stages, and returns at once."""
        self._store = store
        self._control = control
        self._events = events
        self._clock = clock
        self._take_up = take_up

    async def page(
        self,
        reviewer: Reviewer,
        *,
        include_decided: bool = False,
        only_eligible: bool = False,
        page_size: int = limits.PAGE_SIZE,
        after: str = "",
    ) -> list[HoldView]:
        """Holds, oldest first."""
        query = HoldQuery(include_decided=include_decided, page_size=page_size, after=after)
        views = [
            await self._view(reviewer, hold, reviews)
            for hold, reviews in await self._store.list_holds(query)
        ]
        return [v for v in views if v.eligible or not only_eligible]

    async def show(self, reviewer: Reviewer, name: str) -> HoldView:
        """One hold.

        Raises:
            NotFound: there is none of this name.
        """
        hold, reviews = await self._find(name)
        return await self._view(reviewer, hold, reviews)

    async def watch(self, reviewer: Reviewer) -> AsyncIterator[HoldView]:
        """Each hold that opens or changes from now on."""
        with self._events.subscribe("hold") as changes:
            async for name in changes:
                names = [name] if name else await self._pending()
                for changed in names:
                    found = await self._store.find_hold(changed)
                    if found is not None:
                        yield await self._view(reviewer, *found)

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
        hold, reviews = await self._find(name)
        self._check(reviewer, hold, reviews, etag=etag)
        if call_digest and call_digest != hold.call_digest:
            raise StaleEtag(_CHANGED)
        if any(r.terms.step_up for r in hold.requirements):
            raise NotPermitted("This hold needs a fresh sign-in, which a token cannot show.")
        review = self._review(reviewer, hold, ReviewEffect.APPROVE, reason)
        resolution = tally(hold, (*reviews, review))
        now = review.at
        if resolution is Resolution.APPROVED:
            run_within_s = min(r.terms.run_within_s for r in hold.requirements)
            after = replace(
                hold,
                state=step_hold(hold.state, HoldState.APPROVED),
                run_by=now + run_within_s,
                etag=hold.etag + 1,
            )
        else:
            after = replace(hold, etag=hold.etag + 1)
        await self._commit(
            hold,
            (AddReview(review=review), MoveHold(hold=after, from_etag=hold.etag)),
            review,
            after,
        )
        if after.state is HoldState.APPROVED:
            await self._taken_up(hold.name)
        return await self.show(reviewer, name)

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
        hold, reviews = await self._find(name)
        self._check(reviewer, hold, reviews, etag=etag)
        review = self._review(reviewer, hold, ReviewEffect.REJECT, reason)
        after = replace(
            hold,
            state=step_hold(hold.state, HoldState.REJECTED),
            etag=hold.etag + 1,
        )
        invocation = await self._invocation(hold)
        rejected = replace(
            invocation,
            state=step(invocation.state, InvocationState.REJECTED),
            code="REJECTED",
            message=reason,
            updated_at=review.at,
            etag=invocation.etag + 1,
        )
        changes: tuple[Change, ...] = (
            AddReview(review=review),
            MoveHold(hold=after, from_etag=hold.etag),
            MoveInvocation(invocation=rejected, from_etag=invocation.etag),
        )
        await self._commit(hold, changes, review, after)
        self._events.publish("invocation", invocation.name)
        return await self.show(reviewer, name)

    async def _taken_up(self, name: str) -> None:
        """Start it, and give it a moment, so that the reviewer mostly sees what came of it."""
        with self._events.subscribe("hold", name) as changes:
            self._take_up(name)
            await changes.next(TAKE_UP_WAIT_S)

    def _check(
        self,
        reviewer: Reviewer,
        hold: Hold,
        reviews: Sequence[Review],
        *,
        etag: int,
    ) -> None:
        why = ineligible(hold, reviewer)
        if why:
            raise NotPermitted(why)
        if any(r.counted and r.reviewer.person == reviewer.person for r in reviews):
            raise IllegalTransition("You have reviewed this hold; one Person counts once.")
        if hold.state is not HoldState.PENDING:
            raise IllegalTransition(
                f"The hold is {hold.state} already.",
                metadata={"state": hold.state},
            )
        if self._clock() >= hold.decide_by:
            raise IllegalTransition("The time to decide on this hold is over.")
        if etag != hold.etag:
            raise StaleEtag(_CHANGED, metadata={"etag": str(hold.etag)})

    def _review(
        self,
        reviewer: Reviewer,
        hold: Hold,
        effect: ReviewEffect,
        reason: str,
    ) -> Review:
        return Review(
            hold=hold.name,
            reviewer=reviewer,
            effect=effect,
            reason=reason,
            etag=hold.etag,
            at=self._clock(),
        )

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
                raise IllegalTransition(
                    "You have reviewed this hold; one Person counts once.",
                ) from None
            raise StaleEtag(_CHANGED) from None
        self._events.publish("hold", hold.name)

    async def _find(self, name: str) -> tuple[Hold, tuple[Review, ...]]:
        found = await self._store.find_hold(name)
        if found is None:
            raise NotFound(_NO_HOLD)
        return found

    async def _pending(self) -> list[str]:
        query = HoldQuery(page_size=limits.PAGE_SIZE_MAX)
        return [hold.name for hold, _ in await self._store.list_holds(query)]

    async def _invocation(self, hold: Hold) -> Invocation:
        invocation = await self._store.find_invocation(hold.invocation)
        if invocation is None:
            raise NotFound(_NO_HOLD)
        return invocation

    async def _view(
        self,
        reviewer: Reviewer,
        hold: Hold,
        reviews: tuple[Review, ...],
    ) -> HoldView:
        invocation = await self._invocation(hold)
        session = await self._store.find_session(hold.session)
        contents = await self._store.contents(hold.invocation)
        why = ineligible(hold, reviewer)
        tool = self._control().tools.get(hold.tool)
        return HoldView(
            hold=hold,
            reviews=reviews,
            invocation=invocation,
            words=session.words if session else (),
            arguments=argument_views(
                tool.manifest if tool else None,
                invocation.call.arguments,
                _facts(contents),
                session,
            ),
            earlier=await self._earlier(invocation),
            eligible=not why,
            ineligible_reason=why,
        )

    async def _earlier(self, invocation: Invocation) -> tuple[EarlierView, ...]:
        query = InvocationQuery(
            session=invocation.session,
            page_size=EARLIER_MAX,
            before=invocation.name,
        )
        found = await self._store.list_invocations(query)
        return tuple(
            EarlierView(
                at=i.created_at,
                tool=i.call.tool,
                effect=i.decision.effect.name if i.decision else "",
                invocation=i.name,
            )
            for i in reversed(found)
        )


def _facts(contents: Mapping[str, JsonValue]) -> Mapping[str, Fact]:
    """The facts as policy saw them when the call was held."""
    question = contents.get("question")
    facts = question.get("facts") if isinstance(question, Mapping) else None
    if not isinstance(facts, Mapping):
        return {}
    return {
        name: Fact(
            name=name,
            source=str(fact.get("source", "")),
            value=fact.get("value"),
            error=str(fact.get("error", "")),
        )
        for name, fact in facts.items()
        if isinstance(fact, Mapping)
    }
