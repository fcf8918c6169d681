"""Each test has an office of its own."""

import pytest

from broker.control_room import ControlRoom
from broker.events import Events
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import administration
from tests.stores import temporary_store
from tests.unit.administration.office import Office
from tests.world import FakeClock


@pytest.fixture
async def office(tmp_path):
    clock = FakeClock()
    async with temporary_store(tmp_path, clock=clock) as store:
        room = await ControlRoom.open(store=store, events=Events())
        policies = FakePolicyRoom()
        admin = administration(store, room, policies, clock=clock)
        yield Office(store, room, policies, clock, admin)
        await admin.policies.close()
