"""The service of operators and auditors over a real server: what goes in and what comes out."""

import asyncio
import json

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, types_pb2
from tests.unit.rpc.asking import invoke, session
from tests.world import CUSTOMER, REFUND

OPERATOR, AUDITOR = CredentialClass.OPERATOR, CredentialClass.AUDITOR
Invocation = types_pb2.Invocation


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
