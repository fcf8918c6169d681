"""An agent has a token that lets it act for one person, and acts for another with it.

RFC 8693: the issuer signs whom the agent acts for. The agent has honest sessions for several
people, and their secrets; what it holds now is a token for one of them.
"""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest

from broker.core.calls import Person
from broker.core.credentials import CredentialClass
from broker.v1 import broker_pb2, broker_pb2_grpc, host_pb2
from tests.fakes.decision_point import hold, opinion
from tests.fakes.token_issuer import ISSUER, FakeIssuer
from tests.served import Served, bearer, server_of
from tests.unit.rpc.asking import invoke, mandate, session
from tests.world import AGENT, CUSTOMER, TERMS

ANN, BOB = f"{ISSUER}#ann", f"{ISSUER}#bob"


@pytest.fixture
def issuer(broker: Served) -> FakeIssuer:
    return FakeIssuer(clock=broker.world.clock)


@pytest.fixture
async def stub(broker: Served, issuer: FakeIssuer) -> AsyncGenerator[Any]:
    await broker.issue(
        CredentialClass.AGENT,
        AGENT,
        digest=b"",
        identity=f"{ISSUER}#support",
        person=broker.credentials[CredentialClass.AGENT].person,
    )
    tokens = issuer.tokens(broker.world.room.current)
    server = server_of(broker.world, broker.workers, broker.administration, access_tokens=tokens)
    port = server.bind("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield broker_pb2_grpc.BrokerServiceStub(channel)
    await server.stop(grace_s=0.1)


def of(person: str) -> dict[str, Any]:
    return {"principal": host_pb2.Principal(id=CUSTOMER, person=person)}


def for_ann(issuer: FakeIssuer) -> tuple[tuple[str, str], ...]:
    return bearer(issuer.token("agent", "ann", act={"sub": "support"}))


@contextlib.contextmanager
def not_there():
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        yield
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_it_opens_and_uses_sessions_of_that_person(broker, stub, issuer):
    """No attack."""
    by = for_ann(issuer)
    ordered = await mandate(broker, **of(ANN))
    opened = await stub.OpenSession(
        broker_pb2.OpenSessionRequest(mandate_secret=ordered.secret), metadata=by
    )
    request = broker_pb2.ListToolsRequest(session=opened.name, session_secret=opened.secret)
    assert await stub.ListTools(request, metadata=by)
    found = await broker.world.store.find_session(opened.name)
    assert found.principal.person == Person(issuer=ISSUER, subject="ann")


@pytest.mark.parametrize("person", [BOB, CUSTOMER, ""])
async def test_a_mandate_for_somebody_else_is_not_there(broker, stub, issuer, person):
    """I redeem Bob's mandate with the token that lets me act for Ann."""
    ordered = await mandate(broker, **of(person))
    with not_there():
        await stub.OpenSession(
            broker_pb2.OpenSessionRequest(mandate_secret=ordered.secret), metadata=for_ann(issuer)
        )


async def test_a_session_of_somebody_else_is_not_there(broker, stub, issuer):
    """I have the secret of Bob's session, which I opened when I had a token for Bob."""
    opened = await session(broker, **of(BOB))
    request = broker_pb2.ListToolsRequest(session=opened.name, session_secret=opened.secret)
    with not_there():
        await stub.ListTools(request, metadata=for_ann(issuer))


async def test_calls_of_somebody_else_are_not_there(broker, stub, issuer):
    """I read the result of what I asked for Bob, and take back what waits for him."""
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    waiting = await invoke(broker, await session(broker, **of(BOB)))
    by = for_ann(issuer)
    with not_there():
        await stub.GetInvocation(broker_pb2.GetInvocationRequest(name=waiting.name), metadata=by)
    with not_there():
        await stub.CancelInvocation(
            broker_pb2.CancelInvocationRequest(name=waiting.name), metadata=by
        )
    watching = stub.WatchInvocation(
        broker_pb2.WatchInvocationRequest(name=waiting.name), metadata=by
    )
    with not_there():
        await anext(aiter(watching))
    itself = bearer(issuer.token("agent", "support"))
    found = await stub.GetInvocation(
        broker_pb2.GetInvocationRequest(name=waiting.name), metadata=itself
    )
    assert found.invocation.name == waiting.name
