"""The services of hosts, agents and reviewers over a real server: what goes in and comes out."""

import asyncio
import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from broker.core.credentials import CredentialClass
from broker.v1 import broker_pb2, host_pb2, review_pb2, types_pb2
from tests.served import served
from tests.unit.rpc.asking import held, invoke, mandate, session
from tests.world import REFUND

HOST, BY_AGENT = CredentialClass.HOST, CredentialClass.AGENT
REVIEWER = CredentialClass.REVIEWER
Invocation = types_pb2.Invocation


async def test_a_call_goes_from_mandate_to_result(broker):
    opened = await session(broker)
    done = await invoke(broker, opened)
    assert done.state == Invocation.STATE_SUCCEEDED
    assert done.effect == types_pb2.EFFECT_ALLOW
    assert json.loads(done.result_json) == {"refund_id": "r-1"}
    assert done.arguments_json == b'{"amount_minor":5500,"currency":"EUR","order_id":"O-1001"}'
    found = await broker.broker.GetInvocation(
        broker_pb2.GetInvocationRequest(name=done.name), metadata=broker.by(BY_AGENT)
    )
    assert found.invocation == done


async def test_a_refusal_is_an_answer(broker):
    denied = await invoke(broker, await session(broker), tool="no_such_tool")
    assert denied.state == Invocation.STATE_DENIED
    assert [r.code for r in denied.reasons] == ["TOOL_UNAVAILABLE"]
    assert denied.result_json == b""


async def test_tools_are_listed_with_their_schemas_page_by_page(broker):
    await broker.world.put_tool(name="another")
    opened = await session(broker)
    names, token = [], ""
    while True:
        page = await broker.broker.ListTools(
            broker_pb2.ListToolsRequest(
                session=opened.name, session_secret=opened.secret, page_size=1, page_token=token
            ),
            metadata=broker.by(BY_AGENT),
        )
        names += [tool.name for tool in page.tools]
        token = page.next_page_token
        if not token:
            break
    assert names == ["another", "refund"]
    assert json.loads(page.tools[0].arguments_schema_json) == REFUND["arguments"]
    assert json.loads(page.tools[0].result_schema_json) == REFUND["result"]


async def test_a_host_adds_words_and_ends_a_session(broker):
    ordered = await mandate(broker)
    added = await broker.host.AddWords(
        host_pb2.AddWordsRequest(mandate=ordered.name, words=["Please hurry."]),
        metadata=broker.by(HOST),
    )
    assert added.words_count == 2
    await broker.host.RevokeSession(
        host_pb2.RevokeSessionRequest(mandate=ordered.name, reason="user left"),
        metadata=broker.by(HOST),
    )
    with pytest.raises(grpc.aio.AioRpcError) as gone:
        await broker.broker.OpenSession(
            broker_pb2.OpenSessionRequest(mandate_secret=ordered.secret),
            metadata=broker.by(BY_AGENT),
        )
    assert gone.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_a_host_says_of_the_principal_arrives(broker):
    opened = await session(
        broker,
        principal=host_pb2.Principal(
            attributes_json=b'{"tier":"gold"}', assurance="password", person="idp#ann"
        ),
        context=host_pb2.CreateMandateRequest.CONTEXT_MEDIATED,
        session_life=Duration(seconds=60),
    )
    found = await broker.world.store.find_session(opened.name)
    assert str(found.principal.person) == "idp#ann"
    assert found.principal.attributes == {"tier": "gold"}
    assert found.principal.assurance == "password"
    assert found.context == "mediated"
    assert found.expires_at == broker.world.clock() + 60
    assert opened.expire_time.seconds == int(found.expires_at)


async def test_a_held_call_is_shown_approved_and_carried_out(broker):
    waiting = await held(broker)
    assert waiting.state == Invocation.STATE_HELD
    listed = await broker.review.ListHolds(
        review_pb2.ListHoldsRequest(), metadata=broker.by(REVIEWER)
    )
    (shown,) = listed.holds
    assert shown.name == waiting.hold
    assert shown.words == ["My lamp arrived broken."]
    assert shown.eligible
    assert shown.requirements[0].code == "NEEDS_PERSON"
    assert {a.pointer: a.rendered for a in shown.arguments}["/amount_minor"] == "EUR 55.00"
    approved = await broker.review.ApproveHold(
        review_pb2.ApproveHoldRequest(
            name=shown.name, etag=shown.etag, call_digest=shown.call_digest, reason="fine"
        ),
        metadata=broker.by(REVIEWER),
    )
    assert approved.hold.reviews[0].approved
    async with asyncio.timeout(5):
        watched = broker.broker.WatchInvocation(
            broker_pb2.WatchInvocationRequest(name=waiting.name), metadata=broker.by(BY_AGENT)
        )
        states = [change.invocation.state async for change in watched]
    assert states[-1] == Invocation.STATE_SUCCEEDED


async def test_a_rejection_reaches_the_model_in_the_reviewers_words(broker):
    waiting = await held(broker)
    shown = await broker.review.GetHold(
        review_pb2.GetHoldRequest(name=waiting.hold), metadata=broker.by(REVIEWER)
    )
    with pytest.raises(grpc.aio.AioRpcError) as stale:
        await broker.review.RejectHold(
            review_pb2.RejectHoldRequest(name=waiting.hold, etag="999", reason="no"),
            metadata=broker.by(REVIEWER),
        )
    assert stale.value.code() is grpc.StatusCode.ABORTED
    await broker.review.RejectHold(
        review_pb2.RejectHoldRequest(
            name=waiting.hold, etag=shown.hold.etag, reason="It was not broken."
        ),
        metadata=broker.by(REVIEWER),
    )
    found = await broker.broker.GetInvocation(
        broker_pb2.GetInvocationRequest(name=waiting.name), metadata=broker.by(BY_AGENT)
    )
    assert found.invocation.state == Invocation.STATE_REJECTED
    assert found.invocation.message == "It was not broken."


async def test_a_held_call_can_be_taken_back(broker):
    waiting = await held(broker)
    back = await broker.broker.CancelInvocation(
        broker_pb2.CancelInvocationRequest(name=waiting.name), metadata=broker.by(BY_AGENT)
    )
    assert back.invocation.state == Invocation.STATE_CANCELLED


async def test_holds_are_followed_as_they_open(broker):
    following = broker.review.WatchHolds(
        review_pb2.WatchHoldsRequest(), metadata=broker.by(REVIEWER)
    )
    reading = asyncio.create_task(anext(aiter(following)))
    async with asyncio.timeout(5):
        while not broker.world.events._subscriptions:
            await asyncio.sleep(0.01)
        waiting = await held(broker)
        change = await reading
    assert change.hold.name == waiting.hold
    following.cancel()


async def test_a_page_of_eligible_holds_goes_on_where_nobody_on_it_is(broker):
    await held(broker)
    stranger, token = await broker.issue(REVIEWER, "stranger", groups=("others",))
    listed = await broker.review.ListHolds(
        review_pb2.ListHoldsRequest(only_eligible=True),
        metadata=(("authorization", f"Bearer {token}"),),
    )
    assert stranger.groups == ("others",)
    assert (list(listed.holds), listed.next_page_token) == ([], "")


async def test_health_and_reflection_need_no_token(broker):
    health = health_pb2_grpc.HealthStub(broker.channel)
    for service in ("", "broker.v1.BrokerService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(broker.channel)
    asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
    answers = [a async for a in reflection.ServerReflectionInfo(iter(asked))]
    names = {s.name for s in answers[0].list_services_response.service}
    assert {"broker.v1.AdminService", "grpc.health.v1.Health"} <= names


async def test_reflection_is_served_only_where_it_is_wanted(tmp_path):
    async with served(tmp_path, reflects=False) as quiet:
        reflection = reflection_pb2_grpc.ServerReflectionStub(quiet.channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            [a async for a in reflection.ServerReflectionInfo(iter(asked))]
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
