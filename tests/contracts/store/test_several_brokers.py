"""Three brokers over one database keep what one keeps: each test has them do it all at once."""

import asyncio
import dataclasses

import pytest

from broker.core.holds import Hold
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import (
    AddArtefact,
    AddDocument,
    AddHold,
    AddInvocation,
    AddSighting,
    AppendWords,
    Conflict,
    CountHistory,
    CountReached,
    EndSession,
    FreeKeys,
    MoveHold,
    MoveInvocation,
    PutControl,
    ReleaseReservations,
    RequireControl,
    RequireMemory,
    RequireSession,
    Reserve,
    TakeKey,
)
from broker.ports import CounterAsked
from broker.store import SqlStore
from broker.store.postgres import DIALECT
from tests.several_stores import Stores, transaction, waits_for_a_lock
from tests.store_values import NOW, entry, hold, invocation, moved, opened, stored, unit

S = InvocationState
DEADLINE_S = 30.0


async def test_an_exclusive_key_is_never_had_by_two(stores: Stores):
    one = await opened(stores[0])
    had: list[str] = []
    most = 0

    async def take(store: SqlStore) -> None:
        nonlocal most
        while True:
            made = invocation(one, S.RUNNING)
            seen = (await store.keys(["k"]))["k"]
            take_it = TakeKey(key="k", version=seen.version, invocation=made.name)
            try:
                await store.commit(
                    unit(AddInvocation(invocation=made), take_it, entries=(entry(made),))
                )
            except Conflict:
                continue
            had.append(made.name)
            most = max(most, len(had))
            await asyncio.sleep(0)
            had.remove(made.name)
            ended = moved(made, S.SUCCEEDED)
            await store.commit(
                unit(
                    MoveInvocation(invocation=ended, from_etag=made.etag),
                    FreeKeys(invocation=made.name),
                    entries=(entry(made),),
                )
            )
            return

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(take(store) for store in stores for _ in range(5)))
    assert most == 1
    assert (await stores[0].keys(["k"]))["k"].version == 15


async def test_a_limit_of_twenty_lets_exactly_twenty_of_sixty_pass(stores: Stores):
    one = await opened(stores[0])
    asked = CounterAsked(name="n", key="n", limit=20, window_s=3600.0)

    async def call(store: SqlStore) -> bool:
        while True:
            usage = (await store.seen(one.name, [asked], now=NOW)).usage["n"]
            if usage.used >= 20:
                return False
            made = invocation(one, S.RUNNING)
            reserve = Reserve(
                key="n", version=usage.version, invocation=made.name, amount=1, at=NOW
            )
            try:
                await store.commit(
                    unit(AddInvocation(invocation=made), reserve, entries=(entry(made),))
                )
            except Conflict:
                continue
            return True

    async with asyncio.timeout(DEADLINE_S):
        passed = await asyncio.gather(*(call(store) for store in stores for _ in range(20)))
    assert sum(passed) == 20
    assert (await stores[1].counts()).audit_entries == 20


async def test_a_hold_that_three_claim_at_once_is_claimed_by_one(stores: Stores):
    one = await opened(stores[0])
    made = invocation(one, S.HELD)
    held = hold(made, state=HoldState.PENDING)
    await stores[0].commit(unit(AddInvocation(invocation=made), AddHold(hold=held)))
    answers = await asyncio.gather(
        *(
            store.commit(
                unit(
                    MoveHold(hold=_at(held, HoldState.APPROVED), from_etag=held.etag),
                    entries=(entry(made),),
                )
            )
            for store in stores
            for _ in range(4)
        ),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 1
    assert all(answer is None or isinstance(answer, Conflict) for answer in answers)


def _at(held: Hold, state: HoldState) -> Hold:
    return dataclasses.replace(held, state=state, etag=held.etag + 1)


async def test_control_does_not_change_beneath_a_record_that_requires_it(stores: Stores, url: str):
    put = PutControl(kind="freeze", key="f", digest="", body=b"{}")
    with transaction(url) as recording:
        changing = asyncio.create_task(stores[0].commit(unit(put)))
        await waits_for_a_lock(url)
        assert not changing.done()
        del recording
    await changing
    with pytest.raises(Conflict):
        await stores[1].commit(unit(RequireControl(revision=0)))
    await stores[2].commit(unit(RequireControl(revision=1)))


async def test_a_record_waits_for_a_change_of_control_and_sees_it(stores: Stores, url: str):
    with transaction(url, DIALECT.begin_control) as changing:
        recording = asyncio.create_task(stores[0].commit(unit(RequireControl(revision=0))))
        await waits_for_a_lock(url)
        changing.say("UPDATE control_revision SET revision = 1")
        changing.say("COMMIT")
    with pytest.raises(Conflict):
        await recording


async def test_a_session_does_not_end_beneath_a_record_that_requires_it(stores: Stores, url: str):
    one = await opened(stores[0])
    with transaction(url) as ending:
        ending.say(f"UPDATE sessions SET state = 'REVOKED' WHERE name = '{one.name}'")
        recording = asyncio.create_task(
            stores[0].commit(unit(RequireSession(name=one.name, at=NOW)))
        )
        await waits_for_a_lock(url)
        ending.say("COMMIT")
    with pytest.raises(Conflict):
        await recording
    with pytest.raises(Conflict):
        await stores[1].commit(unit(EndSession(name=one.name, state="CLOSED")))


async def test_nothing_is_released_beneath_a_decision_that_has_not_seen_it(
    stores: Stores, url: str
):
    one = await opened(stores[0])
    with transaction(url) as releasing:
        releasing.say(f"SELECT 1 FROM sessions WHERE name = '{one.name}' FOR NO KEY UPDATE")
        deciding = asyncio.create_task(
            stores[0].commit(unit(RequireMemory(session=one.name, position=0)))
        )
        await waits_for_a_lock(url)
        releasing.say(
            "INSERT INTO sightings VALUES "
            f"('{one.name}', 1, 'i', 'untrusted', 'none', 0, ''::bytea)"
        )
        releasing.say("COMMIT")
    with pytest.raises(Conflict):
        await deciding


async def test_what_three_add_to_a_session_at_once_is_all_there(stores: Stores):
    one = await opened(stores[0])
    labels = Labels(trust="untrusted", sensitivity="none")
    units = []
    for number in range(24):
        made = invocation(one, S.SUCCEEDED)
        units.append(
            unit(
                AddInvocation(invocation=made),
                AddSighting(
                    session=one.name,
                    invocation=made.name,
                    labels=labels,
                    content=b"x",
                    bytes_max=10_000,
                ),
                AppendWords(mandate=one.mandate, words=(f"word {number}",), after=None),
                CountHistory(session=one.name, tool="t", effect="ALLOW", at=NOW),
                CountReached(principal="p", target="x", tool="t", at=NOW),
                AddDocument(digest="one", kind="mark", at=NOW, body=b"1"),
                entries=(entry(made),),
            )
        )
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(stores[n % 3].commit(each) for n, each in enumerate(units)))
    seen = await stores[0].seen(one.name, [], now=NOW, principal="p", targets=["x"])
    assert [s.position for s in seen.sightings] == list(range(1, 25))
    assert [h.count for h in seen.history] == [24]
    assert [r.count for r in seen.reached["x"]] == [24]
    found = await stores[1].find_session(one.name)
    assert found is not None
    assert set(found.words[2:]) == {f"word {number}" for number in range(24)}


async def test_files_that_three_add_at_once_stay_within_the_sessions_room(stores: Stores):
    one = await opened(stores[0])
    answers = await asyncio.gather(
        *(
            stores[n % 3].commit(
                unit(AddArtefact(stored=stored(one, content=b"12345"), count_max=99, bytes_max=25))
            )
            for n in range(18)
        ),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 5
    assert len(await stores[0].list_artefacts(one.name)) == 5


async def test_groups_that_lock_each_other_out_are_written_all_the_same(stores: Stores):
    """Each takes the same rows in another order, so that a database that waits must give one up."""
    one = await opened(stores[0])
    made = [invocation(one, S.RUNNING) for _ in range(12)]
    for each in made:
        await stores[0].commit(unit(AddInvocation(invocation=each)))

    async def touch(store: SqlStore, order: list[int]) -> None:
        for number in order:
            name = made[number].name
            while True:
                found = await store.find_invocation(name)
                assert found is not None
                later = moved(found, S.RUNNING, lease_expires_at=found.lease_expires_at + 1)
                try:
                    await store.commit(unit(MoveInvocation(invocation=later, from_etag=found.etag)))
                except Conflict:
                    continue
                break

    orders = [list(range(12)), list(range(11, -1, -1)), [*range(6, 12), *range(6)]]
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(
            *(
                touch(store, order[shift:] + order[:shift])
                for store, order in zip(stores, orders, strict=True)
                for shift in (0, 3, 5)
            )
        )
    for each in made:
        found = await stores[0].find_invocation(each.name)
        assert found is not None
        assert found.etag == each.etag + 9


async def test_a_releasing_broker_and_a_reserving_one_do_not_lose_a_count(stores: Stores):
    one = await opened(stores[0])
    asked = CounterAsked(name="n", key="n", limit=1_000, window_s=3600.0)

    async def reserve_and_release(store: SqlStore) -> None:
        for _ in range(5):
            made = invocation(one, S.RUNNING)
            while True:
                usage = (await store.seen(one.name, [asked], now=NOW)).usage["n"]
                try:
                    await store.commit(
                        unit(
                            AddInvocation(invocation=made),
                            Reserve(
                                key="n",
                                version=usage.version,
                                invocation=made.name,
                                amount=2,
                                at=NOW,
                            ),
                        )
                    )
                except Conflict:
                    continue
                break
            await store.commit(unit(ReleaseReservations(invocation=made.name)))

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*(reserve_and_release(store) for store in stores))
    usage = (await stores[0].seen(one.name, [asked], now=NOW)).usage["n"]
    assert (usage.used, usage.version) == (0, 30)
