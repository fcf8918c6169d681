"""A file is found by its session alone, never written twice, and gone when its time is over."""

import dataclasses

import pytest

from broker.core.artefacts import Stored
from broker.core.lifecycle import InvocationState
from broker.core.retention import EraseFiles
from broker.core.unit import AddArtefact, AddInvocation, ConflictOn, MoveInvocation
from broker.store import SqlStore
from tests.store_values import NOW, invocation, moved, opened, refused, stored, unit


async def added(store: SqlStore, one: Stored) -> None:
    await store.commit(unit(AddArtefact(stored=one)))


async def test_a_file_is_read_back_as_it_was_written(store: SqlStore):
    session = await opened(store)
    one = stored(session, bytes(range(256)) * 4_096)
    await added(store, one)
    name = one.artefact.name
    assert await store.find_artefacts(session.name, [name]) == {name: one.artefact}
    assert await store.artefact_content(session.name, name) == one.content


async def test_files_of_a_session_are_listed_oldest_first(store: SqlStore):
    session = await opened(store)
    later, earlier = stored(session, created_at=NOW + 2), stored(session, created_at=NOW + 1)
    await added(store, later)
    await added(store, earlier)
    assert await store.list_artefacts(session.name) == [earlier.artefact, later.artefact]


async def test_another_session_finds_nothing(store: SqlStore):
    session, other = await opened(store), await opened(store)
    one = stored(session)
    await added(store, one)
    name = one.artefact.name
    assert await store.find_artefacts(other.name, [name, one.artefact.sha256]) == {}
    assert await store.artefact_content(other.name, name) is None
    assert await store.list_artefacts(other.name) == []


async def test_a_name_is_written_once(store: SqlStore):
    session = await opened(store)
    one = stored(session, b"first")
    await added(store, one)
    again = Stored(artefact=dataclasses.replace(one.artefact, size=6), content=b"second")
    await refused(store, ConflictOn.ARTEFACT, AddArtefact(stored=again))
    assert await store.artefact_content(session.name, one.artefact.name) == b"first"


@pytest.mark.parametrize("bounds", [{"count_max": 2}, {"bytes_max": 11}])
async def test_a_session_has_so_many_files_and_no_more(store: SqlStore, bounds: dict[str, int]):
    session, other = await opened(store), await opened(store)
    for _ in range(2):
        await store.commit(unit(AddArtefact(stored=stored(session), **bounds)))
    await refused(store, ConflictOn.ARTEFACT, AddArtefact(stored=stored(session), **bounds))
    await store.commit(unit(AddArtefact(stored=stored(other), **bounds)))


async def test_an_outcome_is_written_with_its_files_or_not_at_all(store: SqlStore):
    session = await opened(store)
    running = invocation(session, InvocationState.RUNNING)
    await store.commit(unit(AddInvocation(invocation=running)))
    one = stored(session, made_by=running.name)
    ended = moved(running, InvocationState.SUCCEEDED, result=b"{}", artefacts=(one.artefact,))
    move = MoveInvocation(invocation=ended, from_etag=running.etag)
    await refused(store, ConflictOn.ARTEFACT, move, AddArtefact(stored=one, count_max=0))
    assert (await store.find_invocation(running.name)).state is InvocationState.RUNNING
    await store.commit(unit(move, AddArtefact(stored=one)))
    assert (await store.find_invocation(running.name)).artefacts == (one.artefact,)


async def test_what_is_over_is_erased_and_nothing_else(store: SqlStore):
    session = await opened(store)
    over, good = stored(session, expires_at=NOW + 1), stored(session, expires_at=NOW + 2)
    await added(store, over)
    await added(store, good)
    (found,) = await store.sessions_with_files_over(after="", now=NOW + 1, page_size=9)
    assert (found.session, found.mandate, found.files) == (session.name, session.mandate, 1)
    assert found.principal == session.principal.id
    await store.commit(unit(EraseFiles(session=session.name, at=NOW + 1)))
    assert await store.list_artefacts(session.name) == [good.artefact]
    assert await store.artefact_content(session.name, over.artefact.name) is None
    assert await store.sessions_with_files_over(after="", now=NOW + 1, page_size=9) == []
    await refused(store, ConflictOn.ARTEFACT, EraseFiles(session=session.name, at=NOW + 1))


async def test_a_file_of_no_session_is_refused(store: SqlStore):
    session = await opened(store)
    stray = stored(dataclasses.replace(session, name="sessions/x"))
    with pytest.raises(Exception, match="could not be recorded") as caught:
        await added(store, stray)
    kinds = {kind.__name__ for kind in type(caught.value.__cause__).__mro__}
    assert "IntegrityError" in kinds  # of whichever driver
