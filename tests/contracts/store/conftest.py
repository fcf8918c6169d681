"""Every store promises this. `STORES` has one line for each; a database joins by adding one."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from broker.store import SqlStore
from tests.postgres import server
from tests.several_stores import Stores, three_stores
from tests.stores import postgres_store, temporary_store

STORES = {"sqlite": temporary_store, "postgres": postgres_store}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[SqlStore]:
    async with STORES[request.param](tmp_path) as opened_store:
        yield opened_store


@pytest.fixture
def url() -> Iterator[str]:
    """Of a new database that brokers can share."""
    with server().database() as database:
        yield server().url(database)


@pytest.fixture
async def stores(url: str, tmp_path: Path) -> AsyncGenerator[Stores]:
    """Three brokers' stores over it."""
    async with three_stores(url, tmp_path) as three:
        yield three
