"""Operators see who is signed in at the review page, and sign them out."""

import json

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.core.errors import Unauthenticated
from broker.sign_ins import SignIns
from broker.v1 import signing_in_pb2
from tests.served import Served
from tests.world import reviewer

OPERATOR, AUDITOR = CredentialClass.OPERATOR, CredentialClass.AUDITOR


async def listed(broker: Served, by: CredentialClass = OPERATOR):
    asked = signing_in_pb2.ListSignInsRequest()
    return list((await broker.admin.ListSignIns(asked, metadata=broker.by(by))).sign_ins)


async def revoke(broker: Served, name: str, *, reason: str = "Laptop lost."):
    asked = signing_in_pb2.RevokeSignInRequest(name=name, reason=reason)
    return (await broker.admin.RevokeSignIn(asked, metadata=broker.by(OPERATOR))).sign_in


async def test_a_sign_in_is_listed_and_ends_at_an_operators_word(broker: Served):
    sign_ins = SignIns(store=broker.world.store, clock=broker.world.clock)
    secret = await sign_ins.open(reviewer("lead", "leads"), how="oidc")
    other = await sign_ins.open(reviewer("lead-2", "leads"), how="local")
    newest, oldest = await listed(broker)
    assert {newest.reviewer, oldest.reviewer} == {"lead", "lead-2"}
    assert await listed(broker, AUDITOR) == [newest, oldest]
    lead = newest if newest.reviewer == "lead" else oldest
    assert (lead.person, list(lead.groups), lead.how) == ("local#lead", ["leads"], "oidc")
    assert secret not in str(lead)

    assert await revoke(broker, lead.name) == lead

    with pytest.raises(Unauthenticated):
        await sign_ins.find(secret)
    assert (await sign_ins.find(other)).reviewer.name == "lead-2"
    assert [one.reviewer for one in await listed(broker)] == ["lead-2"]
    parts = [p async for p in broker.world.store.export(since=0.0, include_contents=True)]
    said = [json.loads(line) for line in b"".join(parts).splitlines()]
    entries = [line.get("entry", line) for line in said]
    (ended,) = [e for e in entries if e.get("kind") == "sign_in.ended"]
    assert (ended["actor"], ended["body"]["reason"]) == ("operator-1", "Laptop lost.")
    assert ended["body"]["sign_in"] == lead.name


async def test_what_is_over_is_not_listed_and_not_revoked(broker: Served):
    sign_ins = SignIns(store=broker.world.store, clock=broker.world.clock)
    await sign_ins.open(reviewer("lead", "leads"), how="oidc")
    (one,) = await listed(broker)
    broker.world.clock.advance(1_801)
    assert await listed(broker) == []
    for name in (one.name, "sign-ins/x"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await revoke(broker, name)
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_signing_somebody_out_needs_a_reason_and_an_operator(broker: Served):
    sign_ins = SignIns(store=broker.world.store, clock=broker.world.clock)
    await sign_ins.open(reviewer("lead", "leads"), how="oidc")
    (one,) = await listed(broker)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await revoke(broker, one.name, reason=" ")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    asked = signing_in_pb2.RevokeSignInRequest(name=one.name, reason="r")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await broker.admin.RevokeSignIn(asked, metadata=broker.by(AUDITOR))
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert await listed(broker) == [one]
