"""A server that is killed, slackened or cut off keeps what it said to have, or is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.store import (
    DatabaseRefused,
)
from tests.postgres import Server
from tests.postgres_stores import mark, marks, open_at

DEADLINE_S = 30.0


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    made = Server(max_wal_senders="2", wal_level="replica")
    yield made
    made.stop()


async def test_nothing_acknowledged_is_lost_with_the_servers_power(
    own_server: Server, tmp_path: Path
):
    """The server is killed with all its processes while three hundred units come in."""
    with own_server.database() as database:
        url = own_server.url(database)
        store = await open_at(url, tmp_path)
        written: set[str] = set()
        refused: set[str] = set()
        unknown: set[str] = set()

        async def write(number: int) -> None:
            try:
                await store.commit(mark(number))
            except StoreUnavailable:
                refused.add(f"m{number}")
            except OutcomeUnstored:
                unknown.add(f"m{number}")
            else:
                written.add(f"m{number}")

        async def write_some(of: int) -> None:
            for number in range(of * 25, of * 25 + 25):
                await write(number)

        writers = [asyncio.create_task(write_some(of)) for of in range(12)]
        async with asyncio.timeout(DEADLINE_S):
            while len(written) < 60:
                await asyncio.sleep(0.002)
        own_server.kill()
        own_server.start()
        await asyncio.gather(*writers)
        async with asyncio.timeout(DEADLINE_S):
            while f"m{1_000}" not in written:
                await write(1_000)
        await store.close()
        found = await marks(url, tmp_path)
        assert written <= found
        assert not refused - {"m1000"} & found
        assert found <= written | unknown


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_may_lose_what_it_has_is_refused(
    own_server: Server, tmp_path: Path, setting: str
):
    with own_server.database() as database:
        own_server.run(f"ALTER SYSTEM SET {setting} = off")
        try:
            own_server.run("SELECT pg_reload_conf()")
            async with asyncio.timeout(DEADLINE_S):
                while own_server.run(f"SHOW {setting}") != [("off",)]:
                    await asyncio.sleep(0.01)
            with pytest.raises(DatabaseRefused, match=f"{setting} = off"):
                await open_at(own_server.url(database), tmp_path)
        finally:
            own_server.run(f"ALTER SYSTEM RESET {setting}")
            own_server.run("SELECT pg_reload_conf()")


async def test_a_backend_that_dies_after_its_commit_is_read_back(
    own_server: Server, tmp_path: Path
):
    """The commit is on disk and waits for a standby that never comes; then its backend is ended."""
    with own_server.database() as database:
        store = await open_at(own_server.url(database), tmp_path)
        await store.commit(mark(0))
        own_server.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        own_server.run("SELECT pg_reload_conf()")
        writing = asyncio.create_task(store.commit(mark(1)))
        waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        try:
            async with asyncio.timeout(DEADLINE_S):
                while own_server.run(f"SELECT count(*) {waiting}") == [(0,)]:
                    await asyncio.sleep(0.01)
        finally:
            own_server.run("ALTER SYSTEM RESET synchronous_standby_names")
        own_server.run(f"SELECT pg_terminate_backend(pid) {waiting}")
        own_server.run("SELECT pg_reload_conf()")
        await writing
        await store.commit(mark(2))
        await store.close()
        assert await marks(own_server.url(database), tmp_path) == {"m0", "m1", "m2"}
