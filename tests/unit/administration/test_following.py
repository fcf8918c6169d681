"""What one broker puts in force comes into force at another over the same database."""

import asyncio
import contextlib

import pytest

from broker.administration.following import Following
from broker.control_room import ControlRoom
from broker.core.errors import PolicyUnavailable
from broker.core.freezes import FreezeKind
from broker.events import Events
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import administration
from tests.unit.administration.office import OPERATOR, Office


class Other:
    """Another broker over an office's database, which hears nothing of it."""

    def __init__(self, office: Office, room: ControlRoom, events: Events) -> None:
        self.room = room
        self.events = events
        self.policies = FakePolicyRoom()
        self.admin = administration(office.store, room, self.policies, clock=office.clock)
        self.following = Following(
            policies=self.admin.policies,
            shadow=self.admin.shadow,
            warm=self.policies,
            room=room,
            events=events,
        )


@pytest.fixture
async def other(office: Office):
    events = Events()
    made = Other(office, await ControlRoom.open(store=office.store, events=events), events)
    yield made
    await made.admin.policies.close()


async def come(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def going(*works):
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_in_force_is_found_without_being_told(office: Office, other: Other):
    async with going(other.room.follow()):
        await office.admin.freezes.create(
            OPERATOR, kind=FreezeKind.ALL, subject="", reason="An alarm."
        )
        await come(lambda: other.room.current().freezes)
        assert other.room.current().revision == office.room.current().revision


async def test_a_policy_is_started_here_and_the_one_before_ended(office: Office, other: Other):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    async with going(other.room.follow(), other.following.run()):
        await come(lambda: other.policies.points)
        second = await office.admin.policies.activate(OPERATOR, {"a/x": b"2"})
        await come(lambda: len(other.policies.events) == 3)
        assert other.room.current().policy_revision == second.revision
        assert other.policies.events == [
            ("start", first.revision),
            ("start", second.revision),
            ("end", first.revision),
        ]


async def test_a_policy_that_does_not_start_here_decides_nothing_until_it_does(
    office: Office, other: Other
):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    await other.room.refresh()
    await other.following.catch_up()
    second = await office.admin.policies.activate(OPERATOR, {"a/x": b"2"})
    await other.room.refresh()
    other.policies.is_dead = True
    with pytest.raises(PolicyUnavailable):
        await other.following.catch_up()
    with pytest.raises(PolicyUnavailable):
        other.policies.at(other.room.current().policy_revision)
    other.policies.is_dead = False
    await other.following.catch_up()
    assert other.policies.at(second.revision)


async def test_a_shadow_that_does_not_start_is_tried_ever_more_seldom(office: Office, other: Other):
    """Else a broker checks it again every two seconds, for ever."""
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    report = await office.admin.shadow.start(OPERATOR, {"a/x": b"2"})
    await other.room.refresh()
    await other.following.catch_up()
    await other.policies.retire(report.shadow.revision)
    rechecked: list[bytes] = []
    recheck = other.policies.recheck

    async def counted(kept: bytes, **given):
        rechecked.append(kept)
        return await recheck(kept, **given)

    other.policies.recheck = counted
    other.policies.is_dead = True
    for _ in range(20):
        await other.following.catch_up()
    assert 2 <= len(rechecked) <= 5
    other.policies.is_dead = False
    await office.admin.freezes.create(OPERATOR, kind=FreezeKind.ALL, subject="", reason="r")
    await other.room.refresh()
    await other.following.catch_up()
    assert other.policies.at(report.shadow.revision)


async def test_a_shadow_is_started_here_and_ended(office: Office, other: Other):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    report = await office.admin.shadow.start(OPERATOR, {"a/x": b"2"})
    async with going(other.room.follow(), other.following.run()):
        await come(lambda: report.shadow.revision in other.policies.points)
        await office.admin.shadow.stop(OPERATOR)
        await come(lambda: ("end", report.shadow.revision) in other.policies.events)
