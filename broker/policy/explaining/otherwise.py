"""How one expression could have come out the other way, by one value of the question.

These are proposals: each follows from the expression alone, and is worth nothing until the whole
policy was asked with it. What a call is (its tool, its digests, its session's name) stays.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from broker.core.arguments import JsonValue
from broker.policy.explaining.following import Leaf
from broker.policy.explaining.meaning import Operand, Steps, integer
from broker.policy.explaining.steps import UNDEFINED, Undefined, Value
from broker.policy.explaining.syntax import Term, operator_of, parts_of

APPEND: Final = "-"  # as in RFC 6902 section 4.1
OTHER_TEXT: Final = "(any other)"
_ELEMENTS_MAX: Final = 3
_TERMS_MAX: Final = 6
_MEMBER: Final = "internal.member_2"
_OPPOSITE: Final = {
    "equal": "neq",
    "neq": "equal",
    "lt": "gte",
    "gte": "lt",
    "gt": "lte",
    "lte": "gt",
}
_MIRRORED: Final = {"lt": "gt", "gt": "lt", "lte": "gte", "gte": "lte"}
_FIXED: Final = (
    ("version",),
    ("call", "tool"),
    ("call", "tool_revision"),
    ("call", "digest"),
    ("session", "id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A value to put somewhere into the question; `-` as the last step appends."""

    at: Steps
    value: JsonValue
    otherwise: bool = False


def proposals(leaf: Leaf) -> Iterator[Proposal]:
    """What could turn an expression; of a question's fixed parts none."""
    for proposal in _proposals(leaf):
        if proposal.at and not any(proposal.at[: len(fixed)] == fixed for fixed in _FIXED):
            yield proposal


def with_value(
    question: Mapping[str, JsonValue], proposal: Proposal
) -> dict[str, JsonValue] | None:
    """The question with a value put in; None where there is nothing to put it into."""
    changed = _put(dict(question), proposal.at, proposal.value)
    return changed if isinstance(changed, dict) else None


def _proposals(leaf: Leaf) -> Iterator[Proposal]:
    expression, moment = leaf.expression, leaf.moment
    operands = moment.operands(expression)
    operator = expression.operator
    match operands:
        case [one] if not operator:
            yield from _truth(one, wanted=not leaf.held)
        case [left, right] if operator in _OPPOSITE:
            wanted = _OPPOSITE[operator] if leaf.held else operator
            yield from _towards(leaf, left, wanted, right.value)
            yield from _towards(leaf, right, _MIRRORED.get(wanted, wanted), left.value)
        case [element, collection] if operator == _MEMBER:
            yield from _membership(element, collection, wanted=not leaf.held)
        case _:
            return


def _truth(operand: Operand, *, wanted: bool) -> Iterator[Proposal]:
    if operand.at is None:
        return
    if isinstance(operand.value, (bool, Undefined)):
        yield Proposal(at=operand.at, value=wanted)


def _towards(leaf: Leaf, side: Operand, operator: str, other: Value) -> Iterator[Proposal]:
    """Values of one side for which `side operator other` is true."""
    if isinstance(other, Undefined):
        return
    if operator == "neq":
        if side.at is not None:
            yield Proposal(at=side.at, value=_another(other), otherwise=True)
        return
    target = _target(operator, other)
    if isinstance(target, Undefined):
        return
    if side.at is not None:
        yield Proposal(at=side.at, value=target)
    elif (wanted := integer(target)) is not None:
        yield from _within_call(leaf, side, wanted)


def _target(operator: str, other: JsonValue) -> Value:
    if operator == "equal":
        return other
    border = integer(other)
    if border is None:
        return UNDEFINED
    return {"lte": border, "gte": border, "lt": border - 1, "gt": border + 1}[operator]


def _within_call(leaf: Leaf, side: Operand, target: int) -> Iterator[Proposal]:
    """`count(x)` by a shorter list; sums and differences by one of their terms."""
    if operator_of(side.term) == "count":
        listed = leaf.moment.operand(parts_of(side.term)[0])
        if listed.at is not None and isinstance(listed.value, list) and target >= 0:
            yield Proposal(at=listed.at, value=listed.value[:target])
        return
    now = integer(side.value)
    for term, sign in islice(_summed(side.term, 1), _TERMS_MAX):
        found = leaf.moment.operand(term)
        value = integer(found.value)
        if found.at is not None and value is not None and now is not None:
            yield Proposal(at=found.at, value=value + sign * (target - now))


def _summed(term: Term, sign: int) -> Iterator[tuple[Term, int]]:
    """The terms of a sum or difference, each with whether it adds or takes away."""
    match operator_of(term), parts_of(term):
        case ("plus", [left, right]):
            yield from (*_summed(left, sign), *_summed(right, sign))
        case ("minus", [left, right]):
            yield from (*_summed(left, sign), *_summed(right, -sign))
        case _:
            yield term, sign


def _membership(element: Operand, collection: Operand, *, wanted: bool) -> Iterator[Proposal]:
    held = collection.value
    if not wanted:
        if element.at is not None and not isinstance(element.value, Undefined):
            yield Proposal(at=element.at, value=_another(element.value), otherwise=True)
        return
    if not isinstance(held, list):
        return
    if element.at is not None:
        yield from (Proposal(at=element.at, value=one) for one in held[:_ELEMENTS_MAX])
    if collection.at is not None and not isinstance(element.value, Undefined):
        yield Proposal(at=(*collection.at, APPEND), value=element.value)


def _another(value: JsonValue) -> JsonValue:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case _:
            return OTHER_TEXT


def _put(below: JsonValue, steps: Steps, value: JsonValue) -> Value:
    """A copy with a value put in; members may be new, what they are put into may not."""
    first, *rest = steps
    if isinstance(below, dict):
        name = str(first)
        if not rest:
            return {**below, name: value}
        inner = _put(below[name], tuple(rest), value) if name in below else UNDEFINED
        return inner if isinstance(inner, Undefined) else {**below, name: inner}
    if isinstance(below, list):
        if first == APPEND and not rest:
            return [*below, value]
        if isinstance(first, int) and 0 <= first < len(below):
            inner = _put(below[first], tuple(rest), value) if rest else value
            if not isinstance(inner, Undefined):
                return [*below[:first], inner, *below[first + 1 :]]
    return UNDEFINED
