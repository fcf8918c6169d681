"""A credential of one class on every other's service."""

import asyncio
import json
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from broker.core.credentials import CredentialClass
from broker.rpc.server import SERVICES
from broker.v1 import admin_pb2, broker_pb2, host_pb2, review_pb2, worker_pb2
from tests.served import Served, bearer

FILES = (host_pb2, broker_pb2, worker_pb2, review_pb2, admin_pb2)
METHODS = [
    method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
OWNERS = {
    "HostService": {CredentialClass.HOST},
    "BrokerService": {CredentialClass.AGENT},
    "WorkerService": {CredentialClass.WORKER},
    "ReviewService": {CredentialClass.REVIEWER},
    "AdminService": {CredentialClass.OPERATOR},
}
# Written out: a method that is added is closed to auditors until it is here.
READ_BY_AUDITORS = {
    "GetStatus",
    "ListManifests",
    "ListPolicies",
    "ShowAccess",
    "ListFreezes",
    "ListObservations",
    "GetShadow",
    "ListDirectories",
    "ListDirectoryEntries",
    "ListCredentials",
    "ListSignIns",
    "GetRetention",
    "ListInvocations",
    "TailInvocations",
    "ShowInvocation",
    "GetRecordedDecision",
    "ListRecordedDecisions",
    "ExplainInvocation",
    "ReperformInvocation",
    "ExportAudit",
}


def expected(method) -> set[CredentialClass]:
    service = method.containing_service.name
    auditors = service == "AdminService" and method.name in READ_BY_AUDITORS
    return OWNERS[service] | ({CredentialClass.AUDITOR} if auditors else set())


async def status(broker: Served, method, metadata) -> grpc.StatusCode:
    """The status of an empty request; OK where a stream goes on."""
    path = f"/{method.containing_service.full_name}/{method.name}"
    request = GetMessageClass(method.input_type)()
    codec = {
        "request_serializer": Message.SerializeToString,
        "response_deserializer": GetMessageClass(method.output_type).FromString,
    }

    async def once() -> AsyncIterator[Message]:
        yield request

    try:
        async with asyncio.timeout(10):
            if method.client_streaming:
                call = broker.channel.stream_stream(path, **codec)(once(), metadata=metadata)
                await anext(aiter(call))
            elif method.server_streaming:
                call = broker.channel.unary_stream(path, **codec)(request, metadata=metadata)
                # A stream that is let in waits for something to happen.
                await call.wait_for_connection()
                async with asyncio.timeout(0.3):
                    await anext(aiter(call))
                call.cancel()
            else:
                await broker.channel.unary_unary(path, **codec)(request, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        if method.client_streaming and error.code() is grpc.StatusCode.INTERNAL:
            # The client's own: it was writing when the answer came, and forgets that one.
            return await status(broker, method, metadata)
        return error.code()
    except TimeoutError:
        call.cancel()
    return grpc.StatusCode.OK


async def test_every_class_reaches_exactly_its_own_methods(broker):
    """I hold one token, of any class, and try it on every method that there is.

    An agent would approve its own holds, a worker would read the audit log, a host would make
    itself an operator, an auditor would grant what they only may look at.
    """
    wrong = []
    for method in METHODS:
        for credential_class in CredentialClass:
            code = await status(broker, method, broker.by(credential_class))
            is_refused = code is grpc.StatusCode.PERMISSION_DENIED
            is_unknown = code is grpc.StatusCode.UNAUTHENTICATED
            if is_unknown or is_refused == (credential_class in expected(method)):
                wrong.append((method.full_name, str(credential_class), code.name))
    assert wrong == []
    assert {m.containing_service.full_name for m in METHODS} == set(SERVICES)


async def test_no_method_is_reached_without_a_good_token(broker):
    """I have no token, or one that was never issued, and try every method."""
    strangers = [
        (),
        bearer(""),
        bearer("cb_operator_" + "A" * 43),
        bearer("x" * 200),
        (("authorization", broker.tokens[CredentialClass.OPERATOR]),),
        (("x-authorization", f"Bearer {broker.tokens[CredentialClass.OPERATOR]}"),),
    ]
    codes = {
        (method.name, await status(broker, method, metadata))
        for method in METHODS
        for metadata in strangers
    }
    assert {code for _, code in codes} == {grpc.StatusCode.UNAUTHENTICATED}


async def test_two_authorization_headers_are_none(broker):
    """I put an agent's token first and an operator's second, and hope that each side reads one."""
    both = broker.by(CredentialClass.AGENT) + broker.by(CredentialClass.OPERATOR)
    for metadata in (both, both[::-1], both[:1] * 2):
        code = await status(broker, METHODS[0], metadata)
        assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_whoever_is_turned_away_is_in_the_log_and_their_token_is_not(broker):
    """I try an agent's token on ApproveHold, and hope that nobody ever hears of it."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await broker.review.ApproveHold(
            review_pb2.ApproveHoldRequest(name="holds/x", etag="1"),
            metadata=broker.by(CredentialClass.AGENT),
        )
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(grpc.aio.AioRpcError):
        await broker.admin.GetStatus(
            admin_pb2.GetStatusRequest(), metadata=bearer("cb_operator_" + "A" * 43)
        )
    parts = [p async for p in broker.world.store.export(since=0.0, include_contents=True)]
    log = b"".join(parts)
    said = [json.loads(line) for line in log.splitlines()]
    refusals = [
        entry
        for line in said
        if (entry := line.get("entry", line)).get("kind") == "request.refused"
    ]
    assert [(e["actor"], e["body"]["rpc"], e["body"]["reason"]) for e in refusals] == [
        ("agents/support-assistant", "broker.v1.ReviewService/ApproveHold", "NOT_PERMITTED"),
        ("", "broker.v1.AdminService/GetStatus", "UNAUTHENTICATED"),
    ]
    assert broker.tokens[CredentialClass.AGENT].encode() not in log
    assert b"A" * 43 not in log


async def test_a_flood_of_bad_tokens_does_not_fill_the_log(broker):
    """I knock ten thousand times (here: 300) with bad tokens, until the disk is full."""

    async def knock() -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=bearer("no"))

    before = (await broker.world.store.counts()).audit_entries
    for _ in range(10):
        await asyncio.gather(*(knock() for _ in range(30)))
    assert (await broker.world.store.counts()).audit_entries - before == 20
