"""A unit is told of a conflict only with what is written."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from broker.core.unit import Conflict, TakeKey
from tests.store_values import unit
from tests.stores import temporary_store
from tests.unit.store.test_writer import DEADLINE_S, Orders, error_of, until, writing


def take(number: int) -> TakeKey:
    return TakeKey(key="k", version=0, invocation=f"invocations/{number}")


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_FSYNC])
async def test_what_was_in_the_way_of_a_unit_and_is_undone_is_no_conflict(
    tmp_path: Path, code: int
):
    """Two want one key, and the disk keeps neither: nobody has it, so nobody lost it."""
    async with temporary_store(tmp_path):
        pass
    orders = Orders()
    with writing(tmp_path, orders) as writer:
        orders.error = error_of(code)
        with writer._guard:  # the writer takes the first, and waits for this before it goes on
            both = [
                asyncio.create_task(writer.write(unit(take(n)), deadline_s=DEADLINE_S))
                for n in (1, 2)
            ]
            await until(lambda: writer._jobs.qsize() == 1)
        _, slower = await asyncio.gather(*both, return_exceptions=True)
        assert isinstance(slower, StoreUnavailable)
        await writer.write(unit(take(1)), deadline_s=DEADLINE_S)
        with pytest.raises(Conflict):
            await writer.write(unit(take(2)), deadline_s=DEADLINE_S)
