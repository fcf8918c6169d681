"""Every store keeps one word on a call under way elsewhere, in time, until that has ended."""

import asyncio
import dataclasses

import pytest
import sqlalchemy as sa

from broker.core.calls import Invocation
from broker.core.leases import KeepLease
from broker.core.lifecycle import InvocationState
from broker.core.reports import CloseReport, DropReports, KeepReport, KeptReport, ReportSeen
from broker.core.retention import EraseCalls
from broker.core.unit import AddInvocation, Conflict, ConflictOn, EndSession, MoveInvocation
from broker.store import SqlStore
from broker.store.sql import Statement
from tests import store_values as v
from tests.several_stores import Stores, transaction, waits_for_a_lock

S = InvocationState


async def running(store: SqlStore, **changes: object) -> Invocation:
    session = await v.opened(store)
    call = v.invocation(session, S.RUNNING, **changes)
    await store.commit(v.unit(AddInvocation(invocation=call)))
    return call


def word(call: Invocation, body: bytes = b"\x00\xffsaid", **changes: object) -> KeptReport:
    made = KeptReport(
        invocation=call.name, attempt=call.attempt, body=body, said=b"\x00digest", at=v.NOW + 1
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


async def end(store: SqlStore, call: Invocation, state: S = S.SUCCEEDED) -> Invocation:
    after = v.moved(call, state)
    await store.commit(v.unit(MoveInvocation(invocation=after, from_etag=call.etag)))
    return after


async def test_the_first_word_is_kept_and_no_other(store: SqlStore):
    call = await running(store)
    assert await store.find_report(call.name) is None
    first = word(call)
    await store.commit(v.unit(KeepReport(report=first)))
    await v.refused(store, ConflictOn.REPORT, KeepReport(report=word(call, b"other")))
    assert await store.find_report(call.name) == first
    assert await store.list_reports(reports_max=5) == [
        ReportSeen(invocation=call.name, state=S.RUNNING)
    ]


async def test_what_is_closed_keeps_no_word_and_a_word_is_not_closed_away(store: SqlStore):
    closed, said = await running(store), await running(store)
    await store.commit(v.unit(KeepReport(report=word(said))))
    for call in (closed, said):
        for _ in range(2):
            shut = CloseReport(invocation=call.name, attempt=call.attempt, at=v.NOW + 2)
            await store.commit(v.unit(shut))
    await v.refused(store, ConflictOn.REPORT, KeepReport(report=word(closed)))
    found = await store.find_report(closed.name)
    assert found is not None
    assert (found.said, found.body) == (b"", b"")
    assert await store.find_report(said.name) == word(said)


@pytest.mark.parametrize(
    "late",
    [{"at": v.NOW + 10.25}, {"attempt": 2}, {"invocation": "invocations/none"}],
)
async def test_a_word_that_is_late_or_of_another_attempt_is_not_kept(
    store: SqlStore, late: dict[str, object]
):
    call = await running(store)
    await v.refused(store, ConflictOn.INVOCATION, KeepReport(report=word(call, **late)))
    assert await store.find_report(call.name) is None


async def test_no_word_is_kept_beyond_the_owners_lease(store: SqlStore):
    call = await running(store, deadline_at=v.NOW + 900)
    after = word(call, at=v.NOW + 21)
    await v.refused(store, ConflictOn.INVOCATION, KeepReport(report=after))
    kept = KeepLease(
        invocation=call.name, owner=call.owner, attempt=1, at=v.NOW + 5, until=v.NOW + 40
    )
    await store.commit(v.unit(kept))
    await store.commit(v.unit(KeepReport(report=after)))


async def test_no_word_is_kept_on_a_call_that_has_ended(store: SqlStore):
    for state in (S.SUCCEEDED, S.UNKNOWN):
        call = await running(store)
        await end(store, call, state)
        await v.refused(store, ConflictOn.INVOCATION, KeepReport(report=word(call)))


async def test_a_word_stays_until_its_call_has_ended(store: SqlStore):
    call = await running(store)
    await store.commit(v.unit(KeepReport(report=word(call))))
    drop = DropReports(invocations=(call.name, "invocations/none"))
    await store.commit(v.unit(drop))
    assert await store.find_report(call.name) == word(call)
    await end(store, call, S.UNKNOWN)
    assert await store.list_reports(reports_max=5) == [
        ReportSeen(invocation=call.name, state=S.UNKNOWN)
    ]
    for _ in range(2):
        await store.commit(v.unit(drop))
    assert await store.find_report(call.name) is None
    assert await store.list_reports(reports_max=5) == []


async def test_what_nobody_dropped_is_erased_with_its_call(store: SqlStore):
    call = await running(store)
    await store.commit(v.unit(KeepReport(report=word(call, b"a customer's card"))))
    await end(store, call)
    await store.commit(v.unit(EndSession(name=call.session, state="CLOSED")))
    erase = EraseCalls(session=call.session, invocations=(call.name,), at=v.NOW + 5, by="o-1")
    await store.commit(v.unit(erase))
    assert await store.find_report(call.name) is None


async def test_no_more_are_listed_than_asked_for_oldest_first(store: SqlStore):
    calls = [await running(store) for _ in range(3)]
    for later, call in enumerate(reversed(calls)):
        await store.commit(v.unit(KeepReport(report=word(call, at=v.NOW + later))))
    listed = [seen.invocation for seen in await store.list_reports(reports_max=2)]
    assert listed == [calls[2].name, calls[1].name]


async def test_of_words_at_several_brokers_at_once_one_is_kept(stores: Stores):
    for _ in range(10):
        call = await running(stores[0])
        words = [word(call, b"%d" % number) for number in range(3)]
        brought = await asyncio.gather(
            *(
                store.commit(v.unit(KeepReport(report=report)))
                for store, report in zip(stores, words, strict=True)
            ),
            return_exceptions=True,
        )
        lost = [one.on for one in brought if isinstance(one, Conflict)]
        assert lost == [ConflictOn.REPORT] * 2
        assert await stores[0].find_report(call.name) == words[brought.index(None)]


async def test_a_word_waits_for_an_end_that_has_begun(stores: Stores, url: str):
    call = await running(stores[0])
    ending = Statement(sa.text("UPDATE invocations SET state = 'UNKNOWN' WHERE name = :name"))
    with transaction(url) as other:
        other.run(ending, {"name": call.name})
        keeping = asyncio.create_task(stores[1].commit(v.unit(KeepReport(report=word(call)))))
        await waits_for_a_lock(url)
        other.say("COMMIT")
    with pytest.raises(Conflict):
        await keeping
    assert await stores[2].find_report(call.name) is None
