"""What the log kept of a decision is enough to take it again: the question and every verdict.

A record is read from an audit entry, here or from an export that came from elsewhere; what is not
as a broker writes it is refused as a whole, never half believed. What was said is told apart from
what was made of it: a hold that reviewers lifted and a family that was merely observed are in a
record as such, and `spoken` is what rules and checks had said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.decision import Effect, HoldTerms, Obligation, Verdict
from broker.core.limits import INTEGER_MAX

_TERMS: Final = frozenset(
    {"reviewers", "approvals_required", "decide_within_s", "run_within_s", "step_up"}
)


class MalformedRecord(ValueError):
    """This is no decision as a broker records it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedDecision:
    """One decision as the log has it.

    Attributes:
        entry: id of the audit entry.
        at: POSIX seconds, when it was decided.
        policy_revision: of the policy that was asked; empty where none was.
        verdicts: of every stage, strictest first; a HOLD that an approval lifted is an ALLOW that
            has terms.
        obligations: kind and family alone.
        digest: of tool and arguments; empty where it is not told.
        question: what policy was asked; None where it was spared, or where contents are erased.
        arguments: of the call; None where they are not told, or erased.
        is_erased: contents are not there, so nobody knows the question, if there was one.
    """

    entry: str
    invocation: str
    at: float
    tool: str
    tool_revision: str
    policy_revision: str
    effect: Effect
    verdicts: tuple[Verdict, ...]
    obligations: tuple[Obligation, ...] = ()
    summary: str = ""
    digest: str = ""
    question: Mapping[str, JsonValue] | None = None
    arguments: Mapping[str, JsonValue] | None = None
    is_erased: bool = False


def is_decision(entry: Mapping[str, JsonValue]) -> bool:
    """Whether an audit entry tells of a call's decision."""
    return entry.get("kind") == EntryKind.CALL_DECIDED.value


def recorded_decision(
    entry: Mapping[str, JsonValue], contents: Mapping[str, JsonValue] | None
) -> RecordedDecision:
    """Read a decision from its audit entry.

    Args:
        entry: what the entry says.
        contents: what it commits to; None where that is erased or was not asked for.

    Raises:
        MalformedRecord: it is not as a broker writes it.
    """
    body = entry.get("body")
    at_us = entry.get("at_us")
    if not is_decision(entry) or not isinstance(body, Mapping) or not isinstance(at_us, int):
        raise MalformedRecord("The entry tells of no decision.")
    question = None if contents is None else contents.get("question")
    if question is not None and not isinstance(question, Mapping):
        raise MalformedRecord("The question is no object.")
    summary = "" if contents is None else contents.get("summary", "")
    return RecordedDecision(
        entry=_text(entry, "id"),
        invocation=_text(entry, "invocation"),
        at=at_us / 1_000_000,
        tool=_text(body, "tool"),
        tool_revision=_text(body, "tool_revision"),
        policy_revision=_text(body, "policy_revision"),
        effect=_effect(body),
        verdicts=tuple(_verdict(item) for item in _items(body, "verdicts")),
        obligations=tuple(
            Obligation(kind=_text(item, "kind"), family=_text(item, "family"))
            for item in _items(body, "obligations")
        ),
        summary=summary if isinstance(summary, str) else "",
        digest=_text(body, "digest"),
        question=question,
        arguments=_arguments(contents or {}, question or {}),
        is_erased=contents is None,
    )


def verdict_record(verdict: Verdict) -> dict[str, JsonValue]:
    """A verdict as the log keeps it; `hold` is there where it has terms."""
    return {
        "effect": verdict.effect.name,
        "stage": verdict.stage,
        "family": verdict.family,
        "code": verdict.code,
        "message": verdict.message,
        "enforced": verdict.enforced,
        **({"hold": _terms_record(verdict.terms)} if verdict.terms is not None else {}),
    }


def spoken(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """What was said, whatever was made of it: no approval lifts it, nobody merely observes it."""
    return tuple(
        replace(
            verdict,
            enforced=True,
            effect=Effect.HOLD if verdict.terms is not None else verdict.effect,
        )
        for verdict in verdicts
    )


def _arguments(
    contents: Mapping[str, JsonValue], question: Mapping[str, JsonValue]
) -> Mapping[str, JsonValue] | None:
    """As policy was told them, or apart where it was spared."""
    call = question.get("call")
    told = call.get("arguments") if isinstance(call, Mapping) else contents.get("arguments")
    return told if isinstance(told, Mapping) else None


def _verdict(item: Mapping[str, JsonValue]) -> Verdict:
    enforced, terms = item.get("enforced"), item.get("hold")
    if not isinstance(enforced, bool):
        raise MalformedRecord("A verdict does not say whether it was enforced.")
    return Verdict(
        effect=_effect(item),
        stage=_text(item, "stage"),
        family=_text(item, "family"),
        code=_text(item, "code"),
        message=_text(item, "message"),
        enforced=enforced,
        terms=None if terms is None else _terms(terms),
    )


def _terms_record(terms: HoldTerms) -> JsonValue:
    """As they were said; a number that no JSON says exactly, as the largest that it does."""
    return {
        "reviewers": [*terms.reviewers],
        "approvals_required": min(terms.approvals_required, INTEGER_MAX),
        "decide_within_s": min(terms.decide_within_s, INTEGER_MAX),
        "run_within_s": min(terms.run_within_s, INTEGER_MAX),
        "step_up": terms.step_up,
    }


def _terms(told: JsonValue) -> HoldTerms:
    if not isinstance(told, Mapping) or told.keys() != _TERMS:
        raise MalformedRecord("The terms of a hold are not complete.")
    reviewers, step_up = told["reviewers"], told["step_up"]
    if not isinstance(reviewers, list) or not isinstance(step_up, bool):
        raise MalformedRecord("The terms of a hold are not complete.")
    return HoldTerms(
        reviewers=tuple(str(group) for group in reviewers),
        approvals_required=_count(told["approvals_required"]),
        decide_within_s=_count(told["decide_within_s"]),
        run_within_s=_count(told["run_within_s"]),
        step_up=step_up,
    )


def _count(value: JsonValue) -> int:
    if type(value) is not int:
        raise MalformedRecord("The terms of a hold are not complete.")
    return value


def _effect(said: Mapping[str, JsonValue]) -> Effect:
    name = said.get("effect")
    if not isinstance(name, str) or name not in Effect.__members__:
        raise MalformedRecord("There is no such effect.")
    return Effect[name]


def _items(body: Mapping[str, JsonValue], name: str) -> list[Mapping[str, JsonValue]]:
    found = body.get(name)
    if not isinstance(found, list):
        raise MalformedRecord(f"The entry has no {name}.")
    items: list[Mapping[str, JsonValue]] = [i for i in found if isinstance(i, Mapping)]
    if len(items) != len(found):
        raise MalformedRecord(f"The entry has {name} that are none.")
    return items


def _text(said: Mapping[str, JsonValue], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str):
        raise MalformedRecord(f"The entry does not say its {name}.")
    return value
