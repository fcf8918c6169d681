"""Who may review, and when enough have."""

import pytest

from broker.core.calls import Agent, Person, Principal
from broker.core.decision import HoldTerms
from broker.core.holds import (
    Hold,
    Requirement,
    Resolution,
    Review,
    ReviewEffect,
    Reviewer,
    discharges,
    ineligible,
    tally,
)
from broker.core.lifecycle import HoldState

CUSTOMER = Person(issuer="local", subject="customers/c-204")
OWNER = Person(issuer="local", subject="agent-owner")


def person(subject: str) -> Person:
    return Person(issuer="local", subject=subject)


def requirement(code: str, *reviewers: str, approvals: int = 1) -> Requirement:
    terms = HoldTerms(
        reviewers=reviewers, approvals_required=approvals, decide_within_s=60, run_within_s=60
    )
    return Requirement(code=code, message="Why.", terms=terms)


def hold(*requirements: Requirement) -> Hold:
    return Hold(
        name="holds/1",
        invocation="invocations/1",
        session="sessions/1",
        state=HoldState.PENDING,
        requirements=requirements,
        call_digest="sha256:00",
        tool="refund",
        tool_revision="sha256:01",
        facts_digest="sha256:02",
        policy_revision="sha256:03",
        principal=Principal(id="customers/c-204", person=CUSTOMER),
        agent=Agent(id="agents/a", owner=OWNER),
        summary="",
        created_at=0.0,
        decide_by=60.0,
    )


def review(
    subject: str,
    *groups: str,
    effect: ReviewEffect = ReviewEffect.APPROVE,
    counted: bool = True,
    name: str = "",
) -> Review:
    reviewer = Reviewer(name=name or subject, person=person(subject), groups=groups)
    return Review(
        hold="holds/1", reviewer=reviewer, effect=effect, reason="", etag=1, at=1.0, counted=counted
    )


LEADS = requirement("LARGE", "leads")
TWO = requirement("LARGE", "leads", approvals=2)


@pytest.mark.parametrize(
    ("requirements", "reviews", "resolution"),
    [
        ((LEADS,), (), Resolution.OPEN),
        ((LEADS,), (review("r1", "leads"),), Resolution.APPROVED),
        ((LEADS,), (review("r1", "others"),), Resolution.OPEN),
        ((TWO,), (review("r1", "leads"),), Resolution.OPEN),
        ((TWO,), (review("r1", "leads"), review("r2", "leads")), Resolution.APPROVED),
        (
            (LEADS, requirement("ABROAD", "compliance")),
            (review("r1", "leads"),),
            Resolution.OPEN,
        ),
        (
            (LEADS, requirement("ABROAD", "compliance")),
            (review("r1", "leads", "compliance"),),
            Resolution.APPROVED,
        ),
        (
            (LEADS,),
            (review("r1", "leads"), review("r2", "leads", effect=ReviewEffect.REJECT)),
            Resolution.REJECTED,
        ),
        ((LEADS,), (review("r1", "leads", counted=False),), Resolution.OPEN),
    ],
)
def test_tally(requirements, reviews, resolution):
    assert tally(hold(*requirements), reviews) is resolution


def test_one_person_under_two_names_counts_once():
    """Two accounts of one human are to make up a quorum of two."""
    twice = (review("r1", "leads", name="one"), review("r1", "leads", name="other"))
    assert tally(hold(TWO), twice) is Resolution.OPEN


@pytest.mark.parametrize("who", [CUSTOMER, OWNER])
def test_nobody_reviews_their_own_request_or_their_own_agents(who):
    """The one who asked, or who runs the agent that asked, holds a reviewer's credential too."""
    reviewer = Reviewer(name="r", person=who, groups=("leads",))
    assert ineligible(hold(LEADS), reviewer)
    own = Review(
        hold="holds/1", reviewer=reviewer, effect=ReviewEffect.APPROVE, reason="", etag=1, at=1.0
    )
    assert tally(hold(LEADS), (own,)) is Resolution.OPEN


def test_an_approval_lifts_exactly_what_was_shown():
    assert [d.code for d in discharges(hold(LEADS, TWO))] == ["LARGE", "LARGE"]
    assert {d.terms.approvals_required for d in discharges(hold(LEADS, TWO))} == {1, 2}
