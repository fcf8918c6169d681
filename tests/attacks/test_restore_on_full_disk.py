"""An operator restores on the machine whose disk is full, which is why they restore at all.

They believe what the command says: that a good backup is no database makes them throw it away, and
that somebody changed the log makes them look for somebody. So each sentence says what to make room
for, and that nothing was changed, or what to do next.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.core.errors import StoreUnavailable
from broker.store import BackupRefused, LogRefused, SqlStore, load_or_create
from broker.store.backing_up import take
from broker.store.restoring import Restored, RestoreOrder, restore
from tests import store_values as v
from tests.stores import NOW, temporary_store, url_of

SIZE = 24 * 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mounted as root, as in `test_full_disk`."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk: Path, *, left_bytes: int) -> None:
    size = shutil.disk_usage(disk).free - left_bytes
    with (disk / "filler").open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, size)


async def written(store: SqlStore, count: int) -> None:
    for number in range(count):
        await store.commit(v.unit(entries=(v.entry(body={"pad": "x" * 2_000, "n": number}),)))


async def backed_up(disk: Path) -> Path:
    """A backup elsewhere, and an entry on the disk that it does not have."""
    async with temporary_store(disk) as store:
        await written(store, 100)
    backup = disk.parent / "backup.db"
    take(disk / "broker.db", backup)
    async with temporary_store(disk) as store:
        await written(store, 1)
    return backup


def put_back(disk: Path, backup: Path) -> Restored:
    order = RestoreOrder(
        backup=backup, url=url_of(disk), state=disk / "state", actor="operator-1", reason="full"
    )
    return restore(order, audit_keys=load_or_create(disk / "state"), clock=lambda: NOW)


def everything(disk: Path) -> dict[str, bytes]:
    found = [path for path in disk.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in found if path.name != "filler"}


async def test_a_disk_that_is_full_is_no_fault_of_the_backup(disk: Path):
    """Say that the backup cannot be read, where only the copy of it cannot be written."""
    backup = await backed_up(disk)
    fill(disk, left_bytes=backup.stat().st_size // 2)
    before = everything(disk)
    with pytest.raises(BackupRefused, match=r"no room .* bytes"):
        put_back(disk, backup)
    with pytest.raises(BackupRefused, match=r"no room .* bytes"):
        take(backup, disk / "another.db")
    assert everything(disk) == before


async def test_a_disk_that_is_full_later_is_said_and_nothing_is_changed(disk: Path):
    """Call it a defect of the program, once the copy has its room and the journal has none."""
    backup = await backed_up(disk)
    fill(disk, left_bytes=backup.stat().st_size + 4_096)
    before = everything(disk)
    with pytest.raises(StoreUnavailable, match=r"twice the backup.*nothing was changed"):
        put_back(disk, backup)
    assert everything(disk) == before


async def test_heads_that_cannot_be_written_are_said_and_the_restore_can_be_had_again(disk: Path):
    """Say no more than what the system did, and afterwards that somebody else signed the log."""
    backup = await backed_up(disk)
    with read_only(disk / "state" / "checkpoints"), pytest.raises(BackupRefused, match="again"):
        put_back(disk, backup)
    with pytest.raises(LogRefused, match="restore again"):
        async with temporary_store(disk):
            pass
    assert put_back(disk, backup).epoch.number == 1
    async with temporary_store(disk) as store:
        await written(store, 1)


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A disk for the heads alone that takes nothing more."""
    subprocess.run(["mount", "--bind", directory, directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", directory], check=True)
        yield
    finally:
        subprocess.run(["umount", directory], check=True)
