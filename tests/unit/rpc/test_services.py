"""The five services over a real server: what goes in and what comes out."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, broker_pb2, host_pb2, review_pb2, types_pb2, worker_pb2
from tests.fakes.decision_point import hold, opinion
from tests.served import Served, served
from tests.world import AGENT, CUSTOMER, REFUND, TERMS

HOST, BY_AGENT = CredentialClass.HOST, CredentialClass.AGENT
WORKER, REVIEWER = CredentialClass.WORKER, CredentialClass.REVIEWER
OPERATOR, AUDITOR = CredentialClass.OPERATOR, CredentialClass.AUDITOR
Invocation = types_pb2.Invocation


@pytest.fixture
async def broker(tmp_path):
    async with served(tmp_path) as found:
        yield found


async def mandate(broker: Served, **given) -> host_pb2.CreateMandateResponse:
    request = host_pb2.CreateMandateRequest(
        principal=host_pb2.Principal(id=CUSTOMER, groups=["customers"]),
        agent=AGENT,
        words=["My lamp arrived broken."],
        scopes=[types_pb2.Scope(name="refunds:write")],
    )
    request.MergeFrom(host_pb2.CreateMandateRequest(**given))
    return await broker.host.CreateMandate(request, metadata=broker.by(HOST))


async def session(broker: Served, **given) -> broker_pb2.OpenSessionResponse:
    ordered = await mandate(broker, **given)
    return await broker.broker.OpenSession(
        broker_pb2.OpenSessionRequest(mandate_secret=ordered.secret), metadata=broker.by(BY_AGENT)
    )


async def invoke(
    broker: Served, opened: broker_pb2.OpenSessionResponse, request_id: str = "r-1", **given
) -> types_pb2.Invocation:
    arguments = {"order_id": "O-1001", "amount_minor": 5_500, "currency": "EUR"}
    request = broker_pb2.InvokeRequest(
        session=opened.name,
        session_secret=opened.secret,
        request_id=request_id,
        tool="refund",
        arguments_json=json.dumps(arguments).encode(),
    )
    for field, value in given.items():
        setattr(request, field, value)
    answer = await broker.broker.Invoke(request, metadata=broker.by(BY_AGENT))
    return answer.invocation


async def held(broker: Served) -> types_pb2.Invocation:
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    return await invoke(broker, await session(broker))


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


def hello(*, slots: int = 2, tools: tuple[str, ...] = ("refund",)) -> worker_pb2.ConnectRequest:
    return worker_pb2.ConnectRequest(
        hello=worker_pb2.WorkerHello(
            slots=slots,
            tools=[
                worker_pb2.ToolOffer(
                    name=name, parameters_schema_json=json.dumps(REFUND["arguments"]).encode()
                )
                for name in tools
            ],
        )
    )


class Wire:
    """A worker's end of the stream."""

    def __init__(self, broker: Served, token: str = "") -> None:
        self._said: asyncio.Queue[worker_pb2.ConnectRequest | None] = asyncio.Queue()
        metadata = (("authorization", f"Bearer {token}"),) if token else broker.by(WORKER)
        self._call = broker.worker.Connect(self._requests(), metadata=metadata)
        self._heard = aiter(self._call)

    async def _requests(self) -> AsyncIterator[worker_pb2.ConnectRequest]:
        while (request := await self._said.get()) is not None:
            yield request

    def say(self, request: worker_pb2.ConnectRequest | None) -> None:
        self._said.put_nowait(request)

    async def hear(self) -> worker_pb2.ConnectResponse:
        async with asyncio.timeout(5):
            return await anext(self._heard)

    async def failure(self) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.hear()
        return failed.value

    def close(self) -> None:
        self._call.cancel()


@contextlib.asynccontextmanager
async def connected(broker: Served):
    wire = Wire(broker)
    wire.say(hello())
    welcome = await wire.hear()
    assert welcome.welcome.broker == "brokers/1"
    try:
        yield wire
    finally:
        wire.close()


async def test_a_worker_is_welcomed_counted_and_gone_when_it_has_said_all(broker):
    async with connected(broker) as wire:
        status = await broker.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=broker.by(OPERATOR)
        )
        assert [(w.tools, w.free, w.slots) for w in status.workers] == [(["refund"], 2, 2)]
        wire.say(worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()))
        wire.say(None)
        with pytest.raises(StopAsyncIteration):
            await wire.hear()
    assert broker.workers.connections == ()


async def test_an_answer_that_nobody_waits_for_is_acknowledged_and_kept_as_evidence(broker):
    async with connected(broker) as wire:
        wire.say(
            worker_pb2.ConnectRequest(
                answer=worker_pb2.WorkerAnswer(
                    invocation="invocations/x", fencing_token="old", result_json=b"{}"
                )
            )
        )
        told = await wire.hear()
    assert told.acknowledged.fencing_token == "old"


@pytest.mark.parametrize(
    "first",
    [
        worker_pb2.ConnectRequest(),
        worker_pb2.ConnectRequest(draining=worker_pb2.WorkerDraining()),
        hello(slots=0),
        hello(slots=1_001),
        hello(tools=()),
        hello(tools=("refund", "refund")),
        worker_pb2.ConnectRequest(
            hello=worker_pb2.WorkerHello(
                slots=1, tools=[worker_pb2.ToolOffer(name="refund", parameters_schema_json=b"{")]
            )
        ),
    ],
)
async def test_a_worker_that_does_not_say_hello_properly_is_sent_away(broker, first):
    wire = Wire(broker)
    wire.say(first)
    assert (await wire.failure()).code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_worker_for_somebody_elses_tool_is_not_permitted(broker):
    wire = Wire(broker)
    wire.say(hello(tools=("refund", "delete_all")))
    assert (await wire.failure()).code() is grpc.StatusCode.PERMISSION_DENIED


async def test_operators_put_tools_grant_freeze_and_make_credentials(broker):
    by = broker.by(OPERATOR)
    put = await broker.admin.PutTools(
        admin_pb2.PutToolsRequest(
            manifests_json=[json.dumps({**REFUND, "name": "second"}).encode()]
        ),
        metadata=by,
    )
    assert [m.name for m in put.manifests] == ["refund", "second"]
    listed = await broker.admin.ListManifests(admin_pb2.ListManifestsRequest(), metadata=by)
    assert list(listed.manifests) == list(put.manifests)
    granted = await broker.admin.CreateGrant(
        admin_pb2.CreateGrantRequest(
            subject=CUSTOMER,
            scope=types_pb2.Scope(name="mail:send", where_json={"/to": '["a@example.com"]'}),
            reason="asked for it",
        ),
        metadata=by,
    )
    assert granted.grant.scope.where_json == {"/to": '["a@example.com"]'}
    access = await broker.admin.ShowAccess(
        admin_pb2.ShowAccessRequest(principal=CUSTOMER, groups=["customers"]), metadata=by
    )
    assert [(line.scope, list(line.tools)) for line in access.lines] == [
        ("refunds:write", ["refund", "second"])
    ]
    assert [g.name for g in access.unused_grants] == [granted.grant.name]
    frozen = await broker.admin.CreateFreeze(
        admin_pb2.CreateFreezeRequest(
            kind=admin_pb2.Freeze.KIND_TOOL,
            subject="refund",
            reason="fraud",
            life=Duration(seconds=60),
        ),
        metadata=by,
    )
    freezes = await broker.admin.ListFreezes(admin_pb2.ListFreezesRequest(), metadata=by)
    assert list(freezes.freezes) == [frozen.freeze]
    denied = await invoke(broker, await session(broker))
    assert [r.code for r in denied.reasons] == ["FROZEN"]
    await broker.admin.DeleteFreeze(
        admin_pb2.DeleteFreezeRequest(name=frozen.freeze.name, reason="over"), metadata=by
    )
    await broker.admin.DeleteGrant(
        admin_pb2.DeleteGrantRequest(name=granted.grant.name, reason="over"), metadata=by
    )
    await broker.admin.DeleteTool(
        admin_pb2.DeleteToolRequest(name="second", reason="over"), metadata=by
    )
    made = await broker.admin.CreateCredential(
        admin_pb2.CreateCredentialRequest(
            credential_class=admin_pb2.CREDENTIAL_CLASS_AUDITOR, subject="aud-2"
        ),
        metadata=by,
    )
    by_auditor = (("authorization", f"Bearer {made.token}"),)
    await broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=by_auditor)
    await broker.admin.RevokeCredential(
        admin_pb2.RevokeCredentialRequest(name=made.credential.name, reason="left"), metadata=by
    )
    credentials = await broker.admin.ListCredentials(
        admin_pb2.ListCredentialsRequest(), metadata=by
    )
    assert [c.revoked for c in credentials.credentials if c.subject == "aud-2"] == [True]


async def test_policies_are_activated_listed_and_rolled_back(broker):
    by = broker.by(OPERATOR)
    first = await broker.admin.ActivatePolicy(
        admin_pb2.ActivatePolicyRequest(
            files={"test/x": b"1"}, drop_families=[], preset="balanced"
        ),
        metadata=by,
    )
    second = await broker.admin.ActivatePolicy(
        admin_pb2.ActivatePolicyRequest(files={"test/x": b"2"}), metadata=by
    )
    listed = await broker.admin.ListPolicies(admin_pb2.ListPoliciesRequest(), metadata=by)
    assert {(p.policy_revision, p.active) for p in listed.policies} >= {
        (first.policy_revision, False),
        (second.policy_revision, True),
    }
    back = await broker.admin.RollbackPolicy(
        admin_pb2.RollbackPolicyRequest(reason="worse"), metadata=by
    )
    assert back.policy_revision == first.policy_revision
    with pytest.raises(grpc.aio.AioRpcError, match="test/x:1: broken"):
        await broker.admin.ActivatePolicy(
            admin_pb2.ActivatePolicyRequest(files={"test/x": b"broken"}), metadata=by
        )


async def test_auditors_list_show_follow_and_export_what_was_decided(broker):
    by = broker.by(AUDITOR)
    tail = broker.admin.TailInvocations(admin_pb2.TailInvocationsRequest(), metadata=by)
    reading = asyncio.create_task(anext(aiter(tail)))
    async with asyncio.timeout(5):
        while not broker.world.events._subscriptions:
            await asyncio.sleep(0.01)
        opened = await session(broker)
        done = [await invoke(broker, opened, f"r-{n}", tool="x") for n in range(3)]
        seen = (await reading).invocation
    assert seen.invocation.name == done[0].name
    tail.cancel()
    pages, token = [], ""
    while True:
        page = await broker.admin.ListInvocations(
            admin_pb2.ListInvocationsRequest(page_size=2, page_token=token, principal=CUSTOMER),
            metadata=by,
        )
        pages.append([summary.invocation.name for summary in page.invocations])
        token = page.next_page_token
        if not token:
            break
    assert pages == [[done[2].name, done[1].name], [done[0].name]]
    assert page.invocations[0].invocation.arguments_json == b""
    running = await broker.admin.ListInvocations(
        admin_pb2.ListInvocationsRequest(state=Invocation.STATE_RUNNING), metadata=by
    )
    assert list(running.invocations) == []
    story = await broker.admin.ShowInvocation(
        admin_pb2.ShowInvocationRequest(name=done[0].name), metadata=by
    )
    assert [json.loads(entry)["kind"] for entry in story.entries_json] == ["call.decided"]
    parts = broker.admin.ExportAudit(admin_pb2.ExportAuditRequest(), metadata=by)
    lines = b"".join([part.lines async for part in parts]).splitlines()
    assert all(json.loads(line) for line in lines)
    assert any(b"audit.exported" in line for line in lines)


async def test_an_unknown_call_is_settled_by_an_operator(broker):
    with pytest.raises(grpc.aio.AioRpcError) as none:
        await broker.admin.ReconcileInvocation(
            admin_pb2.ReconcileInvocationRequest(
                name="invocations/none", took_effect=True, evidence="the bank says so"
            ),
            metadata=broker.by(OPERATOR),
        )
    assert none.value.code() is grpc.StatusCode.NOT_FOUND


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
