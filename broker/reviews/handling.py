"""What reviewers do with a hold short of deciding: take it, give it back, ask a second, narrow it.

A hold that is taken is approved by nobody else until it is given back or five minutes have passed;
a no is always heard. A second reviewer that was asked for is needed like one that policy asked for.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.calls import Invocation
from broker.core.decision import HoldTerms
from broker.core.errors import IllegalTransition, MalformedRequest
from broker.core.holds import (
    TAKEN_S,
    Hold,
    Requirement,
    Review,
    Reviewer,
    decide_within_s,
    needs_step_up,
    run_within_s,
)
from broker.core.inspection import plain
from broker.core.lifecycle import HoldState
from broker.core.limits import TOOL_MESSAGE_CHARACTERS_MAX
from broker.core.unit import MoveHold
from broker.own_work import OwnWork
from broker.reviews.docket import ONCE, Docket
from broker.reviews.showing import HoldView, HoldViews

SECOND_REVIEW: Final = "SECOND_REVIEW"


class Narrow(Protocol):
    """Puts a narrowed call in place of one that waits (`enforcer.narrowing`)."""

    async def __call__(
        self,
        reviewer: Reviewer,
        hold: Hold,
        held: Invocation,
        changes: Mapping[str, JsonValue],
        *,
        reason: str,
    ) -> str:
        """Returns the name of the hold that the narrowed call waits under."""


class Handling:
    """Holds as reviewers pass them around."""

    def __init__(self, *, views: HoldViews, docket: Docket, narrow: Narrow, own: OwnWork) -> None:
        self._views = views
        self._docket = docket
        self._narrow_call = narrow
        self._own = own

    async def take(self, reviewer: Reviewer, name: str) -> HoldView:
        """Say that one is at it, for TAKEN_S from now; again: for as long from then.

        Raises:
            NotFound: there is none of this name.
            NotPermitted: this reviewer may not decide on it.
            IllegalTransition: it was decided, somebody else has taken it, or this Person has said
                yes already and only keeps the others from it.
        """
        await self._own.run(self._take(reviewer, name))
        return await self._views.show(reviewer, name)

    async def give_back(self, reviewer: Reviewer, name: str) -> HoldView:
        """Say that one is at it no more. What one has not taken, or what was decided, stays.

        Raises:
            NotFound: there is none of this name.
        """
        await self._own.run(self._give_back(reviewer, name))
        return await self._views.show(reviewer, name)

    async def ask_second(
        self, reviewer: Reviewer, name: str, *, etag: int, reason: str = ""
    ) -> HoldView:
        """Ask for one more Person of the groups that may decide than were needed.

        Raises:
            NotFound, NotPermitted, StaleEtag, IllegalTransition: as for an approval.
        """
        await self._own.run(self._ask_second(reviewer, name, etag=etag, reason=plain(reason)))
        return await self._views.show(reviewer, name)

    async def narrow(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        changes: Mapping[str, JsonValue],
        reason: str = "",
    ) -> HoldView:
        """Make what was asked less. The narrowed call waits under a hold of its own, unreviewed.

        Args:
            reviewer: who.
            name: `holds/{uuid}`.
            etag: as shown.
            changes: new values by JSON Pointer into the arguments.
            reason: for the record.

        Returns:
            The new hold.

        Raises:
            MalformedRequest: the changes are not narrower, as the tool's manifest says.
            NotFound, NotPermitted, StaleEtag: as for an approval.
            IllegalTransition: it was decided, somebody else has taken it, or the narrowed call
                would be denied.
        """
        if len(reason) > TOOL_MESSAGE_CHARACTERS_MAX:
            raise MalformedRequest("The reason is too long.", metadata={"field": "reason"})
        work = self._narrow(reviewer, name, etag=etag, changes=changes, reason=plain(reason))
        return await self._views.show(reviewer, await self._own.run(work))

    async def _take(self, reviewer: Reviewer, name: str) -> None:
        hold, reviews, now = await self._free(reviewer, name)
        if any(r.counted and r.reviewer.person == reviewer.person for r in reviews):
            raise IllegalTransition(ONCE)
        until = min(now + TAKEN_S, hold.decide_by)
        taken = replace(hold, taken_by=reviewer, taken_until=until, etag=hold.etag + 1)
        await self._moved(hold, taken, reviewer, now, effect="TAKE")

    async def _give_back(self, reviewer: Reviewer, name: str) -> None:
        hold, _ = await self._docket.find(name)
        is_theirs = hold.taken_by is not None and hold.taken_by.person == reviewer.person
        if hold.state is not HoldState.PENDING or not is_theirs:
            return
        given = replace(hold, taken_by=None, taken_until=0.0, etag=hold.etag + 1)
        await self._moved(hold, given, reviewer, self._docket.clock(), effect="RETURN")

    async def _ask_second(self, reviewer: Reviewer, name: str, *, etag: int, reason: str) -> None:
        hold, _, now = await self._free(reviewer, name)
        self._docket.check_shown(hold, etag=etag)
        if any(r.code == SECOND_REVIEW for r in hold.requirements):
            raise IllegalTransition("A second reviewer was asked for already.")
        asked = replace(
            hold,
            requirements=(*hold.requirements, _second(hold, reviewer)),
            alike="",
            taken_by=None,
            taken_until=0.0,
            etag=hold.etag + 1,
        )
        await self._moved(
            hold,
            asked,
            reviewer,
            now,
            effect="SECOND",
            kind=EntryKind.REVIEW_GIVEN,
            reason=reason,
        )

    async def _narrow(
        self,
        reviewer: Reviewer,
        name: str,
        *,
        etag: int,
        changes: Mapping[str, JsonValue],
        reason: str,
    ) -> str:
        hold, _, _ = await self._free(reviewer, name)
        self._docket.check_shown(hold, etag=etag)
        held = await self._docket.invocation_of(hold)
        return await self._narrow_call(reviewer, hold, held, changes, reason=reason)

    async def _free(self, reviewer: Reviewer, name: str) -> tuple[Hold, tuple[Review, ...], float]:
        """The hold, which is this Person's to act on now, what was said of it, and when now is."""
        hold, reviews = await self._docket.find(name)
        now = self._docket.clock()
        self._docket.check_theirs(hold, reviewer)
        await self._docket.check_pending(hold, at=now)
        self._docket.check_free(hold, reviewer, at=now)
        return hold, reviews, now

    async def _moved(
        self,
        hold: Hold,
        after: Hold,
        reviewer: Reviewer,
        at: float,
        *,
        effect: str,
        kind: EntryKind = EntryKind.HOLD_TAKEN,
        reason: str = "",
    ) -> None:
        await self._docket.commit(
            hold,
            (MoveHold(hold=after, from_etag=hold.etag),),
            reviewer=reviewer,
            at=at,
            said={"effect": effect, "state": after.state.value, "etag": hold.etag},
            reason=reason,
            kind=kind,
        )


def _second(hold: Hold, reviewer: Reviewer) -> Requirement:
    """One Person more than the most that any code needs, of any group that may decide."""
    groups = dict.fromkeys(g for r in hold.requirements for g in r.terms.reviewers)
    most = max(r.terms.approvals_required for r in hold.requirements)
    return Requirement(
        code=SECOND_REVIEW,
        message=f"{reviewer.name} asked for a second reviewer.",
        terms=HoldTerms(
            reviewers=tuple(groups),
            approvals_required=most + 1,
            decide_within_s=decide_within_s(hold.requirements),
            run_within_s=run_within_s(hold.requirements),
            step_up=needs_step_up(hold.requirements),
        ),
    )
