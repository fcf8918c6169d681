"""A key has one holder; what a decision counted on has not moved when it is recorded."""

import dataclasses

from broker.core.lifecycle import InvocationState
from broker.core.unit import (
    AddInvocation,
    ConflictOn,
    CountHistory,
    FreeKeys,
    MoveInvocation,
    ReleaseReservations,
    Reserve,
    TakeKey,
)
from broker.ports import CounterAsked, KeySeen
from broker.store import SqlStore
from tests.store_values import NOW, invocation, moved, opened, refused, unit

S = InvocationState


async def test_a_key_has_one_holder_and_a_version_that_rises_when_it_is_free_again(store: SqlStore):
    one = await opened(store)
    first, second = invocation(one, S.RUNNING), invocation(one, S.RUNNING)
    await store.commit(unit(AddInvocation(invocation=first), AddInvocation(invocation=second)))
    assert await store.keys(["k"]) == {"k": KeySeen(version=0, invocation="", state=None)}
    await store.commit(unit(TakeKey(key="k", version=0, invocation=first.name)))
    taken = KeySeen(version=0, invocation=first.name, state=S.RUNNING)
    assert await store.keys(["k"]) == {"k": taken}
    take = TakeKey(key="k", version=0, invocation=second.name)
    await refused(store, ConflictOn.KEY, take)
    await store.commit(unit(FreeKeys(invocation=first.name)))
    free = KeySeen(version=1, invocation="", state=None)
    assert await store.keys(["k", "other"]) == {
        "k": free,
        "other": KeySeen(version=0, invocation="", state=None),
    }
    # It is free, but not as it was when the facts were read.
    await refused(store, ConflictOn.KEY, take)
    await store.commit(unit(dataclasses.replace(take, version=1)))


async def test_a_key_stays_taken_while_the_outcome_is_unknown(store: SqlStore):
    one = await opened(store)
    running = invocation(one, S.RUNNING)
    take = TakeKey(key="k", version=0, invocation=running.name)
    await store.commit(unit(AddInvocation(invocation=running), take))
    lost = moved(running, S.UNKNOWN)
    await store.commit(unit(MoveInvocation(invocation=lost, from_etag=1)))
    seen = KeySeen(version=0, invocation=running.name, state=S.UNKNOWN)
    assert await store.keys(["k"]) == {"k": seen}


async def test_a_counter_counts_what_its_window_has_and_conflicts_when_it_moved(store: SqlStore):
    asked = [CounterAsked(name="refunds", key="c", window_s=100, limit=5)]
    reserve = Reserve(key="c", version=0, invocation="invocations/1", amount=3, at=NOW)

    async def usage(now: float) -> tuple[int, int]:
        found = (await store.seen("sessions/x", asked, now=now)).usage["refunds"]
        assert (found.limit, found.window_s, found.key) == (5, 100, "c")
        return found.used, found.version

    assert await usage(NOW) == (0, 0)
    await store.commit(unit(reserve))
    assert await usage(NOW) == (3, 1)
    await refused(store, ConflictOn.COUNTER, reserve)
    later = dataclasses.replace(reserve, version=1, invocation="invocations/2", at=NOW + 50)
    await store.commit(unit(later))
    assert await usage(NOW + 99.9) == (6, 2)
    assert await usage(NOW + 100) == (3, 2)
    assert await usage(NOW + 150) == (0, 2)
    await store.commit(unit(ReleaseReservations(invocation="invocations/2")))
    assert await usage(NOW + 99.9) == (3, 3)
    await refused(store, ConflictOn.COUNTER, dataclasses.replace(later, version=2))
    await store.commit(unit(ReleaseReservations(invocation="invocations/2")))
    assert await usage(NOW + 99.9) == (3, 3)


async def test_history_counts_decisions_by_tool_and_effect(store: SqlStore):
    for tool, effect, at in [("a", "ALLOW", 1.0), ("a", "ALLOW", 2.0), ("a", "DENY", 3.0)]:
        await store.commit(unit(CountHistory(session="s", tool=tool, effect=effect, at=at)))
    await store.commit(unit(CountHistory(session="other", tool="a", effect="ALLOW", at=9.0)))
    history = (await store.seen("s", [], now=NOW)).history
    told = [(h.tool, h.effect, h.count, h.first_at, h.last_at) for h in history]
    assert told == [("a", "ALLOW", 2, 1.0, 2.0), ("a", "DENY", 1, 3.0, 3.0)]
