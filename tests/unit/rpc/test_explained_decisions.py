"""A past call is explained by a policy that is kept, to whoever may look, and decides nothing."""

import json

import grpc
import pytest

from broker.core.control_rows import TOOL, tool_row
from broker.core.credentials import CredentialClass
from broker.core.unit import AddDocument, Unit
from broker.v1 import admin_pb2
from tests.unit.rpc.asking import held, invoke, session

OPERATOR, AUDITOR = CredentialClass.OPERATOR, CredentialClass.AUDITOR


async def activated(broker) -> str:
    request = admin_pb2.ActivatePolicyRequest(files={"test/test.rego": b"fine"})
    answer = await broker.admin.ActivatePolicy(request, metadata=broker.by(OPERATOR))
    return answer.policy_revision


async def explained(broker, name: str, **given) -> admin_pb2.ExplainInvocationResponse:
    request = admin_pb2.ExplainInvocationRequest(name=name, **given)
    return await broker.admin.ExplainInvocation(request, metadata=broker.by(AUDITOR))


async def test_the_policy_that_is_named_is_asked_what_was_asked_then(broker):
    call = await held(broker)
    revision = await activated(broker)
    answer = await explained(broker, call.name, policy_revision=revision)
    document = json.loads(answer.explanation_json)
    assert (document["policy_revision"], document["tool"]) == (revision, "refund")
    assert answer.decision.invocation == call.name
    assert document["passed"] == []  # the tool's manifest is not kept here
    assert json.loads(answer.decision.question_json)["call"]["tool"] == "refund"


async def test_of_a_tool_that_is_kept_amounts_and_the_stages_before_are_told(broker):
    manifest = await broker.world.put_tool(review={"money": {"/amount_minor": "/currency"}})
    row = tool_row(manifest)
    kept = AddDocument(digest=row.digest, kind=TOOL, at=0.0, body=row.body)
    await broker.world.store.commit(Unit(changes=(kept,), entries=()))
    call = await held(broker)
    answer = await explained(broker, call.name, policy_revision=await activated(broker))
    document = json.loads(answer.explanation_json)
    assert document["money"] == {"/call/arguments/amount_minor": "EUR"}
    assert document["passed"] == [
        {"stage": "screen", "told": "arguments fit the schema; refunds:write held; no freeze"},
        {"stage": "floor", "told": "order#/customer_id is principal#/id; refunds 1 of 50 a day"},
    ]


async def test_a_policy_that_was_never_in_force_is_not_asked(broker):
    call = await held(broker)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await explained(broker, call.name, policy_revision="sha256:other")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_where_policy_was_not_asked_there_is_nothing_to_explain(broker):
    call = await invoke(broker, await session(broker), tool="no_such_tool")
    revision = await activated(broker)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await explained(broker, call.name, policy_revision=revision)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("name", ["invocations/none", ""])
async def test_a_call_that_is_not_there_is_not_explained(broker, name):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await explained(broker, name)
    wanted = grpc.StatusCode.NOT_FOUND if name else grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.code() == wanted
