"""A real store in a temporary directory, for whichever test needs one."""

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from broker.ports import Clock
from broker.store import Cadence, SqlStore, load_or_create, upgrade
from tests.postgres import server

NOW = 1_800_000_000.0


def url_of(path: Path) -> str:
    return f"sqlite:///{path / 'broker.db'}"


async def open_store(
    path: Path,
    *,
    clock: Clock = lambda: NOW,
    instance: str = "brokers/1",
    cadence: Cadence | None = None,
) -> SqlStore:
    """The store of a directory, made where it is new; close it."""
    if not (path / "broker.db").exists():
        shutil.copyfile(_fresh() / "broker.db", path / "broker.db")
    return await SqlStore.open(
        url_of(path),
        state=path / "state",
        instance=instance,
        audit_keys=load_or_create(path / "state"),
        clock=clock,
        cadence=cadence,
    )


@functools.cache
def _fresh() -> Path:
    """A directory with a migrated database, made once: migrating costs more than most tests."""
    path = Path(tempfile.mkdtemp(prefix="callbroker-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    upgrade(url_of(path))
    return path


@contextlib.asynccontextmanager
async def temporary_store(
    path: Path,
    *,
    clock: Clock = lambda: NOW,
    instance: str = "brokers/1",
    cadence: Cadence | None = None,
) -> AsyncGenerator[SqlStore]:
    """The store of a directory while the block runs; opening it again finds what was written."""
    store = await open_store(path, clock=clock, instance=instance, cadence=cadence)
    try:
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def postgres_store(
    path: Path,
    *,
    clock: Clock = lambda: NOW,
    instance: str = "brokers/1",
    cadence: Cadence | None = None,
) -> AsyncGenerator[SqlStore]:
    """A store in a new database of the tests' server, which goes with it."""
    with server().database() as database:
        store = await SqlStore.open(
            server().url(database),
            state=path / "state",
            instance=instance,
            audit_keys=load_or_create(path / "state"),
            clock=clock,
            cadence=cadence,
        )
        try:
            yield store
        finally:
            await store.close()
