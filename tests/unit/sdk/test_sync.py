import asyncio
from collections.abc import Callable
from typing import TypeVar

import grpc
import pytest

from broker.sdk import (
    Held,
    NotFound,
    Refused,
    RequestIdReused,
    Succeeded,
    SyncHeld,
    Unavailable,
    connect_sync,
)
from broker.sdk.script import State, Step
from broker.sdk.sync import SyncBroker, SyncSession
from broker.sdk.testing import rejected, succeeded
from tests.fakes.broker_server import BrokerServer, Fault

T = TypeVar("T")
UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE, details="away")


async def blocking(server: BrokerServer, body: Callable[[SyncBroker], T]) -> T:
    """Runs a blocking client in a thread of its own: the server needs this one."""

    def connected() -> T:
        with connect_sync(server.address, host_token="h", agent_token="a") as broker:
            return body(broker)

    return await asyncio.to_thread(connected)


def opened(broker: SyncBroker) -> SyncSession:
    mandate = broker.create_mandate(
        principal="customers/c-204", agent="agents/support", words="Refund it.", scopes=["r:w"]
    )
    mandate.add_words("Please.")
    return broker.open_session(mandate)


async def test_the_blocking_client_does_what_the_async_one_does(server: BrokerServer) -> None:
    server.script.steps["refund"] = [succeeded({"refund_id": "r1"})]

    def body(broker: SyncBroker) -> None:
        with opened(broker) as session:
            assert [tool.name for tool in session.list_tools()] == ["refund"]
            outcome = session.invoke("refund", {"order_id": "O-1"}, request_id="c1")
            assert isinstance(outcome, Succeeded)
            assert outcome.result == {"refund_id": "r1"}
            with pytest.raises(RequestIdReused):
                session.invoke("refund", {}, request_id="c1")
            assert broker.invocation(outcome.name).name == outcome.name
        with pytest.raises(NotFound):
            session.invoke("refund", {})

    await blocking(server, body)
    assert server.script.words == ["Refund it.", "Please."]
    assert {metadata["authorization"] for _, _, metadata in server.seen} == {
        "Bearer h",
        "Bearer a",
    }


async def test_a_lost_answer_is_asked_for_again_with_the_same_id(server: BrokerServer) -> None:
    server.script.steps["refund"] = [succeeded(1), succeeded(2)]
    server.faults["Invoke"] = [Fault(code=grpc.StatusCode.UNAVAILABLE, is_after=True)]
    outcome = await blocking(server, lambda broker: opened(broker).invoke("refund", {}))
    assert outcome.result == 1
    assert len({request.request_id for request in server.seen_of("Invoke")}) == 1


async def test_repetition_is_bounded(server: BrokerServer) -> None:
    server.faults["Invoke"] = [UNAVAILABLE] * 99

    def body(broker: SyncBroker) -> None:
        with pytest.raises(Unavailable):
            opened(broker).invoke("refund", {}, deadline_s=0.3)

    await blocking(server, body)


async def test_a_held_call_can_be_waited_for_and_taken_back(server: BrokerServer) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]

    def hold(broker: SyncBroker) -> SyncHeld:
        held = opened(broker).invoke("refund", {})
        assert isinstance(held, Held)
        assert held.wait(timeout_s=0.1) == held
        assert held.wait(timeout_s=0) == held
        return held

    held = await blocking(server, hold)
    server.faults["WatchInvocation"] = [UNAVAILABLE]
    watched = len(server.seen_of("WatchInvocation"))

    def wait(broker: SyncBroker) -> None:
        again = broker.invocation(held.name)
        assert isinstance(again, SyncHeld)
        outcome = again.wait(timeout_s=10)
        assert isinstance(outcome, Refused)
        assert outcome.message == "No."

    waiting = asyncio.create_task(blocking(server, wait))
    await server.until_seen("WatchInvocation", times=watched + 2)
    await server.settle(held.name, rejected("No."))
    await waiting

    def cancel(broker: SyncBroker) -> None:
        held = opened(broker).invoke("refund", {})
        assert isinstance(held, SyncHeld)
        assert isinstance(held.cancel(), Refused)

    await blocking(server, cancel)


async def test_a_blocking_mandate_names_the_session_that_it_goes_on_from(
    server: BrokerServer,
) -> None:
    def body(broker: SyncBroker) -> str:
        session = opened(broker)
        broker.create_mandate(
            principal="customers/c-204", agent="agents/support", parent_session=session.name
        )
        return session.name

    name = await blocking(server, body)
    assert [sent.parent_session for sent in server.script.mandates] == ["", name]
