"""Changes at once are each checked against what they change, and each is in the log."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from broker.control_room import ControlRoom
from broker.core.control import ControlRows
from broker.core.errors import MalformedRequest, StaleEtag, StoreUnavailable
from broker.core.freezes import FreezeKind
from broker.core.scopes import Scope
from broker.core.unit import Conflict, ConflictOn, Unit
from broker.events import Events
from broker.store import SqlStore
from tests.offices import administration, operator
from tests.unit.administration.office import OPERATOR, agent_order, document


async def test_two_changes_at_once_are_both_made(office):
    async def give(number: int) -> None:
        await office.admin.grants.create(
            OPERATOR, subject=f"c-{number}", scope=Scope(name="s"), reason="r"
        )

    await asyncio.gather(*(give(number) for number in range(4)))
    assert len(office.room.current().grants) == 4


class Overtaken:
    """A store in which somebody else always commits first."""

    def __init__(self, store: SqlStore) -> None:
        self.control = store.control

    async def commit(self, unit: Unit) -> None:
        raise Conflict(ConflictOn.CONTROL if unit.changes else ConflictOn.REVIEW)


async def test_a_change_that_others_keep_overtaking_gives_up_and_changes_nothing(office):
    busy = administration(Overtaken(office.store), office.room, office.policies, clock=office.clock)
    with pytest.raises(StaleEtag):
        await busy.grants.create(OPERATOR, subject="a", scope=Scope(name="s"), reason="r")
    assert office.room.current().grants == ()


class Interrupted:
    """A store in which somebody else changes something between a check and its commit, once."""

    def __init__(self, store: SqlStore, rival: Callable[[], Awaitable[Any]]) -> None:
        self.control = store.control
        self._store = store
        self._rival: Callable[[], Awaitable[Any]] | None = rival

    async def commit(self, unit: Unit) -> None:
        rival, self._rival = self._rival, None
        if rival is not None:
            await rival()
        await self._store.commit(unit)


async def test_a_change_is_checked_again_where_another_came_between_check_and_commit(office):
    """Two operators give one agent two owners in the same moment."""

    async def rival() -> None:
        await office.admin.credentials.create(operator("operator-2"), agent_order("ann"))

    late = administration(
        Interrupted(office.store, rival), office.room, office.policies, clock=office.clock
    )
    with pytest.raises(MalformedRequest, match="has another person"):
        await late.credentials.create(OPERATOR, agent_order("bob"))
    assert office.room.current().agents["agents/a"].owner.subject == "ann"


class GoneAfterwards:
    """A store that cannot be read any more once something was written."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._is_away = False

    async def control(self) -> ControlRows:
        if self._is_away:
            raise StoreUnavailable("The disk is gone.")
        return await self._store.control()

    async def commit(self, unit: Unit) -> None:
        await self._store.commit(unit)
        self._is_away = True


async def test_what_was_made_is_told_though_it_cannot_be_read_again(office):
    """Else a token that is good would be nowhere, and its operator told that nothing was made."""
    store = GoneAfterwards(office.store)
    room = await ControlRoom.open(store=store, events=Events())
    admin = administration(store, room, office.policies, clock=office.clock)
    made, token = await admin.credentials.create(OPERATOR, agent_order())
    assert token
    assert made in await office.admin.credentials.list()


async def test_status_says_what_is_in_force_and_what_waits(office):
    await office.admin.tools.put(OPERATOR, [document()])
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    await office.admin.freezes.create(
        OPERATOR, kind=FreezeKind.ALL, subject="", reason="r", life_s=5.0
    )
    status = await office.admin.overview.status()
    assert (status.tools, status.freezes, status.policy_ready) == (1, 1, True)
    assert status.control_revision == (await office.store.control()).revision
    office.clock.advance(5)
    office.policies.points.clear()
    status = await office.admin.overview.status()
    assert (status.freezes, status.policy_ready) == (0, False)


async def test_a_policy_that_was_started_and_is_away_is_not_said_to_be_ready(office):
    """Lose the engine for good, and have status, doctor and the alert's figure say all is well."""
    await office.admin.policies.activate(OPERATOR, {"a/x": b"1"})
    revision = (await office.admin.overview.status()).policy_revision
    office.policies.points[revision].away = True
    assert not (await office.admin.overview.status()).policy_ready
    office.policies.points[revision].away = False
    assert (await office.admin.overview.status()).policy_ready


async def test_taking_the_log_away_is_an_entry_in_it(office):
    parts = office.admin.overview.export(OPERATOR, since=0.0, include_contents=True)
    async with contextlib.aclosing(parts):
        lines = b"".join([part async for part in parts])
    assert b"audit.exported" in lines


async def test_every_entry_names_who_did_it_and_as_whom(office):
    await office.admin.freezes.create(OPERATOR, kind=FreezeKind.ALL, subject="", reason="because")
    (entry,) = [e for e in await office.said() if e.get("kind") == "freeze.created"]
    assert entry["actor"] == OPERATOR.subject
    assert entry["body"]["credential"] == OPERATOR.name
    assert entry["body"]["person"] == "local#operator-1"
    assert entry["body"]["reason"] == "because"
