"""Whom a principal has reached is counted by target and tool, with the unit that says so."""

import pytest

from broker.core.calls import Reached
from broker.core.unit import Conflict, CountReached, RequireControl, Unit
from broker.store import SqlStore
from tests.store_values import NOW


async def reach(
    store: SqlStore, principal: str, target: str, *, tool: str = "pay", at: float = NOW
) -> None:
    change = CountReached(principal=principal, target=target, tool=tool, at=at)
    await store.commit(Unit(changes=(change,), entries=()))


async def reached(store: SqlStore, principal: str, *targets: str):
    seen = await store.seen("sessions/s", (), now=NOW, principal=principal, targets=targets)
    return seen.reached


async def test_each_time_counts_and_the_first_stays(store: SqlStore):
    for later in (0.0, 5.0, 9.0):
        await reach(store, "customers/1", "a", at=NOW + later)

    assert await reached(store, "customers/1", "a") == {
        "a": (Reached(tool="pay", count=3, first_at=NOW, last_at=NOW + 9.0),)
    }


async def test_each_tool_counts_by_itself(store: SqlStore):
    await reach(store, "customers/1", "a", tool="pay")
    await reach(store, "customers/1", "a", tool="mail")

    (told,) = (await reached(store, "customers/1", "a")).values()

    assert [(one.tool, one.count) for one in told] == [("mail", 1), ("pay", 1)]


async def test_whom_others_reached_and_whom_nobody_asked_for_is_not_told(store: SqlStore):
    await reach(store, "customers/1", "a")
    await reach(store, "customers/2", "b")

    assert await reached(store, "customers/2", "a") == {"a": ()}
    assert await reached(store, "customers/2") == {}


async def test_a_unit_that_is_undone_has_reached_nobody(store: SqlStore):
    change = CountReached(principal="customers/1", target="a", tool="pay", at=NOW)
    unit = Unit(changes=(change, RequireControl(revision=999)), entries=())
    with pytest.raises(Conflict):
        await store.commit(unit)

    assert await reached(store, "customers/1", "a") == {"a": ()}
