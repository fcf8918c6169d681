"""Somebody reads the broker's files after an erasure, and looks where nobody thought of looking.

They hope for the journal, which is emptied only while nobody reads it and not at all by a broker
that was killed; for what a host said of somebody beside their words; and for a backup.
"""

import contextlib
import dataclasses
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.administration.changes import ControlChanges
from broker.administration.retention import RetentionAdministration
from broker.control_room import ControlRoom
from broker.core.calls import Session
from broker.core.lifecycle import InvocationState
from broker.core.retention import DAY_S, EraseCalls, EraseSession, LegalHoldKind
from broker.core.scopes import Scope
from broker.core.unit import AddInvocation, AddMandate, DropControl, EndSession
from broker.events import Events
from broker.ids import UuidFactory
from broker.store import SqlStore, load_or_create
from broker.store.backing_up import take
from broker.store.restoring import RestoreOrder, restore
from tests import store_values as v
from tests.offices import operator
from tests.stores import NOW, temporary_store, url_of
from tests.world import world

SECRET = "the patient is Mallory Quux of 7 Elm Street"
WHOSE = {"principal": v.PRINCIPAL.id, "reason": "asked"}


async def office(store: SqlStore, *, at: float = NOW) -> RetentionAdministration:
    """The operators' side of a broker that has just started, at a time that stands still."""
    changes = ControlChanges(
        store=store,
        room=await ControlRoom.open(store=store, events=Events()),
        clock=lambda: at,
        ids=UuidFactory(lambda: at),
    )
    return RetentionAdministration(changes=changes, keeping=store)


async def over(store: SqlStore, **changes: Any) -> tuple[Session, str]:
    """A session that is over, with one call that says the secret, and has ended."""
    session = await v.opened(store, **changes)
    said = v.call(note=SECRET)
    call = v.invocation(session, InvocationState.SUCCEEDED, call=said, result=SECRET.encode())
    await store.commit(v.unit(AddInvocation(invocation=call), entries=(v.entry(call),)))
    await store.commit(v.unit(EndSession(name=session.name, state="CLOSED")))
    return session, call.name


def files_with_it(path: Path) -> list[str]:
    return files_with(path, SECRET)


def files_with(path: Path, text: str) -> list[str]:
    return [f.name for f in path.glob("broker.db*") if text.encode() in f.read_bytes()]


@contextlib.contextmanager
def reader(path: Path) -> Iterator[None]:
    """Somebody who reads the database all the time, as a backup or a copy of it does."""
    with contextlib.closing(sqlite3.connect(path / "broker.db")) as reading:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM sessions").fetchall()
        yield


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    async with temporary_store(tmp_path) as made:
        yield made


@pytest.mark.parametrize("by", ["the next round", "the same order again"])
async def test_what_a_reader_kept_in_the_journal_goes_once_it_is_gone(
    store: SqlStore, tmp_path: Path, by: str
):
    """Keep a read open while it is erased, so that the pages of before stay in the journal."""
    await over(store)
    retention = await office(store)
    with reader(tmp_path):
        assert (await retention.erase(operator(), **WHOSE)).sessions == 1
        assert files_with_it(tmp_path) == ["broker.db-wal"]
    if by == "the next round":
        await retention.eraser.sweep_once()
    else:
        await retention.erase(operator(), **WHOSE)
    assert files_with_it(tmp_path) == []


async def test_what_a_killed_broker_left_in_the_journal_goes_with_the_next_one(
    store: SqlStore, tmp_path: Path
):
    """Kill the broker between the erasure and the emptying of the journal."""
    session, call = await over(store)
    of_it = {"session": session.name, "at": NOW, "by": "operator-1"}
    await store.commit(v.unit(EraseCalls(invocations=(call,), **of_it)))
    await store.commit(v.unit(EraseSession(mandate=session.mandate, **of_it)))
    assert files_with_it(tmp_path) == ["broker.db-wal"]
    await (await office(store)).eraser.sweep_once()
    assert files_with_it(tmp_path) == []


async def test_what_a_host_said_of_somebody_without_words_is_erased(
    store: SqlStore, tmp_path: Path
):
    """Leave a mandate unredeemed in which nobody said a word: only what a host knew is in it."""
    principal = dataclasses.replace(v.PRINCIPAL, attributes={"record": SECRET})
    session = v.session(words=(), principal=principal)
    await store.commit(v.unit(AddMandate(mandate=v.mandate(session))))
    retention = await office(store, at=NOW + DAY_S)
    assert (await retention.erase(operator(), **WHOSE)).mandates == 1
    assert files_with_it(tmp_path) == []
    assert (await retention.erase(operator(), **WHOSE)).mandates == 0


async def test_what_a_session_was_narrowed_to_is_erased_and_allows_nothing(
    store: SqlStore, tmp_path: Path
):
    """Have whom a session may write to, by their address, outlive all that was written."""
    scope = Scope(name="mail:send", where={"/to": (SECRET,)})
    session, _ = await over(store, scopes=(scope,))
    await (await office(store)).erase(operator(), **WHOSE)
    assert files_with_it(tmp_path) == []
    found = await store.find_session(session.name)
    assert found is not None
    assert found.scopes == (dataclasses.replace(scope, where={"/to": ()}),)


async def test_a_legal_hold_that_a_restore_lost_can_be_put_on_before_anything_is_erased(
    tmp_path: Path,
):
    """Restore a backup of before the court asked: what it must have is past its period at once."""
    async with temporary_store(tmp_path) as store:
        _, call = await over(store)
        retention = await office(store)
        await retention.set(operator(), contents_days=30, reason="as promised")
        await store.checkpoint_now()
        take(tmp_path / "broker.db", tmp_path / "backup")
        kind = LegalHoldKind.PRINCIPAL
        await retention.hold(operator(), kind=kind, subject=v.PRINCIPAL.id, reason="case 12")
    later = NOW + 40 * DAY_S
    order = RestoreOrder(
        backup=tmp_path / "backup",
        url=url_of(tmp_path),
        state=tmp_path / "state",
        actor="operator-1",
        reason="disk",
    )
    restore(order, audit_keys=load_or_create(tmp_path / "state"), clock=lambda: later)
    async with temporary_store(tmp_path) as store:
        retention = await office(store, at=later)
        assert (await retention.eraser.sweep_once()).sessions == 0
        found = await store.find_invocation(call)
        assert found is not None
        assert found.erased is None
        (freeze,) = [row for row in (await store.control()).rows if row.kind == "freeze"]
        await store.commit(v.unit(DropControl(kind="freeze", key=freeze.key)))
        assert (await (await office(store, at=later)).eraser.sweep_once()).sessions == 1


async def test_of_what_was_exclusive_no_value_is_left(tmp_path: Path):
    """Read in the log, which is for ever, and in the keys, of what thing a call was."""
    async with world(tmp_path) as w:
        caller = await w.caller()
        done = await w.refund(caller, 1, order_id="O-1002")
        assert done.state is InvocationState.SUCCEEDED
        assert files_with(tmp_path, "O-1002")
        await w.store.commit(v.unit(EndSession(name=caller.session.name, state="CLOSED")))
        retention = await office(w.store, at=w.clock())
        await retention.erase(operator(), principal=caller.principal.id, reason="asked")
        assert files_with(tmp_path, "O-1002") == []
