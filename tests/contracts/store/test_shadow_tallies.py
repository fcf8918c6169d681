"""Each broker writes what it has seen of a shadow, and nobody else's."""

from broker.core.unit import DropShadowTallies, PutShadowTally
from broker.store import SqlStore
from tests.store_values import unit


def seen(body: bytes, *, shadow: str = "shadows/1", broker: str = "brokers/1") -> PutShadowTally:
    return PutShadowTally(shadow=shadow, broker=broker, body=body)


async def test_what_a_broker_saw_replaces_what_it_had_said(store: SqlStore):
    assert await store.shadow_tallies("shadows/1") == {}
    revision = (await store.control()).revision
    await store.commit(unit(seen(b"\x00one")))
    await store.commit(unit(seen(b"two"), seen(b"other", broker="brokers/2")))
    await store.commit(unit(seen(b"elsewhere", shadow="shadows/2")))
    assert await store.shadow_tallies("shadows/1") == {"brokers/1": b"two", "brokers/2": b"other"}
    assert (await store.control()).revision == revision


async def test_all_is_forgotten_at_once(store: SqlStore):
    await store.commit(unit(seen(b"one"), seen(b"two", shadow="shadows/2")))
    await store.commit(unit(DropShadowTallies(), seen(b"new", shadow="shadows/3")))
    assert await store.shadow_tallies("shadows/1") == {}
    assert await store.shadow_tallies("shadows/2") == {}
    assert await store.shadow_tallies("shadows/3") == {"brokers/1": b"new"}
