"""Reviews that are not as they should be: refused, told of, without effect.

Each test's docstring is the plan of whoever tries it, against a running broker.
"""

import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from broker.cli.main import main
from broker.v1 import review_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.refusals import refusal_of, refused
from tests.e2e.shop_tools import AGENT, CUSTOMER, ESCAPES
from tests.replay.running import until

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
DRAWN_BY_NOBODY = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_an_agent_approves_nothing(shop: GuardedShop):
    """I approve my own call, with the token that I have."""
    hold = shop.hold(shop.session())
    by = shop.by("agent")
    approve = review_pb2.ApproveHoldRequest(name=hold.name, etag=hold.etag)
    told = shop.refused_alone(lambda: shop.review.ApproveHold(approve, **by), AGENT)
    assert told == ("PERMISSION_DENIED", "NOT_PERMITTED")


@pytest.mark.parametrize("person", ["assistants-owner", CUSTOMER])
def test_nobody_reviews_their_own_request_under_another_name(shop: GuardedShop, person: str):
    """I am a reviewer, and have my own agent, or an agent that acts for me, ask for it."""
    hold, name = shop.hold(shop.session()), f"lead-who-is-{person}"
    shop.by("reviewer", name, person=person)
    told = shop.refused_alone(lambda: shop.approve(hold, name), name)
    assert told == ("PERMISSION_DENIED", "NOT_PERMITTED")
    assert shop.shown(hold.name).state == review_pb2.Hold.STATE_PENDING


def test_one_person_under_two_names_counts_once(shop: GuardedShop):
    """I am two reviewers, and approve what needs two people."""
    hold = shop.hold(shop.session(), "wipe")
    for name in ("lead-by-day", "lead-by-night"):
        shop.by("reviewer", name, person="both-of-them")
    after = shop.approve(hold, "lead-by-day")
    told = shop.refused_alone(lambda: shop.approve(after, "lead-by-night"), "lead-by-night")
    assert told == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert shop.shown(hold.name).requirements[0].approvals_given == 1
    shop.approve(shop.shown(hold.name), "lead-2")
    until(lambda: shop.state(hold.invocation) == "SUCCEEDED", "two people have approved it")


@pytest.mark.parametrize(
    "person", ["both of\u200b them", " both-of-them", "\uff42oth-of-them", "#x"]
)
def test_a_person_has_no_second_name_that_looks_alike(shop: GuardedShop, person: str):
    """I have a second credential made, for a Person who looks like me and is another."""
    at = shop.clock()
    terms = {"person": person, "groups": ["leads"]}
    with shop.nothing_changes():
        error = refused(lambda: shop.operator.create_token("reviewer", "lead-9", **terms))
    assert (error.code, error.metadata["field"]) == ("INVALID_ARGUMENT", "person")
    assert len(shop.entries(at, "request.malformed")) == 1


@pytest.mark.parametrize(
    "stale", [{"etag": "999"}, {"etag": "-1"}, {"call_digest": "sha256:" + "0" * 64}]
)
def test_what_was_not_shown_is_not_approved(shop: GuardedShop, stale: dict[str, str]):
    """I have a reviewer approve another state of the hold, or another call, than they saw."""
    hold = shop.hold(shop.session())
    shop.by("reviewer")
    told = shop.refused_alone(lambda: shop.approve(hold, **stale), "lead-1")
    assert told == ("ABORTED", "STALE_ETAG")


def test_an_etag_from_before_another_review_is_stale(shop: GuardedShop):
    """I hurry the second reviewer, who has not seen what the first one did."""
    hold = shop.hold(shop.session(), "wipe")
    shop.by("reviewer", "lead-2")
    shop.approve(hold, "lead-1")
    told = shop.refused_alone(lambda: shop.approve(hold, "lead-2"), "lead-2")
    assert told == ("ABORTED", "STALE_ETAG")


def test_a_hold_is_claimed_once_however_many_approve_at_once(shop: GuardedShop):
    """I have eight people click at the same moment, and again afterwards."""
    hold, ran, at = shop.hold(shop.session()), len(shop.ran), shop.clock()
    leads = [f"lead-{n}" for n in range(10, 18)]
    for lead in leads:
        shop.by("reviewer", lead)
    together = threading.Barrier(len(leads))

    def click(lead: str) -> str:
        together.wait(timeout=30)
        try:
            shop.approve(hold, lead)
        except grpc.RpcError as error:
            return refusal_of(error).reason
        return "APPROVED"

    with ThreadPoolExecutor(len(leads)) as people:
        said = list(people.map(click, leads))
    assert said.count("APPROVED") == 1
    assert set(said) <= {"APPROVED", "STALE_ETAG", "ILLEGAL_TRANSITION"}
    until(lambda: shop.state(hold.invocation) == "SUCCEEDED", "one of them has approved it")
    assert shop.ran[ran:] == ["delete_note"]
    kinds = [entry["kind"] for entry in shop.story(hold.invocation)]
    assert kinds.count("attempt.started") == kinds.count("call.ended") == 1
    assert len(shop.entries(at, "request.refused")) == len(leads) - 1
    # Once more, by whoever already has, and by somebody new: kept for the log, without effect.
    new = shop.by("reviewer", "lead-18")
    winner = leads[said.index("APPROVED")]
    for lead in (winner, "lead-18"):
        error = refused(lambda lead=lead: shop.approve(hold, lead))
        assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ILLEGAL_TRANSITION")
    assert shop.review.GetHold(review_pb2.GetHoldRequest(name=hold.name), **new).hold.state == (
        review_pb2.Hold.STATE_CLAIMED
    )
    assert [r.counted for r in shop.shown(hold.name).reviews].count(True) == 1
    assert shop.ran[ran:] == ["delete_note"]


def test_nothing_that_holds_show_prints_acts_on_a_terminal(
    shop: GuardedShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """I put a terminal's language into every value that I or my user can write."""
    session = shop.session(words=[f"Delete it.{ESCAPES}"], principal=f"customers/{ESCAPES}")
    labels = {f"key{ESCAPES}": f"value{ESCAPES}"}
    shop.invoke(session, f"read_note{ESCAPES}", {}, request_id=f"r{ESCAPES}")
    hold = shop.hold(session, note_id="n-2", labels=labels)
    shop.by("reviewer")
    tokens = {"REVIEWER": shop._tokens["lead-1"], "OPERATOR": shop.operator_token}
    monkeypatch.setenv("CALLBROKER_ADDRESS", shop.address)
    for kind, token in tokens.items():
        monkeypatch.setenv(f"CALLBROKER_{kind}_TOKEN", token)
    commands = [
        ("holds", "show", hold.name),
        ("holds", "show", hold.name, "--json"),
        ("holds", "list"),
        ("invocations", "show", hold.invocation),
        ("invocations", "list"),
        ("audit", "show", hold.invocation),
    ]
    before = shop.rows()
    for command in commands:
        assert main(command) == 0, capsys.readouterr()
        printed = capsys.readouterr().out
        assert "owned" in printed or command[0] == "invocations"
        bad = {c for c in printed if unicodedata.category(c) in DRAWN_BY_NOBODY} - {"\n"}
        assert bad == set(), command
    assert shop.rows() == before
    reject = ("holds", "reject", hold.name, "--etag", hold.etag, "--reason", f"No.{ESCAPES}")
    assert main(reject) == 0
    assert main(("holds", "show", hold.name)) == 0
    printed = capsys.readouterr().out
    assert {c for c in printed if unicodedata.category(c) in DRAWN_BY_NOBODY} - {"\n"} == set()
