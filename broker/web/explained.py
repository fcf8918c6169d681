"""An explanation as a page shows it: who spoke, on which line, on which values, and what if.

All texts in here are escaped for the eye already, as `core.explanation_words` does; the template
escapes them for HTML.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from broker.administration.explaining import Explained
from broker.core.decision import STAGE_POLICY, Verdict
from broker.core.explanation import Spoken
from broker.core.explanation_reading import MalformedExplanation, read_explanation
from broker.core.explanation_words import said, sentences, where
from broker.core.text import visible


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: who, what they said, where that is written, and on which values."""

    who: str
    effect: str
    code: str
    place: str
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedTold:
    """An explanation.

    Attributes:
        at: when the decision was taken, POSIX seconds.
        policy_revision: of the policy that was asked again.
        lines: the stages in the order in which they spoke.
        sentences: what would be otherwise, and what would be allowed.
        silent: families that said nothing.
    """

    at: float
    policy_revision: str
    lines: tuple[Line, ...]
    sentences: tuple[str, ...]
    silent: tuple[str, ...]


def told_of(explained: Explained) -> ExplainedTold:
    """Put it into words; one that cannot be read says so itself."""
    decision = explained.decision
    try:
        explanation = read_explanation(explained.explanation)
    except MalformedExplanation:
        return ExplainedTold(
            at=decision.at,
            policy_revision=decision.policy_revision,
            lines=(),
            sentences=("The explanation cannot be read.",),
            silent=(),
        )
    before = (
        Line(who=one.stage, effect="ALLOW", code="", place="", told=one.told)
        for one in explanation.passed
    )
    others = (_other(one) for one in decision.verdicts if one.stage != STAGE_POLICY)
    spoken = (line for one in explanation.spoken for line in _lines(one))
    return ExplainedTold(
        at=decision.at,
        policy_revision=explanation.policy_revision,
        lines=(*before, *others, *spoken),
        sentences=sentences(explanation),
        silent=tuple(visible(family) for family in explanation.silent),
    )


def _other(verdict: Verdict) -> Line:
    return Line(
        who=visible(verdict.stage),
        effect=verdict.effect.name,
        code=visible(verdict.code),
        place="",
        told=visible(verdict.message),
    )


def _lines(spoken: Spoken) -> Iterable[Line]:
    """The verdict, and one line more for each condition but the first."""
    verdict, place = spoken.verdict, spoken.place
    who, code = visible(verdict.family or STAGE_POLICY), visible(verdict.code)
    if not spoken.conditions:
        at = "" if place is None else visible(where(place.file, place.line))
        told = visible(verdict.message)
        yield Line(who=who, effect=verdict.effect.name, code=code, place=at, told=told)
    for number, condition in enumerate(spoken.conditions):
        yield Line(
            who="" if number else who,
            effect="" if number else verdict.effect.name,
            code="" if number else code,
            place=visible(where(condition.place.file, condition.place.line)),
            told=said(condition),
        )
