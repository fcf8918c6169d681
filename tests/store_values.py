"""Values to store: a mandate with its session, calls in it, holds, reviews and entries."""

import dataclasses
import hashlib
import itertools
import secrets
from typing import Any

import pytest

from broker.core.artefacts import Artefact, Stored, new_name
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Agent, Context, Invocation, Person, Principal, Session, ToolCall
from broker.core.canonical import call_digest, canonical_bytes, content_digest
from broker.core.decision import Decision, Effect, HoldTerms, Obligation, Verdict
from broker.core.holds import Hold, Requirement, Review, ReviewEffect, Reviewer
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.scopes import Scope
from broker.core.unit import (
    AddDocument,
    AddMandate,
    Change,
    Conflict,
    ConflictOn,
    Mandate,
    RedeemMandate,
    Unit,
)
from broker.store import SqlStore

NOW = 1_800_000_000.0
PRINCIPAL = Principal(
    id="customers/c-204",
    person=Person(issuer="shop", subject="c-204"),
    groups=("customers",),
    attributes={"tier": "gold", "since": 2019},
    assurance="password",
)
AGENT = Agent(
    id="agents/a",
    owner=Person(issuer="local", subject="operator-1"),
    attributes={"model": "m-1"},
)
TERMS = HoldTerms(
    reviewers=("leads", "finance"),
    approvals_required=2,
    decide_within_s=600,
    run_within_s=300,
    step_up=True,
)
DECISION = Decision(
    effect=Effect.HOLD,
    verdicts=(
        Verdict(
            effect=Effect.HOLD,
            stage="policy",
            code="LARGE",
            message="A large one is decided by a person.",
            family="refunds",
            terms=TERMS,
        ),
        Verdict(
            effect=Effect.ALLOW,
            stage="screen",
            code="SCOPES_HELD",
            message="\x00 \N{SNOWMAN}",
            enforced=False,
            concealed=True,
        ),
    ),
    obligations=(Obligation(kind="redact", family="mail", parameters={"pointer": "/body"}),),
)
_numbers = itertools.count(1)


def name_of(kind: str) -> str:
    """A new name; later ones sort later, as UUIDv7 do."""
    return f"{kind}/{next(_numbers):012d}"


def session(**changes: Any) -> Session:
    made = Session(
        name=name_of("sessions"),
        mandate=name_of("mandates"),
        principal=PRINCIPAL,
        agent=AGENT,
        context=Context.MEDIATED,
        words=("Please refund order O-1001.", "line\nbreak \x00 \N{SNOWMAN}"),
        scopes=(Scope(name="refunds:write", where={"/currency": ("EUR", "USD"), "/n": (1,)}),),
        opened_at=NOW,
        expires_at=NOW + 86_400,
        idle_expires_at=NOW + 1_800,
        state="OPEN",
        secret_digest=hashlib.sha256(b"session").digest(),
    )
    return dataclasses.replace(made, **changes)


def mandate(of: Session, **changes: Any) -> Mandate:
    made = Mandate(
        name=of.mandate,
        secret_digest=hashlib.sha256(of.mandate.encode()).digest(),
        host="hosts/desk",
        session=of,
        redeem_by=NOW + 900,
    )
    return dataclasses.replace(made, **changes)


def call(request_id: str = "", **arguments: Any) -> ToolCall:
    given = arguments or {"order_id": "O-1001", "amount_minor": 5500, "note": "\N{SNOWMAN}"}
    return ToolCall(
        tool="refund",
        arguments=given,
        canonical=canonical_bytes(given),
        digest=call_digest("refund", given),
        request_id=request_id or name_of("requests"),
    )


def invocation(of: Session, state: InvocationState, **changes: Any) -> Invocation:
    made = Invocation(
        name=name_of("invocations"),
        session=of.name,
        principal=of.principal.id,
        agent=of.agent.id,
        request_id="",
        call=call(),
        state=state,
        decision=DECISION,
        tool_revision="sha256:t",
        policy_revision="sha256:p",
        control_revision=0,
        code="LARGE",
        message="A large one is decided by a person.",
        attempt=1,
        owner="brokers/1",
        lease_expires_at=NOW + 20,
        deadline_at=NOW + 10.25,
        created_at=NOW,
        updated_at=NOW + 0.125,
    )
    made = dataclasses.replace(made, **changes)
    return dataclasses.replace(made, request_id=made.call.request_id)


def moved(before: Invocation, state: InvocationState, **changes: Any) -> Invocation:
    return dataclasses.replace(before, state=state, etag=before.etag + 1, **changes)


def hold(of: Invocation, **changes: Any) -> Hold:
    made = Hold(
        name=name_of("holds"),
        invocation=of.name,
        session=of.session,
        state=HoldState.PENDING,
        requirements=(Requirement(code="LARGE", message="A large one.", terms=TERMS),),
        call_digest=of.call.digest,
        tool="refund",
        tool_revision="sha256:t",
        facts_digest="sha256:f",
        policy_revision="sha256:p",
        principal=PRINCIPAL,
        agent=AGENT,
        summary="Refund EUR 55.00 of order O-1001 \x1b[31m",
        created_at=NOW,
        decide_by=NOW + 600,
    )
    return dataclasses.replace(made, **changes)


def review(of: Hold, subject: str, **changes: Any) -> Review:
    person = Person(issuer="local", subject=subject)
    made = Review(
        hold=of.name,
        reviewer=Reviewer(name=f"reviewers/{subject}", person=person, groups=("leads",)),
        effect=ReviewEffect.APPROVE,
        reason="It is fine.",
        etag=of.etag,
        at=NOW + 1,
    )
    return dataclasses.replace(made, **changes)


def entry(of: Invocation | None = None, **changes: Any) -> EntryDraft:
    made = EntryDraft(
        kind=EntryKind.CALL_DECIDED,
        at=NOW,
        actor="agents/a",
        invocation=of.name if of else "",
        session=of.session if of else "",
        body={"effect": "HOLD", "codes": ["LARGE"]},
        contents={"arguments": {"order_id": "O-1001"}, "summary": "\N{SNOWMAN}"},
    )
    return dataclasses.replace(made, **changes)


def unit(*changes: Change, entries: tuple[EntryDraft, ...] = ()) -> Unit:
    return Unit(changes=changes, entries=entries)


async def opened(store: SqlStore, **changes: Any) -> Session:
    """A session in the store, its mandate redeemed."""
    made = session(**changes)
    await store.commit(unit(AddMandate(mandate=mandate(made))))
    await store.commit(unit(RedeemMandate(name=made.mandate, at=NOW, session=made)))
    return made


async def refused(store: SqlStore, on: ConflictOn, *changes: Change) -> None:
    """The unit conflicts on this, and of it nothing is written, its entry and first change too."""
    before = await store.counts()
    mark = AddDocument(digest=name_of("marks"), kind="mark", at=NOW, body=b"{}")
    with pytest.raises(Conflict) as caught:
        await store.commit(unit(mark, *changes, entries=(entry(),)))
    assert caught.value.on is on
    assert await store.document(mark.digest) is None
    assert (await store.counts()).audit_entries == before.audit_entries


def stored(of: Session, content: bytes = b"file", **changes: Any) -> Stored:
    """A file of the session."""
    made = Artefact(
        name=new_name(secrets.token_urlsafe(32)),
        session=of.name,
        made_by="agent",
        file_name="report \N{SNOWMAN}.csv",
        size=len(content),
        sha256=content_digest(content),
        labels=Labels(trust="untrusted", sensitivity="personal"),
        created_at=NOW,
        expires_at=NOW + 172_800,
    )
    return Stored(artefact=dataclasses.replace(made, **changes), content=content)
