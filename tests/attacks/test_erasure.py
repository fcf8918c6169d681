"""What was erased is looked for, and what must be kept is to be erased.

Two adversaries. One reads the database's files or the log's export after an erasure, and wants
what a customer wrote. The other is an operator with something to hide, who has it erased
before a court asks, or erases what is still under way, so that nobody can say what was done.
"""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.administration.changes import ControlChanges
from broker.administration.retention import RetentionAdministration
from broker.control_room import ControlRoom
from broker.core.audit import EntryDraft, EntryKind
from broker.core.audit_verification import verify
from broker.core.calls import Invocation, Session
from broker.core.credentials import Credential, CredentialClass
from broker.core.errors import IllegalTransition, MalformedRequest
from broker.core.holds import Hold
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.retention import DAY_S, EraseCalls, EraseSession, LegalHoldKind
from broker.core.unit import (
    AddArtefact,
    AddHold,
    AddInvocation,
    AddMandate,
    AddReview,
    AddSighting,
    ConflictOn,
    EndSession,
    RedeemMandate,
    RequireControl,
)
from broker.events import Events
from broker.ids import UuidFactory
from broker.ports import Succeeded
from broker.store import SqlStore, load_or_create, signature_holds
from broker.store.heads import notes_of
from broker.tools.evidence import Evidence
from tests import store_values as v
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.offices import operator
from tests.stores import NOW, temporary_store
from tests.world import credential, reviewer, world

SECRET = "the patient is Mallory Quux of 7 Elm Street"
OPERATOR: Credential = operator()


class Office:
    """The operators' side over a real store, with a clock of its own."""

    def __init__(self, store: SqlStore, room: ControlRoom) -> None:
        self.store = store
        self.now = NOW
        changes = ControlChanges(
            store=store, room=room, clock=lambda: self.now, ids=UuidFactory(lambda: self.now)
        )
        self.retention = RetentionAdministration(changes=changes, keeping=store)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    async with temporary_store(tmp_path) as store:
        yield Office(store, await ControlRoom.open(store=store, events=Events()))


async def told(
    store: SqlStore, state: InvocationState = InvocationState.SUCCEEDED, **changes: object
) -> tuple[Session, Invocation, Hold]:
    """A session in which the secret is everywhere that somebody could have written it."""
    session = v.session(words=(SECRET,), **changes)
    mandate = v.mandate(session)
    said = EntryDraft(
        kind=EntryKind.MANDATE_CREATED,
        at=NOW,
        actor="hosts/desk",
        body={"mandate": session.mandate, "principal": session.principal.id},
        contents={"words": [SECRET]},
    )
    await store.commit(v.unit(AddMandate(mandate=mandate), entries=(said,)))
    session = await _redeemed(store, session)
    released = v.call(note=SECRET)
    call = v.invocation(
        session,
        state,
        call=released,
        asked=v.call(released.request_id, note=SECRET + "!"),
        message=SECRET,
        result=SECRET.encode(),
    )
    hold = v.hold(call, summary=SECRET, state=HoldState.CLAIMED, amount_minor=5, currency="EUR")
    held = dataclasses.replace(
        hold, requirements=(dataclasses.replace(hold.requirements[0], message=SECRET),)
    )
    labels = Labels(trust="untrusted", sensitivity="personal")
    await store.commit(
        v.unit(
            AddInvocation(invocation=call),
            AddHold(hold=held),
            AddReview(review=v.review(held, "lead", reason=SECRET)),
            AddSighting(
                session=session.name, invocation=call.name, labels=labels, content=SECRET.encode()
            ),
            AddArtefact(stored=v.stored(session, SECRET.encode())),
            entries=(v.entry(call, contents={"arguments": {"note": SECRET}}),),
        )
    )
    return session, call, held


async def _redeemed(store: SqlStore, session: Session) -> Session:
    await store.commit(v.unit(RedeemMandate(name=session.mandate, at=NOW, session=session)))
    return session


async def ended(store: SqlStore, session: Session) -> None:
    await store.commit(v.unit(EndSession(name=session.name, state="CLOSED")))


def files_with(path: Path, text: str) -> list[str]:
    return [f.name for f in path.glob("broker.db*") if text.encode() in f.read_bytes()]


async def test_nothing_of_it_is_left_in_any_file_of_the_database(office: Office, tmp_path: Path):
    """Read the pages and the journal, byte by byte, after a customer's contents were erased."""
    session, _, _ = await told(office.store)
    await ended(office.store, session)
    assert files_with(tmp_path, SECRET)
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="asked")
    assert (tally.sessions, tally.calls, tally.open, tally.held) == (1, 1, 0, 0)
    assert files_with(tmp_path, SECRET) == []


async def test_what_was_erased_is_told_as_erased_and_the_log_verifies(
    office: Office, tmp_path: Path
):
    """Have the erasure break the log, so that nobody can tell a crime from it."""
    session, call, hold = await told(office.store)
    await ended(office.store, session)
    await office.retention.erase(OPERATOR, principal=session.principal.id, reason="asked")
    found = await office.store.find_invocation(call.name)
    seen = await office.store.find_hold(hold.name)
    over = await office.store.find_session(session.name)
    assert found is not None
    assert seen is not None
    assert over is not None
    assert found.erased is not None
    assert found.erased.by == OPERATOR.subject
    assert (found.call.digest, found.call.arguments) == (call.call.digest, {})
    assert call.asked is not None
    assert found.asked is not None
    assert found.asked.digest == call.asked.digest
    assert (found.result, found.message, found.code) == (None, "", call.code)
    assert seen[0].erased == found.erased
    assert [r.code for r in seen[0].requirements] == [r.code for r in hold.requirements]
    assert [review.reason for review in seen[1]] == [""]
    assert over.erased == found.erased
    assert over.words == ("",)
    assert over.principal.attributes == {}
    story = await office.store.entries(call.name)
    assert all(entry["contents"] is None for entry in story)
    lines = [chunk async for chunk in office.store.export(since=0.0, include_contents=True)]
    text = b"".join(lines)
    assert SECRET.encode() not in text
    heads = (tmp_path / "state" / "checkpoints" / "heads.jsonl").read_bytes()
    report = verify(
        text.splitlines(),
        load_or_create(tmp_path / "state").public_key,
        signature_holds=signature_holds,
        checkpoints=notes_of(heads),
    )
    assert report.ok, report.first_broken
    assert report.erased == 2
    assert b'"kind":"contents.erased"' in text
    assert b'"reason":"asked"' in text


@pytest.mark.parametrize("kind", list(LegalHoldKind))
async def test_a_legal_hold_keeps_everything(office: Office, tmp_path: Path, kind: LegalHoldKind):
    """Erase what a court has asked for: by order, and by waiting for the period."""
    session, call, _ = await told(office.store)
    await ended(office.store, session)
    subjects = {
        LegalHoldKind.PRINCIPAL: session.principal.id,
        LegalHoldKind.SESSION: session.name,
        LegalHoldKind.INVOCATION: call.name,
    }
    hold = await office.retention.hold(
        OPERATOR, kind=kind, subject=subjects[kind], reason="case 12"
    )
    await office.retention.set(OPERATOR, contents_days=1, reason="little is kept")
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="hide")
    assert (tally.sessions, tally.calls, tally.held) == (0, 0, 1)
    office.now = NOW + 30 * DAY_S
    assert (await office.retention.eraser.sweep_once()).held == 1
    found = await office.store.find_invocation(call.name)
    assert found == call
    await office.retention.release(OPERATOR, hold.name, reason="closed")
    assert (await office.retention.eraser.sweep_once()).sessions == 1
    assert files_with(tmp_path, SECRET) == []


async def test_a_legal_hold_that_comes_in_between_wins(office: Office):
    """Put the erasure through on what was read before the legal hold."""
    session, call, _ = await told(office.store)
    await ended(office.store, session)
    before = (await office.store.control()).revision
    await office.retention.hold(
        OPERATOR, kind=LegalHoldKind.SESSION, subject=session.name, reason="case 12"
    )
    erase = EraseCalls(session=session.name, invocations=(call.name,), at=NOW, by="operator-1")
    await v.refused(office.store, ConflictOn.CONTROL, RequireControl(revision=before), erase)


async def test_a_legal_hold_at_another_broker_is_not_overlooked(office: Office):
    """Put the legal hold on at one broker, and have another, that has not heard of it, erase."""
    session, call, _ = await told(office.store)
    await ended(office.store, session)
    room = await ControlRoom.open(store=office.store, events=Events())
    other = Office(office.store, room)
    await other.retention.hold(
        OPERATOR, kind=LegalHoldKind.PRINCIPAL, subject=session.principal.id, reason="case 12"
    )
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="hide")
    assert (tally.sessions, tally.held) == (0, 1)
    assert await office.store.find_invocation(call.name) == call


@pytest.mark.parametrize(
    "state", [InvocationState.HELD, InvocationState.RUNNING, InvocationState.UNKNOWN]
)
async def test_what_is_not_settled_is_not_erased(office: Office, state: InvocationState):
    """Erase the one record of a payment that nobody knows the end of."""
    session, call, _ = await told(office.store, state)
    await ended(office.store, session)
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="hide")
    assert (tally.sessions, tally.open) == (0, 1)
    assert await office.store.find_invocation(call.name) == call
    erase = EraseCalls(session=session.name, invocations=(call.name,), at=NOW, by="x")
    await v.refused(office.store, ConflictOn.INVOCATION, erase)
    rest = EraseSession(mandate=session.mandate, session=session.name, at=NOW, by="x")
    await v.refused(office.store, ConflictOn.INVOCATION, rest)


async def test_a_session_that_goes_on_is_not_erased(office: Office):
    """Have a session forget what its model has read, so that it is taken for clean."""
    session, call, _ = await told(office.store)
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="hide")
    assert (tally.sessions, tally.open) == (0, 1)
    erase = EraseCalls(session=session.name, invocations=(call.name,), at=NOW, by="x")
    await v.refused(office.store, ConflictOn.SESSION, erase)


async def test_only_what_is_old_enough_is_erased_by_itself(office: Office):
    session, call, _ = await told(office.store)
    await ended(office.store, session)
    assert (await office.retention.eraser.sweep_once()).sessions == 0, "for ever, unless said"
    await office.retention.set(OPERATOR, contents_days=30, reason="as promised")
    office.now = NOW + 29 * DAY_S
    assert (await office.retention.eraser.sweep_once()).sessions == 0
    office.now = NOW + 31 * DAY_S
    assert (await office.retention.eraser.sweep_once()).sessions == 1
    found = await office.store.find_invocation(call.name)
    assert found is not None
    assert found.erased is not None
    assert found.erased.by == "retention"
    again = await office.retention.eraser.sweep_once()
    assert (again.sessions, again.calls) == (0, 0)


async def test_somebody_elses_contents_stay(office: Office):
    mine, call, _ = await told(office.store)
    other = dataclasses.replace(v.PRINCIPAL, id="customers/other")
    theirs, kept, _ = await told(office.store, principal=other)
    await ended(office.store, mine)
    await ended(office.store, theirs)
    await office.retention.erase(OPERATOR, principal=mine.principal.id, reason="asked")
    assert await office.store.find_invocation(kept.name) == kept
    assert (await office.store.find_invocation(call.name)) != call


async def test_words_of_a_mandate_that_nobody_redeemed_are_erased_too(
    office: Office, tmp_path: Path
):
    session = v.session(words=(SECRET,))
    said = EntryDraft(
        kind=EntryKind.MANDATE_CREATED,
        at=NOW,
        actor="hosts/desk",
        body={"mandate": session.mandate},
        contents={"words": [SECRET]},
    )
    await office.store.commit(v.unit(AddMandate(mandate=v.mandate(session)), entries=(said,)))
    order = {"principal": session.principal.id, "reason": "asked"}
    assert (await office.retention.erase(OPERATOR, **order)).mandates == 0, "it can be redeemed yet"
    office.now = NOW + DAY_S
    assert (await office.retention.erase(OPERATOR, **order)).mandates == 1
    assert files_with(tmp_path, SECRET) == []


async def test_what_is_said_of_it_later_is_not_kept(tmp_path: Path):
    """Say it again once it is erased: as words, in a late review, or as a tool's late answer."""
    async with world(tmp_path) as w:
        w.policy.answer = opinion(hold("LARGE", TERMS))
        caller = await w.caller()
        held = await w.refund(caller)
        (one, _) = await w.store.find_hold(held.hold)
        await w.reviews.reject(reviewer("lead-1", "reviewers"), one.name, etag=one.etag, reason="N")
        await ended(w.store, caller.session)
        await RetentionAdministration(
            changes=ControlChanges(store=w.store, room=w.room, clock=w.clock, ids=w.ids),
            keeping=w.store,
        ).erase(OPERATOR, principal=caller.principal.id, reason="asked")
        erased = await w.store.find_invocation(held.name)
        assert erased.erased is not None
        again = reviewer("lead-2", "reviewers")
        with pytest.raises(IllegalTransition):
            await w.reviews.reject(again, one.name, etag=one.etag, reason=SECRET)
        host = credential(CredentialClass.HOST, "hosts/shop")
        with pytest.raises(IllegalTransition):
            await w.mandates.add_words(host, caller.session.mandate, [SECRET])
        late = Succeeded(result_json=SECRET.encode())
        await Evidence(w.store, w.clock).keep(erased, late, actor="a", body={})
        assert files_with(tmp_path, SECRET) == []


async def test_an_erasure_that_was_interrupted_is_gone_on_with(office: Office):
    """Kill the broker between a session's calls and the rest of it."""
    session, call, _ = await told(office.store)
    await ended(office.store, session)
    erase = EraseCalls(session=session.name, invocations=(call.name,), at=NOW, by="operator-1")
    await office.store.commit(v.unit(erase))
    await office.store.commit(v.unit(erase))
    tally = await office.retention.erase(OPERATOR, principal=session.principal.id, reason="asked")
    assert (tally.sessions, tally.calls) == (1, 0)


async def test_nothing_is_erased_or_kept_without_a_reason(office: Office):
    with pytest.raises(MalformedRequest):
        await office.retention.erase(OPERATOR, principal="customers/c-204", reason=" ")
    with pytest.raises(MalformedRequest):
        await office.retention.erase(OPERATOR, principal="", reason="asked")
    with pytest.raises(MalformedRequest):
        await office.retention.hold(
            OPERATOR, kind=LegalHoldKind.SESSION, subject="sessions/none", reason="case 12"
        )
    with pytest.raises(MalformedRequest):
        await office.retention.set(OPERATOR, contents_days=-1, reason="x")
