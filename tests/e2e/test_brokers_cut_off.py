"""A broker that does not hear the others finds out what they did, and loses nothing but time."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from broker.sdk import Refused, Succeeded, Unavailable
from broker.store.listening import ALIVE_S, POLL_S
from broker.v1 import admin_pb2
from tests.between import Between, between
from tests.e2e.many_brokers import DEADLINE_S, Brokers, open_brokers
from tests.fakes.waiting import until
from tests.postgres import server

NEAR, DEAF = 0, 1
WAKES_S = 2 * ALIVE_S + POLL_S + 10  # it finds out, asks again; and this machine is busy


@pytest.fixture(scope="module")
def way() -> Iterator[Between]:
    with between(server()) as made:
        yield made


@pytest.fixture(scope="module")
def brokers(way: Between) -> Iterator[Brokers]:
    with open_brokers(count=2, by_way_of=way) as opened:
        until(lambda: opened.admin(DEAF, "GetStatus", admin_pb2.GetStatusRequest()).workers, "")
        yield opened


@pytest.fixture(params=["keeps_notices", "cuts_listeners", "cuts_everybody"])
def is_cut_off(request: pytest.FixtureRequest, way: Between, brokers: Brokers) -> Iterator[None]:
    """The second broker hears nothing of the first, in three ways."""
    del brokers
    if request.param == "cuts_everybody":
        way.cut_all()
        yield
        return
    setattr(way, request.param, True)
    if way.cuts_listeners:
        way.cut_all()
    yield
    setattr(way, request.param, False)


@pytest.mark.usefixtures("is_cut_off")
def test_a_hold_that_is_approved_elsewhere_wakes_who_waits_here(brokers: Brokers):
    """Keep from a broker what the other one tells, so that an approved call waits until it expires.

    In time means long before the caller stops waiting.
    """
    order = f"H{time.monotonic_ns()}"
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(patiently, lambda: brokers.pay(DEAF, order, 5_000, wait_s=50))
        until(lambda: held(brokers, order), "nothing is held", within_s=DEADLINE_S)
        brokers.approve(NEAR, held(brokers, order))
        began_s = time.monotonic()
        assert isinstance(asked.result(DEADLINE_S), Succeeded)
        assert time.monotonic() - began_s < WAKES_S
    assert brokers.paid.count(order) == 1


@pytest.mark.usefixtures("is_cut_off")
def test_what_is_frozen_elsewhere_does_not_run_here(brokers: Brokers):
    """Keep from a broker that everything was frozen, and call it."""
    request = admin_pb2.CreateFreezeRequest(kind=admin_pb2.Freeze.Kind.KIND_ALL, reason="An alarm.")
    name = brokers.admin(NEAR, "CreateFreeze", request).freeze.name
    order = f"F{time.monotonic_ns()}"
    try:
        assert isinstance(patiently(lambda: brokers.pay(DEAF, order)), Refused)
    finally:
        over = admin_pb2.DeleteFreezeRequest(name=name, reason="It is over.")
        brokers.admin(NEAR, "DeleteFreeze", over)
    assert order not in brokers.paid


def held(brokers: Brokers, order: str) -> str:
    """The hold that the call of an order waits in."""
    request = admin_pb2.ListInvocationsRequest(page_size=20)
    for told in brokers.admin(NEAR, "ListInvocations", request).invocations:
        if told.invocation.hold and order in told.summary:
            return str(told.invocation.hold)
    return ""


def patiently(ask: Callable[[], Any]) -> Any:
    """What it answers once its database is there; nothing was decided before."""
    until_s = time.monotonic() + DEADLINE_S
    while True:
        try:
            return ask()
        except Unavailable:
            assert time.monotonic() < until_s
            time.sleep(0.1)
