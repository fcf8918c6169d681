"""The database fails while files are stored: none without its outcome, and no outcome twice."""

from pathlib import Path

import pytest

from broker.core import limits
from broker.core.audit import EntryKind
from broker.core.errors import StoreUnavailable
from broker.core.lifecycle import InvocationState
from tests.fakes.faulty_store import Fault, FaultyStore
from tests.filed import convert, ended, filed_world, leaving, upload
from tests.world import World


def faulty(w: World) -> FaultyStore:
    store = FaultyStore(w.store)
    w.use(store=store, store_retry_s=(0.0, 0.0))
    return store


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOUBT, Fault.AWAY])
async def test_an_outcome_and_its_files_are_recorded_once_and_together(
    tmp_path: Path, fault: Fault
):
    """Let the commit of an outcome fail, and find its files twice, or without it."""
    async with filed_world(tmp_path) as (w, mine):
        store = faulty(w)
        leaving(w, ("a.txt", b"a"), ("b.txt", b"b"))
        store.faults[EntryKind.CALL_ENDED] = [fault, None]
        done = await convert(w, mine)
        assert done.state is InvocationState.SUCCEEDED
        assert [one.file_name for one in done.artefacts] == ["a.txt", "b.txt"]
        assert await w.store.find_invocation(done.name) == done
        assert {one.name for one in await w.artefacts.list(mine)} == {
            one.name for one in done.artefacts
        }


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOUBT, Fault.AWAY])
async def test_files_without_room_are_told_as_such_however_often_it_is_tried(
    tmp_path: Path, fault: Fault
):
    """Have a caller told of files that are not there, because the first try was not known of."""
    async with filed_world(tmp_path) as (w, mine):
        large = b"x" * limits.ARTEFACT_BYTES_MAX
        for _ in range(limits.ARTEFACT_BYTES_OF_SESSION_MAX // len(large)):
            await upload(w, mine, large)
        store = faulty(w)
        leaving(w, ("a.txt", b"a"))
        store.faults[EntryKind.CALL_ENDED] = [None, fault, None]
        done = await convert(w, mine)
        assert (done.code, done.artefacts) == ("FILES_OVER_QUOTA", ())
        assert await w.store.find_invocation(done.name) == done
        assert "files" not in (await ended(w, done))["body"]


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.DOUBT])
async def test_an_upload_of_unknown_fate_is_said_to_be_one(tmp_path: Path, fault: Fault):
    """Have an agent believe in a file that is not there."""
    async with filed_world(tmp_path) as (w, mine):
        store = faulty(w)
        store.faults[EntryKind.ARTEFACT_CREATED] = [fault, None]
        with pytest.raises(StoreUnavailable, match="not known"):
            await upload(w, mine)
        again = await upload(w, mine)
        found = await w.artefacts.list(mine)
        assert again in found
        assert len(found) == (1 if fault is Fault.LOST else 2)


async def test_nothing_is_handed_over_while_its_files_cannot_be_read(tmp_path: Path):
    """Take the database away between the record and the hand-over: the tool runs on no files."""
    async with filed_world(tmp_path) as (w, mine):
        one = await upload(w, mine)
        store = faulty(w)

        async def go_away_after(unit) -> None:
            store.is_away = any(e.kind is EntryKind.ATTEMPT_STARTED for e in unit.entries)

        store.before = go_away_after
        done = await convert(w, mine, document=one.name)
        assert (done.state, done.code) == (InvocationState.CANCELLED, "NOT_STARTED")
        assert not w.runner.ran
