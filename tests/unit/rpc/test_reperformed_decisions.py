"""A past call is decided again by what is kept of then, for whoever may look."""

import grpc
import pytest

from broker.core.control_rows import TOOL, tool_row
from broker.core.credentials import CredentialClass
from broker.core.decision import Opinion
from broker.core.unit import AddDocument, Unit
from broker.v1 import admin_pb2, types_pb2
from tests.fakes.decision_point import allow, hold
from tests.served import kept_policy
from tests.unit.rpc.asking import held, invoke, session

AUDITOR = CredentialClass.AUDITOR


async def kept(broker) -> None:
    """What putting the tool in force would have kept of it."""
    row = tool_row(await broker.world.put_tool())
    document = AddDocument(digest=row.digest, kind=TOOL, at=0.0, body=row.body)
    await broker.world.store.commit(Unit(changes=(document,), entries=()))


async def reperformed(broker, name: str, **given) -> admin_pb2.ReperformInvocationResponse:
    request = admin_pb2.ReperformInvocationRequest(name=name, **given)
    return await broker.admin.ReperformInvocation(request, metadata=broker.by(AUDITOR))


def said(broker, *verdicts) -> None:
    revision = broker.world.room.current().policy_revision
    broker.explainer.opinion = Opinion(verdicts=verdicts, policy_revision=revision)


async def test_each_stage_is_told_beside_the_record(broker):
    await kept(broker)
    call = await held(broker)
    said(broker, *broker.world.policy.answer.verdicts)
    told = await reperformed(broker, call.name)
    assert (told.agrees, told.effect) == (True, types_pb2.EFFECT_HOLD)
    assert [(stage.stage, stage.agrees) for stage in told.stages] == [
        (stage, True)
        for stage in ("call", "screen", "question", "floor", "policy", "observing", "settle")
    ]
    assert [body for body, _ in broker.explainer.asked] == [kept_policy().body]


async def test_a_policy_that_says_something_else_differs(broker):
    await kept(broker)
    call = await held(broker)
    said(broker, allow(), hold("ANOTHER"))
    told = await reperformed(broker, call.name)
    assert not told.agrees
    assert "ANOTHER" in {s.stage: s.told for s in told.stages}["policy"]


async def test_without_the_tool_there_is_nothing_to_decide_again(broker):
    call = await invoke(broker, await session(broker), tool="no_such_tool")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reperformed(broker, call.name)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("name", ["invocations/none", ""])
async def test_a_call_that_is_not_there_is_not_decided_again(broker, name):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reperformed(broker, name)
    wanted = grpc.StatusCode.NOT_FOUND if name else grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.code() == wanted
