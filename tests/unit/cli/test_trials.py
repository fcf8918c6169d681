"""`policy observe` and `policy shadow`: what is sent, and what is said where somebody looks."""

import json
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from broker.cli.failures import ExitCode
from broker.cli.hold_picture import hold_picture
from broker.cli.invocations import call_picture, list_picture, tail_lines
from broker.cli.status import status_picture
from broker.cli.trial_picture import observations_picture, shadow_picture
from broker.v1 import admin_pb2, observing_pb2
from broker.v1.admin_pb2 import GetStatusResponse, InvocationSummary
from broker.v1.observing_pb2 import Observation, Shadow, ShadowDifference, ShadowExample
from broker.v1.types_pb2 import (
    EFFECT_ALLOW,
    EFFECT_DENY,
    EFFECT_HOLD,
    Invocation,
    Observed,
)
from tests.fakes.admin_server import FakeServices
from tests.unit.cli.conftest import Run
from tests.unit.cli.holds_for_tests import AROUND, at, the_hold

END = Timestamp(seconds=int(AROUND.now) + 7 * 86_400)
ONE = Observation(
    name="observations/1",
    family="mail",
    agent="agents/a",
    reason="to see",
    observed_by="operator-1",
    create_time=at(14, 0),
    expire_time=END,
)
OBSERVED = Observed(family="mail", effect=EFFECT_HOLD, code="MAIL_TO_MANY", message="To many.")
SHADOW = Shadow(
    name="shadows/1",
    policy_revision="sha256:4f2a91c7aa",
    families=["mail"],
    reason="to come",
    started_by="operator-1",
    start_time=at(9, 5),
    ready=True,
    decisions=1_234,
    differences=[
        ShadowDifference(
            before=EFFECT_DENY,
            after=EFFECT_ALLOW,
            calls=2,
            examples=[
                ShadowExample(
                    invocation="invocations/01a1fbe2-37c5-76cb-857c-3f4e9c2e01ab",
                    tool="send_mail\x1b[2J",
                    codes_before=["MAIL_TO_STRANGER"],
                    codes_after=["MAIL_TO_KNOWN"],
                )
            ],
        ),
        ShadowDifference(before=EFFECT_HOLD, after=EFFECT_HOLD, calls=1),
    ],
)


def drawn(lines: object) -> str:
    assert isinstance(lines, list)
    return "\n".join(line.plain for line in lines)


def answers(services: FakeServices, *observations: Observation) -> None:
    listed = observing_pb2.ListObservationsResponse(observations=observations)
    services.answers["ListObservations"] = listed


def test_observing_sends_family_agent_end_and_reason(run: Run, services: FakeServices) -> None:
    services.answers["CreateObservation"] = observing_pb2.CreateObservationResponse(observation=ONE)
    words = ("mail", "--agent", "agents/a", "--until", "7d", "--reason", "to see")
    ran = run("policy", "observe", *words)
    assert ran.code == ExitCode.OK
    assert ran.out.startswith("Observed: mail for agents/a, until ")
    assert "It ends by: callbroker policy observe --end mail --agent agents/a" in ran.out
    request = services.request("CreateObservation")
    assert (request.family, request.agent, request.reason) == ("mail", "agents/a", "to see")
    assert request.expire_time.seconds > 0


def test_observing_is_asked_for_whole_or_not_at_all(run: Run, services: FakeServices) -> None:
    answers(services)
    for words in (
        ("mail",),
        ("mail", "--until", "7d"),
        ("mail", "--reason", "r"),
        ("mail", "--list"),
        ("--end",),
        (),
    ):
        assert run("policy", "observe", *words).code == ExitCode.USAGE
    assert services.asked == []


def test_what_is_observed_is_listed(run: Run, services: FakeServices) -> None:
    answers(services)
    assert run("policy", "observe", "--list").out == "No family is observed.\n"
    answers(services, ONE)
    told = run("policy", "observe", "--list", "--json")
    assert json.loads(told.out)["observations"][0]["family"] == "mail"
    picture = drawn(observations_picture([ONE], AROUND, width=100))
    assert "agents/a  14:00  27 Nov 14:39 (7 d)  operator-1  to see" in picture


def test_ending_finds_the_one_that_is_meant(run: Run, services: FakeServices) -> None:
    everybody = Observation(name="observations/2", family="mail")
    answers(services, ONE, everybody, Observation(name="observations/3", family="other"))
    ended = observing_pb2.DeleteObservationResponse(observation=ONE)
    services.answers["DeleteObservation"] = ended
    ran = run("policy", "observe", "--end", "mail")
    assert ran.code == ExitCode.NO
    assert "callbroker policy observe --end mail --agent agents/a" in ran.err
    assert run("policy", "observe", "--end", "mail", "--agent", "agents/a").code == ExitCode.OK
    assert services.request("DeleteObservation").name == "observations/1"
    assert run("policy", "observe", "--end", "other").code == ExitCode.OK
    assert services.request("DeleteObservation").name == "observations/3"
    assert "'none' is not observed." in run("policy", "observe", "--end", "none").err


def test_it_is_shown_wherever_somebody_looks() -> None:
    status = GetStatusResponse(broker="brokers/b", observations=[ONE], shadow=SHADOW)
    told = drawn(status_picture(status, "127.0.0.1:7400", AROUND))
    assert "Observed mail for agents/a, until 27 Nov 14:39 (7 d), by operator-1: to see" in told
    assert "Shadow   4f2a91c7, since 09:05: 1234 calls decided by both, 3 of them otherwise" in told
    held = drawn(hold_picture(the_hold(observed=[OBSERVED]), AROUND))
    assert "Observed HOLD  To many. MAIL_TO_MANY (mail, observed only)" in held
    ran = InvocationSummary(
        invocation=Invocation(name="invocations/1", effect=EFFECT_ALLOW), observed=[OBSERVED]
    )
    assert "Observed HOLD  To many. MAIL_TO_MANY (mail, observed only)" in drawn(
        call_picture(ran, AROUND)
    )
    assert "MAIL_TO_MANY (observed only)" in drawn(list_picture([ran], AROUND, width=200))
    assert "MAIL_TO_MANY (observed only)" in drawn(tail_lines(ran, AROUND, width=200))


def test_policies_are_listed_with_what_is_tried_out(run: Run, services: FakeServices) -> None:
    answers(services, ONE)
    services.answers["GetShadow"] = observing_pb2.GetShadowResponse(shadow=SHADOW)
    services.answers["ListPolicies"] = admin_pb2.ListPoliciesResponse(
        policies=[admin_pb2.Policy(policy_revision="sha256:aa", families=["mail"], active=True)]
    )
    told = run("policy", "list").out
    assert "Observed mail for agents/a" in told
    assert "Shadow 4f2a91c7" in told
    plain = json.loads(run("policy", "list", "--json").out)
    assert plain["observations"][0]["name"] == "observations/1"
    assert plain["shadow"]["decisions"] == 1_234


def test_a_shadow_shows_what_loosens_first_and_nothing_acts() -> None:
    told = drawn(shadow_picture(SHADOW, AROUND, width=120))
    assert "\x1b" not in told
    lines = told.splitlines()
    assert lines[0].startswith("Shadow 4f2a91c7, since 09:05")
    assert lines[1] == "By operator-1: to come"
    assert lines[3].split()[:3] == ["DENY", "ALLOW", "2"]
    assert "i-9c2e01ab send_mail" in lines[3]
    assert "MAIL_TO_STRANGER -> MAIL_TO_KNOWN" in lines[3]
    assert lines[4].startswith("HOLD  HOLD on other terms  1")
    beside = Shadow(policy_revision="sha256:1", beside_policy_revision="sha256:2", ready=True)
    assert drawn(shadow_picture(beside, AROUND, width=120)).startswith("Shadow 1 beside 2, since")
    beside.beside_policy_revision = "sha256:1"
    assert "Shadow 1, in force itself now" in drawn(shadow_picture(beside, AROUND, width=120))
    missed = Shadow(name="shadows/1", dropped=3, unanswered=4)
    told = drawn(shadow_picture(missed, AROUND, width=120))
    assert "does not answer" in told
    assert "Not compared: 3 as too many waited, 4 unanswered" in told


def test_a_shadow_is_turned_on_looked_at_and_off(
    run: Run, services: FakeServices, here: Path
) -> None:
    tree = here / "policies" / "broker" / "rules" / "mail"
    tree.mkdir(parents=True)
    (tree / "mail.rego").write_text("package broker.rules.mail\n")
    services.answers["StartShadow"] = observing_pb2.StartShadowResponse(shadow=SHADOW)
    words = ("policies", "--preset", "strict", "--drop", "a", "--reason", "to come")
    ran = run("policy", "shadow", *words)
    assert ran.code == ExitCode.OK
    assert ran.out.splitlines()[-1] == "See what differs: callbroker policy shadow"
    request = services.request("StartShadow")
    assert list(request.files) == ["broker/rules/mail/mail.rego"]
    assert (request.preset, list(request.drop_families)) == ("strict", ["a"])
    services.answers["GetShadow"] = observing_pb2.GetShadowResponse(shadow=SHADOW)
    assert json.loads(run("policy", "shadow", "--json").out)["differences"][0]["calls"] == 2
    services.answers["StopShadow"] = observing_pb2.StopShadowResponse(shadow=SHADOW)
    assert run("policy", "shadow", "--off").out.splitlines()[-1] == "Asked no more."
    assert run("policy", "shadow", "policies", "--off").code == ExitCode.USAGE
    services.answers["GetShadow"] = observing_pb2.GetShadowResponse()
    assert run("policy", "shadow").out == "No shadow is on: callbroker policy shadow DIR\n"
    assert json.loads(run("policy", "shadow", "--json").out) == {"shadow": None}
