"""Brokers say that they are there; each finds the others, in the order in which they started."""

from dataclasses import replace

from broker.core.brokers import BeatBroker, BrokerRow, DropBroker
from broker.core.unit import Unit
from broker.store import SqlStore

ONE = BrokerRow(
    name="brokers/1",
    address="127.0.0.1:7400",
    version="1.0",
    started_at=1.5,
    seen_at=2.5,
    beats=1,
)


async def test_a_broker_says_again_that_it_is_there(store: SqlStore) -> None:
    other = replace(ONE, name="brokers/2", address="")
    await store.commit(Unit(changes=(BeatBroker(broker=other),), entries=()))
    await store.commit(Unit(changes=(BeatBroker(broker=ONE),), entries=()))
    assert await store.brokers() == (ONE, other)
    again = replace(other, address="127.0.0.1:7401", seen_at=9.0, beats=2)
    await store.commit(Unit(changes=(BeatBroker(broker=again),), entries=()))
    assert await store.brokers() == (ONE, again)


async def test_a_broker_that_leaves_is_not_there_and_may_leave_twice(store: SqlStore) -> None:
    await store.commit(Unit(changes=(BeatBroker(broker=ONE),), entries=()))
    for _ in range(2):
        await store.commit(Unit(changes=(DropBroker(name=ONE.name),), entries=()))
    assert await store.brokers() == ()


async def test_the_revision_is_that_of_the_rows_in_force(store: SqlStore) -> None:
    assert await store.control_revision() == (await store.control()).revision
