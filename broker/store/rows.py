"""Values become rows and rows become the same values: `x_of(x_row(value)) == value` for each.

Nothing is checked here that was checked when the value was made; a row that says what no value can
say is damage, and raises.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from broker.core.artefacts import Artefact, Stored
from broker.core.calls import Invocation, Person, Session, ToolCall
from broker.core.canonical import call_digest
from broker.core.holds import Hold, Requirement, Review, ReviewEffect, Reviewer
from broker.core.labels import Labels
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.sign_ins import SignIn, StepUp
from broker.core.standing import marks_of
from broker.core.unit import Mandate
from broker.store import parts as p
from broker.store.json_text import decode, encode
from broker.store.marks import mark, mark_of
from broker.store.sql import Row

_SHOWN: Final = ("amount_minor", "currency", "alike", "narrows", "taken_until", "run_from")


def invocation_row(value: Invocation) -> Row:
    """A row of `invocations`."""
    return {
        "name": value.name,
        "session": value.session,
        "principal": value.principal,
        "agent": value.agent,
        "request_id": value.request_id,
        "tool": value.call.tool,
        "digest": value.call.digest,
        "canonical": value.call.canonical,
        "asked": None if value.asked is None else value.asked.canonical,
        "state": value.state.value,
        "decision": None if value.decision is None else encode(p.decision_part(value.decision)),
        "tool_revision": value.tool_revision,
        "policy_revision": value.policy_revision,
        "control_revision": value.control_revision,
        "code": value.code,
        "message": value.message,
        "result": value.result,
        "hold": value.hold,
        "attempt": value.attempt,
        "runner": value.runner,
        "owner": value.owner,
        "lease_expires_at": value.lease_expires_at,
        "deadline_at": value.deadline_at,
        "created_at": value.created_at,
        "updated_at": value.updated_at,
        "etag": value.etag,
        "erased": mark(value.erased),
        "artefacts": _released(value.artefacts),
    }


def invocation_of(row: Row) -> Invocation:
    """The value of a row of `invocations`."""
    call = ToolCall(
        tool=row["tool"],
        arguments=decode(row["canonical"].decode()),
        canonical=row["canonical"],
        digest=row["digest"],
        request_id=row["request_id"],
    )
    asked = row["asked"]
    decision = row["decision"]
    files = row["artefacts"]
    return Invocation(
        name=row["name"],
        session=row["session"],
        principal=row["principal"],
        agent=row["agent"],
        request_id=row["request_id"],
        call=call,
        asked=None if asked is None else _asked(call, asked),
        state=InvocationState(row["state"]),
        decision=None if decision is None else p.decision_part_of(decode(decision)),
        tool_revision=row["tool_revision"],
        policy_revision=row["policy_revision"],
        control_revision=row["control_revision"],
        code=row["code"],
        message=row["message"],
        result=row["result"],
        hold=row["hold"],
        attempt=row["attempt"],
        runner=row["runner"] or "",
        owner=row["owner"],
        lease_expires_at=row["lease_expires_at"],
        deadline_at=row["deadline_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        etag=row["etag"],
        erased=mark_of(row["erased"]),
        artefacts=() if files is None else tuple(artefact_of(file) for file in decode(files)),
    )


def artefact_row(value: Artefact) -> Row:
    """A row of `artefacts`."""
    return {
        "name": value.name,
        "session": value.session,
        "made_by": value.made_by,
        "file_name": value.file_name,
        "size": value.size,
        "sha256": value.sha256,
        "trust": value.labels.trust,
        "sensitivity": value.labels.sensitivity,
        "created_at": value.created_at,
        "expires_at": value.expires_at,
    }


def artefact_of(row: Row) -> Artefact:
    """The value of a row of `artefacts`."""
    labels = Labels(trust=row.pop("trust"), sensitivity=row.pop("sensitivity"))
    return Artefact(labels=labels, **row)


def content_row(value: Stored) -> Row:
    """A row of `artefact_contents`."""
    return {"artefact": value.artefact.name, "content": value.content}


def hold_row(value: Hold) -> Row:
    """A row of `holds`."""
    body = {
        "requirements": [
            {"code": r.code, "message": r.message, "terms": p.terms_part(r.terms)}
            for r in value.requirements
        ],
        "call_digest": value.call_digest,
        "tool": value.tool,
        "tool_revision": value.tool_revision,
        "facts_digest": value.facts_digest,
        "policy_revision": value.policy_revision,
        "principal": p.principal_part(value.principal),
        "agent": p.agent_part(value.agent),
        "summary": value.summary,
        **_shown(value),
    }
    return {
        "name": value.name,
        "invocation": value.invocation,
        "session": value.session,
        "tool": value.tool,
        "principal": value.principal.id,
        "agent": value.agent.id,
        "state": value.state.value,
        "body": encode(body),
        "created_at": value.created_at,
        "decide_by": value.decide_by,
        "run_by": value.run_by,
        "etag": value.etag,
    }


def hold_of(row: Row) -> Hold:
    """The value of a row of `holds`."""
    body = decode(row["body"])
    return Hold(
        name=row["name"],
        invocation=row["invocation"],
        session=row["session"],
        state=HoldState(row["state"]),
        requirements=tuple(
            Requirement(code=r["code"], message=r["message"], terms=p.terms_part_of(r["terms"]))
            for r in body["requirements"]
        ),
        call_digest=body["call_digest"],
        tool=body["tool"],
        tool_revision=body["tool_revision"],
        facts_digest=body["facts_digest"],
        policy_revision=body["policy_revision"],
        principal=p.principal_part_of(body["principal"]),
        agent=p.agent_part_of(body["agent"]),
        summary=body["summary"],
        created_at=row["created_at"],
        decide_by=row["decide_by"],
        run_by=row["run_by"],
        etag=row["etag"],
        **_shown_of(body),
    )


def review_row(value: Review) -> Row:
    """A row of `reviews`."""
    return {
        "hold": value.hold,
        "issuer": value.reviewer.person.issuer,
        "subject": value.reviewer.person.subject,
        "reviewer": value.reviewer.name,
        "groups": encode(list(value.reviewer.groups)),
        "effect": value.effect.value,
        "reason": encode(value.reason),
        "etag": value.etag,
        "at": value.at,
        "counted": int(value.counted),
    }


def review_of(row: Row) -> Review:
    """The value of a row of `reviews`."""
    return Review(
        hold=row["hold"],
        reviewer=Reviewer(
            name=row["reviewer"],
            person=Person(issuer=row["issuer"], subject=row["subject"]),
            groups=tuple(decode(row["groups"])),
        ),
        effect=ReviewEffect(row["effect"]),
        reason=decode(row["reason"]),
        etag=row["etag"],
        at=row["at"],
        counted=bool(row["counted"]),
    )


def session_row(value: Session) -> Row:
    """A row of `sessions`. Its words are the mandate's."""
    return {
        "name": value.name,
        "mandate": value.mandate,
        "body": encode(p.session_part(value)),
        "opened_at": value.opened_at,
        "expires_at": value.expires_at,
        "idle_expires_at": value.idle_expires_at,
        "secret_digest": value.secret_digest,
        "state": value.state,
        "erased": mark(value.erased),
    }


def session_of(row: Row, words: tuple[str, ...]) -> Session:
    """The value of a row of `sessions` and its mandate's words."""
    row["erased"] = mark_of(row["erased"])
    return Session(**p.session_part_of(decode(row.pop("body"))), words=words, **row)


def mandate_row(value: Mandate) -> Row:
    """A row of `mandates`. Its words have rows of their own."""
    session = value.session
    order = {
        "name": session.name,
        "mandate": session.mandate,
        "opened_at": session.opened_at,
        "expires_at": session.expires_at,
        "idle_expires_at": session.idle_expires_at,
        "state": session.state,
        "secret_digest": session.secret_digest.hex(),
    }
    return {
        "name": value.name,
        "secret_digest": value.secret_digest,
        "host": value.host,
        "session": encode({"row": order, "body": p.session_part(session)}),
        "redeem_by": value.redeem_by,
        "state": "ISSUED",
    }


def mandate_of(row: Row, words: tuple[str, ...]) -> Mandate:
    """The value of a row of `mandates` and its words."""
    order = decode(row["session"])
    session = order["row"]
    session["secret_digest"] = bytes.fromhex(session["secret_digest"])
    return Mandate(
        name=row["name"],
        secret_digest=row["secret_digest"],
        host=row["host"],
        session=Session(**p.session_part_of(order["body"]), words=words, **session),
        redeem_by=row["redeem_by"],
    )


def words_rows(mandate: str, words: Iterable[str], *, first: int) -> list[Row]:
    """Rows of `mandate_words`, the first at this position."""
    return [
        {"mandate": mandate, "position": position, "words": encode(text)}
        for position, text in enumerate(words, start=first)
    ]


def words_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The words of rows of `mandate_words`."""
    return tuple(decode(row["words"]) for row in rows)


def sign_in_row(value: SignIn) -> Row:
    """A row of `sign_ins`."""
    return {
        "digest": value.digest,
        "issuer": value.reviewer.person.issuer,
        "subject": value.reviewer.person.subject,
        "reviewer": value.reviewer.name,
        "groups": encode(list(value.reviewer.groups)),
        "how": value.how,
        "created_at": value.created_at,
        "expires_at": value.expires_at,
        "idle_expires_at": value.idle_expires_at,
    }


def sign_in_of(row: Row) -> SignIn:
    """The value of a row of `sign_ins`."""
    return SignIn(
        digest=row["digest"],
        reviewer=p.reviewer_part_of(
            {**row, "name": row["reviewer"], "groups": decode(row["groups"])}
        ),
        how=row["how"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        idle_expires_at=row["idle_expires_at"],
    )


def step_up_row(value: StepUp) -> Row:
    """A row of `step_ups`."""
    return {
        "sign_in": value.sign_in,
        "hold": value.hold,
        "etag": value.etag,
        "call_digest": value.call_digest,
        "created_at": value.created_at,
        "expires_at": value.expires_at,
    }


def step_up_of(row: Row) -> StepUp:
    """The value of a row of `step_ups`."""
    return StepUp(
        sign_in=row["sign_in"],
        hold=row["hold"],
        etag=row["etag"],
        call_digest=row["call_digest"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def _asked(call: ToolCall, canonical: bytes) -> ToolCall:
    if not canonical.startswith(b"{"):  # erased: its digest alone is left
        return replace(call, arguments={}, canonical=b"{}", digest=canonical.decode())
    arguments = decode(canonical.decode())
    return replace(
        call,
        arguments=arguments,
        canonical=canonical,
        digest=call_digest(call.tool, arguments),
    )


def _shown(hold: Hold) -> dict[str, Any]:
    """What a hold says besides, where it says it."""
    said = {
        "amount_minor": hold.amount_minor,
        "currency": hold.currency,
        "alike": hold.alike,
        "narrows": hold.narrows,
        "taken_until": hold.taken_until,
        "run_from": hold.run_from,
        "reached": hold.reached,
        "taken_by": None if hold.taken_by is None else p.reviewer_part(hold.taken_by),
        "preview": None if hold.preview is None else p.preview_part(hold.preview),
        "erased": None if hold.erased is None else p.erased_part(hold.erased),
    }
    return {name: value for name, value in said.items() if value or value == 0}


def _shown_of(body: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: body[name] for name in _SHOWN if name in body}
    if "taken_by" in body:
        said["taken_by"] = p.reviewer_part_of(body["taken_by"])
    if "preview" in body:
        said["preview"] = p.preview_part_of(body["preview"])
    if "erased" in body:
        said["erased"] = p.erased_part_of(body["erased"])
    if "reached" in body:
        said["reached"] = marks_of(body["reached"])
    return said


def _released(artefacts: tuple[Artefact, ...]) -> str | None:
    return encode([artefact_row(one) for one in artefacts]) if artefacts else None
