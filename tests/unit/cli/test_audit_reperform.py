"""`audit reperform` says of each stage whether it comes to what the log has."""

import json
import re

from broker.v1 import admin_pb2, types_pb2

NAME = "invocations/01890a5d-ac96-774b-bcce-b302099a8057"


def answer(*, agrees: bool) -> admin_pb2.ReperformInvocationResponse:
    return admin_pb2.ReperformInvocationResponse(
        decision=admin_pb2.RecordedDecision(
            invocation=NAME,
            tool="refund",
            policy_revision="sha256:4f2a91c7",
            effect=types_pb2.EFFECT_HOLD,
        ),
        effect=types_pb2.EFFECT_HOLD if agrees else types_pb2.EFFECT_DENY,
        stages=[
            admin_pb2.ReperformedStage(stage="policy", agrees=agrees, told="\x1b[31mLARGE"),
            admin_pb2.ReperformedStage(stage="moment", told="FROZEN: only the moment knew"),
        ],
        agrees=agrees,
    )


def test_what_agrees_is_said_to(run, services):
    services.answers["ReperformInvocation"] = answer(agrees=True)
    ran = run("audit", "reperform", NAME, "--entry", "e-1")
    assert (ran.code, ran.err) == (0, "")
    asked = services.request("ReperformInvocation")
    assert (asked.name, asked.entry) == (NAME, "e-1")
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert re.fullmatch("refund i-[0-9a-f]{8} HOLD .*, policy 4f2a91c7", lines[0])
    assert lines[1].startswith("policy agrees")
    assert lines[2] == "moment recorded FROZEN: only the moment knew"
    assert lines[3].startswith("AGREES")


def test_what_differs_has_another_exit_code_and_cannot_act_on_a_terminal(run, services):
    services.answers["ReperformInvocation"] = answer(agrees=False)
    ran = run("audit", "reperform", NAME)
    assert ran.code == 1
    assert "policy  differs" in ran.out
    assert "DIFFERS" in ran.out
    assert "callbroker audit verify" in ran.out
    assert "\x1b[31mLARGE" not in ran.out


def test_programs_get_json(run, services):
    services.answers["ReperformInvocation"] = answer(agrees=True)
    ran = run("audit", "reperform", NAME, "--json")
    told = json.loads(ran.out)
    assert (ran.code, told["agrees"], len(told["stages"])) == (0, True, 2)
