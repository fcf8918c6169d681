"""What a reviewer does with a hold at a terminal, beyond a plain yes or no."""

import json

import pytest
from rich.text import Text

from broker.cli.failures import ExitCode
from broker.cli.hold_answers import outcome_lines
from broker.cli.holds import list_picture
from broker.v1 import review_pb2
from broker.v1.review_pb2 import Hold, HoldRequirement
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run
from tests.unit.cli.holds_for_tests import AROUND, HOLD_NAME, at, narrowed_hold, the_hold

TAKEN = {"taken_by": "lead-2", "taken_until_time": at(14, 44)}


def _told(hold: Hold) -> list[str]:
    return [Text.assemble(*parts).plain for parts in outcome_lines(hold, AROUND)]


def test_a_hold_is_taken_and_given_back(run: Run, services: FakeServices) -> None:
    services.answers["TakeHold"] = review_pb2.TakeHoldResponse(hold=the_hold(etag="4"))
    services.answers["GiveBackHold"] = review_pb2.GiveBackHoldResponse(hold=the_hold(etag="5"))
    assert "; etag 4" in run("holds", "take", HOLD_NAME).out
    assert services.request("TakeHold").name == HOLD_NAME
    given = run("holds", "give-back", HOLD_NAME, "--json")
    assert json.loads(given.out)["etag"] == "5"


def test_who_has_taken_it_is_told_and_what_deciding_needs() -> None:
    needed = "needed: 1 more of support-leads; etag 4"
    assert _told(the_hold(**TAKEN, etag="4")) == [
        f"h-3fa9c2d1 is PENDING, expires 18:20 (3 h 41 min); {needed}",
        "Taken by lead-2 until 14:44 (5 min); nobody else approves it meanwhile",
    ]


def test_who_else_is_needed_is_told_once_for_each_group() -> None:
    requirements = [
        HoldRequirement(code=code, reviewers=[group], approvals_required=required)
        for code, group, required in (("A", "leads", 1), ("B", "leads", 2), ("C", "legal", 1))
    ]
    (line,) = _told(the_hold(requirements=requirements))
    assert "; needed: 2 more of leads, 1 more of legal; " in line


def test_an_approval_that_can_be_taken_back_says_how(run: Run, services: FakeServices) -> None:
    runs_from = at(14, 39)
    runs_from.seconds += 10
    approved = the_hold(
        state=Hold.STATE_APPROVED, run_by_time=at(15, 0), run_from_time=runs_from, etag="4"
    )
    assert _told(approved) == [
        "h-3fa9c2d1 is APPROVED, to run by 15:00 (21 min).",
        "It runs in 10 s; until then the approval can be taken back:",
        "callbroker holds take-back h-3fa9c2d1 --etag 4",
    ]
    services.answers["ApproveHold"] = review_pb2.ApproveHoldResponse(hold=approved)
    run("holds", "approve", HOLD_NAME, "--etag", "3", "--take-back", "10")
    assert services.request("ApproveHold").take_back_s == 10
    services.answers["TakeBackApproval"] = review_pb2.TakeBackApprovalResponse(hold=the_hold())
    assert run("holds", "take-back", HOLD_NAME, "--etag", "4").code == ExitCode.OK
    assert services.request("TakeBackApproval").etag == "4"


@pytest.mark.parametrize("seconds", ["-1", "61", "x"])
def test_an_approval_is_not_taken_back_after_more_than_a_minute(run: Run, seconds: str) -> None:
    ran = run("holds", "approve", HOLD_NAME, "--etag", "3", "--take-back", seconds)
    assert ran.code == ExitCode.USAGE


def test_a_second_reviewer_is_asked_for(run: Run, services: FakeServices) -> None:
    services.answers["AskSecondReview"] = review_pb2.AskSecondReviewResponse(hold=the_hold())
    ran = run("holds", "second", HOLD_NAME, "--etag", "3", "--reason", "Unusual.")
    assert ran.code == ExitCode.OK
    request = services.request("AskSecondReview")
    assert (request.etag, request.reason) == ("3", "Unusual.")


def test_what_is_made_less_is_shown_as_it_waits_now(run: Run, services: FakeServices) -> None:
    services.answers["NarrowHold"] = review_pb2.NarrowHoldResponse(hold=narrowed_hold())
    ran = run(
        "holds", "narrow", HOLD_NAME, "--etag", "3",
        "--less", "/amount_minor=4000", "--less", '/to=["a=b@c.example"]',
    )  # fmt: skip
    request = services.request("NarrowHold")
    assert dict(request.changes_json) == {
        "/amount_minor": "4000",
        "/to": '["a=b@c.example"]',
    }
    assert "Narrowed /amount_minor EUR 40.00 instead of EUR 55.00" in ran.out
    assert "callbroker holds approve h-4fa9c2d2 --etag 1" in ran.out


@pytest.mark.parametrize(
    "less",
    [("/amount_minor",), ("/amount_minor=",), ("/amount_minor=4,0",), ("/a=1", "/a=2")],
)
def test_what_is_no_change_is_not_sent(
    run: Run, services: FakeServices, less: tuple[str, ...]
) -> None:
    given = [word for one in less for word in ("--less", one)]
    ran = run("holds", "narrow", HOLD_NAME, "--etag", "3", *given)
    assert ran.code == ExitCode.USAGE
    assert not services.asked


def test_a_list_in_a_narrow_terminal_has_what_would_happen_on_its_own_line() -> None:
    holds = [the_hold(create_time=at(14, 20))]
    assert [line.plain for line in list_picture(holds, AROUND, width=80)] == [
        "Hold        Time left   Age     Amount     For              Stopped by",
        "  What would happen",
        "h-3fa9c2d1  3 h 41 min  19 min  EUR 55.00  customers/c-204  REFUND_NEEDS_PERSON",
        "  Refund EUR 55.00 of order O-1001 to card ending 0017",
    ]
    without = [the_hold(arguments=[], create_time=at(14, 20))]
    head, *_ = list_picture(without, AROUND, width=80)
    assert "Amount" not in head.plain


@pytest.mark.parametrize(
    ("less", "told"),
    [
        ("/amount_minor=60.00", "/amount_minor counts minor units, without a point"),
        ("/amount_minor=60.00", ": 6000 is EUR 60.00.\n"),
        ("/amount_minor=6e1", "6000 is EUR 60.00."),
        ("/items/0/price_minor=0.5", "50 is EUR 0.50."),
        ("/amount_minor=-1.0", "6000 is EUR 60.00."),
        ("/amount_minor=NaN", "6000 is EUR 60.00."),
        ("/seats=2.0", "/seats: write a whole number, without a point or an exponent, "),
    ],
)  # fmt: skip
def test_major_units_are_never_taken_for_minor_ones(
    run: Run, services: FakeServices, less: str, told: str
) -> None:
    ran = run("holds", "narrow", HOLD_NAME, "--etag", "3", "--less", less)
    assert ran.code == ExitCode.USAGE
    assert told in ran.err
    assert not services.asked


def test_a_list_tells_amount_age_and_who_is_at_it() -> None:
    holds = [the_hold(**TAKEN, create_time=at(14, 20))]
    head, row, *_ = (line.plain.rstrip() for line in list_picture(holds, AROUND, width=1_000))
    assert head.split() == [
        "Hold", "Time", "left", "Age", "Amount", "For", "What", "would", "happen", "Stopped", "by",
    ]  # fmt: skip
    assert "19 min" in row
    assert "EUR 55.00 " in row
    assert row.endswith("taken by lead-2")
