"""A policy is switched under load: no call is lost, and each names the one that decided it."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import grpc

from broker.v1 import admin_pb2, broker_pb2, broker_pb2_grpc, types_pb2
from tests.e2e.guarded_shop import RULES, GuardedShop, Session, activate, policy_in_force
from tests.replay.running import until

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
IN_FLIGHT = 200
LATER = {"broker/rules/desk/desk.rego": RULES.replace('"FINE"', '"LATER"').encode()}


def rollback(shop: GuardedShop, **given: Any) -> str:
    request = admin_pb2.RollbackPolicyRequest(reason="worse", **given)
    return str(shop.admin.RollbackPolicy(request, **shop.by_operator).policy_revision)


def test_a_policy_is_switched_under_load_and_every_call_names_the_one_that_decided_it(
    shop: GuardedShop,
):
    first, at = policy_in_force(shop), shop.clock()
    session = shop.session()
    calls: list[types_pb2.Invocation] = []
    stop = asyncio.Event()
    load = asyncio.run_coroutine_threadsafe(_calls(shop, session, calls, stop), shop.loop._loop)
    until(lambda: len(calls) >= IN_FLIGHT, "no call is answered")
    second = activate(shop, LATER)
    answered = len(calls)
    until(lambda: len(calls) >= answered + IN_FLIGHT, "no call is answered any more")
    assert rollback(shop) == first
    answered = len(calls)
    until(lambda: len(calls) >= answered + IN_FLIGHT, "no call is answered any more")
    shop.loop._loop.call_soon_threadsafe(stop.set)
    load.result(timeout=60)

    assert Counter(call.state for call in calls) == {SUCCEEDED: len(calls)}
    decided = {
        entry["invocation"]: entry["body"]
        for entry in shop.said_since(at)
        if entry["kind"] == "call.decided"
    }
    assert decided.keys() == {call.name for call in calls}
    code = {first: {"FINE"}, second: {"LATER"}}
    by_revision = Counter(body["policy_revision"] for body in decided.values())
    assert by_revision.keys() == {first, second}
    assert min(by_revision.values()) >= IN_FLIGHT
    for body in decided.values():
        assert {v["code"] for v in body["verdicts"]} == code[body["policy_revision"]]


async def _calls(
    shop: GuardedShop, session: Session, calls: list[types_pb2.Invocation], stop: asyncio.Event
) -> None:
    """Call, `IN_FLIGHT` at a time, until told to stop; one that is not answered fails all."""
    by = shop.by("agent")
    local = (("grpc.use_local_subchannel_pool", 1),)

    async def ask(stub: Any, number: int) -> None:
        turn = 0
        while not stop.is_set():
            request = broker_pb2.InvokeRequest(
                session=session.name,
                session_secret=session.secret,
                request_id=f"load-{number}-{turn}",
                tool="linger",
                arguments_json=b'{"line":"x"}',
            )
            calls.append((await stub.Invoke(request, **by)).invocation)
            turn += 1

    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(shop.address, options=local))
            for _ in range(4)
        ]
        stubs = [broker_pb2_grpc.BrokerServiceStub(channel) for channel in channels]
        await asyncio.gather(*(ask(stubs[n % len(stubs)], n) for n in range(IN_FLIGHT)))
