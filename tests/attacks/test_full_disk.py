"""Attacks by a disk that is full, or a database that somebody else has: real files, real errors."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.calls import Caller
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.lifecycle import InvocationState
from broker.ports import FrozenCall, Outcome
from tests.world import World, world

SIZE = "8m"
LEFT_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A file system in memory that somebody can fill."""

    path: Path

    @property
    def _filler(self) -> Path:
        return self.path / "filler"

    def fill(self, *, left_bytes: int = 0) -> None:
        """Take all room but so much."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4_096))
        if left_bytes:
            os.truncate(self._filler, self._filler.stat().st_size - left_bytes)

    def free(self) -> None:
        """Give it back."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mounted as root, as the engine's tests need it too."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], check=True)
    try:
        yield Disk(path=path)
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


async def until_full(w: World, caller: Caller) -> int:
    """Refunds until the store takes no more; how many there were.

    An effect whose outcome had no room is told as what it is.
    """
    for number in range(200):
        try:
            await w.refund(caller, amount_minor=1, order_id="O-1002")
        except (StoreUnavailable, OutcomeUnstored):
            return number
    raise AssertionError("The disk is never full.")


async def recorded(w: World) -> list[InvocationState]:
    """The states of all that ran."""
    found = [await w.store.find_invocation(call.invocation.name) for call in w.runner.ran]
    return [one.state if one else InvocationState.NEW for one in found]


async def test_nothing_runs_that_a_full_disk_does_not_record(disk: Disk):
    """Fill the disk, and have calls carried out of which the log will know nothing."""
    with capture_logs():
        async with world(disk.path) as w:
            w.use(store_retry_s=(0.01,))
            caller = await w.caller()
            disk.fill(left_bytes=LEFT_BYTES)
            assert await until_full(w, caller)
            ran = len(w.runner.ran)
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    await w.refund(caller, order_id="O-1002")
            assert len(w.runner.ran) == ran
            assert InvocationState.NEW not in await recorded(w)
            disk.free()
            await w.recovery.sweep_once()
            assert {*await recorded(w)} == {InvocationState.SUCCEEDED}
            after = await w.refund(await w.caller(), amount_minor=1, order_id="O-1002")
            assert after.state is InvocationState.SUCCEEDED


async def test_how_a_call_ended_has_its_place_on_a_full_disk(disk: Disk):
    """Fill the disk in the middle of a call, so that a crash loses how it ended."""
    reserve = disk.path / "broker.db.reserve"
    with capture_logs():
        async with world(disk.path) as w:
            caller = await w.caller()

            def fill(call: FrozenCall) -> Outcome:
                disk.fill()
                return w.shop.refund(call)

            w.runner.effect = fill
            assert (await w.refund(caller)).state is InvocationState.SUCCEEDED
            assert not reserve.exists()
            with pytest.raises(StoreUnavailable):
                await w.refund(caller)
            assert len(w.runner.ran) == 1
            w.runner.effect = w.shop.refund
            disk.free()
            assert (await w.refund(caller)).state is InvocationState.SUCCEEDED
            assert reserve.stat().st_size == limits.STORE_RESERVE_BYTES
    assert not reserve.exists()


async def test_an_outcome_waits_until_the_disk_has_room_again(disk: Disk):
    """Fill the disk in the middle of a call, what was kept back too, so that its end is lost."""
    with capture_logs() as told:
        async with world(disk.path) as w:
            caller = await w.caller()

            def fill(call: FrozenCall) -> Outcome:
                (disk.path / "broker.db.reserve").unlink()
                disk.fill()
                return w.shop.refund(call)

            w.runner.effect = fill
            task = asyncio.ensure_future(w.refund(caller, request_id="r"))
            async with asyncio.timeout(30.0):
                while not any(line["event"] == "outcome_not_stored_yet" for line in told):
                    await asyncio.sleep(0.01)
            assert w.runner.acknowledged == 0
            disk.free()
            assert (await task).state is InvocationState.SUCCEEDED
            entries = await w.store.entries(w.runner.ran[0].invocation.name)
            kinds = [entry["kind"] for entry in entries]
            assert kinds.count(EntryKind.CALL_ENDED) == 1


async def test_a_database_that_somebody_else_is_writing_to_is_away(tmp_path: Path):
    """Lock the database file for ever, and have calls run unrecorded, or wait without end."""
    with capture_logs():
        async with world(tmp_path) as w:
            caller = await w.caller()
            other = sqlite3.connect(tmp_path / "broker.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            try:
                async with asyncio.timeout(30.0):
                    with pytest.raises(StoreUnavailable):
                        await w.refund(caller, request_id="r")
                assert not w.runner.ran
            finally:
                other.execute("ROLLBACK")
                other.close()
            after = await w.refund(caller, request_id="r")
            assert after.state is InvocationState.SUCCEEDED
            assert len(w.runner.ran) == 1


async def test_a_database_that_somebody_took_away_is_away(tmp_path: Path):
    """Move the file, so that what runs is recorded where nobody will look for it."""
    with capture_logs():
        async with world(tmp_path) as w:
            caller = await w.caller()
            there, elsewhere = tmp_path / "broker.db", tmp_path / "elsewhere.db"
            there.rename(elsewhere)
            with pytest.raises(StoreUnavailable):
                await w.refund(caller, request_id="r")
            there.write_bytes(elsewhere.read_bytes())  # another file, though it looks the same
            with pytest.raises(StoreUnavailable):
                await w.refund(caller, request_id="r")
            assert not w.runner.ran
            elsewhere.rename(there)
            after = await w.refund(caller, request_id="r")
            assert after.state is InvocationState.SUCCEEDED
            assert len(w.runner.ran) == 1
