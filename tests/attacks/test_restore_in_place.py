"""An insider has the database's own tools turn time back, and hopes that nobody has to say so.

As in `test_restore`, on a server: they can dump a database, put an old dump back with `pg_restore`,
and start brokers. A dump that is put back is refused by every broker, until `restore --in-place`
has said in the log, for ever, what was kept and what was given up.
"""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from broker.core.audit_verification import Report, verify
from broker.core.control import ToolCache
from broker.core.control_rows import control_of
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import AddHold, AddInvocation
from broker.store import (
    BackupRefused,
    DatabaseInUse,
    LogRefused,
    SqlStore,
    load_or_create,
    signature_holds,
)
from broker.store.heads import epochs_of, notes_of
from broker.store.postgres import DIALECT
from broker.store.restoring import Restored, RestoreOrder, restore
from broker.store.sql import Database
from tests import store_values as v
from tests.dumps import dump, put_back
from tests.fakes.waiting import until
from tests.postgres import EMPTY, server
from tests.several_stores import NAMES, open_one, state_of
from tests.stores import NOW, temporary_store, url_of

BROKER = NAMES[0]


@pytest.fixture
def url() -> Iterator[str]:
    with server().database() as name:
        yield server().url(name)


@pytest.fixture
def other() -> Iterator[str]:
    """A database that has nothing yet, for a dump to be put into."""
    with server().database(EMPTY) as name:
        yield server().url(name)


@contextlib.asynccontextmanager
async def broker_on(url: str, path: Path, name: str = BROKER) -> AsyncIterator[SqlStore]:
    store = await open_one(url, path, name)
    try:
        yield store
    finally:
        await store.close()


async def written(url: str, path: Path, count: int, name: str = BROKER) -> None:
    async with broker_on(url, path, name) as store:
        for number in range(count):
            await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))


async def dumped(url: str, path: Path, count: int) -> Path:
    """A dump of so many entries, and five more in the database that it does not have."""
    await written(url, path, count)
    made = dump(url, path / "monday.dump")
    await written(url, path, 5)
    return made


def go_on(
    url: str, path: Path, *, clock: Callable[[], float] = lambda: NOW, name: str = BROKER
) -> Restored:
    state = state_of(path, name)
    order = RestoreOrder(backup=None, url=url, state=state, actor="operator-1", reason="disk")
    return restore(order, audit_keys=load_or_create(state), clock=clock)


def heads_file(path: Path, name: str = BROKER) -> Path:
    return state_of(path, name) / "checkpoints" / "heads.jsonl"


async def report_of(url: str, path: Path) -> Report:
    async with broker_on(url, path) as store:
        lines = [part async for part in store.export(since=0.0, include_contents=True)]
    outside = heads_file(path).read_bytes()
    return verify(
        b"".join(lines).splitlines(),
        load_or_create(state_of(path, BROKER)).public_key,
        signature_holds=signature_holds,
        checkpoints=notes_of(outside),
        epochs=epochs_of(outside),
    )


async def test_a_dump_that_is_put_back_in_silence_is_refused(url: str, other: str, tmp_path: Path):
    put_back(other, await dumped(url, tmp_path, 10))
    with pytest.raises(LogRefused, match=r"older than the log.*callbroker restore"):
        await written(other, tmp_path, 1)


async def test_a_dump_that_was_gone_on_with_elsewhere_is_refused(
    url: str, other: str, tmp_path: Path
):
    """Have a copy of keys and heads of then write on, until the log is longer than it was."""
    await written(url, tmp_path, 10)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(state_of(tmp_path, BROKER), state_of(elsewhere, BROKER), dirs_exist_ok=True)
    put_back(other, dump(url, tmp_path / "monday.dump"))
    await written(url, tmp_path, 5)
    await written(other, elsewhere, 20)
    with pytest.raises(LogRefused, match="not the one whose head"):
        await written(other, tmp_path, 1)


async def test_a_restore_in_place_is_told_to_every_verifier_for_ever(
    url: str, other: str, tmp_path: Path
):
    put_back(other, await dumped(url, tmp_path, 10))
    done = go_on(other, tmp_path)
    assert (done.epoch.number, done.epoch.kept.size, done.epoch.abandoned.size) == (1, 10, 15)
    assert done.replaced is None
    await written(other, tmp_path, 30)
    report = await report_of(other, tmp_path)
    assert report.ok, report.first_broken
    assert [epoch.number for epoch in report.restores] == [1]
    with pytest.raises(LogRefused, match="older than the log"):
        await written(url, tmp_path, 1)


async def test_nothing_that_the_dump_believes_open_stays_open(url: str, other: str, tmp_path: Path):
    """Have a hold of before approved again, and the same money paid twice."""
    async with broker_on(url, tmp_path) as store:
        session = await v.opened(store)
        waiting = v.invocation(session, InvocationState.HELD, call=v.call("waits"))
        hold = v.hold(waiting)
        running = v.invocation(session, InvocationState.RUNNING, call=v.call("runs"))
        await store.commit(v.unit(AddInvocation(invocation=waiting), AddHold(hold=hold)))
        await store.commit(v.unit(AddInvocation(invocation=running), entries=(v.entry(),)))
    put_back(other, dump(url, tmp_path / "monday.dump"))
    done = go_on(other, tmp_path)
    assert (done.holds_expired, done.calls_unknown, done.sessions_revoked) == (1, 1, 1)
    async with broker_on(other, tmp_path) as store:
        found = await store.find_hold(hold.name)
        unknown = await store.find_invocation(running.name)
        over = await store.find_session(session.name)
        control, _ = control_of(await store.control(), ToolCache())
    assert found is not None
    assert found[0].state is HoldState.EXPIRED
    assert unknown is not None
    assert (unknown.state, unknown.code) == (InvocationState.UNKNOWN, "RESTORED")
    assert over is not None
    assert over.state == "REVOKED"
    assert [freeze.kind for freeze in control.freezes] == ["all"]
    assert (control.restored.epoch, control.restored.at) == (1, NOW)


async def test_beneath_a_broker_nothing_is_restored(url: str, other: str, tmp_path: Path):
    """Restore beneath a broker that goes on with what it has in memory."""
    put_back(other, await dumped(url, tmp_path, 10))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    keys = state_of(elsewhere, NAMES[1])
    shutil.copytree(state_of(tmp_path, BROKER), keys, dirs_exist_ok=True)
    heads = keys / "checkpoints" / "heads.jsonl"
    heads.write_bytes(b"".join(heads.read_bytes().splitlines(keepends=True)[:2]))
    async with broker_on(other, elsewhere, NAMES[1]):
        with pytest.raises(DatabaseInUse, match="Another broker"):
            go_on(other, tmp_path)
    go_on(other, tmp_path)
    async with broker_on(other, tmp_path):
        with pytest.raises(DatabaseInUse, match="Another broker"):
            go_on(other, tmp_path)


async def test_a_broker_that_comes_in_between_stops_the_restore(
    url: str, other: str, tmp_path: Path
):
    """Start a broker while the restore is under way."""
    put_back(other, await dumped(url, tmp_path, 10))
    come: list[Database] = []

    def clock() -> float:
        come.append(Database(DIALECT.engine(other).connect(), DIALECT))
        come[0].claim("brokers/late", former=0)
        return NOW

    with pytest.raises(DatabaseInUse, match="Another broker"):
        go_on(other, tmp_path, clock=clock)
    come[0].close()
    assert server().run("SELECT count(*) FROM audit_entries", database=named(other)) == [(10,)]
    await_gone(other)
    assert go_on(other, tmp_path).epoch.number == 1


def named(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


def await_gone(url: str) -> None:
    """A connection that was closed ends at the server a moment later."""
    held = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
    until(lambda: not server().run(held, database=named(url)), "It goes on.")


async def test_the_other_brokers_are_refused_until_they_have_the_heads(
    url: str, other: str, tmp_path: Path
):
    """Start a second broker with what it knew before, to go on as if nothing had been."""
    await written(url, tmp_path, 10)
    made = dump(url, tmp_path / "monday.dump")
    await written(url, tmp_path, 5, NAMES[1])
    shutil.copyfile(heads_file(tmp_path, NAMES[1]), heads_file(tmp_path))
    put_back(other, made)
    go_on(other, tmp_path)
    await written(other, tmp_path, 1)
    with pytest.raises(LogRefused, match="older"):
        await written(other, tmp_path, 1, NAMES[1])
    await written(other, tmp_path, 20)
    with pytest.raises(LogRefused, match="not the one whose head"):
        await written(other, tmp_path, 1, NAMES[1])
    shutil.copyfile(heads_file(tmp_path), heads_file(tmp_path, NAMES[1]))
    await written(other, tmp_path, 1, NAMES[1])
    assert (await report_of(other, tmp_path)).ok


async def test_a_dump_of_another_log_is_refused_and_nothing_is_changed(
    url: str, other: str, tmp_path: Path
):
    strange = tmp_path / "strange"
    strange.mkdir()
    put_back(other, await dumped(url, strange, 10))
    with server().database() as own:
        await written(server().url(own), tmp_path, 3)
    before = heads_file(tmp_path).read_bytes()
    with pytest.raises(LogRefused):
        go_on(other, tmp_path)
    assert heads_file(tmp_path).read_bytes() == before
    for table, count in (("audit_entries", 10), ("control_rows", 0)):
        asked = f"SELECT count(*) FROM {table}"
        assert server().run(asked, database=named(other)) == [(count,)]


async def test_a_database_that_has_nothing_is_left_for_the_dump(
    url: str, other: str, tmp_path: Path
):
    """Forget to put the dump back, so that tables lie in its way."""
    made = await dumped(url, tmp_path, 10)
    with pytest.raises(BackupRefused, match="empty"):
        go_on(other, tmp_path)
    put_back(other, made)
    assert go_on(other, tmp_path).epoch.kept.size == 10


async def test_a_restore_that_is_killed_is_refused_and_can_be_had_again(
    url: str, other: str, tmp_path: Path
):
    """Cut the power between the commit and the heads' hearing of it."""
    put_back(other, await dumped(url, tmp_path, 10))
    unheard = heads_file(tmp_path).read_bytes()
    go_on(other, tmp_path)
    heads_file(tmp_path).write_bytes(unheard)
    with pytest.raises(LogRefused, match="older"):
        await written(other, tmp_path, 1)
    assert go_on(other, tmp_path).epoch.number == 2
    await written(other, tmp_path, 3)
    report = await report_of(other, tmp_path)
    assert report.ok, report.first_broken
    assert [epoch.number for epoch in report.restores] == [1, 2]


async def test_a_file_that_was_copied_back_by_hand_can_be_gone_on_with_too(tmp_path: Path):
    """No attack: the same act where a file came out of a snapshot of the disk."""
    base = tmp_path / "base"
    base.mkdir()
    for count in (10, 5):
        async with temporary_store(base) as store:
            for number in range(count):
                await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))
        if count == 10:
            shutil.copyfile(base / "broker.db", tmp_path / "monday.db")
    shutil.copyfile(tmp_path / "monday.db", base / "broker.db")
    order = RestoreOrder(
        backup=None, url=url_of(base), state=base / "state", actor="operator-1", reason="disk"
    )
    async with temporary_store(tmp_path) as store:
        await store.commit(v.unit(entries=(v.entry(),)))
    done = restore(order, audit_keys=load_or_create(base / "state"), clock=lambda: NOW)
    assert (done.epoch.kept.size, done.epoch.abandoned.size) == (10, 15)
    async with temporary_store(base) as store:
        assert (await store.counts()).audit_entries == 11
        with pytest.raises(DatabaseInUse):
            restore(order, audit_keys=load_or_create(base / "state"), clock=lambda: NOW)
