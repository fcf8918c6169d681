"""Stores of several brokers over one database, each with its own name, heads and directory."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from broker.ports import Clock
from broker.store import Cadence, SqlStore, load_or_create
from broker.store.postgres import DIALECT
from broker.store.sql import Database
from tests.postgres import server
from tests.stores import NOW

Stores = tuple[SqlStore, SqlStore, SqlStore]

DEADLINE_S = 30.0
NAMES = ("brokers/a", "brokers/b", "brokers/c")


async def open_one(
    url: str,
    path: Path,
    instance: str,
    *,
    clock: Clock = lambda: NOW,
    cadence: Cadence | None = None,
) -> SqlStore:
    """A broker's store; its directory is under `path`, with the audit keys of all of them."""
    return await SqlStore.open(
        url,
        state=state_of(path, instance),
        instance=instance,
        audit_keys=load_or_create(state_of(path, instance)),
        clock=clock,
        cadence=cadence,
    )


def state_of(path: Path, instance: str) -> Path:
    """Where a broker keeps its keys and heads; one that joins has those of the first one."""
    state = path / instance.replace("/", "-")
    if not state.exists():
        first = path / NAMES[0].replace("/", "-")
        if first.exists():
            shutil.copytree(first, state)
        else:
            load_or_create(state)
    return state


@contextlib.asynccontextmanager
async def three_stores(
    url: str, path: Path, *, cadence: Cadence | None = None
) -> AsyncGenerator[tuple[SqlStore, SqlStore, SqlStore]]:
    """Three brokers' stores while the block runs."""
    async with contextlib.AsyncExitStack() as stack:
        stores = []
        for instance in NAMES:
            store = await open_one(url, path, instance, cadence=cadence)
            stack.push_async_callback(store.close)
            stores.append(store)
        yield stores[0], stores[1], stores[2]


@contextlib.contextmanager
def transaction(url: str, begin: str = DIALECT.begin_write) -> Iterator[Database]:
    """What another broker has begun and not committed; it is undone at the end."""
    database = Database(DIALECT.engine(url).connect(), DIALECT)
    database.say(begin)
    try:
        yield database
    finally:
        database.say("ROLLBACK")
        database.close()


async def waits_for_a_lock(url: str) -> None:
    """Until some backend of the database waits for another."""
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    asked = (
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        f"WHERE NOT l.granted AND a.datname = '{name}'"
    )
    async with asyncio.timeout(DEADLINE_S):
        while (await asyncio.to_thread(server().run, asked))[0][0] == 0:
            await asyncio.sleep(0.005)
