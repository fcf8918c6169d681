"""The support desk as a newcomer starts it: one command, real processes, nothing left behind."""

import contextlib
import importlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import grpc
import pytest

from broker.sdk import ToolFailed
from broker.sdk.testing import invoke_tool
from broker.v1 import review_pb2, review_pb2_grpc
from examples.support_desk import records
from tests.desk_process import desk_process

ROOT = Path(__file__).parents[2]
START_S = 90.0


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The show, played once in a temporary directory of its own."""
    directory = tmp_path_factory.mktemp("once")
    given = ("--once", "--port", "0", "--engine", "none")
    done = subprocess.run(
        [sys.executable, "-m", "examples.support_desk", *given],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=2 * START_S,
        check=False,
    )
    return done, directory


def test_the_show_ends_well(once):
    done, _ = once
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("decision", "tool", "about", "code"),
    [
        ("ALLOW", "read_order", "order O-1001", ""),
        ("ALLOW", "refund", "EUR 10.00 of order O-1002", ""),
        ("HOLD", "refund", "EUR 55.00 of order O-1001 to card ending 0017", "REFUND_NEEDS_PERSON"),
        ("DENY", "refund", "EUR 90.00 of order O-1001", "REFUND_NOT_COVERED"),
        ("DENY", "read_order", "another customer's", "SCOPE_NOT_BOUND"),
        ("DENY", "refund", "a field that the tool does not have", "ARGUMENTS_INVALID"),
        ("DENY", "list_customers", "a tool that this agent does not have", "TOOL_UNAVAILABLE"),
        ("DENY", "read_article", "for colleagues only", "ARTICLE_NOT_READABLE"),
        ("HOLD", "send_mail", "audit@example.net", "PAYLOAD_SENSITIVE"),
        ("HOLD", "delete_customer", "customers/c-204", "DELETE_NEEDS_PERSON"),
        ("ALLOW", "refund", "8 at once", ""),
        ("DENY", "refund", "7 times: EUR 25.00", "REFUND_NOT_COVERED"),
        ("HOLD", "refund", "the third of the day", "REFUND_NEEDS_PERSON"),
        ("HOLD", "refund", "from a fresh session", "REFUND_NEEDS_PERSON"),
        ("error", "ApproveHold", "an agent cannot review", "PERMISSION_DENIED"),
    ],
)
def test_each_call_is_shown_with_its_decision_and_reason(once, decision, tool, about, code):
    done, _ = once
    lines = [line.split() for line in done.stdout.splitlines() if about in line]
    assert any(words[:2] == [decision, tool] and (words[-1] == code or not code) for words in lines)


def test_at_least_two_calls_wait_for_a_person(once):
    done, _ = once
    found = re.search(r"(\d+) calls decided, (\d+) wait for a person", done.stdout)
    assert found is not None
    assert int(found[2]) >= 2


def test_nothing_is_left_behind(once):
    _, directory = once
    assert list(directory.iterdir()) == []
    assert _processes_of(directory) == []


def test_an_approved_refund_is_paid_once_and_ctrl_c_stops_everything(tmp_path):
    state = tmp_path / "desk"
    with desk_process(state) as (process, said):
        with sqlite3.connect(state / "shop.db") as shop:
            before = shop.execute(_REFUNDED, ("O-1001",)).fetchone()[0]
        shown = _approve(state, said, "EUR 55.00")
        left = {"after_minor": 500, "before_minor": 6_000, "currency": "EUR"}
        assert json.loads(shown.preview.content_json) == [{"label": "left on the payment", **left}]
        _until(lambda: _refunded(state, "O-1001") != before, "the refund was not paid")
        assert _refunded(state, "O-1001") == before + 5_500
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert _processes_of(state) == []
    assert _refunded(state, "O-1003") == 2_500  # eight at once, of which the payment covers one
    assert (state / "callbroker.toml").is_file()  # asked for, hence kept
    for log in ("broker.log", "worker.log"):
        assert "Traceback" not in (state / log).read_text()


def test_a_killed_show_takes_its_processes_with_it(tmp_path):
    state = tmp_path / "desk"
    with desk_process(state) as (process, _):
        process.kill()
        process.wait(timeout=10)
        _until(lambda: not _processes_of(state), "a process outlived the show")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """The worker over a shop of its own; no broker."""
    records.create(tmp_path / "shop.db")
    monkeypatch.setenv("SUPPORT_DESK_SHOP", str(tmp_path / "shop.db"))
    monkeypatch.delitem(sys.modules, "examples.support_desk.worker", raising=False)
    return importlib.import_module("examples.support_desk.worker").worker


async def test_the_worker_itself_finds_only_what_the_asking_user_may_read(tools):
    """A rule that let too much through would still show no article of others."""
    words = {"words": "colleague"}
    assert await invoke_tool(tools, "search_articles", words) == []
    found = await invoke_tool(tools, "search_articles", words, principal_groups=("customers",))
    assert [line["article_id"] for line in found] == ["kb-1"]
    found = await invoke_tool(tools, "search_articles", words, principal_groups=("support",))
    assert [line["article_id"] for line in found] == ["kb-1", "kb-9"]


async def test_the_worker_itself_does_not_fetch_an_article_of_others(tools):
    of_colleagues = {"article_id": "kb-9"}
    with pytest.raises(ToolFailed, match="There is no such article"):
        await invoke_tool(tools, "read_article", of_colleagues, principal_groups=("customers",))
    article = await invoke_tool(
        tools, "read_article", of_colleagues, principal_groups=("customers", "support")
    )
    assert article["title"].startswith("Goodwill")


async def test_a_second_delivery_of_a_refund_pays_nothing(tools):
    paid = {"order_id": "O-1001", "amount_minor": 100, "currency": "EUR"}
    first = await invoke_tool(tools, "refund", paid, invocation="invocations/1")
    again = await invoke_tool(tools, "refund", paid, invocation="invocations/1")
    other = await invoke_tool(tools, "refund", paid, invocation="invocations/2")
    assert first == again == {"refund_id": "r-2"}
    assert other == {"refund_id": "r-3"}


_REFUNDED = "SELECT COALESCE(SUM(amount_minor), 0) FROM refunds WHERE order_id = ?"


def _refunded(state: Path, order_id: str) -> int:
    with contextlib.closing(sqlite3.connect(state / "shop.db")) as shop:
        return shop.execute(_REFUNDED, (order_id,)).fetchone()[0]


def _approve(state: Path, said: str, about: str) -> review_pb2.Hold:
    """What `callbroker holds approve` does, with the reviewer's token that lies ready.

    Returns the hold as it was shown.
    """
    address = re.search(r"Broker\s+(127\.0\.0\.1:\d+)", said)[1]
    token = (state / "state" / "tokens" / "reviewer").read_text().strip()
    metadata = (("authorization", f"Bearer {token}"),)
    with grpc.insecure_channel(address) as channel:
        reviews = review_pb2_grpc.ReviewServiceStub(channel)
        listed = reviews.ListHolds(review_pb2.ListHoldsRequest(), metadata=metadata, timeout=10)
        (hold,) = [hold for hold in listed.holds if about in hold.summary]
        reviews.ApproveHold(
            review_pb2.ApproveHoldRequest(name=hold.name, etag=hold.etag),
            metadata=metadata,
            timeout=10,
        )
        return hold


def _processes_of(directory: Path) -> list[str]:
    """Command lines of processes that were started for this directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            works_in = str((entry / "cwd").readlink())
            if str(directory).encode() in told or works_in.startswith(str(directory)):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def _until(holds, otherwise: str, *, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)
