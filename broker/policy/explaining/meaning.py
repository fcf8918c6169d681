"""What the names in an expression stood for when it was evaluated, and where in the question.

A value is looked for in the order in which Rego looks: what is bound, what the module imports, the
rules of its package. A name leads into the question where it is `input` or was bound to a part of
it; only then could the question have been otherwise.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.pointers import Pointer
from broker.core.summary import format_amount
from broker.core.text import visible_value
from broker.policy.explaining.steps import (
    UNDEFINED,
    Event,
    Query,
    Undefined,
    Value,
    path_of,
    plain,
)
from broker.policy.explaining.syntax import (
    Expression,
    Module,
    Term,
    place_of,
    references,
    text_of,
)

SHOWN_CHARACTERS_MAX: Final = 60

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One side of an expression.

    Attributes:
        value: what it stood for.
        at: the steps into the question that lead to it; None where it is no part of it.
        term: as it is written.
    """

    value: Value
    at: Steps | None
    term: Term


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All that names may stand for while one event happens.

    Attributes:
        documents: what packages hold, by path (`broker.rules.mail`), `parameters` among them.
        money: amounts of the question, as `Explanation.money`.
    """

    event: Event
    query: Query
    module: Module
    question: Mapping[str, JsonValue]
    documents: Mapping[str, JsonValue]
    money: Mapping[str, str] = field(default_factory=dict)

    def operand(self, term: Term) -> Operand:
        """What a term of the source stands for."""
        value, at = self._resolve(term)
        return Operand(value=value, at=at, term=term)

    def operands(self, expression: Expression) -> list[Operand]:
        """The sides of an expression; what is computed is taken from OPA's own account."""
        computed = self._computed(len(expression.operands))
        return [
            self.operand(term)
            if term.get("type") != "call"
            else Operand(value=computed[number], at=None, term=term)
            for number, term in enumerate(expression.operands)
        ]

    def shown(self, expression: Expression) -> str:
        """The expression with values in place of names, on one line; amounts as `55.00`.

        Whatever is added to an amount, or compared with one, is an amount of its currency too.
        """
        text, begin = expression.text, expression.at
        starts = [0]
        for line in text.split("\n"):
            starts.append(starts[-1] + len(line.encode()) + 1)
        raw, done = text.encode(), 0
        between: list[str] = []
        found: list[tuple[str, Value, Steps | None]] = []
        for term in references(dict(expression.node)):
            at, name = place_of(term, expression.at.file), text_of(term)
            value, where = self._resolve(term)
            row = at.row - begin.row
            if not name or not 0 <= row < len(starts) - 1:
                continue
            start = starts[row] + at.column - (begin.column if row == 0 else 1)
            if start < done or raw[start : start + len(name.encode())] != name.encode():
                continue
            between.append(raw[done:start].decode("utf-8", "replace"))
            found.append((name, value, where))
            done = start + len(name.encode())
        between.append(raw[done:].decode("utf-8", "replace"))
        currency = self._currency(found, between)
        if currency:
            between = [_amounts(part, currency) for part in between]
        values = [written(value, name, currency=currency) for name, value, _ in found]
        pieces = [piece for pair in zip(between, values, strict=False) for piece in pair]
        return one_line("".join((*pieces, between[-1])))

    def _currency(
        self, found: Iterable[tuple[str, Value, Steps | None]], between: Iterable[str]
    ) -> str:
        """Of the amounts that an expression only adds and compares; empty for any other."""
        places = {pointer_at(at) for _, value, at in found if at and integer(value) is not None}
        currencies = {self.money[place] for place in places if place in self.money}
        is_plain = all(_ADDED_OR_COMPARED.fullmatch(part) for part in between)
        return currencies.pop() if len(currencies) == 1 and is_plain else ""

    def _computed(self, count: int) -> list[Value]:
        terms = self.event.node.get("terms") if isinstance(self.event.node, dict) else None
        found = terms[1 : count + 1] if isinstance(terms, list) else []
        values: list[Value] = [self._bound_value(term) for term in found]
        return values + [UNDEFINED] * (count - len(values))

    def _bound_value(self, term: Mapping[str, Any]) -> Value:
        if term.get("type") == "var":
            return self.event.bound().get(str(term["value"]), UNDEFINED)
        return UNDEFINED if term.get("type") == "ref" else plain(term)

    def _resolve(self, term: Term) -> tuple[Value, Steps | None]:
        match term.get("type"):
            case "var":
                return self._name(str(term["value"]))
            case "ref":
                head, *rest = term["value"]
                value, at = self._name(str(head.get("value")))
                return self._walk(value, at, rest, absolute=str(head.get("value")))
            case "call":
                return UNDEFINED, None
            case _:
                return plain(term), None

    def _walk(
        self, value: Value, at: Steps | None, rest: list[Term], *, absolute: str
    ) -> tuple[Value, Steps | None]:
        if absolute == "data" or absolute in self.module.imports:
            path = self.module.imports.get(absolute, absolute).split(".")[1:]
            names = [*path, *(str(step["value"]) for step in rest if step["type"] == "string")]
            return self._in_data(names), None
        for step in rest:
            key = plain(step) if step.get("type") != "var" else self._name(str(step["value"]))[0]
            if step.get("type") == "ref":
                key = self._resolve(step)[0]
            if isinstance(key, (Undefined, bool, float)) or not isinstance(key, (str, int)):
                return UNDEFINED, None
            value = member(value, key)
            at = None if at is None else (*at, key)
        return value, at

    def _in_data(self, names: list[str]) -> Value:
        for length in range(len(names), 0, -1):
            package = ".".join(names[:length])
            if package in self.documents:
                value: Value = self.documents[package]
                for name in names[length:]:
                    value = member(value, name)
                return value
        return UNDEFINED

    def _name(self, name: str) -> tuple[Value, Steps | None]:
        if name == "input":
            return dict(self.question), ()
        bound = self.event.named()
        if name in bound:
            return bound[name], self._steps_of(name)
        if name in self.module.imports:
            return self._in_data(self.module.imports[name].split(".")[1:]), None
        if name in self.module.rule_names:
            return self._in_data([*self.module.package.split("."), name]), None
        return UNDEFINED, None

    def _steps_of(self, name: str) -> Steps | None:
        """Where in the question a bound name leads, by what OPA says that it was bound to."""
        internal = [
            own for own, about in self.event.names.items() if about.get("name", own) == name
        ]
        return self._bound_steps(internal[-1], 0) if internal else None

    def _bound_steps(self, internal: str, depth: int) -> Steps | None:
        query: Query | None = self.query
        while query is not None and depth < _DEPTH_MAX:
            for event in query.events:
                reference = _bound_to(event, internal)
                if reference is not None:
                    return self._reference_steps(reference, depth + 1)
            query = None if query.path else query.above
        return None

    def _reference_steps(self, term: Term, depth: int) -> Steps | None:
        if term.get("type") == "var":
            return self._bound_steps(str(term["value"]), depth)
        head, *rest = term["value"]
        start = () if head["value"] == "input" else self._bound_steps(str(head["value"]), depth)
        if start is None:
            return None
        steps: list[str | int] = [*start]
        for step in rest:
            key = self._bound_value(step)
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                return None
            steps.append(key)
        return tuple(steps)


_DEPTH_MAX: Final = 8


def member(value: Value, key: str | int) -> Value:
    """A member of an object, or an element of an array; undefined where there is none."""
    if isinstance(value, dict):
        return value.get(str(key), UNDEFINED)
    if isinstance(value, list) and isinstance(key, int) and 0 <= key < len(value):
        return value[key]
    return UNDEFINED


def integer(value: object) -> int | None:
    """The value where it is an integer; JSON's true is none, though Python's is."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def pointer_at(at: Steps) -> str:
    """The JSON Pointer of steps into the question."""
    return str(Pointer(tuple(str(step) for step in at)))


def written(value: Value, name: str, *, currency: str = "") -> str:
    """A value in place of its name: as JSON that any surface may show, cut where it is long.

    With a currency, an integer is so many of its minor units.
    """
    minor = integer(value)
    if currency and minor is not None:
        return format_amount(minor, currency)
    if isinstance(value, Undefined):
        return f"{name} (undefined)" if name.startswith(("input", "data")) else name
    return visible_value(value, characters_max=SHOWN_CHARACTERS_MAX)


def one_line(text: str) -> str:
    """Without line breaks and what is around them."""
    return " ".join(text.split())


def _bound_to(event: Event, internal: str) -> Term | None:
    """The reference that this event binds a variable to, if it does."""
    node = event.node
    if event.op != "Eval" or not isinstance(node, dict):
        return None
    terms = node.get("terms")
    if not isinstance(terms, list) or len(terms) != _EQ_TERMS:
        return None
    if path_of(terms[0]) or terms[0].get("value") != [{"type": "var", "value": "eq"}]:
        return None
    left, right = terms[1], terms[2]
    for one, other in ((left, right), (right, left)):
        if one == {"type": "var", "value": internal} and other.get("type") in {"ref", "var"}:
            found: Term = other
            return found
    return None


def _amounts(text: str, currency: str) -> str:
    return re.sub(r"[0-9]+", lambda found: format_amount(int(found[0]), currency), text)


_EQ_TERMS: Final = 3
_ADDED_OR_COMPARED: Final = re.compile(r"(?:[\s()+<>=!-]|[0-9]+)*")
