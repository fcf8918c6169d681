"""What a call was decided on is given to those who judge rules, exactly as policy was asked."""

import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, types_pb2
from tests.fakes.decision_point import hold, opinion
from tests.unit.rpc.asking import held, invoke, session
from tests.world import TERMS

AUDITOR = CredentialClass.AUDITOR


async def recorded(broker, name: str, **given) -> admin_pb2.RecordedDecision:
    request = admin_pb2.GetRecordedDecisionRequest(name=name, **given)
    answer = await broker.admin.GetRecordedDecision(request, metadata=broker.by(AUDITOR))
    return answer.decision


async def listed(broker, **given) -> list[admin_pb2.RecordedDecision]:
    found: list[admin_pb2.RecordedDecision] = []
    request = admin_pb2.ListRecordedDecisionsRequest(**given)
    while True:
        page = await broker.admin.ListRecordedDecisions(request, metadata=broker.by(AUDITOR))
        found += page.decisions
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_the_question_is_the_one_that_policy_was_asked(broker):
    call = await held(broker)
    found = await recorded(broker, call.name)
    assert json.loads(found.question_json) == broker.world.policy.asked[-1]
    assert (found.tool, found.effect, found.erased) == ("refund", types_pb2.EFFECT_HOLD, False)
    stopped = next(v for v in found.verdicts if v.effect == types_pb2.EFFECT_HOLD)
    assert (stopped.stage, stopped.enforced) == ("policy", True)
    assert list(stopped.terms.reviewers) == list(TERMS.reviewers)
    assert stopped.terms.decide_within.seconds == TERMS.decide_within_s
    assert {v.stage for v in found.verdicts} == {"policy"}  # nothing else had anything to say
    assert found.policy_revision
    assert found.summary.startswith("Refund")


async def test_where_policy_was_spared_there_is_no_question(broker):
    call = await invoke(broker, await session(broker), tool="no_such_tool")
    found = await recorded(broker, call.name)
    assert (found.question_json, found.erased, found.policy_revision) == (b"", False, "")
    assert [v.code for v in found.verdicts] == ["TOOL_UNKNOWN"]


async def test_all_are_listed_newest_first_in_pages(broker):
    opened = await session(broker)
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    names = [(await invoke(broker, opened, f"r-{number}")).name for number in range(5)]
    found = await listed(broker, page_size=2)
    assert [d.invocation for d in found] == names[::-1]
    assert found[0] == await recorded(broker, names[-1], entry=found[0].entry)
    assert await listed(broker, tool="other") == []
    later = Timestamp(seconds=int(broker.world.clock()) + 1)
    assert await listed(broker, start_time=later) == []
    assert len(await listed(broker, end_time=later)) == 5


@pytest.mark.parametrize(
    ("name", "entry"), [("invocations/none", ""), ("\x00", ""), ("", ""), ("real", "no such entry")]
)
async def test_what_is_not_there_is_not_found(broker, name, entry):
    if name == "real":
        name = (await held(broker)).name
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await recorded(broker, name, entry=entry)
    code = refused.value.code()
    assert code == (grpc.StatusCode.NOT_FOUND if name else grpc.StatusCode.INVALID_ARGUMENT)


async def test_a_token_of_another_listing_is_refused(broker):
    opened = await session(broker)
    for number in range(2):
        await invoke(broker, opened, f"r-{number}")
    other = await broker.admin.ListInvocations(
        admin_pb2.ListInvocationsRequest(page_size=1), metadata=broker.by(AUDITOR)
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await listed(broker, page_token=other.next_page_token)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
