"""An explanation as its reader sees it: who spoke, on which line, on which values, and what if.

Whatever was not asked of the policy is not said: where nothing was found, that is what is written.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.text import Text

from broker.cli.screen import GAP, Around, columns, fold, ours, shown_before, state, theirs
from broker.cli.times import length
from broker.core.decision import STAGE_POLICY, Effect, Verdict
from broker.core.explanation import Alternative, Explanation, Removal, Scale, Spoken
from broker.core.explanation_words import (
    Money,
    changes_told,
    range_told,
    said,
    value_told,
    where,
    whereto,
)

_WIDTH_MAX: Final = 110
_SETTLED: Final = "settled"
_EFFECT_CELLS: Final = len(Effect.ALLOW.name)


def explanation_picture(
    explanation: Explanation, shown: Around, *, others: Sequence[Verdict] = ()
) -> list[Text]:
    """The lines of `policy explain` below its headline.

    Args:
        explanation: what policy says.
        shown: where it is shown.
        others: what all stages said when it was decided.
    """
    width = min(shown.width, _WIDTH_MAX)
    rows = [_row(verdict) for verdict in others if verdict.stage != STAGE_POLICY]
    rows += [row for spoken in explanation.spoken for row in _rows(spoken)]
    settled = _settled(explanation, others)
    named = [one.stage for one in explanation.passed] + [_SETTLED] * bool(settled)
    indent = max([*map(len, named), *(row[0].cell_len for row in rows)], default=0)
    for row in rows:
        row[0].pad_right(indent - row[0].cell_len)
    lines = [
        line
        for one in explanation.passed
        for line in _across(one.stage, Effect.ALLOW, shown_before(one.told), indent, width)
    ]
    lines += columns(rows, width=width)
    if settled:
        lines += _across(_SETTLED, Effect.HOLD, theirs(settled), indent, width)
    for sentence in _sentences(explanation):
        lines += fold(sentence, width)
    return lines


def _across(stage: str, effect: Effect, told: Text, indent: int, width: int) -> list[Text]:
    """A stage that has no code and no line: its text takes all columns."""
    room = width - indent - 2 * GAP - _EFFECT_CELLS
    head = theirs(stage.ljust(indent + GAP)) + state(effect.name)
    head.pad_right(_EFFECT_CELLS - len(effect.name) + GAP)
    first, *more = fold(told, room)
    return [head + first, *(ours(" " * (width - room)) + part for part in more)]


def _settled(explanation: Explanation, others: Iterable[Verdict]) -> str:
    """Who may lift what was held then, where it would be held today; else empty."""
    if explanation.effect is not Effect.HOLD:
        return ""
    terms = dict.fromkeys(v.terms for v in others if v.effect is Effect.HOLD and v.terms)
    return "; ".join(
        f"{one.approvals_required} of {', '.join(one.reviewers)}, "
        f"within {length(one.decide_within_s)}"
        for one in terms
    )


def _row(verdict: Verdict) -> list[Text]:
    effect = state(verdict.effect.name)
    return [theirs(verdict.stage), effect, theirs(verdict.code), ours(""), theirs(verdict.message)]


def _rows(spoken: Spoken) -> Iterable[list[Text]]:
    """One for each condition, the verdict beside the first."""
    verdict = spoken.verdict
    first = [
        theirs(verdict.family or STAGE_POLICY, "bold"),
        state(verdict.effect.name),
        theirs(verdict.code),
    ]
    if not spoken.conditions:
        place = spoken.place
        at = "" if place is None else where(place.file, place.line)
        yield [*first, theirs(at), theirs(verdict.message)]
    for number, condition in enumerate(spoken.conditions):
        before = first if number == 0 else [ours(""), ours(""), ours("")]
        at = where(condition.place.file, condition.place.line)
        yield [*before, theirs(at), shown_before(said(condition))]


def _sentences(explanation: Explanation) -> Iterable[Text]:
    money = explanation.money
    for scale in explanation.scales:
        yield _scale(scale, money.get(scale.pointer, ""))
    if explanation.problem:
        yield ours("Not followed further: ") + theirs(explanation.problem)
    if explanation.effect is Effect.ALLOW:
        return
    ways = [changes_told(alternative.changes, money) for alternative in explanation.allowed_if]
    held = explanation.effect is Effect.HOLD
    if ways:
        more = ", or with that approval" if held else ""
        yield state("ALLOW") + ours(f" if {'; or if '.join(ways)}{more}.")
    elif not explanation.problem:
        yield (
            ours("Nothing was found that would make it ")
            + state("ALLOW")
            + ours(" but that approval." if held else ".")
        )
    if len(explanation.removals) > 1:
        yield from (_removal(removal, money) for removal in explanation.removals)


def _removal(removal: Removal, money: Money) -> Text:
    code = theirs(removal.code)
    found: Alternative | None = removal.alternative
    if found is None:
        return ours("Nothing was found that would rid of ") + code + ours(".")
    told = ours(f" if {changes_told(found.changes, money)}: then ")
    return ours("No ") + code + told + state(found.effect.name) + ours(".")


def _scale(scale: Scale, currency: str) -> Text:
    head = ours(whereto(scale.pointer), "bold")
    line = head + ours(f" is {value_told(scale.value, currency)}: ")
    parts = [
        state(band.effect.name) + ours(f" {range_told(band, currency)}") for band in scale.bands
    ]
    return line + ours(", ").join(parts) + ours(".")
