"""What PostgreSQL alone can do to a broker: lost acknowledgements, lost power, lax settings."""

import asyncio
import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from structlog.testing import capture_logs

from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.lifecycle import InvocationState
from broker.core.unit import AddDocument, AddHold, AddInvocation, AddReview
from broker.ids import UuidFactory
from broker.store import (
    DatabaseInUse,
    DatabaseRefused,
    SchemaRefused,
    load_or_create,
    upgrade,
)
from broker.store.addresses import dialect_of, shown
from broker.store.heads import Heads
from broker.store.log import Log
from broker.store.postgres import DIALECT
from broker.store.sql import Database, Statement, Values
from broker.store.writer import Cadence, Writer
from tests.postgres import EMPTY, server
from tests.postgres_stores import mark, marks, open_at
from tests.store_values import NOW, entry, hold, invocation, opened, review, unit

DEADLINE_S = 30.0


@pytest.fixture
def url() -> Iterator[str]:
    with server().database() as database:
        yield server().url(database)


class Wire(Database):
    """A connection that is cut at a commit, before the server has it or after."""

    cut: Callable[["Wire"], None] | None = None

    def say(self, text: str) -> None:
        cut = type(self).cut
        if text == "COMMIT" and cut is not None:
            type(self).cut = None
            cut(self)
        super().say(text)

    def end(self) -> None:
        """Have the server end this connection's backend."""
        pid = DIALECT.backend(self._cursor)
        server().run(f"SELECT pg_terminate_backend({pid}, 5000)")


@contextlib.contextmanager
def writing(url: str, path: Path, wire: type[Database] = Wire) -> Iterator[Writer]:
    """A writer whose wire is cut as `Wire.cut` says."""
    engine = DIALECT.engine(url)
    keys = load_or_create(path / "state")
    heads = Heads(path / "state" / "checkpoints")
    ids = UuidFactory(lambda: NOW)
    log = Log("brokers/1", keys, ids, secrets.token_bytes, is_shared=True)

    def connect() -> Database:
        return wire(engine.connect(), DIALECT)

    database = connect()
    database.say(DIALECT.begin_read)
    log.load(database, newest=heads.newest())
    database.close()
    writer = Writer(connect, log, heads, Cadence(), DIALECT)
    writer.start()
    try:
        yield writer
    finally:
        Wire.cut = None
        assert writer.stop(deadline_s=DEADLINE_S)


async def test_a_commit_that_never_arrived_is_said_to_have_written_nothing(
    url: str, tmp_path: Path
):
    with writing(url, tmp_path) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        Wire.cut = Wire.end
        with pytest.raises(StoreUnavailable):
            await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
        assert writer.log.head.sequence == 2
    assert await marks(url, tmp_path) == {"m0", "m2"}


def _commit_and_cut(wire: Wire) -> None:
    wire.say("COMMIT")
    wire.end()


async def test_a_commit_whose_acknowledgement_is_lost_is_read_back_and_answered(
    url: str, tmp_path: Path
):
    with writing(url, tmp_path) as writer:
        await writer.write(mark(0), deadline_s=DEADLINE_S)
        Wire.cut = _commit_and_cut
        await writer.write(mark(1), deadline_s=DEADLINE_S)
        await writer.write(mark(2), deadline_s=DEADLINE_S)
        assert writer.log.head.sequence == 3
    assert await marks(url, tmp_path) == {"m0", "m1", "m2"}


async def test_a_lost_acknowledgement_of_what_the_log_does_not_tell_stays_unknown(
    url: str, tmp_path: Path
):
    silent = unit(AddDocument(digest="silent", kind="mark", at=NOW, body=b"1"))
    with writing(url, tmp_path) as writer:
        Wire.cut = _commit_and_cut
        with pytest.raises(OutcomeUnstored):
            await writer.write(silent, deadline_s=DEADLINE_S)
        await writer.write(mark(1), deadline_s=DEADLINE_S)
    assert await marks(url, tmp_path) == {"silent", "m1"}


async def test_a_connection_that_ended_while_nobody_asked_is_made_anew(url: str, tmp_path: Path):
    store = await open_at(url, tmp_path)
    await store.commit(mark(0))
    await store.counts()
    server().run(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name = 'callbroker'"
    )
    await store.commit(mark(1))
    assert (await store.counts()).audit_entries == 2
    await store.close()


async def test_the_log_says_why_it_is_away_and_when_it_is_not_any_more(url: str, tmp_path: Path):
    """A journal that ends with failures has whoever reads it mend what is well again."""
    store = await open_at(url, tmp_path)
    name = url.partition("@/")[2].partition("?")[0]
    cut = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
    with capture_logs() as told:
        server().run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server().run(cut)
        with pytest.raises(StoreUnavailable):
            await store.commit(mark(0))
        with pytest.raises(StoreUnavailable):
            await store.counts()
        server().run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await store.commit(mark(1))
        await store.commit(mark(2))
    await store.close()
    whys = [entry["why"] for entry in told if entry["event"].endswith(("_readable", "_read"))]
    assert all("not currently accepting connections" in why for why in whys)
    assert all("sqlalche.me" not in why and "\n" not in why for why in whys)
    events = [entry["event"] for entry in told]
    assert {"store_not_readable", "store_not_read"} <= set(events)
    assert events.count("store_written_again") == 1
    assert events[-1] == "store_written_again"


async def test_one_name_is_had_by_one_process(url: str, tmp_path: Path):
    store = await open_at(url, tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    await store.commit(mark(0))
    with pytest.raises(DatabaseInUse, match="as brokers/1"):
        await open_at(url, tmp_path / "other")
    await store.close()
    assert await marks(url, tmp_path / "one") == {"m0"}


async def test_one_state_directory_is_had_by_one_broker(url: str, tmp_path: Path):
    """Two that wrote to one file of heads could set it back."""
    store = await open_at(url, tmp_path)
    with pytest.raises(DatabaseInUse, match="state directory of its own"):
        await open_at(url, tmp_path, "brokers/2")
    await store.close()
    await (await open_at(url, tmp_path, "brokers/2")).close()


class Contended(Database):
    """A connection on which whatever writes the document `m1` is in another's way."""

    def run(self, statement: Statement, values: Values) -> int:
        if values.get("digest") == "m1":
            raise psycopg.errors.DeadlockDetected("as told")
        return super().run(statement, values)


async def test_who_is_in_anothers_way_keeps_nobody_else_from_being_written(
    url: str, tmp_path: Path
):
    with writing(url, tmp_path, Contended) as writer:
        answers = await asyncio.gather(
            *(writer.write(mark(number), deadline_s=DEADLINE_S) for number in range(4)),
            return_exceptions=True,
        )
    assert [type(answer) for answer in answers] == [
        type(None),
        StoreUnavailable,
        type(None),
        type(None),
    ]
    assert await marks(url, tmp_path) == {"m0", "m2", "m3"}


async def test_text_that_this_database_cannot_keep_stops_nobody(url: str, tmp_path: Path):
    """A tool says NUL in its message, to keep the end of its call from being recorded."""
    store = await open_at(url, tmp_path)
    session = await opened(store)
    made = invocation(session, InvocationState.SUCCEEDED, message="a\x00b")
    await store.commit(unit(AddInvocation(invocation=made), entries=(entry(made),)))
    found = await store.find_invocation(made.name)
    assert found is not None
    assert found.message == "a\N{REPLACEMENT CHARACTER}b"
    await store.close()


@pytest.mark.parametrize(
    ("setting", "said"), [("synchronous_commit = off", "synchronous_commit = off")]
)
async def test_a_server_that_may_lose_a_commit_is_refused(
    url: str, tmp_path: Path, setting: str, said: str
):
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    server().run(f"ALTER DATABASE {name} SET {setting}")
    with pytest.raises(DatabaseRefused, match=said):
        await open_at(url, tmp_path)


async def test_a_database_that_was_not_migrated_is_told_so(tmp_path: Path):
    with (
        server().database(EMPTY) as database,
        pytest.raises(SchemaRefused, match="callbroker migrate"),
    ):
        await open_at(server().url(database), tmp_path)


async def test_migrating_twice_is_harmless_and_names_sort_by_their_bytes(tmp_path: Path):
    with server().database(EMPTY) as database:
        upgrade(server().url(database))
        upgrade(server().url(database))
        store = await open_at(server().url(database), tmp_path)
        for digest in ("b", "B", "a", "A", "_", "~"):
            await store.commit(unit(AddDocument(digest=digest, kind="o", at=NOW, body=b"")))
        found = [digest for digest, _ in await store.documents("o")]
        assert found == sorted(found)
        await store.close()


async def test_a_database_that_is_not_there_is_told_without_a_password(tmp_path: Path):
    url = server().url("nowhere").replace("callbroker@", "callbroker:s3cret@")
    with pytest.raises(StoreUnavailable, match="nowhere") as told:
        await open_at(url, tmp_path)
    assert "s3cret" not in str(told.value)
    with pytest.raises(StoreUnavailable, match="nowhere") as told:
        await asyncio.to_thread(upgrade, url)
    assert "s3cret" not in str(told.value)
    assert "s3cret" not in shown(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@db.example/x",
        "postgresql+psycopg://u@10.0.0.1/x",
        "postgresql://u@db.example/x?sslmode=require",
        "postgresql://u@db.example/x?sslmode=verify-ca",
        "postgresql://u@/x?host=localhost,db.example",
        "postgresql://u@localhost/x?hostaddr=10.0.0.1",
        "postgresql://u@/x?service=elsewhere",
        "postgresql+asyncpg://u@localhost/x",
    ],
)
def test_a_server_that_somebody_could_stand_in_for_is_refused(url: str):
    """On the way to the database somebody answers instead of it, and takes password and records."""
    with pytest.raises(ValueError, match=r"verify-full|service|is named as"):
        dialect_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@/x",
        "postgresql://u@localhost/x",
        "postgresql://u@127.0.0.1:5433/x",
        "postgresql://u@[::1]/x",
        "postgresql://u@/x?host=/run/postgresql",
        "postgresql://u@db.example/x?sslmode=verify-full",
    ],
)
def test_this_machine_and_a_server_that_is_verified_are_taken(url: str):
    assert dialect_of(url) is DIALECT


def test_a_host_of_the_environment_counts_as_one_of_the_address(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(ValueError, match="verify-full"):
        dialect_of("postgresql://u@/x")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert dialect_of("postgresql://u@/x") is DIALECT


async def test_a_rolled_back_commit_is_no_commit(url: str):
    """COMMIT of a transaction that an error has ended says ROLLBACK, and raises nothing."""
    database = Database(DIALECT.engine(url).connect(), DIALECT)
    database.say("BEGIN")
    with pytest.raises(psycopg.Error):
        database.say("SELECT 1 / 0")
    with pytest.raises(psycopg.errors.InFailedSqlTransaction) as told:
        database.say("COMMIT")
    assert DIALECT.is_certainly_not_committed(told.value)
    database.close()


async def test_a_review_of_any_text_is_kept(url: str, tmp_path: Path):
    store = await open_at(url, tmp_path)
    session = await opened(store)
    made = invocation(session, InvocationState.HELD)
    held = hold(made)
    said = review(held, "ann", reason="100 % fine, 'quoted' \x00 :name %s \\")
    await store.commit(
        unit(AddInvocation(invocation=made), AddHold(hold=held), AddReview(review=said))
    )
    found = await store.find_hold(held.name)
    assert found is not None
    assert found[1][0].reason == said.reason
    await store.close()
