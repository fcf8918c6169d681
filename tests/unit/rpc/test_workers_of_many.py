"""What a broker of several tells its workers, and hears from them, over a real server."""

import asyncio

from broker.core.unit import Conflict, ConflictOn
from broker.enforcer.committing import Patience
from broker.tools.worker import BrokerAddress, BrokersTold
from broker.v1 import worker_pb2
from tests.unit.rpc.test_worker_service import Wire, connected, hello


def told(*numbers: int) -> BrokersTold:
    return BrokersTold(
        brokers=tuple(
            BrokerAddress(broker=f"brokers/{number}", address=f"127.0.0.1:740{number}")
            for number in numbers
        )
    )


async def test_a_broker_that_is_alone_names_none(broker):
    wire = Wire(broker)
    wire.say(hello())
    assert not (await wire.hear()).welcome.HasField("brokers")
    wire.close()


async def test_a_worker_hears_of_the_brokers_in_its_welcome_and_when_they_change(broker):
    broker.workers.tell(told(1, 2))
    wire = Wire(broker)
    wire.say(hello())
    welcomed = (await wire.hear()).welcome.brokers.brokers
    assert [(one.broker, one.address) for one in welcomed] == [
        ("brokers/1", "127.0.0.1:7401"),
        ("brokers/2", "127.0.0.1:7402"),
    ]
    broker.workers.tell(told(1, 2))  # nothing new
    broker.workers.tell(told(1, 3))
    assert [one.broker for one in (await wire.hear()).brokers.brokers] == ["brokers/1", "brokers/3"]
    wire.close()


async def test_what_other_brokers_use_of_a_worker_is_not_counted_on(broker):
    async with connected(broker) as wire:
        (connection,) = broker.workers.connections
        for elsewhere, free in ((1, 1), (7, 0), (-1, 2)):
            wire.say(worker_pb2.ConnectRequest(load=worker_pb2.WorkerLoad(elsewhere=elsewhere)))
            async with asyncio.timeout(5):
                while connection.free != free:
                    await asyncio.sleep(0.01)


def test_a_key_that_others_had_first_is_tried_for_oftener_than_what_else_moves():
    patience = Patience()
    for _ in range(19):
        patience.tried(Conflict(ConflictOn.KEY))
    assert patience.is_left
    patience.tried(Conflict(ConflictOn.COUNTER))
    assert not patience.is_left
    impatient = Patience()
    for _ in range(3):
        assert impatient.is_left
        impatient.tried(Conflict(ConflictOn.CONTROL))
    assert not impatient.is_left
