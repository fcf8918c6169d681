"""The SDK executes on a permit, over the wire, and says how it ended."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from broker.sdk import (
    Broker,
    Failed,
    Held,
    IllegalTransition,
    OutcomeUnstored,
    Permit,
    Refused,
    Session,
    Succeeded,
    SyncPermit,
    ToolFailed,
    Unknown,
    connect,
    connect_sync,
)
from tests.called import Called, called_by_wire, mandate
from tests.fakes.decision_point import deny, hold, opinion
from tests.world import TERMS, reviewer

ASKED: dict[str, Any] = {"order_id": "O-1001", "amount_minor": 1000, "currency": "EUR"}


@contextlib.asynccontextmanager
async def executing(path: Path) -> AsyncGenerator[tuple[Called, Broker, Session]]:
    """A broker behind a wire, a client of it, and a session."""
    async with (
        called_by_wire(path) as (c, address, token),
        connect(address, agent_token=token) as broker,
    ):
        yield c, broker, await broker.open_session(await mandate(c))


def paid(**arguments: Any) -> dict[str, str]:
    assert arguments == ASKED
    return {"refund_id": "r-1"}


async def test_a_call_is_executed_here_and_its_outcome_is_the_brokers_record(tmp_path: Path):
    async with executing(tmp_path) as (_c, broker, session):
        [tool] = await session.list_tools()
        assert tool.executed_by_caller
        outcome = await session.run_local("refund", ASKED, paid)
        assert isinstance(outcome, Succeeded)
        assert (outcome.result, outcome.reported_by) == ({"refund_id": "r-1"}, "agent")
        assert (await broker.invocation(outcome.name)).reported_by == "agent"


async def test_the_blocking_client_does_the_same(tmp_path: Path):
    async with called_by_wire(tmp_path) as (c, address, token):
        secret = await mandate(c)

        def block() -> list[object]:
            with connect_sync(address, agent_token=token) as broker:
                session = broker.open_session(secret)
                done = session.run_local("refund", ASKED, paid)
                with session.permit("refund", ASKED) as permit:
                    assert isinstance(permit, SyncPermit)
                    failed = permit.failed("ORDER_CLOSED", "The order is closed.")
                raised = session.run_local("refund", ASKED, broken)
                return [done, failed, raised]

        done, failed, raised = await asyncio.to_thread(block)
        assert isinstance(done, Succeeded)
        assert isinstance(failed, Failed)
        assert isinstance(raised, Unknown)


def broken(**_: Any) -> None:
    raise ValueError("card 4111 1111 1111 1111")


async def test_of_an_error_the_broker_learns_the_class_alone(tmp_path: Path):
    async with executing(tmp_path) as (c, _broker, session):
        outcome = await session.run_local("refund", ASKED, broken)
        assert isinstance(outcome, Unknown)
        entries = str(await c.world.store.entries(outcome.name))
        assert "ValueError" in entries
        assert "4111" not in entries


async def test_what_the_tool_says_of_its_failure_is_a_failure(tmp_path: Path):
    async def closed(**_: Any) -> None:
        raise ToolFailed("ORDER_CLOSED", "The order is closed.")

    async with executing(tmp_path) as (_c, _broker, session):
        outcome = await session.run_local("refund", ASKED, closed)
        assert isinstance(outcome, Failed)
        assert (outcome.code, outcome.message) == ("ORDER_CLOSED", "The order is closed.")


async def test_what_may_not_run_is_not_executed(tmp_path: Path):
    async with executing(tmp_path) as (c, _broker, session):
        c.world.policy.answer = opinion(deny())
        assert isinstance(await session.run_local("refund", ASKED, broken), Refused)


async def test_who_crashed_with_a_permit_does_not_get_it_again(tmp_path: Path):
    async with executing(tmp_path) as (_c, _broker, session):
        crashed = await session.permit("refund", ASKED, request_id="once")
        assert isinstance(crashed, Permit)
        again = await session.run_local("refund", ASKED, broken, request_id="once")
        assert isinstance(again, Held)
        assert again.state == "RUNNING"
        assert isinstance(await crashed.succeeded({"refund_id": "r-1"}), Succeeded)


async def test_a_block_that_is_left_by_an_error_says_so(tmp_path: Path):
    async def leave(permit: Permit) -> None:
        async with permit:
            raise KeyError("order")

    async with executing(tmp_path) as (_c, broker, session):
        permit = await session.permit("refund", ASKED)
        assert isinstance(permit, Permit)
        with pytest.raises(KeyError):
            await leave(permit)
        assert isinstance(await broker.invocation(permit.name), Unknown)


async def test_a_held_call_is_executed_once_it_is_approved(tmp_path: Path):
    async with executing(tmp_path) as (c, _broker, session):
        c.world.policy.answer = opinion(hold(terms=TERMS))
        held = await session.run_local("refund", ASKED, broken, request_id="held")
        assert isinstance(held, Held)
        asking = asyncio.create_task(
            session.run_local("refund", ASKED, paid, request_id="held", wait_s=30.0)
        )
        while not c.hub.is_awaited(session.name, "held"):
            await asyncio.sleep(0.01)
        invocation = await c.world.store.find_request(session.name, "held")
        found, _ = await c.world.store.find_hold(invocation.hold)
        # Until whoever asked watches, nobody waits for the permit: approve once it does.
        while not asking.done() and (await c.world.store.find_hold(found.name))[0].etag == 1:
            await c.world.reviews.approve(reviewer("lead-1"), found.name, etag=found.etag)
        while not asking.done():
            c.world.clock.advance(5.0)
            await c.world.recovery.sweep_once()
            await asyncio.wait({asking}, timeout=0.1)
        assert isinstance(await asking, Succeeded)


async def test_an_outcome_that_cannot_be_told_is_no_reason_to_do_it_again(tmp_path: Path):
    async with executing(tmp_path) as (_c, _broker, session):
        permit = await session.permit("refund", ASKED)
        assert isinstance(permit, Permit)
        forgotten = dataclasses.replace(permit, token="of another attempt")
        with pytest.raises(OutcomeUnstored, match="Do not execute it again"):
            await forgotten.succeeded({"refund_id": "r-1"})
        await permit.failed("ORDER_CLOSED", "The order is closed.")


async def test_a_client_that_executes_nothing_is_told_so_at_once(tmp_path: Path):
    async with executing(tmp_path) as (_c, _broker, session):
        with pytest.raises(IllegalTransition, match="permit"):
            await session.invoke("refund", ASKED)
