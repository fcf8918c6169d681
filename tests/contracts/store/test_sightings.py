"""What a session has seen is appended in order, bounded, and moves under nobody's feet."""

import pytest

from broker.core.labels import BEST, WORST
from broker.core.unit import AddSighting, Conflict, ConflictOn, RequireMemory, Unit
from broker.store import SqlStore
from tests.store_values import NOW, opened


def sighting(session: str, content: bytes = b'"seen"', **more) -> AddSighting:
    return AddSighting(
        session=session, invocation="invocations/i", labels=WORST, content=content, **more
    )


async def test_they_are_read_in_the_order_in_which_they_were_added(store: SqlStore):
    session = await opened(store)
    for text in (b'"one"', b'"two"', b'"three"'):
        await store.commit(Unit(changes=(sighting(session.name, text),), entries=()))

    seen = await store.seen(session.name, (), now=NOW)
    later = await store.seen(session.name, (), now=NOW, after=2)

    assert [one.content for one in seen.sightings] == [b'"one"', b'"two"', b'"three"']
    assert [one.position for one in seen.sightings] == [1, 2, 3]
    assert [one.position for one in later.sightings] == [3]
    assert seen.sightings[0].labels == WORST != BEST


async def test_what_does_not_fit_leaves_its_labels_alone(store: SqlStore):
    session = await opened(store)
    for text in (b'"four"', b'"and more"', b'"x"'):
        change = sighting(session.name, text, bytes_max=10)
        await store.commit(Unit(changes=(change,), entries=()))

    seen = await store.seen(session.name, (), now=NOW)

    assert [one.content for one in seen.sightings] == [b'"four"', b"", b'"x"']


async def test_a_unit_that_saw_less_is_a_conflict(store: SqlStore):
    session = await opened(store)
    seen_nothing = RequireMemory(session=session.name, position=0)
    await store.commit(Unit(changes=(seen_nothing, sighting(session.name)), entries=()))

    with pytest.raises(Conflict) as conflict:
        await store.commit(Unit(changes=(seen_nothing,), entries=()))

    assert conflict.value.on is ConflictOn.MEMORY
    await store.commit(Unit(changes=(RequireMemory(session=session.name, position=1),), entries=()))


async def test_of_another_session_nothing_is_seen(store: SqlStore):
    ours, theirs = await opened(store), await opened(store)
    await store.commit(Unit(changes=(sighting(theirs.name),), entries=()))

    assert (await store.seen(ours.name, (), now=NOW)).sightings == ()
