"""A policy answers before it is in force, and there is a way back to the one before."""

import asyncio

import pytest

from broker.administration.policies import ReplayTold
from broker.control_room import ControlRoom
from broker.core.errors import IllegalTransition, MalformedRequest, NotFound, PolicyUnavailable
from broker.events import Events
from broker.ports import Library
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import administration
from tests.unit.administration.office import OPERATOR


async def test_a_policy_answers_before_it_is_in_force_and_the_old_one_ends_after(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    second = await office.admin.policies.activate(OPERATOR, {"a/x": b"2"}, reason="better")
    assert office.room.current().policy_revision == second.revision
    async with asyncio.timeout(5):
        while len(office.policies.events) < 3:
            await asyncio.sleep(0.01)
    assert office.policies.events == [
        ("start", first.revision),
        ("start", second.revision),
        ("end", first.revision),
    ]
    kept = await office.admin.policies.kept()
    assert {(p.revision, p.active) for p in kept} == {
        (first.revision, False),
        (second.revision, True),
    }


async def test_a_refused_policy_leaves_the_old_one_and_an_entry(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    for files in ({}, {"a/x": b"broken"}, {"b/x": b"1"}):
        with pytest.raises(MalformedRequest):
            await office.admin.policies.activate(OPERATOR, files)
    assert office.room.current().policy_revision == first.revision
    assert office.policies.at(first.revision)
    assert (await office.kinds()).count("policy.refused") == 3


async def test_a_family_goes_only_by_name(office):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1", "b/x": b"1"})
    with pytest.raises(MalformedRequest, match="b: vanished"):
        await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"}, drop_families=["b"])


async def test_a_policy_that_does_not_start_changes_nothing(office):
    first = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    office.policies.is_dead = True
    with pytest.raises(PolicyUnavailable):
        await office.admin.policies.activate(OPERATOR, {"a/x": b"2"})
    assert office.room.current().policy_revision == first.revision


async def test_rolling_back_brings_the_one_before_or_a_named_one_back(office):
    bundles = [
        await office.admin.policies.activate(OPERATOR, {"a/x": str(n).encode()}) for n in range(3)
    ]
    with pytest.raises(MalformedRequest):
        await office.admin.policies.rollback(OPERATOR, reason="")
    back = await office.admin.policies.rollback(OPERATOR, reason="worse")
    assert back.revision == bundles[1].revision == office.room.current().policy_revision
    await office.admin.policies.rollback(OPERATOR, bundles[0].revision, reason="worse still")
    assert office.room.current().policy_revision == bundles[0].revision
    with pytest.raises(IllegalTransition):
        await office.admin.policies.rollback(OPERATOR, bundles[0].revision, reason="again")
    with pytest.raises(NotFound):
        await office.admin.policies.rollback(OPERATOR, "sha256:0", reason="what")


async def test_with_nothing_before_there_is_no_way_back(office):
    with pytest.raises(IllegalTransition):
        await office.admin.policies.rollback(OPERATOR, reason="why not")


async def test_the_policy_in_force_is_warm_again_after_a_restart(office):
    bundle = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    again = FakePolicyRoom()
    room = await ControlRoom.open(store=office.store, events=Events())
    await administration(office.store, room, again, clock=office.clock).policies.start()
    assert again.at(bundle.revision)


async def test_what_was_not_looked_at_does_not_come_into_force(office):
    looked = await office.admin.policies.activate(OPERATOR, {"a/x": b"1"}, validate_only=True)
    with pytest.raises(IllegalTransition, match="another policy than the one that was looked at"):
        await office.admin.policies.activate(OPERATOR, {"a/x": b"2"}, expected=looked.revision)
    assert not office.room.current().policy_revision
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"}, expected=looked.revision)
    assert office.room.current().policy_revision == looked.revision


async def test_the_log_says_what_a_replay_came_to_and_that_there_was_none(office):
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    told = ReplayTold(decisions=9, changed=2, loosened=1)
    await office.admin.policies.activate(OPERATOR, {"a/x": b"2"}, replay=told)
    entries = [e for e in await office.said() if e.get("kind") == "policy.activated"]
    assert [entry["body"]["replay"] for entry in entries] == [
        None,
        {"decisions": 9, "changed": 2, "loosened": 1},
    ]
    assert entries[0]["body"]["library"] == {"version": "1", "digest": "sha256:1"}


async def test_another_shipped_library_decides_nothing_until_a_policy_is_built_with_it(office):
    assert (await office.admin.policies.libraries()).in_force is None
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    office.policies.version = "2"
    await office.admin.policies.start()
    found = await office.admin.policies.libraries()
    assert (found.in_force, found.shipped) == (
        Library(version="1", digest="sha256:1"),
        Library(version="2", digest="sha256:2"),
    )
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    found = await office.admin.policies.libraries()
    assert found.in_force == found.shipped
    kept = await office.admin.policies.kept()
    assert {(p.library.version, p.active) for p in kept if p.library} == {("1", False), ("2", True)}
