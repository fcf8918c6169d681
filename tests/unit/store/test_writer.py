"""The one writer: company, conflicts, and every way in which the disk can fail it."""

import asyncio
import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from broker.core.errors import Defect, OutcomeUnstored, StoreUnavailable
from broker.core.lifecycle import InvocationState
from broker.core.unit import AddDocument, AddInvocation, Conflict, RequireControl, Unit
from broker.ids import UuidFactory
from broker.store import load_or_create, sqlite
from broker.store.heads import Heads, notes_of
from broker.store.log import Log
from broker.store.sql import Database
from broker.store.writer import Cadence, Writer
from tests.store_values import NOW, entry, invocation, opened, unit
from tests.stores import open_store, temporary_store, url_of

DEADLINE_S = 20.0


class Disk(Database):
    """A connection whose disk does as it is told.

    `fails` is raised instead of running a text that starts with `at`; with `after` it is run first.
    A commit waits for `gate`.
    """

    def __init__(self, connection, orders: "Orders") -> None:
        super().__init__(connection, sqlite.DIALECT)
        self._orders = orders

    def say(self, text: str) -> None:
        orders = self._orders
        if text == "COMMIT":
            orders.commits += 1
            orders.at_gate.set()
            assert orders.gate.wait(DEADLINE_S)
        if orders.error is not None and text.startswith(orders.at):
            if orders.after:
                super().say(text)
            error, orders.error = orders.error, None
            raise error
        super().say(text)


class Orders:
    """What a `Disk` is told."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.at_gate = threading.Event()
        self.commits = 0
        self.error: sqlite3.Error | None = None
        self.at = "COMMIT"
        self.after = False


def error_of(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("as told")
    error.sqlite_errorcode = code
    return error


@contextlib.contextmanager
def writing(path: Path, orders: Orders, **cadence) -> Generator[Writer]:
    """A writer over a disk that obeys, on a database that is there."""
    engine = sqlite.engine(url_of(path))
    keys = load_or_create(path / "state")
    heads = Heads(path / "state" / "checkpoints")
    log = Log("brokers/1", keys, UuidFactory(lambda: NOW), secrets.token_bytes)

    def connect() -> Database:
        return Disk(engine.connect(), orders)

    database = connect()
    database.say(sqlite.BEGIN_READ)
    log.load(database, newest=heads.newest())
    database.close()
    writer = Writer(connect, log, heads, Cadence(**cadence))
    writer.start()
    try:
        yield writer
    finally:
        orders.gate.set()
        assert writer.stop(deadline_s=DEADLINE_S)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    async with temporary_store(tmp_path):
        pass
    return tmp_path


def mark(number: int, size: int = 8) -> Unit:
    body = bytes(size)
    return unit(
        AddDocument(digest=f"m{number}", kind="mark", at=NOW, body=body), entries=(entry(),)
    )


async def marks(path: Path) -> set[str]:
    """What a store that is opened anew finds; opening checks the whole log."""
    async with temporary_store(path) as store:
        return {digest for digest, _ in await store.documents("mark")}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.002)


async def test_what_queues_during_a_commit_goes_with_the_next_one(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.gate.clear()
        first = asyncio.create_task(writer.write(mark(0), deadline_s=DEADLINE_S))
        await until(orders.at_gate.is_set)
        rest = [
            asyncio.create_task(writer.write(mark(n), deadline_s=DEADLINE_S)) for n in range(1, 51)
        ]
        await until(lambda: writer._jobs.qsize() == 50)
        assert not first.done()
        orders.gate.set()
        await asyncio.gather(first, *rest)
        assert writer.commits == 2
    assert len(await marks(path)) == 51


async def test_a_lone_unit_waits_for_nobody(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        for number in range(5):
            await writer.write(mark(number), deadline_s=DEADLINE_S)
            assert writer.commits == number + 1


async def test_a_unit_that_conflicts_never_moves_the_chain(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.gate.clear()
        first = asyncio.create_task(writer.write(mark(0), deadline_s=DEADLINE_S))
        await until(orders.at_gate.is_set)
        bad = unit(RequireControl(revision=9), entries=(entry(), entry()))
        units = [mark(1), bad, mark(2), bad, mark(3)]
        tasks = [asyncio.create_task(writer.write(u, deadline_s=DEADLINE_S)) for u in units]
        await until(lambda: writer._jobs.qsize() == len(units))
        orders.gate.set()
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [isinstance(a, Conflict) for a in answers] == [
            False,
            False,
            True,
            False,
            True,
            False,
        ]
        assert writer.log.head.sequence == 4
    assert await marks(path) == {"m0", "m1", "m2", "m3"}


async def test_a_unit_that_is_a_defect_fails_alone(path: Path):
    orders = Orders()
    async with temporary_store(path) as store:
        ended = await opened(store)
    stray = invocation(ended, InvocationState.RUNNING, session="sessions/nowhere")
    with writing(path, orders) as writer:
        orders.gate.clear()
        first = asyncio.create_task(writer.write(mark(0), deadline_s=DEADLINE_S))
        await until(orders.at_gate.is_set)
        units = [
            unit(AddInvocation(invocation=stray)),
            unit(entries=(entry(body={"n": 2**70}),)),
            Unit(changes=("no change",), entries=()),  # type: ignore[arg-type]
            mark(1),
        ]
        tasks = [asyncio.create_task(writer.write(u, deadline_s=DEADLINE_S)) for u in units]
        await until(lambda: writer._jobs.qsize() == len(units))
        orders.gate.set()
        answers = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(a) for a in answers[1:4]] == [Defect] * 3
    assert answers[4] is None
    assert await marks(path) == {"m0", "m1"}


async def test_a_full_disk_refuses_and_writes_nothing(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        assert writer._database is not None
        writer._database.say("PRAGMA max_page_count = 1")
        head = writer.log.head
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1, size=1_000_000), deadline_s=DEADLINE_S)
        assert writer.log.head == head
        writer._database.say("PRAGMA max_page_count = 1000000")
        await writer.write(mark(2, size=1_000_000), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m2"}


async def test_a_database_that_cannot_be_written_refuses(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        assert writer._database is not None
        writer._database.say("PRAGMA query_only = ON")
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        writer._database.say("PRAGMA query_only = OFF")
        await writer.write(mark(2), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m2"}


async def test_a_database_that_somebody_locks_refuses_in_bounded_time(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        intruder = sqlite3.connect(path / "broker.db", isolation_level=None)
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        intruder.execute("ROLLBACK")
        intruder.close()
        await writer.write(mark(2), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m2"}


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY])
async def test_a_commit_that_certainly_failed_is_said_to_have_written_nothing(
    path: Path, code: int
):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.error = error_of(code)
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m2"}


@pytest.mark.parametrize("after", [False, True], ids=["lost", "done"])
async def test_a_commit_whose_fate_is_unknown_is_said_to_be_unknown(path: Path, *, after: bool):
    """The disk says that it failed, and has it or has it not: the log goes on from what it has."""
    orders = Orders()
    with writing(path, orders) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        orders.error, orders.after = error_of(sqlite3.SQLITE_IOERR_FSYNC), after
        with pytest.raises(OutcomeUnstored):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
        assert writer.log.head.sequence == (3 if after else 2)
    assert await marks(path) == ({"m0", "m1", "m2"} if after else {"m0", "m2"})


async def test_a_broken_transaction_is_undone_and_the_connection_given_up(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        orders.at, orders.error = "SAVEPOINT", error_of(sqlite3.SQLITE_IOERR)
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m2"}


async def test_a_unit_that_waits_too_long_is_withdrawn(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.gate.clear()
        first = asyncio.create_task(writer.write(mark(0), deadline_s=DEADLINE_S))
        await until(orders.at_gate.is_set)
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=0.01)
        orders.gate.set()
        await first
        await writer.write(mark(2), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m2"}


async def test_a_unit_whose_commit_takes_too_long_is_said_to_be_unknown(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.gate.clear()
        slow = asyncio.create_task(writer.write(mark(0), deadline_s=0.2))
        await until(orders.at_gate.is_set)
        with pytest.raises(OutcomeUnstored):
            await slow
        orders.gate.set()
        await writer.write(mark(1), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m1"}


async def test_whoever_stops_waiting_does_not_stop_the_writer(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        orders.gate.clear()
        gone = asyncio.create_task(writer.write(mark(0), deadline_s=DEADLINE_S))
        await until(orders.at_gate.is_set)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        orders.gate.set()
        await writer.write(mark(1), deadline_s=DEADLINE_S)
    assert await marks(path) == {"m0", "m1"}


def sizes_of(heads: Heads) -> list[int]:
    text = heads.path.read_bytes() if heads.path.exists() else b""
    return [size for note in notes_of(text) if (size := int(note.split("\n")[1]))]


async def test_heads_are_never_further_apart_than_the_cadence(path: Path):
    orders = Orders()
    with writing(path, orders, entries_max=10, interval_s=3_600) as writer:
        tasks = [
            asyncio.create_task(writer.write(mark(n), deadline_s=DEADLINE_S)) for n in range(64)
        ]
        await asyncio.gather(*tasks)
        assert len(writer.log.unsigned.leaves) <= 10
        assert all(
            later - earlier <= 10
            for earlier, later in zip(
                [0, *sizes_of(writer.heads)], sizes_of(writer.heads), strict=False
            )
        )
    assert sizes_of(writer.heads)[-1] == 64
    assert len(await marks(path)) == 64


async def test_a_head_is_signed_when_its_time_has_come_without_any_more_to_write(path: Path):
    orders = Orders()
    with writing(path, orders, entries_max=100, interval_s=0.05) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        await until(lambda: sizes_of(writer.heads) == [1])
        assert writer.log.unsigned.leaves == []


async def test_nothing_is_recorded_beyond_a_head_that_cannot_be_written_outside(path: Path):
    """A full disk under the heads must not leave the log without its witness."""
    orders = Orders()
    with writing(path, orders, entries_max=3, interval_s=3_600) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        writer.heads.path.unlink()
        writer.heads.path.mkdir()
        await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(3), deadline_s=DEADLINE_S)
        writer.heads.path.rmdir()
        await writer.write(mark(4), deadline_s=DEADLINE_S)
        assert sizes_of(writer.heads)[0] == 3
    assert await marks(path) == {"m0", "m1", "m2", "m4"}


async def test_a_head_that_a_crash_kept_from_the_outside_is_brought_there_at_the_start(path: Path):
    heads = Heads(path / "state" / "checkpoints")
    for number in range(2):
        async with temporary_store(path) as store:
            await store.commit(mark(number))
    lines = heads.path.read_bytes().splitlines(keepends=True)
    heads.path.write_bytes(b"".join(lines[:-1]))
    assert sizes_of(heads) == [1]
    async with temporary_store(path):
        assert sizes_of(heads) == [1, 2]


async def test_what_is_queued_is_written_before_the_end(path: Path):
    store = await open_store(path)
    tasks = [asyncio.create_task(store.commit(mark(n))) for n in range(30)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.commit(mark(99))
    with pytest.raises(StoreUnavailable):
        await store.counts()
    assert len(await marks(path)) == 30


async def test_statements_become_text_once(path: Path):
    orders = Orders()
    with writing(path, orders) as writer:
        for number in range(3):
            await writer.write(mark(number), deadline_s=DEADLINE_S)
        assert writer._database is not None
        texts = writer._database.texts
        for number in range(3, 200):
            await writer.write(mark(number), deadline_s=DEADLINE_S)
        # Signing a head came in between, with its own four.
        assert writer._database.texts <= texts + 4
