"""What a host and an agent ask first: a mandate, its session, a call in it."""

import json

from broker.core.credentials import CredentialClass
from broker.v1 import broker_pb2, host_pb2, types_pb2
from tests.fakes.decision_point import hold, opinion
from tests.served import Served
from tests.world import AGENT, CUSTOMER, TERMS

HOST, BY_AGENT = CredentialClass.HOST, CredentialClass.AGENT


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
