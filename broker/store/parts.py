"""Values inside of a JSON column, both ways: `x_part_of(x_part(value)) == value` for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from broker.core.calls import Agent, Context, Person, Principal, Session
from broker.core.decision import Decision, Effect, HoldTerms, Obligation, Verdict
from broker.core.erased import Erased
from broker.core.holds import Reviewer
from broker.core.previews import Preview
from broker.core.scopes import Scope
from broker.store.sql import Row


def session_part(value: Session) -> Row:
    """What is fixed of a session."""
    return {
        "principal": principal_part(value.principal),
        "agent": agent_part(value.agent),
        "context": value.context.value,
        "scopes": [
            {"name": s.name, "where": {at: list(values) for at, values in s.where.items()}}
            for s in value.scopes
        ],
        **({"ancestors": [[a, c.value] for a, c in value.ancestors]} if value.ancestors else {}),
    }


def session_part_of(body: Row) -> dict[str, Any]:
    """The same, as arguments of `Session`."""
    return {
        "principal": principal_part_of(body["principal"]),
        "agent": agent_part_of(body["agent"]),
        "context": Context(body["context"]),
        "scopes": tuple(
            Scope(name=s["name"], where={at: tuple(v) for at, v in s["where"].items()})
            for s in body["scopes"]
        ),
        "ancestors": tuple((name, Context(context)) for name, context in body.get("ancestors", ())),
    }


def erased_part(value: Erased) -> Row:
    """A mark of erasure."""
    return {"at": value.at, "by": value.by}


def erased_part_of(value: Row) -> Erased:
    """The mark."""
    return Erased(at=float(value["at"]), by=str(value["by"]))


def person_part(value: Person) -> list[str]:
    """A Person: issuer and subject."""
    return [value.issuer, value.subject]


def person_part_of(value: Sequence[str]) -> Person:
    """The Person."""
    return Person(issuer=value[0], subject=value[1])


def reviewer_part(value: Reviewer) -> Row:
    """A Reviewer."""
    return {
        "name": value.name,
        "issuer": value.person.issuer,
        "subject": value.person.subject,
        "groups": list(value.groups),
    }


def reviewer_part_of(body: Row) -> Reviewer:
    """The Reviewer."""
    return Reviewer(
        name=body["name"],
        person=Person(issuer=body["issuer"], subject=body["subject"]),
        groups=tuple(body["groups"]),
    )


def preview_part(value: Preview) -> Row:
    """A Preview. What a tool said is JSON, and so text."""
    return {
        "invocation": value.invocation,
        "content": value.content.decode(),
        "digest": value.digest,
        "error": value.error,
        "at": value.at,
    }


def preview_part_of(body: Row) -> Preview:
    """The Preview."""
    return Preview(**{**body, "content": body["content"].encode()})


def principal_part(value: Principal) -> Row:
    """A Principal."""
    return {
        "id": value.id,
        "person": person_part(value.person),
        "groups": list(value.groups),
        "attributes": dict(value.attributes),
        "assurance": value.assurance,
    }


def principal_part_of(value: Row) -> Principal:
    """The Principal."""
    return Principal(
        id=value["id"],
        person=person_part_of(value["person"]),
        groups=tuple(value["groups"]),
        attributes=value["attributes"],
        assurance=value["assurance"],
    )


def agent_part(value: Agent) -> Row:
    """An Agent."""
    attributes = dict(value.attributes)
    return {"id": value.id, "owner": person_part(value.owner), "attributes": attributes}


def agent_part_of(value: Row) -> Agent:
    """The Agent."""
    owner = person_part_of(value["owner"])
    return Agent(id=value["id"], owner=owner, attributes=value["attributes"])


def decision_part(value: Decision) -> Row:
    """A Decision."""
    return {
        "effect": value.effect.name,
        "verdicts": [_verdict(verdict) for verdict in value.verdicts],
        "obligations": [
            {"kind": o.kind, "family": o.family, "parameters": dict(o.parameters)}
            for o in value.obligations
        ],
    }


def decision_part_of(value: Row) -> Decision:
    """The Decision."""
    return Decision(
        effect=Effect[value["effect"]],
        verdicts=tuple(_verdict_of(verdict) for verdict in value["verdicts"]),
        obligations=tuple(Obligation(**obligation) for obligation in value["obligations"]),
    )


def _verdict(value: Verdict) -> Row:
    return {
        "effect": value.effect.name,
        "stage": value.stage,
        "code": value.code,
        "message": value.message,
        "family": value.family,
        "terms": None if value.terms is None else terms_part(value.terms),
        "enforced": value.enforced,
        "concealed": value.concealed,
    }


def _verdict_of(value: Row) -> Verdict:
    terms = None if value["terms"] is None else terms_part_of(value["terms"])
    return Verdict(**{**value, "effect": Effect[value["effect"]], "terms": terms})


def terms_part(value: HoldTerms) -> Row:
    """The terms of a hold."""
    return {
        "reviewers": list(value.reviewers),
        "approvals_required": value.approvals_required,
        "decide_within_s": value.decide_within_s,
        "run_within_s": value.run_within_s,
        "step_up": value.step_up,
    }


def terms_part_of(value: Mapping[str, Any]) -> HoldTerms:
    """The HoldTerms."""
    return HoldTerms(**{**value, "reviewers": tuple(value["reviewers"])})
