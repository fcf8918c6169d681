import json
from pathlib import Path

import grpc
import pytest
from rich.text import Text

from broker.cli.failures import ExitCode
from broker.cli.hold_answers import outcome_lines
from broker.cli.holds import list_picture
from broker.v1 import admin_pb2, review_pb2, types_pb2
from broker.v1.review_pb2 import Hold, HoldRequirement
from tests.fakes.admin_server import FakeServices, Refusal
from tests.unit.cli.conftest import Run
from tests.unit.cli.holds_for_tests import AROUND, HOLD_NAME, at, narrowed_hold, the_hold


def test_a_short_name_is_looked_for_page_by_page(run: Run, services: FakeServices) -> None:
    other = the_hold(name="holds/01a1fbe2-0000-7000-8000-000000000000")

    def page(request: review_pb2.ListHoldsRequest) -> review_pb2.ListHoldsResponse:
        if not request.page_token:
            return review_pb2.ListHoldsResponse(holds=[other], next_page_token="2")
        return review_pb2.ListHoldsResponse(holds=[the_hold()])

    services.answers["ListHolds"] = page
    services.answers["GetHold"] = review_pb2.GetHoldResponse(hold=the_hold())
    ran = run("holds", "show", "h-3fa9c2d1")
    assert ran.code == ExitCode.OK
    assert services.request("GetHold").name == HOLD_NAME
    assert "Binds    call 5d1f0c9e" in ran.out


def test_holds_are_listed_with_the_line_that_shows_one(run: Run, services: FakeServices) -> None:
    services.answers["ListHolds"] = review_pb2.ListHoldsResponse(
        holds=[the_hold(eligible=False), the_hold()]
    )
    ran = run("holds", "list")
    assert ran.out.splitlines()[-1] == (
        "2 calls wait for a person. Look at one: callbroker holds show h-3fa9c2d1"
    )
    assert "not yours" in ran.out


def test_approving_sends_what_was_shown(run: Run, services: FakeServices) -> None:
    services.answers["ApproveHold"] = review_pb2.ApproveHoldResponse(
        hold=the_hold(
            state=Hold.STATE_CLAIMED, invocation_state=types_pb2.Invocation.STATE_SUCCEEDED
        )
    )
    ran = run("holds", "approve", HOLD_NAME, "--etag", "3", "--reason", "Seen.")
    assert ran.out == "h-3fa9c2d1 is CLAIMED, the call is SUCCEEDED.\n"
    request = services.request("ApproveHold")
    assert (request.name, request.etag, request.reason) == (HOLD_NAME, "3", "Seen.")
    assert services.asked[-1][2] == "Bearer cb_reviewer_token"


def test_an_approval_that_is_not_enough_says_who_else_is_needed(
    run: Run, services: FakeServices
) -> None:
    requirement = HoldRequirement(
        code="C", message="m", reviewers=["leads"], approvals_required=2, approvals_given=1
    )
    services.answers["ApproveHold"] = review_pb2.ApproveHoldResponse(
        hold=the_hold(requirements=[requirement])
    )
    assert "needed: 1 more of leads" in run("holds", "approve", HOLD_NAME, "--etag", "3").out


def test_an_approval_of_what_has_changed_is_a_no(run: Run, services: FakeServices) -> None:
    services.answers["ApproveHold"] = review_pb2.ApproveHoldResponse(
        hold=the_hold(state=Hold.STATE_VOID, invocation_state=types_pb2.Invocation.STATE_HELD)
    )
    ran = run("holds", "approve", HOLD_NAME, "--etag", "3", "--json")
    assert ran.code == ExitCode.NO
    assert json.loads(ran.out)["state"] == "VOID"


def test_a_status_without_a_policy_that_answers_is_a_no(run: Run, services: FakeServices) -> None:
    services.answers["GetStatus"] = admin_pb2.GetStatusResponse(broker="brokers/b")
    ran = run("status")
    assert ran.code == ExitCode.NO
    assert "callbroker policy activate DIR" in ran.out


def test_an_auditors_token_will_do_for_looking_and_not_for_changing(
    run: Run, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_OPERATOR_TOKEN")
    services.answers["ListFreezes"] = admin_pb2.ListFreezesResponse()
    assert run("freezes").code == ExitCode.OK
    assert services.asked[-1][2] == "Bearer cb_auditor_token"
    ran = run("freeze", "all", "--reason", "Stop.")
    assert ran.code == ExitCode.USAGE
    assert "There is no operator token." in ran.err


def test_a_freeze_says_how_it_is_lifted(run: Run, services: FakeServices) -> None:
    made = admin_pb2.Freeze(name="freezes/01a1fbe2-37cb-7569-8b4b-71d83fa9c2d1", subject="refund")
    made.kind = admin_pb2.Freeze.KIND_TOOL
    services.answers["CreateFreeze"] = admin_pb2.CreateFreezeResponse(freeze=made)
    ran = run("freeze", "tool", "refund", "--reason", "Looking.", "--for", "2h")
    assert "callbroker unfreeze f-3fa9c2d1" in ran.out
    request = services.request("CreateFreeze")
    assert (request.subject, request.life.seconds) == ("refund", 7_200)


@pytest.mark.parametrize("arguments", [("all", "x"), ("tool",)])
def test_a_freeze_names_something_unless_it_is_of_everything(
    run: Run, arguments: tuple[str, ...]
) -> None:
    assert run("freeze", *arguments, "--reason", "r").code == ExitCode.USAGE


def test_a_token_is_kept_for_its_owner_alone(run: Run, services: FakeServices, here: Path) -> None:
    services.answers["CreateCredential"] = admin_pb2.CreateCredentialResponse(token="cb_worker_x")
    ran = run("token", "create", "worker", "workers/w", "--tool", "a", "--tool", "b", "--save")
    kept = here / "state" / "tokens" / "worker"
    assert ran.code == ExitCode.OK
    assert "cb_worker_x" not in ran.out
    assert kept.read_text() == "cb_worker_x\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert list(services.request("CreateCredential").tools) == ["a", "b"]


def test_only_an_operators_token_is_made_without_a_broker(run: Run) -> None:
    ran = run("token", "create", "reviewer", "r", "--person", "r", "--first")
    assert ran.code == ExitCode.USAGE


def test_a_grant_may_bind_values_to_a_json_array(run: Run, services: FakeServices) -> None:
    services.answers["CreateGrant"] = admin_pb2.CreateGrantResponse()
    ran = run("access", "grant", "groups/g", "s:w", "--where", '/c=["EUR"]', "--reason", "r")
    assert ran.code == ExitCode.OK
    assert dict(services.request("CreateGrant").scope.where_json) == {"/c": '["EUR"]'}


@pytest.mark.parametrize("where", ["/c", "/c=EUR", '/c="EUR"', "/c={}"])
def test_a_binding_that_is_no_json_array_is_refused_here(run: Run, where: str) -> None:
    ran = run("access", "grant", "groups/g", "s:w", "--where", where, "--reason", "r")
    assert ran.code == ExitCode.USAGE


def test_revoking_takes_every_grant_of_that_scope_and_no_other(
    run: Run, services: FakeServices
) -> None:
    def grant(number: int, subject: str, scope: str) -> admin_pb2.Grant:
        return admin_pb2.Grant(
            name=f"grants/{number}", subject=subject, scope=types_pb2.Scope(name=scope)
        )

    services.answers["ShowAccess"] = admin_pb2.ShowAccessResponse(
        lines=[admin_pb2.AccessLine(principal_grants=[grant(1, "groups/g", "s:w")])],
        unused_grants=[
            grant(2, "groups/g", "s:w"),
            grant(3, "groups/g", "other"),
            grant(4, "groups/h", "s:w"),
        ],
    )
    services.answers["DeleteGrant"] = admin_pb2.DeleteGrantResponse()
    assert run("access", "revoke", "groups/g", "s:w", "--reason", "r").code == ExitCode.OK
    deleted = [request.name for name, request, _ in services.asked if name == "DeleteGrant"]
    assert deleted == ["grants/1", "grants/2"]


def test_following_is_a_json_line_for_each_call(run: Run, services: FakeServices) -> None:
    calls = [
        admin_pb2.TailInvocationsResponse(invocation=admin_pb2.InvocationSummary(summary=summary))
        for summary in ("one", "two")
    ]
    services.answers["TailInvocations"] = iter(calls)
    ran = run("invocations", "tail", "--json")
    assert [json.loads(line)["summary"] for line in ran.out.splitlines()] == ["one", "two"]


def test_reconciling_needs_a_side(run: Run, services: FakeServices) -> None:
    assert run("invocations", "reconcile", "i-3fa9c2d1", "--evidence", "e").code == ExitCode.USAGE
    assert services.asked == []


def test_an_export_is_a_new_file_for_its_owner_alone(
    run: Run, services: FakeServices, here: Path
) -> None:
    parts = [admin_pb2.ExportAuditResponse(lines=b'{"a":1}\n{"b":2}\n')]
    services.answers["ExportAudit"] = lambda _: iter(parts)
    assert run("audit", "export", "--out", "log.jsonl").out.startswith("2 lines in log.jsonl.")
    assert (here / "log.jsonl").read_bytes() == b'{"a":1}\n{"b":2}\n'
    assert (here / "log.jsonl").stat().st_mode & 0o777 == 0o600
    assert run("audit", "export", "--out", "log.jsonl").code == ExitCode.USAGE


def test_an_export_that_breaks_off_leaves_no_file(
    run: Run, services: FakeServices, here: Path
) -> None:
    services.answers["ExportAudit"] = Refusal(code=grpc.StatusCode.INTERNAL, message="no")
    assert run("audit", "export", "--out", "log.jsonl").code == ExitCode.NO
    assert list(here.iterdir()) == []


def test_an_export_that_nobody_signed_is_not_verified(run: Run, here: Path) -> None:
    (here / "log.jsonl").write_text("{}\n")
    (here / "key").write_text("nonsense")
    assert run("audit", "verify", "log.jsonl", "--key", "key").code == ExitCode.USAGE
    assert run("audit", "verify", "nowhere", "--key", "key").code == ExitCode.USAGE


def test_every_setting_is_told_with_where_it_is_from(
    run: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "callbroker.toml").write_text('preset = "strict"\n')
    monkeypatch.setenv("CALLBROKER_LOG_LEVEL", "debug")
    told = {one["name"]: one for one in json.loads(run("config", "show", "--json").out)["settings"]}
    assert told["preset"]["from"] == "file"
    assert told["log_level"]["from"] == "CALLBROKER_LOG_LEVEL"
    assert told["listen"]["from"] == "default"
    assert all(one["about"] for one in told.values())


def test_a_systems_password_is_not_printed(run: Run, here: Path) -> None:
    (here / "callbroker.toml").write_text(
        '[sources.shop]\nurl = "http://127.0.0.1:1"\nbearer_token = "s3cret"\n'
    )
    assert "s3cret" not in run("config", "show").out
    assert "s3cret" not in run("config", "show", "--json").out


def test_drafting_writes_a_file_for_each_function_and_touches_none(run: Run, here: Path) -> None:
    (here / "our_functions.py").write_text(
        "def add(a: int, b: int) -> int:\n    return a + b\n\n"
        "def take(a: int) -> int:\n    return a\n"
    )
    (here / "out").mkdir()
    (here / "out" / "take.yaml").write_text("mine")
    ran = run("tools", "draft", "our_functions", "--out", "out")
    assert ran.code == ExitCode.OK
    assert (here / "out" / "take.yaml").read_text() == "mine"
    assert run("tools", "check", "out/add.yaml").code == ExitCode.OK


def test_a_draft_names_the_schema_only_where_it_is(run: Run, here: Path) -> None:
    (here / "some_functions.py").write_text("def add(a: int) -> int:\n    return a\n")
    run("tools", "draft", "some_functions", "--out", "without")
    assert (here / "without" / "add.yaml").read_text().startswith("name: add\n")
    assert run("tools", "draft", "some_functions").out.startswith("name: add\n")
    schema = here / "policies" / "schemas" / "manifest.json"
    schema.parent.mkdir(parents=True)
    schema.touch()
    run("tools", "draft", "some_functions", "--out", "tools")
    line, *_ = (here / "tools" / "add.yaml").read_text().splitlines()
    assert line == "# yaml-language-server: $schema=../policies/schemas/manifest.json"


def test_a_broken_manifest_is_told_with_its_file(run: Run, here: Path) -> None:
    (here / "bad.yaml").write_text("name: [\n")
    ran = run("tools", "check", "bad.yaml")
    assert ran.code == ExitCode.NO
    assert "bad.yaml: line" in ran.err


def test_a_project_never_writes_over_what_is_there(run: Run, here: Path) -> None:
    (here / "worker.py").write_text("mine")
    ran = run("init", ".")
    assert ran.code == ExitCode.USAGE
    assert (here / "worker.py").read_text() == "mine"
    assert [path.name for path in here.iterdir()] == ["worker.py"]


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
