"""Observing and shadows over the wire: who may, what comes back, and what agents never see."""

import dataclasses

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from broker.core.credentials import CredentialClass
from broker.ports import Succeeded
from broker.v1 import admin_pb2, observing_pb2, review_pb2, types_pb2
from tests.fakes.decision_point import allow, hold, opinion
from tests.served import Served
from tests.unit.core.trials import note
from tests.unit.rpc.asking import invoke, session
from tests.world import AGENT, NOW, TERMS

OPERATOR, AUDITOR, REVIEWER = (
    CredentialClass.OPERATOR,
    CredentialClass.AUDITOR,
    CredentialClass.REVIEWER,
)


def order(**given) -> observing_pb2.CreateObservationRequest:
    end = Timestamp(seconds=int(NOW) + 3_600)
    fields = {"family": "test", "agent": AGENT, "expire_time": end, "reason": "new"}
    return observing_pb2.CreateObservationRequest(**{**fields, **given})


async def test_an_operator_observes_and_auditors_see_it(broker: Served):
    made = (await broker.admin.CreateObservation(order(), metadata=broker.by(OPERATOR))).observation
    assert (made.family, made.agent, made.reason) == ("test", AGENT, "new")
    assert made.observed_by == "operator-1"
    asked = observing_pb2.ListObservationsRequest()
    listed = await broker.admin.ListObservations(asked, metadata=broker.by(AUDITOR))
    assert list(listed.observations) == [made]
    status = await broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=broker.by(AUDITOR))
    assert list(status.observations) == [made]
    for cls in (AUDITOR, REVIEWER):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await broker.admin.CreateObservation(order(agent=""), metadata=broker.by(cls))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    end = observing_pb2.DeleteObservationRequest(name=made.name)
    ended = await broker.admin.DeleteObservation(end, metadata=broker.by(OPERATOR))
    assert ended.observation == made
    listed = await broker.admin.ListObservations(asked, metadata=broker.by(OPERATOR))
    assert list(listed.observations) == []


async def test_an_observation_without_an_end_is_refused(broker: Served):
    request = order()
    request.ClearField("expire_time")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await broker.admin.CreateObservation(request, metadata=broker.by(OPERATOR))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_operators_and_reviewers_see_what_was_observed_and_agents_do_not(broker: Served):
    await broker.world.put_tool(note())
    broker.world.runner.effect = lambda _call: Succeeded(result_json=b"{}")
    await broker.admin.CreateObservation(order(), metadata=broker.by(OPERATOR))
    lifted = dataclasses.replace(hold("CAREFUL", TERMS), family="test")
    strict = dataclasses.replace(hold("STRICT", TERMS), family="strict")
    broker.world.policy.answer = opinion(lifted, allow())
    opened = await session(broker)
    done = await invoke(broker, opened, tool="note", arguments_json=b'{"order_id":"O-1001"}')
    assert done.effect == types_pb2.EFFECT_ALLOW
    assert list(done.reasons) == []
    shown = await broker.admin.ShowInvocation(
        admin_pb2.ShowInvocationRequest(name=done.name), metadata=broker.by(AUDITOR)
    )
    (observed,) = shown.invocation.observed
    assert (observed.family, observed.code) == ("test", "CAREFUL")
    assert observed.effect == types_pb2.EFFECT_HOLD
    broker.world.policy.answer = opinion(lifted, strict)
    held = await invoke(broker, opened, "r-2", tool="note", arguments_json=b'{"order_id":"O-1001"}')
    asked = review_pb2.GetHoldRequest(name=held.hold)
    told = (await broker.review.GetHold(asked, metadata=broker.by(REVIEWER))).hold
    assert [r.code for r in told.requirements] == ["STRICT"]
    assert [o.code for o in told.observed] == ["CAREFUL"]


async def test_a_shadow_is_turned_on_looked_at_and_off(broker: Served):
    asked = observing_pb2.GetShadowRequest()
    none = await broker.admin.GetShadow(asked, metadata=broker.by(AUDITOR))
    assert not none.HasField("shadow")
    start = observing_pb2.StartShadowRequest(files={"test/rule": b"other"}, reason="to come")
    begun = (await broker.admin.StartShadow(start, metadata=broker.by(OPERATOR))).shadow
    assert (begun.reason, begun.started_by, begun.ready) == ("to come", "operator-1", True)
    assert list(begun.families) == ["test"]
    seen = await broker.admin.GetShadow(asked, metadata=broker.by(AUDITOR))
    assert seen.shadow == begun
    status = await broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=broker.by(AUDITOR))
    assert status.shadow == begun
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await broker.admin.StartShadow(start, metadata=broker.by(AUDITOR))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await broker.admin.StartShadow(start, metadata=broker.by(OPERATOR))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    stop = observing_pb2.StopShadowRequest(reason="seen enough")
    last = await broker.admin.StopShadow(stop, metadata=broker.by(OPERATOR))
    assert last.shadow.name == begun.name
