"""Policies that cannot decide, and an engine that is killed: refused, told of, the old one decides.

Each test's docstring is the plan of whoever tries it, against a running broker and a real OPA.
"""

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from broker.v1 import admin_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop, activate, policy_in_force
from tests.e2e.refusals import refused
from tests.e2e.shop_tools import FAMILY
from tests.fakes.policy_trees import opa
from tests.fakes.processes import processor_ticks
from tests.replay.running import until

SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
DESK = "broker/rules/desk/desk.rego"
GUARD = b"""\
package broker.rules.guard

verdicts contains {"effect": "DENY", "code": "GUARD", "message": "No."} if input.call.tool == "x"
"""


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "desk: the family has vanished"),
        ({"broker/rules/other/other.rego": GUARD}, "desk: the family has vanished"),
        ({DESK: b""}, "desk.rego"),
        ({DESK: b"package broker.rules.desk\n"}, "desk: contributes no verdicts"),
        ({DESK: b"package broker.rules.desk\n\nverdicts {"}, "desk.rego"),
        ({DESK: b"\xff\xfe\x00"}, "desk.rego"),
        ({DESK: b"package broker.decision\n\ndecision := 1\n"}, "desk.rego"),
        ({**FAMILY, "broker/decision/decision.rego": b"package broker.decision\n"}, "decision"),
        ({**FAMILY, "../../broker/decision/decision.rego": b""}, "no path inside"),
        ({**FAMILY, "parameters/desk/data.yaml": b"a: 1\na: 2\n"}, "parameters/desk"),
        (
            {DESK: b'package broker.rules.desk\n\nverdicts contains http.send({"url": "x"})\n'},
            "http.send",
        ),
        (
            {DESK: b"package broker.rules.desk\n\nverdicts contains x if x := verdicts\n"},
            "recurs",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_policy_that_cannot_decide_changes_nothing(
    shop: GuardedShop, files: Mapping[str, bytes], told: str
):
    """I have an operator activate rules that are broken, gone, or not their author's to bring."""
    session, before, at = shop.session(), policy_in_force(shop), shop.clock()
    with shop.nothing_changes():
        error = refused(lambda: activate(shop, files))
    assert (error.code, error.reason) == ("INVALID_ARGUMENT", "MALFORMED_REQUEST")
    assert error.metadata["field"] == "files"
    assert told in error.message
    kinds = Counter(entry["kind"] for entry in shop.said_since(at))
    assert kinds["policy.refused"] == 1
    assert kinds["policy.activated"] == 0
    call = shop.refund(session)
    assert call.state == SUCCEEDED
    assert shop.story(call.name)[0]["body"]["policy_revision"] == before


@pytest.mark.parametrize(
    ("given", "code", "reason"),
    [
        ({"policy_revision": "sha256:" + "0" * 64}, "NOT_FOUND", "NOT_FOUND"),
        ({"policy_revision": "in force"}, "FAILED_PRECONDITION", "ILLEGAL_TRANSITION"),
        ({}, "FAILED_PRECONDITION", "ILLEGAL_TRANSITION"),
        ({"reason": ""}, "INVALID_ARGUMENT", "MALFORMED_REQUEST"),
    ],
)
def test_a_policy_that_was_never_in_force_is_not_gone_back_to(
    shop: GuardedShop, given: dict[str, str], code: str, reason: str
):
    """I have an operator go back to rules of mine, or to none."""
    before, at = policy_in_force(shop), shop.clock()
    if given.get("policy_revision") == "in force":
        given = {"policy_revision": before}
    request = admin_pb2.RollbackPolicyRequest(**{"reason": "worse", **given})
    with shop.nothing_changes():
        error = refused(lambda: shop.admin.RollbackPolicy(request, **shop.by_operator))
    assert (error.code, error.reason) == (code, reason)
    kinds = {entry["kind"] for entry in shop.said_since(at)}
    assert kinds & {"request.refused", "request.malformed"}
    assert policy_in_force(shop) == before


def test_the_engine_killed_in_the_middle_of_a_call_decides_nothing_and_comes_back(
    shop: GuardedShop,
):
    """I kill the engine while it looks at my call, so that nothing is there to deny it."""
    session, at = shop.session(), shop.clock()
    slow = {"address": "192.0.2.1", "size": 60_000}
    [engine] = _engines()
    idle = processor_ticks(engine)
    with shop.nothing_changes(), ThreadPoolExecutor(1) as agents:
        asked = agents.submit(
            refused, lambda: shop.invoke(session, "probe", slow, request_id="killed")
        )
        until(lambda: processor_ticks(engine) > idle + 3, "the engine has nothing to do")
        os.kill(engine, signal.SIGKILL)
        error = asked.result(timeout=30)
    assert (error.code, error.reason) == ("UNAVAILABLE", "POLICY_UNAVAILABLE")
    [entry] = [e for e in shop.said_since(at) if e["kind"] == "request.refused"]
    assert entry["body"]["reason"] == "POLICY_UNAVAILABLE"
    assert entry["actor"] == session.agent

    def answers() -> bool:
        with contextlib.suppress(grpc.RpcError):
            fine = {"address": "192.0.2.1", "size": 1}
            call = shop.invoke(session, "probe", fine, request_id="killed")
            return bool(call.state == SUCCEEDED)
        return False

    until(answers, "the engine does not come back")
    assert shop.ran[-1] == "probe"
    assert engine not in _engines()


def _engines() -> list[int]:
    """Engines that this process has started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text("utf-8").rpartition(")")[2].split()[1]
            engine = (stat.parent / "exe").readlink()
            if int(parent) == os.getpid() and engine == opa().resolve():
                found.append(int(stat.parent.name))
    return found
