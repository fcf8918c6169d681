"""Any number of brokers over one PostgreSQL database are as right as one, and nearly as prompt."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from broker.core.limits import LEASE_S, STORE_DEADLINE_S
from broker.sdk import BrokerError, Held, Refused, Succeeded
from broker.v1 import admin_pb2, admin_pb2_grpc, types_pb2
from tests.e2e.many_brokers import DEADLINE_S, LIMIT, Brokers, open_brokers


@pytest.fixture(scope="module")
def brokers() -> Iterator[Brokers]:
    with open_brokers() as opened:
        wait_for(lambda: [workers(opened, n) for n in range(3)] == [1, 1, 1])
        yield opened


def wait_for(come: Callable[[], Any], *, within_s: float = DEADLINE_S) -> Any:
    until = time.monotonic() + within_s
    while not (found := come()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def serves(brokers: Brokers, number: int) -> bool:
    with contextlib.suppress(grpc.RpcError):
        brokers.admin(number, "GetStatus", admin_pb2.GetStatusRequest())
        return True
    return False


def state_of(brokers: Brokers, order_id: str) -> str:
    request = admin_pb2.ListInvocationsRequest(page_size=20)
    (number,) = (
        told.invocation.state
        for told in brokers.admin(2, "ListInvocations", request).invocations
        if told.summary.endswith(f" of {order_id}")
    )
    return str(types_pb2.Invocation.State.Name(number).removeprefix("STATE_"))


def workers(brokers: Brokers, number: int) -> int:
    return len(brokers.admin(number, "GetStatus", admin_pb2.GetStatusRequest()).workers)


def test_a_worker_that_was_given_one_address_serves_calls_of_all(brokers: Brokers):
    for number in range(3):
        assert isinstance(brokers.pay(number, f"W{number}"), Succeeded)
    assert {"W0", "W1", "W2"} <= set(brokers.paid)


def test_each_broker_names_all(brokers: Brokers):
    for number in range(3):
        told = wait_for(lambda n=number: _brokers(brokers, n))
        assert told[:3] == [application.address for application in brokers.applications]


def test_a_hold_that_is_approved_at_one_wakes_who_waits_at_another(brokers: Brokers):
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(brokers.pay, 1, "H1", 5_000, wait_s=50)
        hold = wait_for(lambda: _held(brokers, "H1"))
        brokers.approve(0, hold)
        assert isinstance(asked.result(DEADLINE_S), Succeeded)
    assert brokers.paid.count("H1") == 1


def test_a_freeze_at_one_stops_calls_at_the_others_within_a_second(brokers: Brokers):
    request = admin_pb2.CreateFreezeRequest(kind=admin_pb2.Freeze.Kind.KIND_ALL, reason="An alarm.")
    name = brokers.admin(0, "CreateFreeze", request).freeze.name
    began = time.monotonic()
    try:
        for number in (1, 2):
            assert isinstance(brokers.pay(number, "F1"), Refused)
        assert time.monotonic() - began < 10  # each at its first try, however busy this machine is
    finally:
        over = admin_pb2.DeleteFreezeRequest(name=name, reason="It is over.")
        brokers.admin(2, "DeleteFreeze", over)
    for number in (0, 1):
        assert isinstance(brokers.pay(number, f"F{number + 2}"), Succeeded)
    assert "F1" not in brokers.paid


def test_a_policy_that_one_activates_decides_at_the_others_at_once(brokers: Brokers):
    brokers.activate(0, large=1)
    try:
        for number in (2, 1, 0):
            assert isinstance(brokers.pay(number, f"P{number}", 50), Held)
    finally:
        brokers.activate(2, large=100)
    for number in range(3):
        assert isinstance(brokers.pay(number, f"P{number + 4}", 50), Succeeded)


def test_a_limit_holds_whoever_decides(brokers: Brokers):
    """Sixty calls at once, twenty at each: as many run as may, and no more."""
    with ThreadPoolExecutor(12) as threads:
        asked = [threads.submit(brokers.pay, n % 3, f"G{n}", tool="give") for n in range(3 * LIMIT)]
        came = [one.result(DEADLINE_S) for one in asked]
    told = Counter(getattr(one, "code", "ran") for one in came)
    assert sum(isinstance(one, Succeeded) for one in came) == LIMIT, told
    assert sum(order.startswith("G") for order in brokers.paid) == LIMIT


def test_an_exclusive_thing_has_one_effect_at_a_time_whoever_decides(brokers: Brokers):
    with ThreadPoolExecutor(9) as threads:
        asked = [threads.submit(brokers.pay, n % 3, "X1") for n in range(9)]
        came = [one.result(DEADLINE_S) for one in asked]
    told = Counter(getattr(one, "code", "ran") for one in came)
    assert all(isinstance(one, Succeeded) for one in came), told
    assert brokers.paid.count("X1") == 9


def test_no_more_calls_run_at_a_worker_than_it_has_slots(brokers: Brokers):
    with ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda n: brokers.pay(n % 3, f"S{n}"), range(12)))
    assert brokers.most <= 4


def test_calls_of_a_broker_that_is_killed_are_unknown_and_the_others_go_on(brokers: Brokers):
    """Kill the fourth of four with a call under way; another one ends it once its lease is over."""
    brokers.slow.set()
    try:
        with brokers.another() as process, ThreadPoolExecutor(1) as threads:
            wait_for(lambda: process.poll() is not None or serves(brokers, 3))
            assert process.poll() is None
            wait_for(lambda: workers(brokers, 3))
            asked = threads.submit(brokers.pay, 3, "K1")
            wait_for(lambda: brokers.running)
            process.send_signal(signal.SIGKILL)
            assert isinstance(asked.exception(DEADLINE_S), BrokerError)
            brokers.clock.ahead_s += LEASE_S + STORE_DEADLINE_S + 1
            assert state_of(brokers, "K1") == "RUNNING"  # nobody is gone this early
            wait_for(lambda: state_of(brokers, "K1") == "UNKNOWN")
    finally:
        brokers.slow.clear()
    again = brokers.pay(0, "K1")
    assert isinstance(again, Refused)
    assert again.code == "EXCLUSIVE_UNSETTLED"
    assert isinstance(brokers.pay(1, "K2"), Succeeded)
    wait_for(lambda: brokers.paid.count("K1") == 1)


def test_the_log_is_whole_over_the_chains_of_all(brokers: Brokers):
    exported = brokers.directory / "audit.jsonl"
    request = admin_pb2.ExportAuditRequest()
    metadata = (("authorization", f"Bearer {brokers.operator_token}"),)
    with grpc.insecure_channel(brokers.address(1)) as channel:
        parts = admin_pb2_grpc.AdminServiceStub(channel).ExportAudit(
            request, metadata=metadata, timeout=DEADLINE_S
        )
        exported.write_bytes(b"".join(part.lines for part in parts))
    started = [json.loads(line) for line in exported.read_bytes().splitlines()]
    owners = {
        line["entry"]["body"]["broker"]
        for line in started
        if line.get("entry", {}).get("kind") == "broker.started"
    }
    assert len(owners) >= len(brokers.applications)
    verified = subprocess.run(
        [
            *(sys.executable, "-m", "broker.command", "audit", "verify", str(exported)),
            *("--key", str(brokers.applications[0].settings.state / "audit.pub")),
            *(
                "--checkpoint",
                str(brokers.applications[2].settings.state / "checkpoints/heads.jsonl"),
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _brokers(brokers: Brokers, number: int) -> list[str]:
    told = brokers.admin(number, "GetStatus", admin_pb2.GetStatusRequest()).brokers
    return [one.address for one in told] if len(told) >= len(brokers.applications) else []


def _held(brokers: Brokers, order_id: str) -> str:
    request = admin_pb2.ListInvocationsRequest(page_size=20)
    for told in brokers.admin(2, "ListInvocations", request).invocations:
        if told.invocation.hold and order_id in told.summary:
            return str(told.invocation.hold)
    return ""
