"""A tool that cannot move, through the whole broker: on real OPA, by the SDK."""

from collections.abc import Iterator

import pytest

from broker.sdk import (
    Held,
    IllegalTransition,
    Refused,
    Succeeded,
    SyncPermit,
    SyncSession,
    Unknown,
    connect_sync,
)
from tests.e2e.guarded_shop import GuardedShop
from tests.e2e.shop_tools import AGENT, READ_NOTE, REFUND


@pytest.fixture(scope="module")
def local(shop: GuardedShop) -> GuardedShop:
    """A shop two of whose tools cannot move."""
    shop.operator.put_tools([{**tool, "runner": "caller"} for tool in (READ_NOTE, REFUND)])
    return shop


@pytest.fixture
def session(local: GuardedShop) -> Iterator[SyncSession]:
    """A session whose process executes tools itself."""
    shop = local
    secret = shop.mandate().secret
    token = shop.by("agent", AGENT)["metadata"][0][1].removeprefix("Bearer ")
    with connect_sync(shop.address, agent_token=token) as broker:
        yield broker.open_session(secret)


def test_it_is_decided_executed_here_and_shown_as_the_agents_word(
    shop: GuardedShop, session: SyncSession
):
    read = session.run_local("read_note", {"note_id": "n-1"}, lambda note_id: {"is": note_id})
    assert isinstance(read, Succeeded)
    assert (read.result, read.reported_by) == ({"is": "n-1"}, "agent")
    assert "read_note" not in shop.ran  # the worker had no part in it


def test_an_error_of_one_that_writes_keeps_its_order(session: SyncSession):
    def broken(**_: object) -> None:
        raise ConnectionResetError

    asked = {"order_id": "A-7", "amount_minor": 1}
    assert isinstance(session.run_local("refund", asked, broken), Unknown)
    again = session.run_local("refund", asked, broken)
    assert isinstance(again, Refused)
    assert again.code == "EXCLUSIVE_UNSETTLED"


def test_an_ordinary_client_cannot_leave_one_lying_about(session: SyncSession):
    with pytest.raises(IllegalTransition):
        session.invoke("read_note", {"note_id": "n-1"})
    taken = session.permit("read_note", {"note_id": "n-1"}, request_id="once")
    other = session.permit("read_note", {"note_id": "n-1"}, request_id="once")
    assert isinstance(taken, SyncPermit)
    assert isinstance(other, Held)
    assert taken.succeeded({"is": "n-1"}).result == {"is": "n-1"}
