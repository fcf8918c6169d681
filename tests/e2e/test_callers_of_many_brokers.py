"""A tool that cannot move, behind any number of brokers over one database, by the SDK."""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from broker.core.limits import LEASE_S, STORE_DEADLINE_S
from broker.sdk import Failed, Held, Succeeded, SyncPermit, SyncSession
from broker.v1 import admin_pb2
from tests.e2e.many_brokers import AGENT, CUSTOMER, DEADLINE_S, Brokers, open_brokers
from tests.e2e.test_many_brokers import serves, wait_for


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with open_brokers() as opened:
        yield opened


@contextlib.contextmanager
def sessions(brokers: Brokers, *numbers: int) -> Iterator[list[SyncSession]]:
    """One session, by each of these brokers."""
    with contextlib.ExitStack() as stack:
        opened = []
        for number in numbers:
            client = stack.enter_context(brokers.client(number))
            mandate = client.create_mandate(
                principal=CUSTOMER, agent=AGENT, words="Sign it.", scopes=["orders:pay"]
            )
            opened.append(client.open_session(mandate))
        yield [dataclasses.replace(opened[0], line=one.line) for one in opened]


def order(order_id: str, amount_minor: int = 10) -> dict[str, object]:
    return {"order_id": order_id, "amount_minor": amount_minor}


def by_way_of(session: SyncSession, permit: SyncPermit) -> SyncPermit:
    """The same permit, told of at the broker that this session is by."""
    return dataclasses.replace(permit, line=session.line, _told=[])


def test_a_report_counts_at_any_broker_and_promptly(brokers: Brokers):
    with sessions(brokers, 0, 1, 2) as by:
        permit = by[0].permit("sign", order("C1"))
        assert isinstance(permit, SyncPermit)
        began = time.monotonic()
        reported = by_way_of(by[1], permit).succeeded("signed")
        took_s = time.monotonic() - began
        assert isinstance(reported, Succeeded)
        assert (reported.result, reported.reported_by) == ("signed", "agent")
        assert took_s < 10  # however busy this machine is: long before its permit's end
        for session in by:
            assert isinstance(by_way_of(session, permit).succeeded("signed"), Succeeded)
        assert isinstance(by_way_of(by[2], permit).failed("NO", "No."), Succeeded)
        again = by[2].permit("sign", order("C1"))  # the key is free
        assert isinstance(again, SyncPermit)
        assert isinstance(again.succeeded("signed"), Succeeded)


def test_of_different_reports_at_three_brokers_at_once_one_counts(brokers: Brokers):
    with sessions(brokers, 0, 1, 2) as by, ThreadPoolExecutor(3) as threads:
        for number in range(5):
            permit = by[0].permit("sign", order(f"D{number}"))
            assert isinstance(permit, SyncPermit)
            told = [
                threads.submit(by_way_of(by[0], permit).succeeded, "first"),
                threads.submit(by_way_of(by[1], permit).succeeded, "second"),
                threads.submit(by_way_of(by[2], permit).failed, "NO", "No."),
            ]
            ended = {repr((type(one), one.state)) for one in (t.result(DEADLINE_S) for t in told)}
            assert len(ended) == 1  # all are told the same


def test_an_approved_call_is_released_where_its_process_waits(brokers: Brokers):
    with sessions(brokers, 0, 1) as by, ThreadPoolExecutor(1) as threads:
        held = by[0].permit("sign", order("E1", 5_000), request_id="once")
        assert isinstance(held, Held)
        waiting = threads.submit(
            by[1].permit, "sign", order("E1", 5_000), request_id="once", wait_s=50
        )
        brokers.approve(2, hold_of(brokers, held))
        permit = waiting.result(DEADLINE_S)
        assert isinstance(permit, SyncPermit)
        assert isinstance(by_way_of(by[0], permit).failed("NO", "No."), Failed)


def test_a_word_in_time_ends_the_call_of_a_broker_that_was_killed(brokers: Brokers):
    """Say that it worked, and kill the call's broker with nine before it can have heard of it."""
    with brokers.another() as process, ThreadPoolExecutor(1) as threads:
        wait_for(lambda: process.poll() is not None or serves(brokers, 3))
        with sessions(brokers, 3, 1, 2) as by:
            permit = by[0].permit("sign", order("K1"))
            assert isinstance(permit, SyncPermit)
            process.send_signal(signal.SIGKILL)
            process.wait(DEADLINE_S)
            telling = threads.submit(by_way_of(by[1], permit).succeeded, "signed")
            with psycopg.connect(brokers.applications[0].settings.database) as database:
                wait_for(lambda: database.execute("SELECT said FROM reports").fetchall())
            brokers.clock.ahead_s += LEASE_S + STORE_DEADLINE_S + 1
            ended = wait_for(lambda: ended_by(brokers, permit))
            assert isinstance(ended, Succeeded)
            assert (ended.result, ended.reported_by) == ("signed", "agent")
            assert isinstance(by_way_of(by[2], permit).succeeded("signed"), Succeeded)
            telling.exception(DEADLINE_S)  # it may have been told to ask again


def hold_of(brokers: Brokers, held: Held) -> str:
    listed = brokers.admin(2, "ListInvocations", admin_pb2.ListInvocationsRequest(page_size=20))
    (hold,) = [i.invocation.hold for i in listed.invocations if i.invocation.name == held.name]
    return str(hold)


def test_a_broker_that_is_stopping_counts_what_another_one_is_told():
    """Its door is shut, so that agents are sent to the others; what they executed is its to end."""
    with (
        open_brokers(count=2) as own,
        sessions(own, 0, 1) as by,
        ThreadPoolExecutor(1) as threads,
    ):
        permit = by[0].permit("sign", order("S1"))
        assert isinstance(permit, SyncPermit)
        stopping = threads.submit(own.loop.run, own.applications[0].stop())
        began = time.monotonic()
        assert isinstance(by_way_of(by[1], permit).succeeded("signed"), Succeeded)
        stopping.result(DEADLINE_S)
        assert time.monotonic() - began < 15  # it did not wait for the permit's end


def ended_by(brokers: Brokers, permit: SyncPermit) -> object:
    with brokers.client(2) as client:
        found = client.invocation(permit.name)
    return None if isinstance(found, Held) else found
