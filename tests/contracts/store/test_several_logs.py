"""Three brokers keep one log: each its own chain, whoever signs for all, nobody what is foreign."""

import asyncio
from pathlib import Path

import pytest

from broker.core.audit_lines import CheckpointLine, read_line
from broker.core.audit_verification import verify
from broker.core.errors import StoreUnavailable
from broker.store import Cadence, LogRefused, SqlStore, load_or_create, signature_holds
from broker.store.heads import Heads
from broker.store.postgres import DIALECT
from tests.postgres import server
from tests.several_stores import NAMES, Stores, open_one, state_of, three_stores, transaction
from tests.store_values import entry, unit

DEADLINE_S = 30.0


async def exported(store: SqlStore) -> list[bytes]:
    text = b"".join([chunk async for chunk in store.export(since=0, include_contents=True)])
    return text.splitlines()


async def test_each_writes_its_own_chain_and_the_log_is_one(
    stores: Stores, url: str, tmp_path: Path
):
    for round_number in range(4):
        await asyncio.gather(
            *(store.commit(unit(entries=(entry(),))) for store in stores for _ in range(20))
        )
        await stores[round_number % 3].checkpoint_now()
    lines = await exported(stores[1])
    public = load_or_create(state_of(tmp_path, NAMES[0])).public_key
    report = verify(lines, public, signature_holds=signature_holds, checkpoints=())
    assert report.ok
    assert report.signed == 240
    assert (await stores[2].counts()).audit_entries_signed == 240
    heads = [line for line in map(read_line, lines) if isinstance(line, CheckpointLine)]
    assert len(heads) >= 4
    for store in stores:
        await store.close()
    again = await open_one(url, tmp_path, NAMES[1])
    assert (await again.counts()).audit_entries == 240
    await again.close()


async def test_heads_are_not_far_apart_however_many_write(url: str, tmp_path: Path):
    async with three_stores(url, tmp_path, cadence=Cadence(entries_max=20)) as stores:
        await asyncio.gather(
            *(store.commit(unit(entries=(entry(),))) for store in stores for _ in range(100))
        )
        lines = await exported(stores[0])
    sizes = [
        int(line.note.split("\n")[1])
        for line in map(read_line, lines)
        if isinstance(line, CheckpointLine)
    ]
    apart = [later - before for before, later in zip([0, *sizes], sizes, strict=False)]
    # What the two others have under way when one signs comes with the next head.
    assert max(apart) <= 3 * 20
    for instance in NAMES:
        kept = Heads(state_of(tmp_path, instance) / "checkpoints")
        newest = kept.newest()
        assert newest is not None


async def test_one_signs_what_another_that_is_gone_has_left(url: str, tmp_path: Path):
    async with three_stores(url, tmp_path, cadence=Cadence(interval_s=0.2)) as stores:
        with transaction(url, DIALECT.begin_write) as leaving:
            del leaving
        await stores[0].commit(unit(entries=(entry(),)))
        stores[0]._writer._sign_by = None
        async with asyncio.timeout(DEADLINE_S):
            while (await stores[1].counts()).audit_entries_signed < 1:
                await asyncio.sleep(0.02)


async def test_who_has_nothing_to_sign_is_quiet_and_keeps_the_heads_of_the_others(
    url: str, tmp_path: Path
):
    async with three_stores(url, tmp_path, cadence=Cadence(interval_s=0.05)) as stores:
        await stores[0].commit(unit(entries=(entry(),)))
        heads = Heads(state_of(tmp_path, NAMES[2]) / "checkpoints")
        async with asyncio.timeout(DEADLINE_S):
            while heads.newest() != (note := _newest(tmp_path)) or "\n1\n" not in note:
                await asyncio.sleep(0.02)
        before = stores[2]._writer.commits
        await asyncio.sleep(0.5)
        assert stores[2]._writer.commits <= before + 11


def _newest(path: Path) -> str:
    return Heads(state_of(path, NAMES[0]) / "checkpoints").newest() or ""


async def test_a_row_that_no_broker_wrote_is_never_signed(stores: Stores, url: str):
    """Who can write to the database adds what another broker wrote to a chain, and waits."""
    await stores[0].commit(unit(entries=(entry(),)))
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    server().run(
        "INSERT INTO audit_entries SELECT 'brokers/b', 1, 'forged', '', entry, mac, NULL "
        "FROM audit_entries LIMIT 1",
        database=name,
    )
    with pytest.raises(StoreUnavailable):
        await stores[0].checkpoint_now()
    assert (await stores[2].counts()).audit_entries_signed == 0
    server().run("DELETE FROM audit_entries WHERE id = 'forged'", database=name)
    await stores[0].checkpoint_now()
    assert (await stores[2].counts()).audit_entries_signed == 1


async def test_a_broker_without_the_heads_of_the_others_does_not_join(url: str, tmp_path: Path):
    store = await open_one(url, tmp_path, NAMES[0])
    await store.commit(unit(entries=(entry(),)))
    await store.close()
    state = state_of(tmp_path, NAMES[1])
    Heads(state / "checkpoints").path.unlink()
    with pytest.raises(LogRefused, match="heads of one of them"):
        await open_one(url, tmp_path, NAMES[1])
