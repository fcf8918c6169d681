"""A hold names, per code, who may review, how many and until when; several codes are conjoined.

`tally` is the whole of it: (hold, reviews) to resolution, with no I/O. Nobody reviews their own
request or their own agent's. One veto rejects. A Person counts once, under however many names.
Reviews after a resolution are kept and change nothing.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from broker.core.calls import Agent, Person, Principal
from broker.core.decision import STAGE_SETTLE, Discharge, Effect, HoldTerms, Verdict
from broker.core.erased import Erased
from broker.core.lifecycle import HoldState
from broker.core.limits import HOLD_WITHIN_S_MAX
from broker.core.previews import Preview
from broker.core.standing import Marks

TAKEN_S: Final = 300.0
"""For how long a hold that somebody takes is theirs to approve; taking it again renews that."""

CHANGED: Final = "The hold has changed since it was shown. Look at it again."
"""Said to whoever acts on what is not so any more."""

_TAKEN_S_MAX: Final = 2 * TAKEN_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One code that stopped the call, in the words shown, and what lifting it takes."""

    code: str
    message: str
    terms: HoldTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewer:
    """A Person who may approve or reject, by the groups they are in."""

    name: str
    person: Person
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A suspended call and exactly what its reviewers are shown.

    Attributes:
        name: `holds/{uuid}`.
        call_digest, tool_revision, facts_digest: what an approval is for. If any differs when the
            call is taken up again, the hold is VOID.
        decide_by, run_by: the two expiries, POSIX seconds, neither after the session's absolute
            end; `run_by` is 0 until approved.
        summary: what will happen, in a sentence that the manifest's template made.
        etag: rises with every change; approving needs the one that was shown.
        amount_minor, currency: what the call is about in money, where the manifest says so: the
            first argument that its `review.money` names. None where it names none.
        alike: what holds share that can be decided together (`core.alike`); empty: decided alone.
        preview: what the tool says that it would change; None where it has no preview.
        narrows: the hold that a reviewer made less of, which this one is in place of; or empty.
        taken_by, taken_until: the Person who looks at it, and until when nobody else approves it.
        reached: what a rejection of it is remembered by (`core.standing`), for each form of the
            call: as it is, and as it was asked. Empty: opened before that was kept.
        run_from: once approved, until when that can be taken back; it does not run before.
    """

    name: str
    invocation: str
    session: str
    state: HoldState
    requirements: tuple[Requirement, ...]
    call_digest: str
    tool: str
    tool_revision: str
    facts_digest: str
    policy_revision: str
    principal: Principal
    agent: Agent
    summary: str
    created_at: float
    decide_by: float
    run_by: float = 0.0
    etag: int = 1
    amount_minor: int | None = None
    currency: str = ""
    alike: str = ""
    preview: Preview | None = None
    erased: Erased | None = None
    narrows: str = ""
    taken_by: Reviewer | None = None
    taken_until: float = 0.0
    run_from: float = 0.0
    reached: tuple[Marks, ...] = ()


def decide_within_s(requirements: Sequence[Requirement]) -> int:
    """Several codes are conjoined: the shortest time to decide is the time to decide, seconds."""
    return min((HOLD_WITHIN_S_MAX, *(r.terms.decide_within_s for r in requirements)))


def run_within_s(requirements: Sequence[Requirement]) -> int:
    """Likewise the time from approval until it has run, seconds."""
    return min((HOLD_WITHIN_S_MAX, *(r.terms.run_within_s for r in requirements)))


def needs_step_up(requirements: Sequence[Requirement]) -> bool:
    """Whether any code takes a fresh sign-in."""
    return any(r.terms.step_up for r in requirements)


def needed_again(
    requirements: Sequence[Requirement], *, code: str, message: str
) -> tuple[Verdict, ...]:
    """Whom a call waited for, it waits for: a HOLD on each of the terms that it had."""
    return tuple(
        Verdict(effect=Effect.HOLD, stage=STAGE_SETTLE, code=code, message=message, terms=terms)
        for terms in dict.fromkeys(r.terms for r in requirements)
    )


class ReviewEffect(enum.StrEnum):
    """What one Person said."""

    APPROVE = "APPROVE"
    REJECT = "REJECT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One Person's approve or reject of one hold."""

    hold: str
    reviewer: Reviewer
    effect: ReviewEffect
    reason: str
    etag: int
    at: float
    counted: bool = True


class Resolution(enum.StrEnum):
    """Where the reviews leave a hold."""

    OPEN = "OPEN"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


def ineligible(hold: Hold, reviewer: Reviewer) -> str:
    """Why this reviewer may not decide on this hold; empty where they may."""
    if reviewer.person == hold.principal.person:
        return "Nobody reviews their own request."
    if reviewer.person == hold.agent.owner:
        return "Nobody reviews a request of their own agent."
    if not any(set(r.terms.reviewers) & set(reviewer.groups) for r in hold.requirements):
        groups = sorted({g for r in hold.requirements for g in r.terms.reviewers})
        return f"This hold is for reviewers of: {', '.join(groups)}."
    return ""


def has_taken(hold: Hold, reviewer: Reviewer, *, now: float) -> bool:
    """Whether this reviewer has taken it, and it is theirs yet."""
    taker = hold.taken_by
    return taker is not None and taker.person == reviewer.person and now < hold.taken_until


def taken_from(hold: Hold, reviewer: Reviewer, *, now: float) -> str:
    """Who else has taken this hold just now, by name; empty where nobody has.

    What ends later than any taking can was taken before a clock was set back, and counts no more.
    """
    other = hold.taken_by
    if other is None or other.person == reviewer.person:
        return ""
    return other.name if 0 < hold.taken_until - now <= _TAKEN_S_MAX else ""


def tally(hold: Hold, reviews: Sequence[Review]) -> Resolution:
    """What the counted reviews come to: one veto rejects, every requirement met approves."""
    counted = [r for r in reviews if r.counted and not ineligible(hold, r.reviewer)]
    if any(r.effect is ReviewEffect.REJECT for r in counted):
        return Resolution.REJECTED
    if all(given(hold, r, counted) >= r.terms.approvals_required for r in hold.requirements):
        return Resolution.APPROVED
    return Resolution.OPEN


def given(hold: Hold, requirement: Requirement, reviews: Sequence[Review]) -> int:
    """How many distinct, eligible Persons have approved towards one requirement."""
    wanted = set(requirement.terms.reviewers)
    return len(
        {
            r.reviewer.person
            for r in reviews
            if r.counted
            and r.effect is ReviewEffect.APPROVE
            and wanted & set(r.reviewer.groups)
            and not ineligible(hold, r.reviewer)
        },
    )


def lifted(hold: Hold | None, found: tuple[str, str, str]) -> tuple[Discharge, ...]:
    """What an approval lifts: nothing, once anything that its reviewers were shown differs.

    Args:
        hold: the approved one, if one is.
        found: digest of the call, revision of its tool and digest of its facts, as they are now.
    """
    if hold is None or found != (hold.call_digest, hold.tool_revision, hold.facts_digest):
        return ()
    return discharges(hold)


def discharges(hold: Hold) -> tuple[Discharge, ...]:
    """What an approval of this hold lifts: the codes and terms shown, and nothing else."""
    return tuple(Discharge(code=r.code, terms=r.terms) for r in hold.requirements)
