"""What is in force has a revision that decisions stand under; the log tells what was done."""

import dataclasses

from broker.core.audit import EntryKind
from broker.core.lifecycle import InvocationState
from broker.core.unit import (
    AddDocument,
    AddHold,
    AddInvocation,
    ConflictOn,
    DropControl,
    PutControl,
    RequireControl,
)
from broker.store import SqlStore
from tests.store_values import NOW, entry, hold, invocation, opened, refused, unit

S = InvocationState


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
        )
    )
    counts = await store.counts()
    assert (counts.holds_pending, counts.running, counts.unknown) == (1, 2, 1)
    assert (counts.audit_entries, counts.audit_entries_signed) == (2, 0)
    await store.checkpoint_now()
    assert (await store.counts()).audit_entries_signed == 2
