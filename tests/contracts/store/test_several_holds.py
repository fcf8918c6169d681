"""Three brokers over one database let no more calls wait for people than one of them would."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from broker.core.lifecycle import HoldState, InvocationState
from broker.core.standing import RequireRoomForHold
from broker.core.unit import AddHold, AddInvocation, Conflict, ConflictOn, MoveHold
from broker.store import Cadence, SqlStore
from broker.store.postgres import DIALECT
from tests.postgres import server
from tests.several_stores import Stores, three_stores, transaction
from tests.store_values import AGENT, PRINCIPAL, entry, hold, invocation, opened, unit

DEADLINE_S = 30.0
PLENTY = 1_000


@pytest.fixture
async def signing(url: str, tmp_path: Path) -> AsyncGenerator[Stores]:
    """Three brokers that sign a head with every commit: they wait for the log at its end."""
    async with three_stores(url, tmp_path, cadence=Cadence(entries_max=1)) as stores:
        yield stores


def room(*, of_agent: int = PLENTY, of_principal: int = PLENTY) -> RequireRoomForHold:
    return RequireRoomForHold(
        agent=AGENT.id,
        of_agent_max=of_agent,
        principal=PRINCIPAL.id,
        of_principal_max=of_principal,
    )


async def wait(store: SqlStore, session: str, required: RequireRoomForHold) -> bool:
    """Have one more call wait for people; whether there was room for it."""
    found = await store.find_session(session)
    assert found is not None
    made = invocation(found, InvocationState.HELD)
    adding = (AddInvocation(invocation=made), required, AddHold(hold=hold(made)))
    try:
        await store.commit(unit(*adding, entries=(entry(made),)))
    except Conflict as conflict:
        if conflict.on is not ConflictOn.HOLDS:
            raise
        return False
    return True


async def all_wait_for_locks(url: str, count: int) -> None:
    """Until so many backends of the database wait for others."""
    name = url.split("/")[3].split("?", maxsplit=1)[0]
    asked = (
        "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
        f"WHERE NOT l.granted AND a.datname = '{name}'"
    )
    async with asyncio.timeout(DEADLINE_S):
        while (await asyncio.to_thread(server().run, asked))[0][0] < count:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("required", [room(of_agent=1), room(of_principal=1)])
async def test_the_last_place_to_wait_is_had_by_one_of_three(
    signing: Stores, url: str, required: RequireRoomForHold
):
    """Ask at every broker in the same moment: each counts before any of the others has written."""
    sessions = [(await opened(signing[0])).name for _ in signing]
    with transaction(url) as elsewhere:
        elsewhere.say(DIALECT.lock_log)  # so that nobody commits before all have counted
        asked = [
            asyncio.create_task(wait(store, session, required))
            for store, session in zip(signing, sessions, strict=True)
        ]
        await all_wait_for_locks(url, len(asked))
        elsewhere.say("COMMIT")
    async with asyncio.timeout(DEADLINE_S):
        assert sum(await asyncio.gather(*asked)) == 1


async def test_sixty_that_ask_at_three_brokers_fill_what_there_is_exactly(stores: Stores):
    """Ask twenty times at each broker at once, where the agent may have seven and I may have ten,
    in sessions of my own and in another order everywhere, so that nobody can be first at all."""
    sessions = [(await opened(stores[0])).name for _ in range(5)]
    required = room(of_agent=7, of_principal=10)
    async with asyncio.timeout(DEADLINE_S):
        had = await asyncio.gather(
            *(
                wait(store, sessions[(n * (number + 1)) % 5], required)
                for number, store in enumerate(stores)
                for n in range(20)
            )
        )
    assert sum(had) == 7


async def test_a_place_that_came_free_elsewhere_is_had(stores: Stores):
    session = await opened(stores[0])
    made = invocation(session, InvocationState.HELD)
    held = hold(made)
    await stores[0].commit(unit(AddInvocation(invocation=made), AddHold(hold=held)))
    assert not await wait(stores[1], session.name, room(of_agent=1))
    over = hold(made, name=held.name, state=HoldState.REJECTED, etag=held.etag + 1)
    await stores[2].commit(unit(MoveHold(hold=over, from_etag=held.etag)))
    assert await wait(stores[1], session.name, room(of_agent=1))
