"""An application's own tests script what its process may execute."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from broker.sdk import (
    Failed,
    Held,
    IllegalTransition,
    NotFound,
    OutcomeUnstored,
    Permit,
    Refused,
    Succeeded,
    SyncPermit,
    ToolFailed,
    Unknown,
)
from broker.sdk.client import Session
from broker.sdk.testing import ScriptedBroker, permitted
from broker.v1 import broker_pb2


async def opened(broker: ScriptedBroker) -> Session:
    return await broker.open_session(
        await broker.create_mandate(principal="customers/c-204", agent="agents/support")
    )


def add(*, left: int, right: int) -> int:
    return left + right


async def test_what_is_permitted_is_executed_once() -> None:
    broker = ScriptedBroker().answer("add", permitted())
    session = await opened(broker)
    outcome = await session.run_local("add", {"left": 1, "right": 2}, add, request_id="r")
    assert isinstance(outcome, Succeeded)
    assert (outcome.result, outcome.reported_by) == (3, "agent")
    again = await session.run_local("add", {"left": 1, "right": 2}, _never, request_id="r")
    assert again == outcome


async def test_what_is_refused_is_not_executed() -> None:
    broker = ScriptedBroker().refuse("add", "NO", "Not now.")
    assert isinstance(await (await opened(broker)).run_local("add", {}, _never), Refused)


async def test_what_is_held_is_executed_once_somebody_waits() -> None:
    broker = ScriptedBroker().hold("add", "A person decides.", then=permitted())
    session = await opened(broker)
    held = await session.run_local("add", {"left": 1, "right": 2}, _never, request_id="r")
    assert isinstance(held, Held)
    outcome = await session.run_local(
        "add", {"left": 1, "right": 2}, add, request_id="r", wait_s=60.0
    )
    assert outcome.result == 3


async def test_nobody_waits_for_ever() -> None:
    broker = ScriptedBroker().hold("add", "A person decides.")
    session = await opened(broker)
    assert isinstance(await session.run_local("add", {}, _never, wait_s=900.0), Held)


async def test_a_tool_says_that_nothing_took_effect() -> None:
    def closed() -> None:
        raise ToolFailed("CLOSED", "It is closed.")

    session = await opened(ScriptedBroker().answer("close", permitted()))
    outcome = await session.run_local("close", {}, closed)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.message) == ("CLOSED", "It is closed.")


async def test_an_error_and_a_result_that_is_not_json_are_unknown() -> None:
    session = await opened(ScriptedBroker().answer("add", permitted()))
    assert isinstance(await session.run_local("add", {"left": "1", "right": 2}, add), Unknown)
    assert isinstance(await session.run_local("add", {}, object), Unknown)


async def test_a_permit_is_of_the_process_that_took_it() -> None:
    session = await opened(ScriptedBroker().answer("add", permitted()))
    permit = await session.permit("add", {"left": 1, "right": 2}, request_id="r")
    assert isinstance(permit, Permit)
    assert "permit of" not in repr(permit)
    other = await session.permit("add", {"left": 1, "right": 2}, request_id="r")
    assert isinstance(other, Held)
    async with permit:
        assert isinstance(await permit.succeeded(3), Succeeded)
    with pytest.raises(TypeError):
        await permit.succeeded(object())


async def test_without_a_permit_nothing_is_executed() -> None:
    session = await opened(ScriptedBroker().answer("add", permitted()))
    with pytest.raises(IllegalTransition):
        await session.invoke("add", {})


async def test_an_outcome_that_was_not_told_is_no_reason_to_do_it_again() -> None:
    broker = ScriptedBroker().answer("add", permitted())
    session = await opened(broker)

    def crash(**_: int) -> int:
        broker._script._by_name.clear()
        return 3

    with pytest.raises(OutcomeUnstored) as told:
        await session.run_local("add", {}, crash)
    assert isinstance(told.value.__cause__, NotFound)


def test_the_blocking_client_does_the_same() -> None:
    broker = ScriptedBroker().answer("add", permitted()).hold("wait", "Wait.", then=permitted())
    with broker.sync as sync:
        mandate = sync.create_mandate(principal="customers/c-204", agent="agents/support")
        session = sync.open_session(mandate)
        assert session.run_local("add", {"left": 1, "right": 2}, add).result == 3
        assert isinstance(session.run_local("add", {}, add), Unknown)
        assert session.run_local("wait", {"left": 1, "right": 2}, add, wait_s=9.0).result == 3
        permit = session.permit("add", {})
        assert isinstance(permit, SyncPermit)
        with pytest.raises(KeyError), permit:
            raise KeyError("order")
        assert isinstance(sync.invocation(permit.name), Unknown)


async def test_a_stream_that_ends_early_is_asked_for_again_after_a_pause() -> None:
    broker = ScriptedBroker().hold("wait", "A person decides.")
    streams: list[str] = []

    def end(_: object, request: broker_pb2.WatchInvocationRequest, **__: float) -> Iterator[Any]:
        streams.append(request.name)
        assert len(streams) < 99, "Nobody pauses."
        yield from broker._script.give(request)

    async def end_soon(*arguments: Any, **named: float) -> AsyncIterator[Any]:
        for answer in end(*arguments, **named):
            yield answer

    broker._transport.receive = end_soon
    held = await (await opened(broker)).run_local("wait", {}, _never, wait_s=60.0)
    assert isinstance(held, Held)
    assert len(streams) > 1

    streams.clear()
    broker.sync._transport.receive = end
    mandate = broker.sync.create_mandate(principal="customers/c-204", agent="agents/support")
    session = broker.sync.open_session(mandate)
    assert isinstance(session.run_local("wait", {}, _never, wait_s=60.0), Held)
    assert len(streams) > 1


def _never(**_: object) -> None:
    raise AssertionError("It may not run.")
