import json
from pathlib import Path

import grpc
import pytest

from broker.cli.failures import ExitCode
from broker.v1 import admin_pb2, review_pb2, types_pb2
from broker.v1.review_pb2 import Hold, HoldRequirement
from tests.fakes.admin_server import FakeServices, Refusal
from tests.unit.cli.conftest import Run
from tests.unit.cli.holds_for_tests import HOLD_NAME, the_hold


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
