"""A shadow is a second policy that is asked about live calls and decides none of them.

Its opinion is settled with what the other stages said of the same call, by the same law, approvals
left out on both sides; what differs is counted by class, what loosens first. Of each class a few
calls are kept as examples, by name: their contents stay where they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from broker.core.canonical import canonical_bytes
from broker.core.decision import (
    STAGE_FLOOR,
    STAGE_POLICY,
    STAGE_SCREEN,
    Effect,
    Obligation,
    Verdict,
    settle,
)
from broker.core.limits import SHADOW_CODES_MAX, SHADOW_EXAMPLES_MAX
from broker.core.manifest import ToolManifest
from broker.core.plan import Plan, Run, Suspend, make_plan
from broker.core.profiles import OfferedProfile

Transition = tuple[Effect, Effect]
"""What was decided, and what the shadow would have decided."""

_ALLOW, _HOLD, _DENY = Effect.ALLOW, Effect.HOLD, Effect.DENY
TRANSITIONS: Final[tuple[Transition, ...]] = (
    (_DENY, _ALLOW),
    (_HOLD, _ALLOW),
    (_DENY, _HOLD),
    (_HOLD, _HOLD),  # on other terms
    (_ALLOW, _ALLOW),  # under other duties
    (_ALLOW, _HOLD),
    (_HOLD, _DENY),
    (_ALLOW, _DENY),
)
"""Every class of difference, what loosens first. A denial for other reasons is no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """The second policy.

    Attributes:
        name: `shadows/{id}`.
        revision: digest of its bundle.
        families: its rule families, sorted.
        started_at: POSIX seconds.
    """

    name: str
    revision: str
    families: tuple[str, ...]
    reason: str
    started_by: str
    started_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call that the two decide otherwise, with the codes of each, so many at most."""

    invocation: str
    tool: str
    codes_before: tuple[str, ...]
    codes_after: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What was seen.

    Attributes:
        decisions: calls that both decided.
        dropped: calls that the shadow was not asked about, as too many waited.
        unanswered: calls about which it could not be asked.
        differences: calls by class; the others were decided alike.
        examples: by class, the first ones.
    """

    decisions: int = 0
    dropped: int = 0
    unanswered: int = 0
    differences: Mapping[Transition, int] = field(default_factory=dict)
    examples: Mapping[Transition, tuple[Example, ...]] = field(default_factory=dict)


def outcome(
    verdicts: Iterable[Verdict],
    opinion: Sequence[Verdict],
    manifest: ToolManifest,
    *,
    obligations: Sequence[Obligation] = (),
    offered: Sequence[OfferedProfile] = (),
) -> Plan:
    """What comes of a call when policy says this.

    Args:
        verdicts: of a decision on the call; what policy and `settle` said is left out of them.
        opinion: what policy says instead, those of observed families without force.
        manifest: of the tool.
        obligations: what policy says is owed.
        offered: the sandbox profiles that nodes tell of.
    """
    others = [v for v in verdicts if v.stage in {STAGE_SCREEN, STAGE_FLOOR}]
    decision = settle((*others, *opinion), obligations=obligations)
    return make_plan(decision, manifest=manifest, offered=offered)


def said_by_policy(verdicts: Iterable[Verdict]) -> tuple[Verdict, ...]:
    """What policy said in a decision."""
    return tuple(v for v in verdicts if v.stage == STAGE_POLICY)


def difference(before: Plan, after: Plan) -> Transition | None:
    """The class of the difference, or None where both come to the same."""
    if _essence(before) == _essence(after):
        return None
    return before.decision.effect, after.decision.effect


def compared(
    tally: Tally, before: Plan, after: Plan, *, invocation: str, tool: str, at: float
) -> Tally:
    """The tally with one more call in it."""
    found = difference(before, after)
    counted = replace(tally, decisions=tally.decisions + 1)
    if found is None:
        return counted
    example = Example(
        invocation=invocation,
        tool=tool,
        codes_before=_codes(before),
        codes_after=_codes(after),
        at=at,
    )
    one = Tally(differences={found: 1}, examples={found: (example,)})
    return joined((counted, one))


def joined(tallies: Iterable[Tally]) -> Tally:
    """All of them as one; of each class the earliest examples, so many at most."""
    known = tuple(tallies)
    kept = {
        t: sorted((e for one in known for e in one.examples.get(t, ())), key=lambda e: e.at)
        for t in TRANSITIONS
    }
    counts = {t: sum(one.differences.get(t, 0) for one in known) for t in TRANSITIONS}
    return Tally(
        decisions=sum(one.decisions for one in known),
        dropped=sum(one.dropped for one in known),
        unanswered=sum(one.unanswered for one in known),
        differences={t: count for t, count in counts.items() if count},
        examples={t: tuple(found[:SHADOW_EXAMPLES_MAX]) for t, found in kept.items() if found},
    )


def _essence(plan: Plan) -> object:
    """What a call's fate depends on; not why it is denied, and no word that is said of it."""
    match plan:
        case Suspend():
            stopped = frozenset((r.code, r.terms) for r in plan.requirements)
            return _HOLD, stopped, _duties(plan)
        case Run():
            return _ALLOW, plan.profile.name, _duties(plan)
        case _:
            return _DENY


def _duties(plan: Plan) -> frozenset[bytes]:
    owed = plan.decision.obligations
    return frozenset(canonical_bytes({"kind": o.kind, "with": {**o.parameters}}) for o in owed)


def _codes(plan: Plan) -> tuple[str, ...]:
    codes = dict.fromkeys(v.code for v in plan.decision.reasons)
    return tuple(codes)[:SHADOW_CODES_MAX]
