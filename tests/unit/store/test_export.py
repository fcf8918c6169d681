"""What is handed out is whole, signed to its end, and checks anywhere."""

import random
from pathlib import Path

import pytest

from broker.core.audit_verification import Report, verify
from broker.store import Cadence, SqlStore, load_or_create, signature_holds
from tests.store_values import NOW, entry, unit
from tests.stores import temporary_store


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


async def exported(store: SqlStore, path: Path, **options) -> tuple[list[bytes], Report]:
    asked = {"since": 0.0, "include_contents": True, **options}
    chunks = [chunk async for chunk in store.export(**asked)]
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    lines = b"".join(chunks).splitlines(keepends=True)
    public = load_or_create(path / "state").public_key
    return lines, verify(lines, public, signature_holds=signature_holds)


async def test_an_export_has_everything_and_verifies(tmp_path: Path):
    async with temporary_store(tmp_path, cadence=Cadence(entries_max=7)) as store:
        lines, report = await exported(store, tmp_path)
        assert (report.ok, report.entries, len(lines)) == (True, 0, 1)
        for number in range(30):
            contents = {"n": number, "x": 1e300, "t": "\N{SNOWMAN}"} if number % 4 else None
            await store.commit(unit(entries=(entry(body={"n": number}, contents=contents),) * 2))
        lines, report = await exported(store, tmp_path)
        assert (report.ok, report.entries, report.signed, report.erased) == (True, 60, 60, 0)
        assert sum(b'"checkpoint"' in line for line in lines) >= 60 // 7
        _, bare = await exported(store, tmp_path, include_contents=False)
        assert (bare.ok, bare.entries, bare.erased) == (True, 60, 0)


async def test_a_long_export_comes_in_pieces(tmp_path: Path):
    async with temporary_store(tmp_path) as store:
        for _ in range(13):
            await store.commit(unit(entries=(entry(contents=None),) * 100))
        chunks = [chunk async for chunk in store.export(since=0, include_contents=True)]
        assert len(chunks) == 1 + 3
        _, report = await exported(store, tmp_path)
        assert (report.ok, report.entries) == (True, 1_300)


@pytest.mark.parametrize("instances", [1, 3])
async def test_an_export_since_a_time_has_all_from_then_on_and_verifies(
    tmp_path: Path,
    instances: int,
):
    clock, source = Clock(), random.Random(7)
    count = 0
    for run in range(6):
        instance = f"brokers/{run % instances}"
        async with temporary_store(
            tmp_path,
            clock=clock,
            instance=instance,
            cadence=Cadence(entries_max=9),
        ) as store:
            for _ in range(20):
                clock.now += 10
                await store.commit(unit(entries=(entry(at=clock.now, contents=None),)))
                count += 1
    async with temporary_store(tmp_path, clock=clock) as store:
        for number in (0, 1, 60, count - 1, *source.sample(range(count), 4)):
            since = NOW + 10 * number
            lines, report = await exported(store, tmp_path, since=since)
            assert report.ok
            assert report.signed == count
            # No more than two heads' worth of what came before is in it.
            assert count - max(number - 1, 0) <= report.entries <= count - number + 18
            assert b'"at_us":%d' % round((since + 10) * 1e6) in b"".join(lines) or number == count


async def test_an_export_from_the_future_is_empty_and_verifies(tmp_path: Path):
    async with temporary_store(tmp_path) as store:
        await store.commit(unit(entries=(entry(),) * 3))
        _, report = await exported(store, tmp_path, since=NOW + 1_000_000)
        assert (report.ok, report.entries, report.signed) == (True, 0, 3)


async def test_several_instances_have_chains_of_their_own_in_one_log(tmp_path: Path):
    for instance in ("a", "b", "a", "c", "b"):
        async with temporary_store(tmp_path, instance=instance) as store:
            await store.commit(unit(entries=(entry(),) * 3))
    async with temporary_store(tmp_path, instance="a") as store:
        _, report = await exported(store, tmp_path)
        assert (report.ok, report.entries) == (True, 15)
