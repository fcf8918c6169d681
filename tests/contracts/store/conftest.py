"""Every store promises this. `STORES` has one line for each; a database joins by adding one."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from broker.store import SqlStore
from tests.stores import postgres_store, temporary_store

STORES = {"sqlite": temporary_store, "postgres": postgres_store}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[SqlStore]:
    async with STORES[request.param](tmp_path) as opened_store:
        yield opened_store
