"""What comes while contents are being erased is meant to outlive that, and so to stay for ever.

Whoever was to be forgotten is remembered by a tool's late answer, a reviewer's late reason or a
host's late words, each sent so that it was looked at before the erasure and stored after it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from broker.administration.changes import ControlChanges
from broker.administration.retention import RetentionAdministration
from broker.core.calls import Invocation, Session
from broker.core.credentials import CredentialClass
from broker.core.errors import IllegalTransition
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.retention import EraseCalls, RequireUnerased
from broker.core.unit import AddHold, AddInvocation, AddReview, ConflictOn, EndSession
from broker.mandates import Mandates
from broker.ports import Succeeded
from broker.store import SqlStore
from broker.store.apply import apply, control_revision
from broker.store.postgres import DIALECT
from broker.store.sql import Database
from broker.tools.evidence import Evidence
from tests import store_values as v
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.hurried import Hurried
from tests.offices import operator
from tests.postgres import server
from tests.several_stores import NAMES, open_one
from tests.stores import NOW
from tests.world import World, credential, reviewer, world

SECRET = "the patient is Mallory Quux of 7 Elm Street"


async def rejected(w: World) -> tuple[Session, Invocation, Hold]:
    """A call that a reviewer rejected, in a session that is over."""
    w.policy.answer = opinion(hold("LARGE", TERMS))
    caller = await w.caller()
    held = await w.refund(caller)
    found = await w.store.find_hold(held.hold)
    assert found is not None
    one, _ = found
    await w.reviews.reject(reviewer("lead-1", "reviewers"), one.name, etag=one.etag, reason="N")
    await w.store.commit(v.unit(EndSession(name=caller.session.name, state="CLOSED")))
    return caller.session, held, one


async def erase(w: World, session: Session) -> None:
    await RetentionAdministration(
        changes=ControlChanges(store=w.store, room=w.room, clock=w.clock, ids=w.ids),
        keeping=w.store,
    ).erase(operator(), principal=session.principal.id, reason="asked")
    found = await w.store.find_session(session.name)
    assert found is not None
    assert found.erased is not None


def files_with(path: Path, text: str) -> list[str]:
    return [f.name for f in path.glob("broker.db*") if text.encode() in f.read_bytes()]


async def test_a_late_answer_that_was_looked_at_before_the_erasure_is_not_kept(tmp_path: Path):
    """Have a worker answer a call that is over, just as that is erased."""
    async with world(tmp_path) as w:
        session, held, _ = await rejected(w)
        before = await w.store.find_invocation(held.name)
        assert before is not None
        assert before.erased is None
        hurried: Any = Hurried(w.store, "entries", lambda: erase(w, session))
        late = Succeeded(result_json=SECRET.encode())
        await Evidence(hurried, w.clock).keep(before, late, actor="a", body={})
        assert files_with(tmp_path, SECRET) == []
        told = [e for e in await w.store.entries(held.name) if "late" in str(e["kind"])]
        assert [entry["contents"] for entry in told] == [None]


async def test_words_that_were_looked_at_before_the_erasure_are_not_kept(tmp_path: Path):
    """Have a host say more of what the user typed, just as all of it is erased."""
    async with world(tmp_path) as w:
        session, _, _ = await rejected(w)
        hurried: Any = Hurried(w.store, "session_of_mandate", lambda: erase(w, session))
        mandates = Mandates(
            sessions=w.sessions, store=hurried, control=w.room.current, clock=w.clock, ids=w.ids
        )
        host = credential(CredentialClass.HOST, "hosts/shop")
        with pytest.raises(IllegalTransition, match="erased"):
            await mandates.add_words(host, session.mandate, [SECRET])
        assert files_with(tmp_path, SECRET) == []


async def test_a_late_reason_that_was_looked_at_before_the_erasure_is_not_kept(tmp_path: Path):
    """Have a reviewer reject too late, just as the call is erased, and say it in the reason."""
    async with world(tmp_path) as w:
        session, held, one = await rejected(w)
        hurried: Any = Hurried(w.store, "find_hold", lambda: erase(w, session))
        w.reviews._docket = replace(w.reviews._docket, store=hurried)
        with pytest.raises(IllegalTransition):
            await w.reviews.reject(
                reviewer("lead-2", "reviewers"), one.name, etag=one.etag, reason=SECRET
            )
        assert files_with(tmp_path, SECRET) == []
        found = await w.store.find_hold(held.hold)
        assert found is not None
        assert [r.reason for r in found[1]] == ["", ""]


@pytest.fixture
def url() -> Iterator[str]:
    with server().database() as name:
        yield server().url(name)


@pytest.fixture
async def shared(url: str, tmp_path: Path) -> AsyncIterator[SqlStore]:
    store = await open_one(url, tmp_path, NAMES[0])
    yield store
    await store.close()


async def test_an_erasure_waits_for_what_another_broker_is_adding(url: str, shared: SqlStore):
    """Add to a call at one broker, not yet committed, while another one erases the call."""
    session = await v.opened(shared)
    call = v.invocation(session, InvocationState.SUCCEEDED)
    one = v.hold(call, state=HoldState.CLAIMED)
    await shared.commit(v.unit(AddInvocation(invocation=call), AddHold(hold=one)))
    await shared.commit(v.unit(EndSession(name=session.name, state="CLOSED")))
    other = Database(DIALECT.engine(url).connect(), DIALECT)
    other.say(DIALECT.begin_write)
    late = v.review(one, "lead", reason=SECRET)
    changes = (RequireUnerased(invocation=call.name), AddReview(review=late))
    apply(other, changes, revision=control_revision(other))
    erasing = asyncio.create_task(
        shared.commit(
            v.unit(EraseCalls(session=session.name, invocations=(call.name,), at=NOW, by="x"))
        )
    )
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted"
    while not await asyncio.to_thread(server().run, waiting):
        assert not erasing.done()
    other.say("COMMIT")
    other.close()
    await erasing
    found = await shared.find_hold(one.name)
    assert found is not None
    assert [r.reason for r in found[1]] == [""]
    require = RequireUnerased(invocation=call.name)
    await v.refused(shared, ConflictOn.INVOCATION, require, AddReview(review=late))
