"""A policy comes into force after past decisions were taken again under it, and were looked at."""

import json
from pathlib import Path

import grpc
import pytest

from broker.cli.connection import Line, Token, open_channel
from broker.cli.failures import ExitCode
from broker.cli.watch import reload
from broker.config import Settings
from broker.core.decision import Effect, Verdict
from broker.policy.bundle import build
from broker.tools.registry import read_manifests
from broker.v1 import admin_pb2, observing_pb2
from broker.v1.admin_pb2_grpc import AdminServiceStub
from tests.exported_decisions import refund
from tests.fakes.admin_server import FakeServices, Refusal
from tests.fakes.policy_trees import opa
from tests.policies.trees import TREES, tools_beside
from tests.unit.cli.conftest import Run
from tests.unit.cli.test_policy_recorded import COVERED, NEEDS_PERSON, UNCOVERED, said, told

DESK = Path(str(TREES["support_desk"]))
OTHER = admin_pb2.Library(version="0.0.9", digest="sha256:0")


@pytest.fixture(autouse=True)
def _found_opa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBROKER_OPA", str(opa()))
    monkeypatch.delenv("CALLBROKER_PRESET", raising=False)


@pytest.fixture(scope="module")
def revision() -> str:
    """What the desk's policy is called."""
    return build(opa=opa(), directory=DESK, tools=tools_beside(DESK)).revision


@pytest.fixture
def desk(services: FakeServices, revision: str) -> FakeServices:
    """A broker on which another policy decided a refund that this one lets pass, and one alike."""
    services.answers["GetStatus"] = admin_pb2.GetStatusResponse(
        policy_revision="sha256:before",
        library=OTHER,
        shipped_library=admin_pb2.Library(version="0.1.0", digest="sha256:1"),
    )
    services.answers["ListPolicies"] = admin_pb2.ListPoliciesResponse(
        policies=[
            admin_pb2.Policy(policy_revision="sha256:older", preset="strict"),
            admin_pb2.Policy(
                policy_revision="sha256:before", preset="balanced", active=True, library=OTHER
            ),
        ]
    )
    services.answers["ActivatePolicy"] = admin_pb2.ActivatePolicyResponse(
        policy_revision=revision, families=["refunds"], library=OTHER
    )
    services.answers["ListManifests"] = admin_pb2.ListManifestsResponse(
        manifests=[
            admin_pb2.Manifest(document_json=json.dumps(document).encode())
            for _, document in read_manifests(DESK.parent / "tools")
        ]
    )
    decided(services, [UNCOVERED], [COVERED, NEEDS_PERSON])
    return services


def decided(services: FakeServices, *verdicts: list[Verdict]) -> None:
    """Past refunds of EUR 40 and then of EUR 55, each decided so."""
    amounts = (4_000, 5_500)
    services.answers["ListRecordedDecisions"] = admin_pb2.ListRecordedDecisionsResponse(
        decisions=[told(n, verdicts[n], question=refund(amounts[n])) for n in range(len(verdicts))]
    )


def sent(services: FakeServices) -> list[admin_pb2.ActivatePolicyRequest]:
    """What the broker was asked to put in force."""
    asked = [request for name, request, _ in services.asked if name == "ActivatePolicy"]
    return [request for request in asked if not request.validate_only]


def test_what_loosens_is_shown_and_not_put_in_force(run: Run, desk: FakeServices) -> None:
    ran = run("policy", "activate", str(DESK), "--reason", "Better.")
    assert ran.code == ExitCode.NO
    assert "deny-to-allow  1  was denied and would run" in ran.out
    assert "It loosens 1 of 2 past decisions, so nothing was changed" in ran.err
    assert sent(desk) == []


def test_with_a_yes_it_comes_into_force_as_it_was_looked_at(
    run: Run, desk: FakeServices, revision: str
) -> None:
    ran = run("policy", "activate", str(DESK), "--yes")
    assert (ran.code, ran.err) == (ExitCode.OK, "")
    assert "deny-to-allow  1" in ran.out
    assert f"Policy {revision[7:15]}, library 0.0.9 0 in force: refunds" in ran.out
    (request,) = sent(desk)
    assert request.expected_policy_revision == revision
    assert (request.replay.decisions, request.replay.changed, request.replay.loosened) == (2, 1, 1)


def test_what_loosens_nothing_needs_no_yes(run: Run, desk: FakeServices) -> None:
    decided(desk, [said(Effect.ALLOW, "ANYTHING")], [said(Effect.ALLOW, "ANYTHING")])
    ran = run("policy", "activate", str(DESK))
    assert ran.code == ExitCode.OK
    assert "allow-to-hold  1" in ran.out
    assert sent(desk)[0].replay.loosened == 0


@pytest.mark.parametrize(("answer", "code"), [("y", ExitCode.OK), ("", ExitCode.NO)])
def test_in_a_terminal_somebody_is_asked(
    run: Run, desk: FakeServices, monkeypatch: pytest.MonkeyPatch, answer: str, code: ExitCode
) -> None:
    questions: list[str] = []

    def answered(question: str) -> str:
        questions.append(question)
        return answer

    monkeypatch.setattr("builtins.input", answered)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    ran = run("policy", "activate", str(DESK))
    assert ran.code == code
    assert questions == ["Put it in force? [y/N] "]
    assert len(sent(desk)) == (1 if code is ExitCode.OK else 0)


@pytest.mark.usefixtures("desk")
def test_programs_get_one_document_and_are_not_asked(run: Run) -> None:
    ran = run("policy", "activate", str(DESK), "--json")
    assert ran.code == ExitCode.NO
    found = json.loads(ran.out)
    assert found["in_force"] is False
    assert found["replay"]["changes"]["deny-to-allow"]["count"] == 1
    ran = run("policy", "activate", str(DESK), "--json", "--yes")
    assert json.loads(ran.out)["replay"]["asked"] == 2


def test_without_a_replay_a_reason_is_asked_for_and_the_log_says_so(
    run: Run, desk: FakeServices
) -> None:
    ran = run("policy", "activate", str(DESK), "--no-replay")
    assert ran.code == ExitCode.USAGE
    assert "--no-replay needs a --reason" in ran.err
    ran = run("policy", "activate", str(DESK), "--no-replay", "--reason", "It burns.")
    assert ran.code == ExitCode.OK
    (request,) = sent(desk)
    assert (request.HasField("replay"), request.reason) == (False, "It burns.")


def test_the_first_policy_has_nothing_to_be_taken_again(run: Run, desk: FakeServices) -> None:
    desk.answers["GetStatus"] = admin_pb2.GetStatusResponse()
    assert run("policy", "activate", str(DESK)).code == ExitCode.OK
    assert "ListRecordedDecisions" not in [name for name, _, _ in desk.asked]


def test_what_the_broker_would_build_otherwise_cannot_be_looked_at_here(
    run: Run, desk: FakeServices
) -> None:
    desk.answers["ActivatePolicy"] = admin_pb2.ActivatePolicyResponse(policy_revision="sha256:x")
    ran = run("policy", "activate", str(DESK), "--yes")
    assert ran.code == ExitCode.NO
    assert "ships another library than this one" in ran.err
    assert sent(desk) == []


def test_a_refused_policy_is_told_before_anything_is_taken_again(
    run: Run, desk: FakeServices
) -> None:
    desk.answers["ActivatePolicy"] = Refusal(
        code=grpc.StatusCode.INVALID_ARGUMENT, message="This policy is refused:\na.rego:1: one"
    )
    ran = run("policy", "activate", str(DESK))
    assert (ran.code, ran.out) == (ExitCode.NO, "")
    assert "a.rego:1: one" in ran.err


def test_an_upgrade_says_both_libraries_and_keeps_the_preset(
    run: Run, desk: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_PRESET", "strict")
    ran = run("policy", "upgrade", str(DESK), "--yes", "--reason", "Release 0.1.")
    assert ran.code == ExitCode.OK
    assert ran.out.startswith("Library 0.0.9 0 -> 0.1.0 1\n")
    assert "deny-to-allow  1" in ran.out
    assert sent(desk)[0].preset == "balanced"


def test_where_both_are_the_same_there_is_nothing_to_upgrade(run: Run, desk: FakeServices) -> None:
    desk.answers["GetStatus"] = admin_pb2.GetStatusResponse(
        policy_revision="sha256:before", library=OTHER, shipped_library=OTHER
    )
    ran = run("policy", "upgrade", str(DESK))
    assert (ran.code, ran.out) == (ExitCode.OK, "In force already: 0.0.9 0.\n")
    assert sent(desk) == []


def test_status_and_list_say_which_library_decides(run: Run, desk: FakeServices) -> None:
    told_of_it = " ".join(run("status").out.split())
    assert "library 0.0.9 0; this release ships 0.1.0 1: callbroker policy upgrade" in told_of_it
    desk.answers["ListObservations"] = observing_pb2.ListObservationsResponse()
    desk.answers["GetShadow"] = observing_pb2.GetShadowResponse()
    lines = run("policy", "list").out.splitlines()
    assert "in force  0.0.9 0" in lines[2]
    assert "0.0.9" not in lines[1]


def test_a_watched_file_brings_no_other_library_in_force(desk: FakeServices, here: Path) -> None:
    tree = here / "own"
    tree.mkdir()
    token = Token(text="t", origin="the test")
    with open_channel(desk.address) as channel:
        line = Line(stub=AdminServiceStub(channel), address=desk.address, token=token)
        assert not reload(Settings(policies=tree), line)
        assert sent(desk) == []
        desk.answers["GetStatus"] = admin_pb2.GetStatusResponse(
            policy_revision="sha256:before", library=OTHER, shipped_library=OTHER
        )
        assert reload(Settings(policies=tree), line)
    assert len(sent(desk)) == 1
