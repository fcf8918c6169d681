"""Reads answer, or say in bounded time that they cannot."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from broker.store import reads, sqlite
from broker.store.readers import Readers
from broker.store.sql import Database
from tests.store_values import opened
from tests.stores import temporary_store, url_of


class Failing(Database):
    """A connection that fails so many reads before it works."""

    failures = 0

    def say(self, text: str) -> None:
        if text == sqlite.BEGIN_READ and type(self).failures:
            type(self).failures -= 1
            raise sqlite3.OperationalError("as told")
        super().say(text)


@contextlib.contextmanager
def reading(path: Path, deadline_s: float = 20.0) -> Generator[Readers]:
    engine = sqlite.engine(url_of(path))
    readers = Readers(
        lambda: Failing(engine.connect(), sqlite.DIALECT),
        dialect=sqlite.DIALECT,
        deadline_s=deadline_s,
    )
    try:
        yield readers
    finally:
        Failing.failures = 0
        readers.close()


@pytest.fixture
async def session(tmp_path: Path) -> str:
    async with temporary_store(tmp_path) as store:
        return (await opened(store)).name


async def test_a_read_that_fails_on_the_spot_is_made_by_a_thread(tmp_path: Path, session: str):
    with reading(tmp_path) as readers:
        assert await readers.look(reads.find_session, session) is not None
        Failing.failures = 1
        assert await readers.look(reads.find_session, session) is not None
        Failing.failures = 2
        with pytest.raises(StoreUnavailable):
            await readers.look(reads.find_session, session)
        assert await readers.look(reads.find_session, session) is not None


async def test_a_read_that_takes_too_long_is_given_up(tmp_path: Path, session: str):
    gate = threading.Event()

    def slow(_: Database) -> None:
        gate.wait(20.0)

    with reading(tmp_path, deadline_s=1.0) as readers:
        with pytest.raises(StoreUnavailable):
            await readers.ask(slow)
        # The others are not kept waiting by it.
        assert await readers.ask(reads.find_session, session) is not None
        gate.set()


async def test_a_defect_in_a_read_is_no_outage_and_leaves_the_next_one_whole(
    tmp_path: Path,
    session: str,
):
    def broken(_: Database) -> None:
        raise KeyError("row")

    with reading(tmp_path) as readers:
        for way in (readers.look, readers.ask):
            with pytest.raises(KeyError):
                await way(broken)
            assert await way(reads.find_session, session) is not None


async def test_two_loops_can_use_one_store(tmp_path: Path, session: str):
    inside, leave = threading.Event(), threading.Event()

    def slow(_: Database) -> None:
        inside.set()
        leave.wait(20.0)

    with reading(tmp_path) as readers:
        other = asyncio.create_task(asyncio.to_thread(asyncio.run, readers.look(slow)))
        await asyncio.to_thread(inside.wait, 20.0)
        assert await readers.look(reads.find_session, session) is not None
        leave.set()
        await other


async def test_nothing_is_read_after_the_end(tmp_path: Path, session: str):
    with reading(tmp_path) as readers:
        readers.close()
        for way in (readers.look, readers.ask):
            with pytest.raises(StoreUnavailable):
                await way(reads.find_session, session)
