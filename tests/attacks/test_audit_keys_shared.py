"""An insider uses that several brokers of one database have to change keys together.

One of the brokers is theirs, or late: it has the keys of before, and they hope that it goes on with
them beside the others, or that the rotation happens beneath it and leaves a log in two halves.
"""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.config import Settings
from broker.core.audit_verification import verify
from broker.core.key_line import rotations_in
from broker.core.notes import parse_verifier_key
from broker.rotating import rotate_audit_keys
from broker.store import DatabaseInUse, LogRefused, load_or_create, signature_holds
from broker.store.heads import epochs_of, notes_of
from broker.store.keys import PUBLIC_FILE
from broker.store.restoring import RestoreOrder, restore
from tests import store_values as v
from tests.dumps import dump, put_back
from tests.postgres import EMPTY, server
from tests.several_stores import NAMES, open_one, state_of
from tests.stores import NOW

ONE, OTHER, _ = NAMES


@pytest.fixture
def url() -> Iterator[str]:
    with server().database() as name:
        yield server().url(name)


async def write(url: str, path: Path, name: str = ONE, count: int = 3) -> None:
    store = await open_one(url, path, name)
    try:
        for number in range(count):
            await store.commit(v.unit(entries=(v.entry(body={"number": number}),)))
    finally:
        await store.close()


def rotate(url: str, path: Path) -> None:
    settings = Settings(database=url, state=state_of(path, ONE))
    rotate_audit_keys(settings, reason="Yearly.", clock=lambda: NOW)


def share(path: Path) -> None:
    """What the page says to give each state directory: the keys and the heads of the one."""
    shutil.rmtree(state_of(path, OTHER))
    state_of(path, OTHER)


def pinned(path: Path) -> bytes:
    return parse_verifier_key((state_of(path, ONE) / PUBLIC_FILE).read_text())


async def require_good(url: str, path: Path, *keys: bytes) -> None:
    store = await open_one(url, path, ONE)
    try:
        lines = b"".join([part async for part in store.export(since=0.0, include_contents=True)])
    finally:
        await store.close()
    heads = (state_of(path, ONE) / "checkpoints" / "heads.jsonl").read_bytes()
    for key in keys:
        found = verify(
            lines.splitlines(),
            key,
            signature_holds=signature_holds,
            checkpoints=notes_of(heads),
            epochs=epochs_of(heads),
            rotations=rotations_in(lines.splitlines()),
        )
        assert found.ok, found.first_broken


async def test_keys_are_not_rotated_beneath_another_broker(url: str, tmp_path: Path):
    """Let one broker go on while the keys are rotated at another."""
    await write(url, tmp_path)
    other = await open_one(url, tmp_path, OTHER)
    try:
        with pytest.raises(DatabaseInUse, match="stop every broker"):
            await asyncio.to_thread(rotate, url, tmp_path)
        await other.commit(v.unit(entries=(v.entry(),)))
    finally:
        await other.close()
    await write(url, tmp_path, count=1)


async def test_a_broker_that_was_left_behind_is_refused_until_it_has_the_keys(
    url: str, tmp_path: Path
):
    """Start a broker with the keys of before beside those with the new ones."""
    await write(url, tmp_path)
    first = pinned(tmp_path)
    await write(url, tmp_path, OTHER)
    await asyncio.to_thread(rotate, url, tmp_path)
    with pytest.raises(LogRefused, match="keys were rotated"):
        await write(url, tmp_path, OTHER, 1)
    await write(url, tmp_path, count=1)
    share(tmp_path)
    await write(url, tmp_path, OTHER)
    await write(url, tmp_path)
    await require_good(url, tmp_path, first, pinned(tmp_path))


async def test_a_dump_of_before_a_rotation_is_gone_on_with_by_all_with_the_new_keys(
    url: str, tmp_path: Path
):
    """No attack: dump, rotation, restore and epoch are one log for whoever has any of its keys."""
    await write(url, tmp_path)
    first = pinned(tmp_path)
    await write(url, tmp_path, OTHER)
    dumped = dump(url, tmp_path / "monday.dump")
    await asyncio.to_thread(rotate, url, tmp_path)
    await write(url, tmp_path)
    with server().database(EMPTY) as name:
        again = server().url(name)
        put_back(again, dumped)
        state = state_of(tmp_path, ONE)
        order = RestoreOrder(backup=None, url=again, state=state, actor="uid-0", reason="disk")
        done = restore(order, audit_keys=load_or_create(state), clock=lambda: NOW)
        assert (done.epoch.kept.size, done.epoch.abandoned.size) == (6, 10)
        with pytest.raises(LogRefused):
            await write(again, tmp_path, OTHER, 1)
        share(tmp_path)
        await write(again, tmp_path, OTHER)
        await write(again, tmp_path)
        await require_good(again, tmp_path, first, pinned(tmp_path))
