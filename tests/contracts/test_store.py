"""What every store promises. `STORES` has one line for each; a database joins by adding one."""

import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from broker.core.audit import EntryKind
from broker.core.errors import IllegalTransition
from broker.core.holds import ReviewEffect
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.unit import (
    AddDocument,
    AddHold,
    AddInvocation,
    AddMandate,
    AddReview,
    AppendWords,
    Change,
    Conflict,
    ConflictOn,
    CountHistory,
    DropControl,
    EndSession,
    FreeKeys,
    MoveHold,
    MoveInvocation,
    PutControl,
    RedeemMandate,
    ReleaseReservations,
    RequireControl,
    Reserve,
    RevokeMandate,
    TakeKey,
    TouchSession,
)
from broker.ports import CounterAsked, HoldQuery, InvocationQuery, KeySeen
from broker.store import SqlStore
from tests.store_values import (
    NOW,
    call,
    entry,
    hold,
    invocation,
    mandate,
    moved,
    name_of,
    opened,
    review,
    session,
    unit,
)
from tests.stores import temporary_store

STORES = {"sqlite": temporary_store}
S = InvocationState
H = HoldState


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[SqlStore]:
    async with STORES[request.param](tmp_path) as opened_store:
        yield opened_store


async def refused(store: SqlStore, on: ConflictOn, *changes: Change) -> None:
    """The unit conflicts on this, and of it nothing is written, its entry and first change too."""
    before = await store.counts()
    mark = AddDocument(digest=name_of("marks"), kind="mark", at=NOW, body=b"{}")
    with pytest.raises(Conflict) as caught:
        await store.commit(unit(mark, *changes, entries=(entry(),)))
    assert caught.value.on is on
    assert await store.document(mark.digest) is None
    assert (await store.counts()).audit_entries == before.audit_entries


# Mandates and sessions.


async def test_a_mandate_and_its_session_are_read_back_as_they_were_written(store: SqlStore):
    ordered = session()
    await store.commit(unit(AddMandate(mandate=mandate(ordered))))
    assert await store.find_mandate(name=ordered.mandate) == mandate(ordered)
    secret = mandate(ordered).secret_digest
    assert await store.find_mandate(secret_digest=secret) == mandate(ordered)
    assert await store.session_of_mandate(ordered.mandate) is None
    await store.commit(unit(RedeemMandate(name=ordered.mandate, at=NOW, session=ordered)))
    assert await store.find_session(ordered.name) == ordered
    assert await store.session_of_mandate(ordered.mandate) == ordered
    assert await store.find_mandate(name=ordered.mandate) == mandate(ordered)


async def test_what_was_never_written_is_none(store: SqlStore):
    assert await store.find_mandate(name="mandates/x") is None
    assert await store.find_mandate(secret_digest=b"x") is None
    assert await store.find_session("sessions/x") is None
    assert await store.session_of_mandate("mandates/x") is None
    assert await store.find_invocation("invocations/x") is None
    assert await store.find_request("sessions/x", "1") is None
    assert await store.find_hold("holds/x") is None
    assert await store.document("sha256:x") is None
    assert await store.entries("invocations/x") == []
    assert await store.contents("invocations/x") == {}


async def test_a_mandate_is_redeemed_once(store: SqlStore):
    first = await opened(store)
    again = dataclasses.replace(first, name=name_of("sessions"))
    redeem = RedeemMandate(name=first.mandate, at=NOW, session=again)
    await refused(store, ConflictOn.MANDATE, redeem)
    assert await store.find_session(again.name) is None


async def test_a_mandate_is_redeemed_in_time(store: SqlStore):
    late = session()
    await store.commit(unit(AddMandate(mandate=mandate(late, redeem_by=NOW + 900))))
    redeem = RedeemMandate(name=late.mandate, at=NOW + 900, session=late)
    await refused(store, ConflictOn.MANDATE, redeem)
    in_time = dataclasses.replace(redeem, at=NOW + 899.9)
    await store.commit(unit(in_time))


async def test_a_revoked_mandate_is_not_redeemed_and_a_redeemed_one_not_revoked(store: SqlStore):
    gone = session()
    await store.commit(unit(AddMandate(mandate=mandate(gone))))
    await store.commit(unit(RevokeMandate(name=gone.mandate)))
    redeem = RedeemMandate(name=gone.mandate, at=NOW, session=gone)
    await refused(store, ConflictOn.MANDATE, redeem)
    await refused(store, ConflictOn.MANDATE, RevokeMandate(name=gone.mandate))
    redeemed = await opened(store)
    await refused(store, ConflictOn.MANDATE, RevokeMandate(name=redeemed.mandate))


async def test_two_mandates_cannot_share_a_secret(store: SqlStore):
    one, other = session(), session()
    secret = mandate(one).secret_digest
    await store.commit(unit(AddMandate(mandate=mandate(one))))
    twin = AddMandate(mandate=mandate(other, secret_digest=secret))
    await refused(store, ConflictOn.MANDATE, twin)


async def test_words_are_added_to_the_mandate_and_so_to_its_session(store: SqlStore):
    ordered = session(words=("one",))
    await store.commit(unit(AddMandate(mandate=mandate(ordered))))
    await store.commit(unit(AppendWords(mandate=ordered.mandate, words=("two", "three"))))
    found = await store.find_mandate(name=ordered.mandate)
    assert found is not None
    assert found.session.words == ("one", "two", "three")
    # What the agent opens was read before the last words came: none are lost.
    await store.commit(unit(RedeemMandate(name=ordered.mandate, at=NOW, session=ordered)))
    await store.commit(unit(AppendWords(mandate=ordered.mandate, words=("four",))))
    read = await store.find_session(ordered.name)
    assert read is not None
    assert read.words == ("one", "two", "three", "four")


async def test_words_need_a_mandate_that_is_not_revoked(store: SqlStore):
    await refused(store, ConflictOn.MANDATE, AppendWords(mandate="mandates/x", words=("w",)))
    gone = session()
    await store.commit(unit(AddMandate(mandate=mandate(gone))))
    await store.commit(unit(RevokeMandate(name=gone.mandate)))
    await refused(store, ConflictOn.MANDATE, AppendWords(mandate=gone.mandate, words=("w",)))


async def test_touching_a_session_moves_its_idle_end(store: SqlStore):
    one = await opened(store)
    await store.commit(unit(TouchSession(name=one.name, at=NOW + 10, idle_expires_at=NOW + 99)))
    read = await store.find_session(one.name)
    assert read == dataclasses.replace(one, idle_expires_at=NOW + 99)


@pytest.mark.parametrize("at", [NOW + 1_800, NOW + 86_400])
async def test_a_session_that_is_over_by_the_clock_cannot_be_touched(store: SqlStore, at: float):
    idle = NOW + 1_800 if at == NOW + 1_800 else NOW + 90_000
    one = await opened(store, idle_expires_at=idle)
    touch = TouchSession(name=one.name, at=at, idle_expires_at=at + 1)
    await refused(store, ConflictOn.SESSION, touch)


@pytest.mark.parametrize("state", ["CLOSED", "REVOKED"])
async def test_a_session_ends_once_and_cannot_be_touched_then(store: SqlStore, state: str):
    one = await opened(store)
    await store.commit(unit(EndSession(name=one.name, state=state)))
    assert await store.find_session(one.name) == dataclasses.replace(one, state=state)
    touch = TouchSession(name=one.name, at=NOW, idle_expires_at=NOW + 1)
    await refused(store, ConflictOn.SESSION, touch)
    await refused(store, ConflictOn.SESSION, EndSession(name=one.name, state="CLOSED"))


# Invocations.


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
                unit(MoveInvocation(invocation=moved(over, state, code="X"), from_etag=1)),
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


# Holds and reviews.


async def test_a_hold_is_read_back_with_its_reviews(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    assert await store.find_hold(stopped.name) == (stopped, ())
    first = review(stopped, "lead-1")
    veto = review(stopped, "lead-2", effect=ReviewEffect.REJECT, reason="\x00no", counted=False)
    await store.commit(unit(AddReview(review=first), AddReview(review=veto)))
    assert await store.find_hold(stopped.name) == (stopped, (first, veto))


async def test_a_hold_moves_from_the_etag_that_was_seen(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    given = dataclasses.replace(stopped, state=H.APPROVED, run_by=NOW + 300, etag=2)
    await store.commit(unit(MoveHold(hold=given, from_etag=1)))
    assert await store.find_hold(stopped.name) == (given, ())
    await refused(store, ConflictOn.HOLD, MoveHold(hold=given, from_etag=1))
    await refused(store, ConflictOn.HOLD, AddHold(hold=stopped))


async def test_a_claimed_hold_is_never_claimed_again(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    claimed = hold(held, state=H.CLAIMED)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=claimed)))
    for state in H:
        after = dataclasses.replace(claimed, state=state, etag=2)
        with pytest.raises(IllegalTransition):
            await store.commit(unit(MoveHold(hold=after, from_etag=1)))
    assert await store.find_hold(claimed.name) == (claimed, ())


async def test_a_person_counts_once_under_however_many_names(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    stopped = hold(held)
    await store.commit(unit(AddInvocation(invocation=held), AddHold(hold=stopped)))
    first = review(stopped, "lead-1")
    await store.commit(unit(AddReview(review=first)))
    alias = dataclasses.replace(first.reviewer, name="reviewers/other-name")
    again = dataclasses.replace(first, reviewer=alias)
    await refused(store, ConflictOn.REVIEW, AddReview(review=again))
    late = dataclasses.replace(again, counted=False)
    await store.commit(unit(AddReview(review=late)))
    assert await store.find_hold(stopped.name) == (stopped, (first, late))


async def test_holds_are_paged_oldest_first(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    states = [H.PENDING, H.APPROVED, H.PENDING, H.REJECTED, H.PENDING]
    made = [hold(held, state=state) for state in states]
    await store.commit(
        unit(AddInvocation(invocation=held), *(AddHold(hold=stopped) for stopped in made)),
    )
    said = review(made[2], "lead-1")
    await store.commit(unit(AddReview(review=said)))
    page = await store.list_holds(HoldQuery(page_size=2))
    assert page == [(made[0], ()), (made[2], (said,))]
    after = page[-1][0].name
    assert await store.list_holds(HoldQuery(page_size=2, after=after)) == [(made[4], ())]
    everything = await store.list_holds(HoldQuery(page_size=9, include_decided=True))
    assert [stopped for stopped, _ in everything] == made
    assert await store.open_holds_of(one.name) == [made[0], made[1], made[2], made[4]]
    assert await store.open_holds_of("sessions/x") == []


async def test_holds_whose_time_has_passed_are_found(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    late = hold(held, decide_by=NOW + 10)
    unused = hold(held, state=H.APPROVED, decide_by=NOW + 10, run_by=NOW + 20)
    over = hold(held, state=H.EXPIRED, decide_by=NOW + 5)
    await store.commit(
        unit(AddInvocation(invocation=held), *(AddHold(hold=h) for h in (late, unused, over))),
    )
    assert await store.overdue(now=NOW + 9.9) == []
    assert await store.overdue(now=NOW + 10) == [late]
    assert await store.overdue(now=NOW + 20) == [late, unused]


# Exclusive keys, counters, history.


async def test_a_key_has_one_holder_and_a_version_that_rises_when_it_is_free_again(
    store: SqlStore,
):
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


# Control and documents.


async def test_control_rows_replace_each_other_and_raise_one_revision_per_unit(store: SqlStore):
    before = await store.control()
    put = PutControl(kind="tool", key="refund", digest="sha256:1", body=b"{}")
    other = PutControl(kind="grant", key="g", digest="sha256:g", body=b"{}")
    await store.commit(unit(put, other))
    control = await store.control()
    assert control.revision == before.revision + 1
    assert [(r.kind, r.key, r.digest) for r in control.rows] == [
        ("grant", "g", "sha256:g"),
        ("tool", "refund", "sha256:1"),
    ]
    await store.commit(unit(dataclasses.replace(put, digest="sha256:2")))
    await store.commit(unit(DropControl(kind="grant", key="g")))
    control = await store.control()
    assert control.revision == before.revision + 3
    assert [(r.kind, r.key, r.digest) for r in control.rows] == [("tool", "refund", "sha256:2")]
    await refused(store, ConflictOn.CONTROL, DropControl(kind="grant", key="g"))
    assert (await store.control()).revision == before.revision + 3


async def test_a_decision_under_an_older_control_revision_is_not_recorded(store: SqlStore):
    revision = (await store.control()).revision
    await store.commit(unit(RequireControl(revision=revision)))
    put = PutControl(kind="freeze", key="f", digest="d", body=b"{}")
    await store.commit(unit(RequireControl(revision=revision), put))
    await refused(store, ConflictOn.CONTROL, RequireControl(revision=revision))
    await refused(store, ConflictOn.CONTROL, RequireControl(revision=revision + 2))
    await store.commit(unit(RequireControl(revision=revision + 1)))


async def test_documents_are_kept_by_digest(store: SqlStore):
    one = AddDocument(digest="sha256:1", kind="tool", at=NOW, body=b"\x00\xff")
    two = AddDocument(digest="sha256:2", kind="tool", at=NOW + 1, body=b"2")
    await store.commit(unit(one, two))
    await store.commit(unit(dataclasses.replace(one, at=NOW + 9)))
    assert await store.document("sha256:1") == b"\x00\xff"
    assert await store.documents("tool") == [("sha256:2", NOW + 1), ("sha256:1", NOW)]
    assert await store.documents("policy") == []


# The log.


async def test_entries_tell_the_story_of_one_call_in_order(store: SqlStore):
    one = await opened(store)
    held = invocation(one, S.HELD)
    first = entry(held)
    second = entry(held, kind=EntryKind.HOLD_OPENED, contents=None, body={"hold": "holds/1"})
    again = entry(held, contents={"summary": "later"})
    await store.commit(unit(AddInvocation(invocation=held), entries=(first, second)))
    await store.commit(unit(entries=(entry(), again)))
    told = await store.entries(held.name)
    assert [e["kind"] for e in told] == ["call.decided", "hold.opened", "call.decided"]
    assert [e["contents"] for e in told] == [first.contents, None, again.contents]
    assert told[0]["body"] == first.body
    assert (told[0]["actor"], told[0]["session"]) == ("agents/a", one.name)
    assert await store.contents(held.name) == {"summary": "later"}


async def test_counts_say_what_waits(store: SqlStore):
    one = await opened(store)
    calls = [invocation(one, s) for s in (S.RUNNING, S.RUNNING, S.UNKNOWN, S.HELD, S.DENIED)]
    stopped = hold(calls[3])
    await store.commit(
        unit(
            *(AddInvocation(invocation=i) for i in calls),
            AddHold(hold=stopped),
            entries=(entry(), entry()),
        ),
    )
    counts = await store.counts()
    assert (counts.holds_pending, counts.running, counts.unknown) == (1, 2, 1)
    assert (counts.audit_entries, counts.audit_entries_signed) == (2, 0)
    await store.checkpoint_now()
    assert (await store.counts()).audit_entries_signed == 2


# Many at once.


async def test_one_conflict_among_many_is_taken_out_alone(store: SqlStore):
    one = await opened(store)
    units = []
    for number in range(64):
        made = invocation(one, S.RUNNING)
        take = TakeKey(key=f"k{number}", version=1 if number == 40 else 0, invocation=made.name)
        units.append(unit(AddInvocation(invocation=made), take, entries=(entry(made),)))
    answers = await asyncio.gather(
        *(store.commit(each) for each in units),
        return_exceptions=True,
    )
    assert [n for n, answer in enumerate(answers) if answer is not None] == [40]
    assert isinstance(answers[40], Conflict)
    assert (await store.counts()).running == 63
    assert (await store.counts()).audit_entries == 63


async def test_of_many_that_saw_the_same_version_one_wins(store: SqlStore):
    one = await opened(store)
    made = [invocation(one, S.RUNNING) for _ in range(32)]
    answers = await asyncio.gather(
        *(
            store.commit(
                unit(
                    AddInvocation(invocation=each),
                    Reserve(key="c", version=0, invocation=each.name, amount=1, at=NOW),
                ),
            )
            for each in made
        ),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 1
    assert all(a is None or (isinstance(a, Conflict) and a.on == "counter") for a in answers)
    assert len(await store.list_invocations(InvocationQuery(page_size=99))) == 1
