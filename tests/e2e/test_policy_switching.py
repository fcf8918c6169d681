"""A policy is switched under load: no call is lost, and each names the one that decided it."""

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc

from broker.v1 import admin_pb2, broker_pb2, broker_pb2_grpc, types_pb2
from tests.e2e.guarded_shop import GuardedShop, Session, activate, policy_in_force
from tests.e2e.shop_tools import LINGER_S, RULES
from tests.replay.running import until

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
IN_FLIGHT = 200
LATER = {"broker/rules/desk/desk.rego": RULES.replace('"FINE"', '"LATER"').encode()}


def rollback(shop: GuardedShop) -> str:
    request = admin_pb2.RollbackPolicyRequest(reason="worse")
    return str(shop.admin.RollbackPolicy(request, **shop.by_operator).policy_revision)


@dataclass(kw_only=True)
class Load:
    """Calls that are made all the time."""

    asked: int = 0
    answered: list[types_pb2.Invocation] = field(default_factory=list)
    is_over: bool = False

    def goes_on(self, more: int) -> None:
        """Return once so many more calls have begun."""
        enough = self.asked + more
        until(lambda: self.asked >= enough, "no call is answered any more")

    async def in_flight(self) -> int:
        """Of the loop that calls, so that it is no moment in between."""
        return self.asked - len(self.answered)


def test_a_policy_is_switched_under_load_and_every_call_names_the_one_that_decided_it(
    shop: GuardedShop,
):
    first, at = policy_in_force(shop), shop.clock()
    load = Load()
    loading = asyncio.run_coroutine_threadsafe(_calls(shop, shop.session(), load), shop.loop._loop)
    load.goes_on(IN_FLIGHT)
    assert shop.loop.run(load.in_flight()) == IN_FLIGHT
    second = activate(shop, LATER)
    load.goes_on(IN_FLIGHT)
    assert shop.loop.run(load.in_flight()) == IN_FLIGHT
    assert rollback(shop) == first
    load.goes_on(IN_FLIGHT // 4)
    load.is_over = True
    loading.result(timeout=60)

    calls = load.answered
    assert len(calls) == load.asked
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
    assert min(by_revision.values()) >= IN_FLIGHT // 2
    for body in decided.values():
        ours = {v["code"] for v in body["verdicts"] if v["family"] == "desk"}
        assert ours == code[body["policy_revision"]]


async def _calls(shop: GuardedShop, session: Session, load: Load) -> None:
    """Call, `IN_FLIGHT` at a time, until it is over; one that is not answered fails all."""
    by = shop.by("agent")
    options = (("grpc.use_local_subchannel_pool", 1),)  # one connection has 100 streams

    async def ask(stub: Any, number: int) -> None:
        # Spread over the time that a call takes, so that calls are decided at every moment.
        await asyncio.sleep(LINGER_S * number / IN_FLIGHT)
        while not load.is_over:
            load.asked += 1
            request = broker_pb2.InvokeRequest(
                session=session.name,
                session_secret=session.secret,
                request_id=f"load-{load.asked}",
                tool="linger",
                arguments_json=b'{"line":"x"}',
            )
            load.answered.append((await stub.Invoke(request, **by)).invocation)

    async with contextlib.AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(
                grpc.aio.insecure_channel(shop.address, options=options)
            )
            for _ in range(4)
        ]
        stubs = [broker_pb2_grpc.BrokerServiceStub(channel) for channel in channels]
        await asyncio.gather(*(ask(stubs[n % len(stubs)], n) for n in range(IN_FLIGHT)))
