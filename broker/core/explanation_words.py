"""How an explanation is put into words, alike on a terminal and on a page.

What comes from the question or from rules is escaped here; a page escapes it for HTML besides.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Effect
from broker.core.explanation import Band, Change, Condition, Explanation, Removal
from broker.core.summary import format_money
from broker.core.text import visible, visible_value

_VALUE_CHARACTERS_MAX: Final = 80
_UNDEFINED: Final = "(undefined)"
_TRUTHS: Final = frozenset({"true", "false"})
_WHOSE: Final = frozenset({"principal", "session", "agent"})

Money = Mapping[str, str]


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


def said(condition: Condition) -> str:
    """With values, and in the author's names where values alone say nothing: `true`, `1 == 1`."""
    values, source = condition.values, condition.source
    left, equals, right = values.partition(" == ")
    if values in _TRUTHS or (equals and {left, right} <= _TRUTHS):
        values = source
    elif condition.held and equals and left == right:
        values = source if left in source else f"{source}, {left}"
    return values if condition.held or _UNDEFINED in values else f"{values} is false"


def where(file: str, line: int) -> str:
    """`refunds.rego:31`: a line of a rule."""
    return f"{PurePosixPath(file).name}:{line}"


def changes_told(changes: Sequence[Change], money: Money) -> str:
    """What would have to be otherwise, together: `/amount_minor were at most EUR 50.00`."""
    return " and ".join(_change(change, money.get(change.pointer, "")) for change in changes)


def value_told(value: JsonValue, currency: str) -> str:
    """For people: an amount of minor units where there is a currency."""
    if currency:
        return format_money(value, currency)
    return visible_value(value, characters_max=_VALUE_CHARACTERS_MAX)


def range_told(band: Band, currency: str) -> str:
    """Which numbers are answered alike: `up to EUR 50.00`."""
    lowest, highest = value_told(band.lowest, currency), value_told(band.highest, currency)
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


def sentences(explanation: Explanation) -> tuple[str, ...]:
    """What is told below the verdicts: scales, what would be allowed, and what rids of each."""
    return tuple(_sentences(explanation))


def _sentences(explanation: Explanation) -> Iterable[str]:
    money = explanation.money
    for scale in explanation.scales:
        currency = money.get(scale.pointer, "")
        bands = ", ".join(f"{b.effect.name} {range_told(b, currency)}" for b in scale.bands)
        yield f"{whereto(scale.pointer)} is {value_told(scale.value, currency)}: {bands}."
    if explanation.problem:
        yield f"Not followed further: {visible(explanation.problem)}"
    if explanation.effect is Effect.ALLOW:
        return
    ways = [changes_told(alternative.changes, money) for alternative in explanation.allowed_if]
    held = explanation.effect is Effect.HOLD
    if ways:
        yield f"ALLOW if {'; or if '.join(ways)}{', or with that approval' if held else ''}."
    elif not explanation.problem:
        otherwise = " but that approval" if held else ""
        yield f"Nothing was found that would make it ALLOW{otherwise}."
    if len(explanation.removals) > 1:
        yield from (_removal(removal, money) for removal in explanation.removals)


def _removal(removal: Removal, money: Money) -> str:
    code, found = visible(removal.code), removal.alternative
    if found is None:
        return f"Nothing was found that would rid of {code}."
    return f"No {code} if {changes_told(found.changes, money)}: then {found.effect.name}."


def _change(change: Change, currency: str) -> str:
    place = whereto(change.pointer)
    value = value_told(change.value, currency)
    if change.pointer.endswith("/-"):
        return f"{place.removesuffix('/-')} also had {value}"
    if change.otherwise:
        return f"{place} were another"
    lowest, highest = change.lowest, change.highest
    if lowest == highest:  # both unknown, or one number alone
        return f"{place} were {value}"
    if lowest is None:
        return f"{place} were at most {value_told(highest, currency)}"
    if highest is None:
        return f"{place} were at least {value_told(lowest, currency)}"
    return f"{place} were from {value_told(lowest, currency)} to {value_told(highest, currency)}"
