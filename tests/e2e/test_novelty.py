"""Somebody new waits for a person once, through the whole broker and on real OPA."""

import pytest

from broker.v1 import types_pb2
from tests.e2e.guarded_shop import GuardedShop, Session, activate
from tests.e2e.shop_tools import FAMILY, REFUND
from tests.replay.running import until

HELD = types_pb2.Invocation.STATE_HELD
SUCCEEDED = types_pb2.Invocation.STATE_SUCCEEDED
PARAMETERS = b"""\
rules: {first_refund: {when: {tools: [refund]}}}
hold: {reviewers: [leads]}
"""


@pytest.fixture(scope="module")
def wary(shop: GuardedShop) -> GuardedShop:
    """A shop where the first refund to an account is for a person to decide on."""
    shop.operator.put_tools([{**REFUND, "targets": ["/order_id"], "payload": ["/note"]}])
    activate(shop, {**FAMILY, "parameters/novelty/data.yaml": PARAMETERS})
    return shop


def refund(shop: GuardedShop, session: Session, account: str) -> types_pb2.Invocation:
    return shop.invoke(session, "refund", {"order_id": account, "amount_minor": 1})


def codes(shop: GuardedShop, call: types_pb2.Invocation) -> set[str]:
    """Those that stopped it."""
    return {requirement.code for requirement in shop.shown(call.hold).requirements}


def test_the_first_refund_waits_and_after_an_approved_one_the_next_passes(wary: GuardedShop):
    session = wary.session()
    first = refund(wary, session, "A-1")
    assert (first.state, codes(wary, first)) == (HELD, {"TARGET_NEW"})
    assert refund(wary, session, "A-1").state == HELD

    wary.approve(wary.shown(first.hold))
    until(lambda: wary.state(first.name) == "SUCCEEDED", "what was approved does not run")

    assert refund(wary, session, "A-1").state == SUCCEEDED
    assert refund(wary, wary.session(), "A-1").state == SUCCEEDED
    assert refund(wary, session, "a-1").state == HELD
    assert refund(wary, session, "A-2").state == HELD
    somebody_else = wary.session(principal="customers/c-9")
    assert refund(wary, somebody_else, "A-1").state == HELD
