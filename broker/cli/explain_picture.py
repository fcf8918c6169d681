"""An explanation as its reader sees it: who spoke, on which line, on which values, and what if.

Whatever was not asked of the policy is not said: where nothing was found, that is what is written.
"""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

from rich.text import Text

from broker.cli.screen import Around, columns, fold, ours, shown_before, state, theirs
from broker.core.decision import STAGE_POLICY, Effect, Verdict
from broker.core.text import visible, visible_value
from broker.policy.explaining.values import (
    Alternative,
    Band,
    Change,
    Condition,
    Explanation,
    Removal,
    Scale,
    Spoken,
)

_WIDTH_MAX: Final = 110
_VALUE_CHARACTERS_MAX: Final = 80
_UNDEFINED: Final = "(undefined)"
_TRUTHS: Final = frozenset({"true", "false"})
_WHOSE: Final = frozenset({"principal", "session", "agent"})


def explanation_picture(
    explanation: Explanation, shown: Around, *, others: Iterable[Verdict] = ()
) -> list[Text]:
    """The lines of `policy explain` below its headline.

    Args:
        explanation: what policy says.
        shown: where it is shown.
        others: what the stages before policy said when it was decided.
    """
    width = min(shown.width, _WIDTH_MAX)
    rows = [_row(verdict) for verdict in others if verdict.stage != STAGE_POLICY]
    rows += [row for spoken in explanation.spoken for row in _rows(spoken)]
    lines = columns(rows, width=width)
    for sentence in _sentences(explanation):
        lines += fold(sentence, width)
    return lines


def whereto(pointer: str) -> str:
    """A place in the question as manifests name it: `/amount`, `order#/paid`, `usage.x.used`."""
    match pointer.split("/")[1:]:
        case ["call", "arguments", *rest]:
            named = "/" + "/".join(rest)
        case ["facts", name, "value", *rest]:
            named = f"{name}#/" + "/".join(rest)
        case [whose, *rest] if whose in _WHOSE:
            named = f"{whose}#/" + "/".join(rest)
        case steps:
            named = ".".join(step.replace("~1", "/").replace("~0", "~") for step in steps)
    return visible(named)


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
        where = "" if place is None else _where(place.file, place.line)
        yield [*first, theirs(where), theirs(verdict.message)]
    for number, condition in enumerate(spoken.conditions):
        before = first if number == 0 else [ours(""), ours(""), ours("")]
        where = _where(condition.place.file, condition.place.line)
        yield [*before, theirs(where), shown_before(_said(condition))]


def _said(condition: Condition) -> str:
    """With values, and in the author's names where values alone say nothing: `true`, `1 == 1`."""
    values, source = condition.values, condition.source
    left, equals, right = values.partition(" == ")
    if values in _TRUTHS or (equals and {left, right} <= _TRUTHS):
        values = source
    elif condition.held and equals and left == right:
        values = source if left in source else f"{source}, {left}"
    return values if condition.held or _UNDEFINED in values else f"{values} is false"


def _where(file: str, line: int) -> str:
    return f"{PurePosixPath(file).name}:{line}"


def _sentences(explanation: Explanation) -> Iterable[Text]:
    for scale in explanation.scales:
        yield _scale(scale)
    if explanation.problem:
        yield ours("Not followed further: ") + theirs(explanation.problem)
    if explanation.effect is Effect.ALLOW:
        return
    ways = [_changes(alternative.changes) for alternative in explanation.allowed_if]
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
        yield from (_removal(removal) for removal in explanation.removals)


def _removal(removal: Removal) -> Text:
    code = theirs(removal.code)
    found: Alternative | None = removal.alternative
    if found is None:
        return ours("Nothing was found that would rid of ") + code + ours(".")
    told = ours(f" if {_changes(found.changes)}: then ")
    return ours("No ") + code + told + state(found.effect.name) + ours(".")


def _changes(changes: Sequence[Change]) -> str:
    return " and ".join(_change(change) for change in changes)


def _change(change: Change) -> str:
    where = whereto(change.pointer)
    value = visible_value(change.value, characters_max=_VALUE_CHARACTERS_MAX)
    if change.pointer.endswith("/-"):
        return f"{where.removesuffix('/-')} also had {value}"
    if change.otherwise:
        return f"{where} were another"
    lowest, highest = change.lowest, change.highest
    if lowest == highest:  # both unknown, or one number alone
        return f"{where} were {value}"
    if lowest is None:
        return f"{where} were at most {highest}"
    if highest is None:
        return f"{where} were at least {lowest}"
    return f"{where} were from {lowest} to {highest}"


def _scale(scale: Scale) -> Text:
    line = ours(whereto(scale.pointer), "bold") + ours(f" is {scale.value}: ")
    parts = [state(band.effect.name) + ours(f" {_range(band)}") for band in scale.bands]
    return line + ours(", ").join(parts) + ours(".")


def _range(band: Band) -> str:
    match band.lowest, band.highest:
        case (None, None):
            return "whatever it is"
        case (None, highest):
            return f"up to {highest}"
        case (lowest, None):
            return f"from {lowest} on"
        case (lowest, highest) if lowest == highest:
            return f"at {lowest}"
    return f"from {band.lowest} to {band.highest}"
