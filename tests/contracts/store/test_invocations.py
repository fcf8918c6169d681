"""A call changes only from what was seen and as its life cycle allows, and never what was asked."""

import dataclasses

import pytest

from broker.core.errors import IllegalTransition
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import AddHold, AddInvocation, ConflictOn, MoveInvocation
from broker.ports import InvocationQuery
from broker.store import SqlStore
from tests.store_values import NOW, call, hold, invocation, moved, opened, refused, unit

S = InvocationState
H = HoldState


async def test_an_invocation_is_read_back_as_it_was_written(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    denied = invocation(one, S.DENIED, decision=None, result=b"\x00\xff")
    await store.commit(unit(AddInvocation(invocation=held), AddInvocation(invocation=denied)))
    assert await store.find_invocation(held.name) == held
    assert await store.find_invocation(denied.name) == denied
    assert await store.find_request(one.name, held.request_id) == held


async def test_a_request_id_names_one_call_of_a_session(store: SqlStore):
    one, other = await opened(store), await opened(store)
    first = invocation(one, S.DENIED, call=call("r-1"))
    await store.commit(unit(AddInvocation(invocation=first)))
    twin = invocation(one, S.RUNNING, call=call("r-1"))
    await refused(store, ConflictOn.REQUEST_ID, AddInvocation(invocation=twin))
    elsewhere = invocation(other, S.DENIED, call=call("r-1"))
    await store.commit(unit(AddInvocation(invocation=elsewhere)))


async def test_an_invocation_moves_from_the_etag_that_was_seen(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    await store.commit(unit(AddInvocation(invocation=held)))
    running = moved(held, S.RUNNING, attempt=2, owner="brokers/2", updated_at=NOW + 3)
    await store.commit(unit(MoveInvocation(invocation=running, from_etag=1)))
    assert await store.find_invocation(held.name) == running
    denied = moved(held, S.DENIED)
    await refused(store, ConflictOn.INVOCATION, MoveInvocation(invocation=denied, from_etag=1))


async def test_an_invocation_moves_only_for_its_owner_where_one_is_named(store: SqlStore):
    one = await opened(store)
    running = invocation(one, S.RUNNING, owner="brokers/1")
    await store.commit(unit(AddInvocation(invocation=running)))
    done = moved(running, S.SUCCEEDED, result=b'{"ok":true}')
    stolen = MoveInvocation(invocation=done, from_etag=1, owner="brokers/2")
    await refused(store, ConflictOn.INVOCATION, stolen)
    await store.commit(unit(MoveInvocation(invocation=done, from_etag=1, owner="brokers/1")))
    assert await store.find_invocation(running.name) == done


async def test_the_etag_must_rise(store: SqlStore):
    one = await opened(store)
    running = invocation(one, S.RUNNING)
    await store.commit(unit(AddInvocation(invocation=running)))
    same = MoveInvocation(invocation=dataclasses.replace(running, state=S.FAILED), from_etag=1)
    await refused(store, ConflictOn.INVOCATION, same)


@pytest.mark.parametrize("ended", [S.DENIED, S.SUCCEEDED, S.FAILED, S.CANCELLED, S.EXPIRED])
async def test_what_has_ended_never_changes(store: SqlStore, ended: InvocationState):
    one = await opened(store)
    over = invocation(one, ended)
    await store.commit(unit(AddInvocation(invocation=over)))
    for state in S:
        with pytest.raises(IllegalTransition):
            await store.commit(
                unit(MoveInvocation(invocation=moved(over, state, code="X"), from_etag=1))
            )
    assert await store.find_invocation(over.name) == over


async def test_a_running_call_may_change_without_a_step(store: SqlStore):
    one = await opened(store)
    running = invocation(one, S.RUNNING)
    await store.commit(unit(AddInvocation(invocation=running)))
    longer = moved(running, S.RUNNING, lease_expires_at=NOW + 60)
    await store.commit(unit(MoveInvocation(invocation=longer, from_etag=1)))
    assert await store.find_invocation(running.name) == longer


async def test_what_was_asked_cannot_be_moved(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    await store.commit(unit(AddInvocation(invocation=held)))
    swapped = moved(held, S.RUNNING, call=call(order_id="O-2002"), principal="customers/c-1")
    await store.commit(unit(MoveInvocation(invocation=swapped, from_etag=1)))
    read = await store.find_invocation(held.name)
    assert read == dataclasses.replace(swapped, call=held.call, principal=held.principal)


async def test_invocations_are_paged_newest_first_and_filtered(store: SqlStore):
    one, other = await opened(store), await opened(store)
    made = [invocation(one, S.DENIED) for _ in range(5)]
    made += [invocation(other, S.RUNNING, agent="agents/b")]
    await store.commit(unit(*(AddInvocation(invocation=i) for i in made)))
    newest = list(reversed(made))
    page = await store.list_invocations(InvocationQuery(page_size=4))
    assert page == newest[:4]
    rest = InvocationQuery(page_size=4, before=page[-1].name)
    assert await store.list_invocations(rest) == newest[4:]
    for query, expected in [
        (InvocationQuery(page_size=9, session=one.name), newest[1:]),
        (InvocationQuery(page_size=9, agent="agents/b"), newest[:1]),
        (InvocationQuery(page_size=9, state=S.RUNNING), newest[:1]),
        (InvocationQuery(page_size=9, state=S.DENIED, session=other.name), []),
        (InvocationQuery(page_size=9, tool="refund", principal="customers/c-204"), newest),
        (InvocationQuery(page_size=9, tool="other"), []),
    ]:
        assert await store.list_invocations(query) == expected


async def test_what_a_restart_must_look_at_is_found(store: SqlStore):
    one = await opened(store)
    running = invocation(one, S.RUNNING)
    waiting, approved = invocation(one, S.HELD), invocation(one, S.HELD)
    pending, given = hold(waiting), hold(approved, state=H.APPROVED, run_by=NOW + 9)
    waiting = dataclasses.replace(waiting, hold=pending.name)
    approved = dataclasses.replace(approved, hold=given.name)
    others = [invocation(one, state) for state in (S.UNKNOWN, S.DENIED, S.SUCCEEDED)]
    calls = (running, waiting, approved, *others)
    await store.commit(unit(*(AddInvocation(invocation=i) for i in calls)))
    await store.commit(unit(AddHold(hold=pending), AddHold(hold=given)))
    assert await store.unfinished() == [running, approved]
