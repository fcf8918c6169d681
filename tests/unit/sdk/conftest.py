"""Each test has a broker's wire of its own; a worker of it has two slots."""

from collections.abc import AsyncIterator

import pytest

from broker.sdk import Worker
from tests.fakes.broker_server import BrokerServer


@pytest.fixture
async def server() -> AsyncIterator[BrokerServer]:
    async with BrokerServer() as server:
        yield server


@pytest.fixture
def worker(server: BrokerServer) -> Worker:
    return Worker(server.address, "w", slots=2, drain_s=0.05)
