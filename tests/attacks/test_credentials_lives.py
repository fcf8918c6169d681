"""A token that was good: expired, revoked, or kept alive by a stream that never ends."""

import asyncio
import json

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.v1 import admin_pb2, broker_pb2, credentials_pb2, review_pb2, worker_pb2
from tests.fakes.decision_point import hold, opinion
from tests.served import Served, bearer
from tests.world import AGENT, REFUND, TERMS


async def code_of(call) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def end_of(stream) -> grpc.aio.AioRpcError:
    """How a stream ends that would go on for ever."""

    async def read_on() -> None:
        async with asyncio.timeout(5):
            async for _ in stream:
                pass

    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await read_on()
    return ended.value


async def revoke(broker: Served, name: str) -> None:
    await broker.admin.RevokeCredential(
        admin_pb2.RevokeCredentialRequest(name=name, reason="stolen"),
        metadata=broker.by(CredentialClass.OPERATOR),
    )


async def test_a_token_is_worth_nothing_from_the_second_on_in_which_it_expires(broker):
    """I found a token in an old backup."""
    _, token = await broker.issue(
        CredentialClass.AUDITOR, "aud-9", expires_at=broker.world.clock() + 60
    )
    ask = broker.admin.GetStatus
    request = admin_pb2.GetStatusRequest()
    assert await code_of(ask(request, metadata=bearer(token))) is grpc.StatusCode.OK
    broker.world.clock.advance(60)
    code = await code_of(ask(request, metadata=bearer(token)))
    assert code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_revoked_token_is_worth_nothing_at_once(broker):
    """I stole a token; they noticed; I am quicker than their caches."""
    credential, token = await broker.issue(CredentialClass.AUDITOR, "aud-9")
    await revoke(broker, credential.name)
    code = await code_of(
        broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=bearer(token))
    )
    assert code is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("ending", ["revoked", "expired"])
async def test_a_stream_ends_with_the_credential_that_opened_it(broker, ending):
    """I open streams while my token is good, and listen on when it is not."""
    clock = broker.world.clock
    reviewer, by_reviewer = await broker.issue(
        CredentialClass.REVIEWER, "lead-9", expires_at=clock() + 60
    )
    auditor, by_auditor = await broker.issue(
        CredentialClass.AUDITOR, "aud-9", expires_at=clock() + 60
    )
    streams = [
        broker.review.WatchHolds(review_pb2.WatchHoldsRequest(), metadata=bearer(by_reviewer)),
        broker.admin.TailInvocations(
            admin_pb2.TailInvocationsRequest(), metadata=bearer(by_auditor)
        ),
    ]
    ends = [asyncio.create_task(end_of(stream)) for stream in streams]
    await asyncio.sleep(0.2)  # longer than several looks at a credential that is good
    assert not any(task.done() for task in ends)
    if ending == "revoked":
        await revoke(broker, reviewer.name)
        await revoke(broker, auditor.name)
    else:
        clock.advance(60)
    for error in await asyncio.gather(*ends):
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    async with asyncio.timeout(5):
        while broker.world.events._subscriptions:
            await asyncio.sleep(0.01)


async def test_an_agent_that_was_thrown_out_watches_its_calls_no_longer(broker):
    """I wait for the approval of what I asked with a stolen token, to have the result."""
    credential, token = await broker.issue(CredentialClass.AGENT, AGENT)
    caller = await broker.world.caller()
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    waiting = await broker.world.refund(caller)
    request = broker_pb2.WatchInvocationRequest(name=waiting.name)
    stream = broker.broker.WatchInvocation(request, metadata=bearer(token))
    first = await anext(aiter(stream))
    assert first.invocation.hold == waiting.hold
    await revoke(broker, credential.name)
    assert (await end_of(stream)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_token_that_was_rotated_is_worth_nothing_after_the_overlap(broker):
    """I kept the token of before, and use it, and its streams, for as long as I can."""
    credential, old = await broker.issue(CredentialClass.AUDITOR, "aud-9")
    request = credentials_pb2.RotateCredentialRequest(name=credential.name)
    request.overlap.FromSeconds(60)
    made = await broker.admin.RotateCredential(
        request, metadata=broker.by(CredentialClass.OPERATOR)
    )
    ask, status = broker.admin.GetStatus, admin_pb2.GetStatusRequest()
    for token in (old, made.token):
        assert await code_of(ask(status, metadata=bearer(token))) is grpc.StatusCode.OK
    tail = broker.admin.TailInvocations(admin_pb2.TailInvocationsRequest(), metadata=bearer(old))
    await tail.initial_metadata()
    broker.world.clock.advance(60)
    assert (await end_of(tail)).code() is grpc.StatusCode.UNAUTHENTICATED
    assert await code_of(ask(status, metadata=bearer(old))) is grpc.StatusCode.UNAUTHENTICATED
    assert await code_of(ask(status, metadata=bearer(made.token))) is grpc.StatusCode.OK


async def test_a_rotation_without_overlap_ends_a_stolen_token_at_once(broker):
    """I stole the token; they rotate it, and I am quicker."""
    credential, old = await broker.issue(CredentialClass.AUDITOR, "aud-9")
    request = credentials_pb2.RotateCredentialRequest(name=credential.name)
    request.overlap.FromSeconds(0)
    by_operator = broker.by(CredentialClass.OPERATOR)
    await broker.admin.RotateCredential(request, metadata=by_operator)
    ask = broker.admin.GetStatus(admin_pb2.GetStatusRequest(), metadata=bearer(old))
    assert await code_of(ask) is grpc.StatusCode.UNAUTHENTICATED
    # Nor does rotating the old one once more bring it back.
    again = broker.admin.RotateCredential(request, metadata=by_operator)
    assert await code_of(again) is grpc.StatusCode.FAILED_PRECONDITION


async def test_a_revoked_worker_is_handed_nothing_more(broker):
    """I run a worker with a stolen token and wait for the next refund to be handed to me."""
    credential, token = await broker.issue(CredentialClass.WORKER, "workers/9")
    leave = asyncio.Event()

    async def requests():
        yield worker_pb2.ConnectRequest(
            hello=worker_pb2.WorkerHello(
                slots=1,
                tools=[
                    worker_pb2.ToolOffer(
                        name="refund",
                        parameters_schema_json=json.dumps(REFUND["arguments"]).encode(),
                    )
                ],
            )
        )
        await leave.wait()

    stream = broker.worker.Connect(requests(), metadata=bearer(token))
    ended = asyncio.create_task(end_of(stream))
    async with asyncio.timeout(5):
        while not broker.workers.connections:
            await asyncio.sleep(0.01)
    await revoke(broker, credential.name)
    assert (await ended).code() is grpc.StatusCode.UNAUTHENTICATED
    assert broker.workers.connections == ()
    leave.set()


class EndlessLog:
    """Implements `ports.AuditLog` with a log that nobody ever finishes reading."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = asyncio.Event()

    async def export(self, *, since: float, include_contents: bool):
        del since, include_contents
        try:
            while True:
                self.given += 1
                yield b"x" * 65_536
        finally:
            self.closed.set()


async def test_a_reader_that_never_reads_is_still_sent_away(broker):
    """I open a stream, stop reading so that the broker blocks in sending, and keep my place."""
    log = broker.administration.overview._audit_log = EndlessLog()
    credential, token = await broker.issue(CredentialClass.AUDITOR, "aud-9")
    stream = broker.admin.ExportAudit(admin_pb2.ExportAuditRequest(), metadata=bearer(token))
    await anext(aiter(stream))
    given = 0
    async with asyncio.timeout(5):
        while given != log.given:  # until the broker is stuck
            given = log.given
            await asyncio.sleep(0.05)
    await revoke(broker, credential.name)
    async with asyncio.timeout(5):
        await log.closed.wait()
    assert (await end_of(stream)).code() is grpc.StatusCode.UNAUTHENTICATED


async def test_a_session_secret_is_worth_nothing_without_its_agents_token(broker):
    """I am another agent and have read the session's secret in a log."""
    caller = await broker.world.caller()
    _, token = await broker.issue(CredentialClass.AGENT, "agents/other")
    request = broker_pb2.InvokeRequest(
        session=caller.session.name,
        session_secret="guessed",
        request_id="r",
        tool="refund",
        arguments_json=b"{}",
    )
    for metadata in (bearer(token), broker.by(CredentialClass.AGENT)):
        code = await code_of(broker.broker.Invoke(request, metadata=metadata))
        assert code is grpc.StatusCode.NOT_FOUND
