"""A past call is decided again from its record, by the manifest and the policy of then.

Every stage that is a function of what the record has is taken again: the call's digest, the shape
of the question, what screen, floor and policy say, what observing may lift, and how all of it
settles. What only the moment knew (freezes, other calls on the same thing, what the session had
been refused, sandbox nodes, reviewers' words) is taken from the record, and told as such. Nothing
is believed because it is written: a record that its own rules do not lead to is told, stage by
stage.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from broker.core.calls import (
    Agent,
    Caller,
    Context,
    Fact,
    Person,
    Principal,
    Session,
    ToolCall,
    Usage,
)
from broker.core.decision import (
    STAGE_FLOOR,
    STAGE_POLICY,
    STAGE_SCREEN,
    STAGE_SETTLE,
    Discharge,
    Effect,
    HoldTerms,
    Opinion,
    Verdict,
    settle,
)
from broker.core.floor import counter_keys, floor
from broker.core.manifest import Output, ToolManifest
from broker.core.observing import may_be_lifted
from broker.core.persons import parse_person
from broker.core.plan import unsupported
from broker.core.question import described
from broker.core.recorded import RecordedDecision, spoken
from broker.core.schemas import Validator
from broker.core.scopes import EffectiveScope
from broker.core.screening import in_form
from broker.core.standing import REJECTED_BEFORE, TOO_MANY_DENIALS

OF_THE_MOMENT: Final = frozenset(
    {
        "TOOL_UNKNOWN",
        "SCOPE_MISSING",
        "FROZEN",
        "EXCLUSIVE_BUSY",
        "EXCLUSIVE_UNSETTLED",
        REJECTED_BEFORE,
        TOO_MANY_DENIALS,
    }
)
"""Said by screen and floor of what no record has: what others hold, do and were told just then."""

_TERMS: Final = HoldTerms(reviewers=("",), decide_within_s=1, run_within_s=1)
"""Of a hold by the floor: which they are is a setting, so those of the record count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One stage beside the record.

    Attributes:
        stage: what was taken again.
        agrees: whether it comes to what is recorded; None where it was taken from the record.
        told: what was compared, or what is different; one line.
    """

    stage: str
    agrees: bool | None
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reperformed:
    """A past decision, taken again: `effect` is what it comes to."""

    decision: RecordedDecision
    effect: Effect
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing that was taken again contradicts the record."""
        return all(check.agrees is not False for check in self.checks)


def reperformed(
    decision: RecordedDecision, manifest: ToolManifest, opinion: Opinion | None
) -> Reperformed:
    """Decide again.

    Args:
        decision: as the log has it, with what was asked.
        manifest: of the tool, that is kept under the revision of then.
        opinion: what the policy of then says of the recorded question; None where policy was not
            asked.

    Raises:
        ValueError: the record has no arguments, or its question is none.
    """
    if decision.arguments is None:
        raise ValueError("Nobody knows what was called.")
    call = ToolCall.of(decision.tool, dict(decision.arguments), "")
    checks = [_called(decision, call, manifest), _screened(decision, call, manifest)]
    if decision.question is not None and opinion is not None:
        checks += [
            _described(decision, call, manifest),
            _floored(decision, call, manifest),
            _said(decision, opinion),
            _observed(decision, manifest),
        ]
    effect = _settled(decision, manifest, opinion)
    checks.append(
        _check(
            STAGE_SETTLE,
            effect is decision.effect,
            f"all of it comes to {effect.name}",
            f"it comes to {effect.name}, and the record says {decision.effect.name}",
        )
    )
    given = sorted({v.code for v in decision.verdicts if v.code in OF_THE_MOMENT})
    if given:
        told = f"{', '.join(given)}: only the moment knew"
        checks.append(Check(stage="moment", agrees=None, told=told))
    return Reperformed(decision=decision, effect=effect, checks=tuple(checks))


def _called(decision: RecordedDecision, call: ToolCall, manifest: ToolManifest) -> Check:
    asked: Any = (decision.question or {}).get("call", {"digest": decision.digest})
    is_same = {call.digest} == {decision.digest, asked["digest"]}
    is_of_tool = (manifest.name, manifest.revision) == (decision.tool, decision.tool_revision)
    return _check(
        "call",
        is_same and is_of_tool,
        "tool and arguments have the digest that is recorded",
        "tool, arguments or manifest are not those that are recorded",
    )


def _screened(decision: RecordedDecision, call: ToolCall, manifest: ToolManifest) -> Check:
    question: Any = decision.question or {}
    again = in_form(call, manifest, Validator(manifest.arguments))
    scopes = question.get("scopes")
    if scopes is not None:
        missing = {scope.name for scope in manifest.scopes} - {*scopes["effective"]}
        is_held = not missing and bool(manifest.scopes)
    else:
        is_held = True  # which were held is told where policy was asked, and only there
    recorded = _of_stage(decision, STAGE_SCREEN)
    return _check(
        STAGE_SCREEN,
        is_held and _said_by(recorded) == _said_by(again),
        "the arguments and scopes are what the manifest takes"
        if not again
        else "the manifest does not take these arguments",
        _difference(_said_by(recorded), _said_by(again)) if is_held else "a scope was not held",
    )


def _described(decision: RecordedDecision, call: ToolCall, manifest: ToolManifest) -> Check:
    """Whether policy was told of this tool what its manifest says."""
    asked: Any = decision.question
    told = asked["tool"]
    output = Output(trust=told["output"]["trust"], sensitivity=told["output"]["sensitivity"])
    return _check(
        "question",
        _in_order(described(manifest, call.arguments, output)) == _in_order(told),
        "policy was told what the manifest says of the tool",
        "policy was told something else of the tool than its manifest says",
    )


def _in_order(told: Any) -> Any:
    """Pointers in the order of their names: the record has arguments in that of RFC 8785."""
    return {name: sorted(one) if isinstance(one, list) else one for name, one in told.items()}


def _floored(decision: RecordedDecision, call: ToolCall, manifest: ToolManifest) -> Check:
    asked: Any = decision.question
    caller = _caller(asked)
    again = floor(
        call,
        manifest,
        effective={name: _held(name) for name in asked["scopes"]["effective"]},
        facts={name: _fact(name, told) for name, told in asked["facts"].items()},
        usage=_usage(asked["usage"], manifest, call, caller),
        caller=caller,
        hold_terms=_TERMS,
    )
    recorded = _of_stage(decision, STAGE_FLOOR)
    return _check(
        STAGE_FLOOR,
        _said_by(recorded) == _said_by(again),
        "bindings, facts and limits say what they said",
        _difference(_said_by(recorded), _said_by(again)),
    )


def _said(decision: RecordedDecision, opinion: Opinion) -> Check:
    recorded = _said_by(_of_stage(decision, STAGE_POLICY), with_terms=True)
    again = _said_by(opinion.verdicts, with_terms=True)
    duties = Counter((o.kind, o.family) for o in decision.obligations)
    is_same = recorded == again and duties == Counter(
        (o.kind, o.family) for o in opinion.obligations
    )
    return _check(
        STAGE_POLICY,
        is_same and decision.policy_revision == opinion.policy_revision,
        f"the policy says the same {recorded.total()} things",
        _difference(recorded, again),
    )


def _observed(decision: RecordedDecision, manifest: ToolManifest) -> Check:
    lifted = [v for v in decision.verdicts if not v.enforced]
    wrong = [v.code for v in spoken(lifted) if not may_be_lifted(v, manifest)]
    return _check(
        "observing",
        not wrong,
        f"{len(lifted)} merely observed, as they may be" if lifted else "nothing was observed",
        f"{', '.join(wrong)} must not be merely observed",
    )


def _settled(decision: RecordedDecision, manifest: ToolManifest, opinion: Opinion | None) -> Effect:
    """What policy says now, what the others said then, less what people and operators lifted."""
    kept = [v for v in decision.verdicts if v.stage != STAGE_POLICY]
    merely = Counter(map(_key, spoken(v for v in decision.verdicts if not v.enforced)))
    said = list(_merely(opinion.verdicts, merely)) if opinion is not None else []
    obligations = opinion.obligations if opinion is not None else ()
    settled = settle(
        (*_as_said(kept), *said), obligations=obligations, discharged=_lifted(decision)
    )
    if settled.effect is Effect.DENY:
        return settled.effect
    refused = unsupported(obligations, is_sandboxed=manifest.sandbox is not None)
    return Effect.DENY if refused else settled.effect


def _as_said(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    for verdict, said in ((v, s) for v in verdicts for s in spoken((v,))):
        yield replace(said, enforced=verdict.enforced)


def _lifted(decision: RecordedDecision) -> Iterator[Discharge]:
    for verdict in decision.verdicts:
        if verdict.effect is Effect.ALLOW and verdict.terms is not None:
            yield Discharge(code=verdict.code, terms=verdict.terms)


def _merely(verdicts: Iterable[Verdict], observed: Counter[Any]) -> Iterator[Verdict]:
    for verdict in verdicts:
        key = _key(verdict)
        if observed[key] > 0:
            observed[key] -= 1
            yield replace(verdict, enforced=False)
        else:
            yield verdict


def _of_stage(decision: RecordedDecision, stage: str) -> tuple[Verdict, ...]:
    """What a stage had said that can be taken again."""
    return spoken(v for v in decision.verdicts if v.stage == stage and v.code not in OF_THE_MOMENT)


def _said_by(verdicts: Iterable[Verdict], *, with_terms: bool = False) -> Counter[Any]:
    key: Callable[[Verdict], Any] = _key_with_terms if with_terms else _key
    return Counter(map(key, verdicts))


def _key(verdict: Verdict) -> tuple[str, ...]:
    return (verdict.family, verdict.code, verdict.effect.name, verdict.message)


def _key_with_terms(verdict: Verdict) -> tuple[Any, ...]:
    return (*_key(verdict), verdict.terms)


def _difference(recorded: Counter[Any], again: Counter[Any]) -> str:
    gone = ", ".join(sorted({key[1] for key in recorded - again}))
    new = ", ".join(sorted({key[1] for key in again - recorded}))
    if not gone and not new:
        return "duties or the policy's revision are others"
    return "; ".join(
        f"{what}: {codes}"
        for what, codes in (("recorded and not said", gone), ("said and not recorded", new))
        if codes
    )


def _check(stage: str, agrees: bool, good: str, bad: str) -> Check:  # noqa: FBT001 - the verdict itself
    return Check(stage=stage, agrees=agrees, told=good if agrees else bad)


def _held(name: str) -> EffectiveScope:
    """What was held of it is not recorded, only that it was, for these values."""
    return EffectiveScope(name=name, alternatives={"record": ({},)})


def _fact(name: str, told: Any) -> Fact:
    return Fact(
        name=name,
        source=told["source"],
        value=told.get("value"),
        error=told.get("error", ""),
        absent=told.get("absent", False),
    )


def _usage(
    told: Any, manifest: ToolManifest, call: ToolCall, caller: Caller
) -> Mapping[str, Usage]:
    keys = counter_keys(manifest, call, caller)
    return {
        name: Usage(
            used=one["used"],
            limit=one["limit"],
            window_s=one["window_s"],
            key=keys[name].key if name in keys else "",
            version=0,
        )
        for name, one in told.items()
    }


def _caller(asked: Any) -> Caller:
    principal, agent, session = asked["principal"], asked["agent"], asked["session"]
    return Caller(
        credential="",
        session=Session(
            name=session["id"],
            mandate="",
            principal=Principal(
                id=principal["id"],
                person=Person(issuer="", subject=""),
                groups=tuple(principal["groups"]),
                attributes=principal["attributes"],
                assurance=principal["assurance"],
            ),
            agent=Agent(
                id=agent["id"],
                owner=parse_person(agent["owner"], field="owner"),
                attributes=agent["attributes"],
            ),
            context=Context(session["context"]),
            words=tuple(session["words"]),
            scopes=(),
            opened_at=0.0,
            expires_at=0.0,
            idle_expires_at=0.0,
            state="",
            secret_digest=b"",
        ),
    )
