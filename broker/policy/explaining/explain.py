"""Explains one answer of a policy: who spoke, on which values, and what would have been allowed.

What is said of the question itself is OPA's own account; what is said of another question is that
policy's answer to it. Screens, limits and approvals are not policy's and are left out.
"""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Effect, Opinion, Verdict
from broker.core.explanation import (
    Alternative,
    Band,
    Change,
    Explanation,
    Removal,
    Scale,
    Spoken,
)
from broker.policy.bundle import PolicyBundle
from broker.policy.explaining.asking import Asked, NotFollowed, asking
from broker.policy.explaining.following import Follower, Leaf
from broker.policy.explaining.meaning import Operand, Steps, integer, pointer_at
from broker.policy.explaining.otherwise import Proposal, with_value
from broker.policy.explaining.scales import around, scale
from broker.policy.explaining.searching import (
    Variant,
    effect_of,
    followed,
    search,
    stopping,
)

_REMOVALS_MAX: Final = 6
_REMOVAL_ROUNDS_MAX: Final = 3
_SCALES_MAX: Final = 3
_ARGUMENTS: Final = ("call", "arguments")


def explain(
    bundle: PolicyBundle,
    question: Mapping[str, JsonValue],
    *,
    opa: Path,
    parameters: JsonValue = None,
    families: tuple[str, ...] | None = None,
    money: Mapping[str, str] | None = None,
    ended: threading.Event | None = None,
) -> Explanation:
    """Explain what a policy says of a question. Blocks while OPA is run some tens of times.

    Args:
        bundle: the policy, as it was built.
        question: a policy input (`policies/schemas/input.json`).
        opa: the pinned binary.
        parameters: instead of the bundle's own, as a case may have them.
        families: those that count; all of the bundle's where left out.
        money: which of the question's integers are amounts, as `Explanation.money`.
        ended: once it is set, OPA is not run again and what was found until then is all.

    Raises:
        PolicyUnavailable: OPA cannot be run.
    """
    with asking(bundle, opa=opa, parameters=parameters, families=families, money=money) as asked:
        asked.ended = ended or asked.ended
        (opinion,) = asked.opinions([question])
        start = Variant(proposals=(), question=question, opinion=opinion)
        return _explanation(asked, start)


def _explanation(asked: Asked, start: Variant) -> Explanation:
    try:
        follower = followed(asked, start.question, start.opinion)
    except NotFollowed as not_followed:
        return _told(asked, start.opinion, problem=str(not_followed))
    leaves: list[Leaf] = []
    spoken = []
    for verdict in start.opinion.verdicts:
        place, decisive = follower.verdict(verdict)
        leaves += decisive
        conditions = tuple(leaf.condition() for leaf in decisive)
        spoken.append(Spoken(verdict=verdict, place=place, conditions=conditions))
    problem = ""
    allowed: list[Alternative] = []
    removals: list[Removal] = []
    scales: list[Scale] = []
    try:
        allowed = _allowed_if(asked, start, follower, leaves)
        removals = _removals(asked, start, follower, leaves, allowed)
        scales = _scales(asked, start, leaves)
    except NotFollowed as not_followed:
        problem = str(not_followed)
    return Explanation(
        policy_revision=asked.bundle.revision,
        effect=effect_of(start.opinion),
        spoken=_ordered(spoken),
        silent=_silent(asked, start.opinion),
        allowed_if=tuple(allowed),
        removals=tuple(removals),
        scales=tuple(scales),
        problem=problem,
        money=asked.money,
    )


def _told(asked: Asked, opinion: Opinion, *, problem: str) -> Explanation:
    """What was said, where it cannot be followed."""
    return Explanation(
        policy_revision=asked.bundle.revision,
        effect=effect_of(opinion),
        spoken=_ordered([Spoken(verdict=verdict) for verdict in opinion.verdicts]),
        silent=_silent(asked, opinion),
        problem=problem,
        money=asked.money,
    )


def _allowed_if(
    asked: Asked, start: Variant, follower: Follower, leaves: Iterable[Leaf]
) -> list[Alternative]:
    if effect_of(start.opinion) is Effect.ALLOW:
        return []
    found = search(
        asked,
        start,
        follower=follower,
        of=stopping,
        goal=lambda opinion: effect_of(opinion) is Effect.ALLOW,
    )
    return [_alternative(asked, start, variant, leaves) for variant in found]


def _removals(
    asked: Asked,
    start: Variant,
    follower: Follower,
    leaves: Iterable[Leaf],
    allowed: list[Alternative],
) -> list[Removal]:
    """What rids of each stopping verdict alone, and makes nothing stricter."""
    verdicts = [s.verdict for s in _ordered([Spoken(verdict=v) for v in stopping(start.opinion)])]
    if len(verdicts) == 1:
        (one,) = verdicts
        only = allowed[0] if allowed else None
        if only is not None:
            return [Removal(family=one.family, code=one.code, alternative=only)]
    removals = []
    for verdict in verdicts[:_REMOVALS_MAX]:
        found = _without(asked, start, follower, verdict)
        alternative = _alternative(asked, start, found[0], leaves) if found else None
        removals.append(Removal(family=verdict.family, code=verdict.code, alternative=alternative))
    return removals


def _without(asked: Asked, start: Variant, follower: Follower, verdict: Verdict) -> list[Variant]:
    before = effect_of(start.opinion)

    def these(opinion: Opinion) -> list[Verdict]:
        return [one for one in opinion.verdicts if _same(one, verdict)]

    def gone(opinion: Opinion) -> bool:
        return not these(opinion) and effect_of(opinion) >= before

    return search(
        asked,
        start,
        follower=follower,
        of=these,
        goal=gone,
        rounds_max=_REMOVAL_ROUNDS_MAX,
    )


def _alternative(
    asked: Asked, start: Variant, found: Variant, leaves: Iterable[Leaf]
) -> Alternative:
    effect = effect_of(found.opinion)
    changes = []
    for proposal in found.proposals:
        band = _around(asked, start, found, proposal, leaves)
        lowest, highest = (band.lowest, band.highest) if band is not None else (None, None)
        changes.append(
            Change(
                pointer=pointer_at(proposal.at),
                value=proposal.value,
                otherwise=proposal.otherwise and lowest is None and highest is None,
                lowest=lowest,
                highest=highest,
            )
        )
    return Alternative(changes=tuple(changes), effect=effect)


def _around(
    asked: Asked, start: Variant, found: Variant, proposal: Proposal, leaves: Iterable[Leaf]
) -> Band | None:
    """The integers around a change that do as well, all other changes made."""
    value = integer(proposal.value)
    if value is None:
        return None
    question: Mapping[str, JsonValue] = start.question
    for other in found.proposals:
        changed = with_value(question, other) if other != proposal else None
        question = question if changed is None else changed
    landmarks = _landmarks(leaves)
    return around(scale(asked, question, proposal.at, value=value, landmarks=landmarks), value)


def _scales(asked: Asked, start: Variant, leaves: Iterable[Leaf]) -> list[Scale]:
    """Along each number among the arguments that a rule compared."""
    leaves = list(leaves)
    numbers: dict[Steps, int] = {}
    for operand in _operands(leaves):
        value = integer(operand.value)
        if operand.at is not None and operand.at[:2] == _ARGUMENTS and value is not None:
            numbers[operand.at] = value
    landmarks = _landmarks(leaves)
    found = [
        scale(asked, start.question, at, value=value, landmarks=landmarks)
        for at, value in list(numbers.items())[:_SCALES_MAX]
    ]
    return [one for one in found if len(one.bands) > 1]


def _landmarks(leaves: Iterable[Leaf]) -> set[int]:
    """Every integer that was compared."""
    found = (integer(operand.value) for operand in _operands(leaves))
    return {number for number in found if number is not None}


def _operands(leaves: Iterable[Leaf]) -> list[Operand]:
    return [operand for leaf in leaves for operand in leaf.moment.operands(leaf.expression)]


def _same(one: Verdict, other: Verdict) -> bool:
    return (one.family, one.code) == (other.family, other.code)


def _ordered(spoken: Iterable[Spoken]) -> tuple[Spoken, ...]:
    return tuple(sorted(spoken, key=lambda s: (s.verdict.effect, s.verdict.family, s.verdict.code)))


def _silent(asked: Asked, opinion: Opinion) -> tuple[str, ...]:
    spoken = {verdict.family for verdict in opinion.verdicts}
    return tuple(family for family in asked.families if family not in spoken)
