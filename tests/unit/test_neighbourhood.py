"""Workers are told of all brokers over one database, and nothing where there is only one."""

from typing import Any

import pytest

from broker.core.brokers import BeatBroker, BrokerRow
from broker.core.unit import Unit
from broker.events import Events
from broker.neighbourhood import meet
from broker.tools.worker import BrokerAddress, BrokersTold, WorkerHub
from tests.unit.test_presence import Rows

ALONE = None
BESIDE = BrokersTold(brokers=(BrokerAddress(broker="brokers/1", address="a:1"),))


def hub(store: Any) -> WorkerHub:
    nothing_in_force: Any = None
    return WorkerHub(control=nothing_in_force, store=store, clock=lambda: 7.0, ids=lambda: "1")


@pytest.mark.parametrize(("is_shared", "told"), [(True, BESIDE), (False, ALONE)])
async def test_no_worker_is_welcomed_before_it_can_be_told_of_the_other_brokers(
    told: BrokersTold | None, *, is_shared: bool
) -> None:
    """The door opens before this broker's own address is known to anybody."""
    rows: Any = Rows(is_shared=is_shared)
    other = BrokerRow(
        name="brokers/1", address="a:1", version="1", started_at=0.0, seen_at=0.0, beats=1
    )
    await rows.commit(Unit(changes=(BeatBroker(broker=other),), entries=()))
    met = await meet(rows, Events(), name="brokers/2", former=frozenset(), clock=lambda: 7.0)
    workers = hub(rows)
    met.reach(workers)
    assert workers.brokers == told
