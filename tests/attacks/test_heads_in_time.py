"""What is not covered by a signed head outside of the database can be taken back unseen."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from broker.store import SqlStore
from broker.store.heads import notes_of
from broker.store.writer import Cadence
from tests.stores import temporary_store
from tests.unit.store.test_writer import mark

SOON = Cadence(interval_s=0.2)
PATIENCE_S = 60.0
NO_DISK_HAS = 1 << 60


async def test_a_head_covers_few_entries_after_its_interval(tmp_path: Path):
    """Write less than a hundred entries, wait for as long as you like, and cut them off: no head
    says that they were there."""
    async with temporary_store(tmp_path, cadence=SOON) as store:
        await store.commit(mark(0))
        await _covered(tmp_path, store)


async def test_what_is_refused_does_not_put_a_head_off(tmp_path: Path):
    """Fill the disk and go on asking: each call that is refused moves the head that is due."""
    async with temporary_store(tmp_path, cadence=SOON) as store:
        reserve = store._writer.reserve
        await store.commit(mark(0))
        assert reserve is not None
        reserve.drop()
        reserve.size_bytes = NO_DISK_HAS
        asking = asyncio.create_task(_ask(store))
        try:
            await _covered(tmp_path, store)
        finally:
            asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asking


async def _covered(path: Path, store: SqlStore) -> None:
    """Return once a head outside covers every entry."""
    entries = (await store.counts()).audit_entries
    file = path / "state" / "checkpoints" / "heads.jsonl"
    async with asyncio.timeout(PATIENCE_S):
        while int(notes_of(file.read_bytes())[-1].split("\n")[1]) < entries:
            await asyncio.sleep(0.02)


async def _ask(store: SqlStore) -> None:
    number = 1
    while True:
        with pytest.raises(StoreUnavailable):
            await store.commit(mark(number))
        number += 1
        await asyncio.sleep(0.02)
