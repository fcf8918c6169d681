"""Every store erases what was said in a session that is over, and that alone."""

from broker.core.calls import Invocation, Session
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.retention import EraseCalls, EraseSession
from broker.core.unit import (
    AddArtefact,
    AddHold,
    AddInvocation,
    AddMandate,
    AddReview,
    AddSighting,
    ConflictOn,
    EndSession,
)
from broker.store import SqlStore
from tests import store_values as v

LABELS = Labels(trust="untrusted", sensitivity="personal")


async def over(
    store: SqlStore, state: InvocationState = InvocationState.SUCCEEDED
) -> tuple[Session, Invocation]:
    """A session that is over, with one call in which everything is said that can be."""
    session = await v.opened(store)
    call = v.invocation(session, state, result=b'{"a":1}')
    hold = v.hold(call, state=HoldState.CLAIMED)
    seen = AddSighting(
        session=session.name, invocation=call.name, labels=LABELS, content=b'{"a":1}'
    )
    await store.commit(
        v.unit(
            AddInvocation(invocation=call),
            AddHold(hold=hold),
            AddReview(review=v.review(hold, "lead")),
            AddArtefact(stored=v.stored(session)),
            seen,
            entries=(v.entry(call), v.entry(session=session.name)),
        )
    )
    await store.commit(v.unit(EndSession(name=session.name, state="CLOSED")))
    return session, call


def calls_of(session: Session, call: Invocation) -> EraseCalls:
    return EraseCalls(session=session.name, invocations=(call.name,), at=v.NOW + 5, by="operator-1")


def rest_of(session: Session) -> EraseSession:
    return EraseSession(
        mandate=session.mandate, session=session.name, at=v.NOW + 5, by="operator-1"
    )


async def test_what_was_said_goes_and_what_happened_stays(store: SqlStore):
    session, call = await over(store)
    await store.commit(v.unit(calls_of(session, call)))
    await store.commit(v.unit(rest_of(session)))
    found = await store.find_invocation(call.name)
    assert found is not None
    assert found.erased is not None
    assert (found.erased.at, found.erased.by) == (v.NOW + 5, "operator-1")
    assert (found.call.digest, found.call.arguments, found.result) == (call.call.digest, {}, None)
    assert [entry["contents"] for entry in await store.entries(call.name)] == [None]
    seen = await store.seen(session.name, (), now=v.NOW)
    assert [(one.content, one.labels) for one in seen.sightings] == [(b"", LABELS)]
    assert await store.list_artefacts(session.name) == []
    gone = await store.find_session(session.name)
    assert gone is not None
    assert set(gone.words) == {""}
    lines = [line async for line in store.export(since=0.0, include_contents=True)]
    assert b'"contents":{' not in b"".join(lines).replace(b'"contents":{"header"', b"")


async def test_pages_of_what_might_be_erased_go_on_where_they_ended(store: SqlStore):
    made = [await over(store) for _ in range(3)]
    await v.opened(store)
    await over(store, InvocationState.UNKNOWN)
    found, after = [], ""
    while page := await store.erasable_sessions(
        after=after, opened_before=0.0, now=v.NOW, page_size=2
    ):
        found += page
        after = page[-1].session
    assert sorted(one.session for one in found if one.is_over) == sorted(s.name for s, _ in made)
    assert [one.is_over for one in found].count(False) == 2
    assert {one.principal for one in found} == {v.PRINCIPAL.id}
    session, call = made[0]
    assert await store.unerased_calls(session.name, calls_max=5) == [call.name]
    await store.commit(v.unit(calls_of(session, call)))
    assert await store.unerased_calls(session.name, calls_max=5) == []
    await store.commit(v.unit(rest_of(session)))
    left = await store.erasable_sessions(after="", opened_before=0.0, now=v.NOW, page_size=9)
    assert session.name not in {one.session for one in left}
    assert await store.scrub()


async def test_a_mandate_is_erased_once_nobody_can_redeem_it(store: SqlStore):
    session = v.session()
    order = v.mandate(session)
    await store.commit(v.unit(AddMandate(mandate=order)))
    dead = EraseSession(mandate=order.name, session="", at=v.NOW, by="retention")
    await v.refused(store, ConflictOn.MANDATE, dead)
    late = order.redeem_by + 1
    (found,) = await store.erasable_mandates(after="", made_before=0.0, now=late, page_size=9)
    assert (found.mandate, found.session, found.is_over) == (order.name, "", True)
    erase = EraseSession(mandate=order.name, session="", at=late, by="retention")
    await store.commit(v.unit(erase))
    assert await store.erasable_mandates(after="", made_before=0.0, now=late, page_size=9) == []
    known = await store.find_mandate(name=order.name)
    assert known is not None
    assert set(known.session.words) == {""}


async def test_what_is_not_over_is_refused(store: SqlStore):
    session = await v.opened(store)
    call = v.invocation(session, InvocationState.SUCCEEDED)
    await store.commit(v.unit(AddInvocation(invocation=call)))
    await v.refused(store, ConflictOn.SESSION, calls_of(session, call))
    await v.refused(store, ConflictOn.SESSION, rest_of(session))
    await store.commit(v.unit(EndSession(name=session.name, state="REVOKED")))
    await v.refused(store, ConflictOn.INVOCATION, rest_of(session))
    other, unknown = await over(store, InvocationState.UNKNOWN)
    await v.refused(store, ConflictOn.INVOCATION, calls_of(other, unknown))
    await v.refused(store, ConflictOn.INVOCATION, calls_of(other, call))
