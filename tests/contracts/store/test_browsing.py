"""What pages read of a store: lists by pages, with what is told beside each row."""

import dataclasses

from broker.core.holds import ReviewEffect
from broker.core.labels import BEST, WORST, Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import (
    AddDocument,
    AddHold,
    AddInvocation,
    AddReview,
    AddSighting,
    CountHistory,
)
from broker.ids import UuidFactory
from broker.ports import HoldHistoryQuery, SessionQuery
from broker.store import SqlStore
from tests.store_values import NOW, entry, hold, invocation, opened, review, unit

S = InvocationState
H = HoldState
IDS = UuidFactory(lambda: NOW)


def released(session: str, invocation: str, labels: Labels) -> AddSighting:
    return AddSighting(session=session, invocation=invocation, labels=labels, content=b'"x"')


async def test_sessions_are_paged_newest_first_with_what_was_decided(store: SqlStore):
    made = [await opened(store) for _ in range(3)]
    counted = [
        CountHistory(session=made[1].name, tool=tool, effect=effect, at=NOW)
        for tool, effect in (("refund", "HOLD"), ("read", "ALLOW"), ("mail", "ALLOW"))
    ]
    await store.commit(unit(*counted, released(made[1].name, "invocations/i", WORST)))
    first = await store.list_sessions(SessionQuery(page_size=2))
    assert [one.session for one in first] == [made[2], made[1]]
    assert [one.decided for one in first] == [{}, {"ALLOW": 2, "HOLD": 1}]
    assert [one.is_untrusted for one in first] == [False, True]
    rest = await store.list_sessions(SessionQuery(page_size=2, before=made[1].name))
    assert [one.session for one in rest] == [made[0]]
    assert await store.list_sessions(SessionQuery(page_size=2, before=made[0].name)) == ()


async def test_what_was_released_is_told_by_its_worst_labels_in_order(store: SqlStore):
    ours, theirs = await opened(store), await opened(store)
    await store.commit(
        unit(
            released(ours.name, "invocations/b", BEST),
            released(ours.name, "invocations/a", BEST),
            released(ours.name, "invocations/b", WORST),
            released(theirs.name, "invocations/c", WORST),
        )
    )
    assert list((await store.released(ours.name)).items()) == [
        ("invocations/b", WORST),
        ("invocations/a", BEST),
    ]
    assert await store.released("sessions/none") == {}


async def test_history_of_what_is_over_leaves_out_what_is_not(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    made = [hold(held, state=state) for state in (H.REJECTED, H.PENDING, H.APPROVED, H.CLAIMED)]
    await store.commit(unit(AddInvocation(invocation=held), *(AddHold(hold=h) for h in made)))
    said = [review(made[0], "lead-1"), review(made[3], "lead-1"), review(made[0], "lead-2")]
    await store.commit(unit(*(AddReview(review=one) for one in said)))
    over = await store.hold_history(HoldHistoryQuery(page_size=9, is_over=True))
    assert over == [(made[3], (said[1],)), (made[0], (said[0], said[2]))]
    page = HoldHistoryQuery(page_size=9, is_over=True, before=made[3].name)
    assert await store.hold_history(page) == [over[1]]
    none = HoldHistoryQuery(page_size=9, is_over=True, state=H.PENDING)
    assert await store.hold_history(none) == []


async def test_holds_are_seen_since_a_time_as_far_as_they_are_counted(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    narrowed = hold(held, name=f"holds/{IDS()}", state=H.REJECTED, narrows="holds/other")
    ran = hold(held, name=f"holds/{IDS()}", state=H.CLAIMED, run_by=NOW + 60)
    await store.commit(
        unit(AddInvocation(invocation=held), AddHold(hold=narrowed), AddHold(hold=ran))
    )
    yes = review(ran, "lead-1")
    no = review(narrowed, "lead-2", effect=ReviewEffect.REJECT, counted=False)
    await store.commit(unit(AddReview(review=yes), AddReview(review=no)))
    newest, oldest = await store.holds_seen(since=NOW - 60, holds_max=9)
    assert (newest.name, newest.is_approved, newest.is_narrowed) == (ran.name, True, False)
    assert (oldest.name, oldest.is_approved, oldest.is_narrowed) == (narrowed.name, False, True)
    assert newest.codes == tuple(r.code for r in ran.requirements)
    assert [(r.person, r.effect, r.counted) for r in oldest.reviews] == [
        (str(no.reviewer.person), ReviewEffect.REJECT, False)
    ]
    assert [r.reviewer for r in newest.reviews] == [yes.reviewer.name]
    assert [h.name for h in await store.holds_seen(since=0.0, holds_max=1)] == [ran.name]
    assert await store.holds_seen(since=NOW + 10**6, holds_max=9) == ()


async def test_agents_are_those_of_the_newest_calls(store: SqlStore):
    one = await opened(store)
    for agent in ("agents/b", "agents/a", "agents/b"):
        name = f"invocations/{IDS()}"
        call = dataclasses.replace(invocation(one, S.SUCCEEDED), agent=agent, name=name)
        await store.commit(unit(AddInvocation(invocation=call)))
    seen = await store.agents_seen(calls_max=9)
    assert [(a.agent, a.calls) for a in seen] == [("agents/a", 1), ("agents/b", 2)]
    assert all(abs(a.last_at - NOW) < 60 and a.first_at <= a.last_at for a in seen)
    assert [a.agent for a in await store.agents_seen(calls_max=1)] == ["agents/b"]


async def test_the_log_is_paged_newest_first_and_its_head_is_signed(store: SqlStore):
    before = len(await store.log_entries(before=None, page_size=100))
    for number in range(3):
        said = entry(body={"number": number})
        await store.commit(unit(entries=(said,)))
    await store.checkpoint_now()
    everything = await store.log_entries(before=None, page_size=100)
    assert [e["body"]["number"] for e in everything[:3]] == [2, 1, 0]
    assert [e["leaf_index"] for e in everything] == [*range(before + 2, -1, -1)]
    page = await store.log_entries(before=before + 2, page_size=1)
    assert [e["body"]["number"] for e in page] == [1]
    head = await store.log_head()
    assert head is not None
    assert (head.size, head.is_signed) == (before + 3, True)
    assert head.note.startswith(f"{head.origin}\n{head.size}\n{head.root}\n")
    assert head.key.startswith(head.origin)


async def test_documents_of_a_kind_are_read_with_what_is_in_them(store: SqlStore):
    for number in range(3):
        made = AddDocument(
            digest=f"sha256:{number}", kind="tool", at=NOW + number, body=b"%d" % number
        )
        other = AddDocument(digest=f"sha256:p{number}", kind="policy", at=NOW, body=b"p")
        await store.commit(unit(made, other))
    found = await store.documents_seen("tool", documents_max=2)
    assert [(one.digest, one.at, one.body) for one in found] == [
        ("sha256:2", NOW + 2, b"2"),
        ("sha256:1", NOW + 1, b"1"),
    ]
