"""An explanation as its reader sees it: who spoke, on which line, on which values, and what if.

Whatever was not asked of the policy is not said: where nothing was found, that is what is written.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from rich.text import Text

from broker.cli.screen import GAP, Around, columns, fold, ours, shown_before, state, theirs
from broker.cli.times import length
from broker.core.arguments import JsonValue
from broker.core.decision import STAGE_POLICY, Effect, Verdict
from broker.core.summary import format_money
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
_SETTLED: Final = "settled"
_EFFECT_CELLS: Final = len(Effect.ALLOW.name)
Money = Mapping[str, str]
_WHOSE: Final = frozenset({"principal", "session", "agent"})


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
    money = explanation.money
    for scale in explanation.scales:
        yield _scale(scale, money.get(scale.pointer, ""))
    if explanation.problem:
        yield ours("Not followed further: ") + theirs(explanation.problem)
    if explanation.effect is Effect.ALLOW:
        return
    ways = [_changes(alternative.changes, money) for alternative in explanation.allowed_if]
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
    told = ours(f" if {_changes(found.changes, money)}: then ")
    return ours("No ") + code + told + state(found.effect.name) + ours(".")


def _changes(changes: Sequence[Change], money: Money) -> str:
    return " and ".join(_change(change, money.get(change.pointer, "")) for change in changes)


def _change(change: Change, currency: str) -> str:
    where = whereto(change.pointer)
    value = _value(change.value, currency)
    if change.pointer.endswith("/-"):
        return f"{where.removesuffix('/-')} also had {value}"
    if change.otherwise:
        return f"{where} were another"
    lowest, highest = change.lowest, change.highest
    if lowest == highest:  # both unknown, or one number alone
        return f"{where} were {value}"
    if lowest is None:
        return f"{where} were at most {_value(highest, currency)}"
    if highest is None:
        return f"{where} were at least {_value(lowest, currency)}"
    return f"{where} were from {_value(lowest, currency)} to {_value(highest, currency)}"


def _value(value: JsonValue, currency: str) -> str:
    """For people: an amount of minor units where there is a currency."""
    if currency:
        return format_money(value, currency)
    return visible_value(value, characters_max=_VALUE_CHARACTERS_MAX)


def _scale(scale: Scale, currency: str) -> Text:
    head = ours(whereto(scale.pointer), "bold")
    line = head + ours(f" is {_value(scale.value, currency)}: ")
    parts = [state(band.effect.name) + ours(f" {_range(band, currency)}") for band in scale.bands]
    return line + ours(", ").join(parts) + ours(".")


def _range(band: Band, currency: str) -> str:
    lowest, highest = _value(band.lowest, currency), _value(band.highest, currency)
    match band.lowest, band.highest:
        case (None, None):
            return "whatever it is"
        case (None, _):
            return f"up to {highest}"
        case (_, None):
            return f"from {lowest} on"
        case (low, high) if low == high:
            return f"at {lowest}"
    return f"from {lowest} to {highest}"
