"""A worker's process tells what a call would change, to reviewers before it runs and again then."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker.v1 import admin_pb2, review_pb2, types_pb2
from tests.e2e.guarded_shop import GuardedShop, Session, activate
from tests.e2e.opening import open_shop
from tests.e2e.shop_tools import AGENT, FAMILY, TEXT, tool

ROOT = Path(__file__).parents[2]
PAY = tool(
    "pay",
    {"order_id": TEXT, "amount_minor": {"type": "integer", "minimum": 1}},
    summary="Pay {/amount_minor} for {/order_id}",
    scopes=[{"name": "refund:use"}],
    review={"preview": {"deadline_s": 1}},
)
RULES = """\
package broker.rules.till

verdicts contains {
	"effect": "HOLD",
	"code": "ASK",
	"message": "A person decides on this payment.",
	"hold": {"reviewers": ["leads"], "run_within_s": 60},
} if input.call.tool == "pay"
"""


@pytest.fixture(scope="module")
def shop() -> Iterator[GuardedShop]:
    with open_shop() as opened:
        opened.operator.put_tools([PAY])
        activate(opened, {**FAMILY, "broker/rules/till/till.rego": RULES.encode()})
        yield opened


@contextlib.contextmanager
def paying(shop: GuardedShop, journal: Path, *, tells: bool = True) -> Iterator[None]:
    """A worker process that pays out of a till of 100.00."""
    fill(journal, "10000")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.paying_worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "CALLBROKER_ADDRESS": shop.address,
            "CALLBROKER_WORKER_TOKEN": shop.operator.create_token(
                "worker", f"workers/{journal.name}", tools=["pay"]
            ),
            "JOURNAL": str(journal),
            "TELLS": "yes" if tells else "",
        },
    )
    try:
        until(lambda: any("pay" in w.tools for w in workers(shop)))
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)
        until(lambda: not any("pay" in w.tools for w in workers(shop)))


def fill(journal: Path, text: str) -> None:
    (journal / "till").write_text(text, encoding="utf-8")


def paid(journal: Path) -> list[str]:
    path = journal / "paid"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def workers(shop: GuardedShop) -> list[admin_pb2.WorkerStatus]:
    return list(shop.admin.GetStatus(admin_pb2.GetStatusRequest(), **shop.by_operator).workers)


def until(holds: Callable[[], bool], *, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def held(shop: GuardedShop, session: Session) -> review_pb2.Hold:
    call = shop.invoke(session, "pay", {"order_id": "O-1", "amount_minor": 2_500})
    assert call.state == types_pb2.Invocation.STATE_HELD, call
    return shop.shown(call.hold)


def test_what_was_told_beforehand_is_shown_bound_and_then_done(shop, tmp_path):
    with paying(shop, tmp_path):
        hold = held(shop, shop.session())
        assert json.loads(hold.preview.content_json) == [
            {
                "label": "in the till",
                "before_minor": 10_000,
                "after_minor": 7_500,
                "currency": "EUR",
            },
            {"label": "receipt", "before": None, "after": "customers/c-204"},
        ]
        assert paid(tmp_path) == []
        shop.approve(hold)
        until(lambda: shop.state(hold.invocation) == "SUCCEEDED")
        assert paid(tmp_path) == ["O-1 2500"]
        [opened] = [e for e in shop.story(hold.invocation) if e["kind"] == "hold.opened"]
        assert opened["body"]["preview"] == hold.preview.digest
        told = shop.story(hold.preview.invocation)
        assert told[0]["body"]["preview_of"] == hold.invocation
        assert told[-1]["body"]["result_digest"] == hold.preview.digest


def test_another_preview_after_the_approval_pays_nothing_until_somebody_has_seen_it(shop, tmp_path):
    with paying(shop, tmp_path):
        hold = held(shop, shop.session())
        fill(tmp_path, "9999")
        shop.approve(hold)
        until(lambda: shop.shown(hold.name).state == review_pb2.Hold.STATE_VOID)
        call = shop.admin.ShowInvocation(
            admin_pb2.ShowInvocationRequest(name=hold.invocation), **shop.by_operator
        ).invocation.invocation
        assert call.state == types_pb2.Invocation.STATE_HELD
        anew = shop.shown(call.hold)
        assert json.loads(anew.preview.content_json)[0]["before_minor"] == 9_999
        assert {r.code for r in anew.requirements} == {"ASK", "PREVIEW_CHANGED"}
        assert paid(tmp_path) == []
        shop.approve(anew)
        until(lambda: shop.state(hold.invocation) == "SUCCEEDED")
        assert paid(tmp_path) == ["O-1 2500"]


@pytest.mark.parametrize(
    ("till", "error"),
    [("closed", "TILL_CLOSED"), ("stuck", "PREVIEW_LOST"), ("empty", "PREVIEW_LOST")],
)
def test_a_preview_that_is_not_told_opens_the_hold_in_time_and_says_why(
    shop, tmp_path, till, error
):
    with paying(shop, tmp_path):
        fill(tmp_path, till)
        session = shop.session()
        begun = time.monotonic()
        hold = held(shop, session)
        assert time.monotonic() - begun < 1 + 3  # the deadline, and a busy machine
        assert (hold.preview.error, hold.preview.content_json) == (error, b"")


def test_a_worker_that_tells_nothing_beforehand_is_named_in_the_status(shop, tmp_path):
    with paying(shop, tmp_path, tells=False):
        hold = held(shop, shop.session())
        assert hold.preview.error == "NO_PREVIEW"
        assert [list(w.tools_without_preview) for w in workers(shop) if "pay" in w.tools] == [
            ["pay"]
        ]
        shop.approve(hold)
        until(lambda: shop.state(hold.invocation) == "SUCCEEDED")


def test_no_agent_finds_the_preview(shop, tmp_path):
    with paying(shop, tmp_path):
        session = shop.session(agent=AGENT)
        asked = [
            shop.invoke(session, name, {"order_id": "O-1", "amount_minor": 1})
            for name in ("pay.preview", "pay.nothing")
        ]
        assert {call.code for call in asked} == {"TOOL_UNAVAILABLE"}
