"""Follows a verdict back to the expressions that decided it.

A rule that applies does so by all of its expressions; one that does not, by the expression that
failed last. `not` turns from the one to the other, and a name of a rule leads on to that rule.
What is met on the way that compares nothing (a binding, a name of a rule) is no condition.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.decision import Verdict
from broker.core.explanation import Condition, Place
from broker.policy.explaining.asking import Asked
from broker.policy.explaining.meaning import Moment, one_line
from broker.policy.explaining.steps import (
    EVERY,
    Account,
    Event,
    Query,
    path_of,
)
from broker.policy.explaining.syntax import Expression, Module, WrittenRule

_DEPTH_MAX: Final = 12
_LEAVES_MAX: Final = 40
_WAYS_MAX: Final = 4
_MEMBER: Final = "internal.member_2"
_BINDINGS: Final = frozenset({"assign", "eq"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """An expression that decided, at the moment when it did."""

    moment: Moment
    expression: Expression
    held: bool

    def condition(self) -> Condition:
        """As it is shown."""
        at = self.expression.at
        return Condition(
            place=Place(file=at.file, line=at.row),
            source=one_line(self.expression.text),
            values=self.moment.shown(self.expression),
            held=self.held,
        )


@dataclass(slots=True, kw_only=True)
class Follower:
    """One question, how it was answered, and the rules that answered it."""

    asked: Asked
    account: Account
    question: Mapping[str, JsonValue]
    documents: Mapping[str, JsonValue]
    modules: dict[str, Module] = field(default_factory=dict)

    def verdict(self, verdict: Verdict) -> tuple[Place | None, list[Leaf]]:
        """Where the rule stands that gave it, and what decided."""
        for query, rule in self._rules_that_say(verdict):
            if query.exits():
                leaves = list(_distinct(self._held(query, 0)))
                if not leaves and query.above is not None:
                    leaves = list(_distinct(self._held(query.above.rule(), 0)))
                return Place(file=rule.at.file, line=rule.at.row), leaves
        return None, []

    def allowing(self, families: Iterable[str]) -> list[Leaf]:
        """What kept rules from allowing that were tried and did not apply."""
        folders = tuple(f"broker/rules/{family}/" for family in families)
        leaves: list[Leaf] = []
        for query in self.account.rules():
            rule = self._written(query)
            tried = query.at.file.startswith(folders) and not query.exits()
            if tried and rule is not None and "ALLOW" in rule.strings:
                leaves += self._failed(query, 0)
        return list(_distinct(leaves))

    def unsaid(self, *, family: str, code: str) -> list[Leaf]:
        """What kept a family's rules from giving this code that were tried and did not apply."""
        leaves: list[Leaf] = []
        for query, _ in self._rules_with(family, code):
            if not query.exits():
                leaves += self._failed(query, 0)
        return list(_distinct(leaves))

    def _rules_that_say(self, verdict: Verdict) -> Iterator[tuple[Query, WrittenRule]]:
        return self._rules_with(verdict.family, verdict.code)

    def _rules_with(self, family: str, code: str) -> Iterator[tuple[Query, WrittenRule]]:
        folder = f"broker/rules/{family}/"
        for query in self.account.rules():
            rule = self._written(query) if query.at.file.startswith(folder) else None
            if rule is not None and code in rule.strings:
                yield query, rule

    def _written(self, query: Query) -> WrittenRule | None:
        return self._module(query.at.file).rule_at(query.at)

    def _module(self, file: str) -> Module:
        if file not in self.modules:
            self.modules[file] = Module(file=file, parsed=self.asked.module(file))
        return self.modules[file]

    def _held(self, query: Query, depth: int) -> Iterator[Leaf]:
        """What made this body hold, of its first way to do so."""
        exits = query.exits()
        if depth > _DEPTH_MAX or not exits:
            return
        by_expression: dict[int, Event] = {}
        for event in query.events:
            if event.op == "Eval":
                by_expression[event.index] = event
        seen: dict[tuple[object, ...], tuple[Event, Expression]] = {}
        for _, event in sorted(by_expression.items()):
            expression = self._module(event.at.file).expression_at(event.at)
            if expression is not None:
                seen[expression.at] = (event, expression)
        for event, expression in seen.values():
            yield from self._held_one(query, event, expression, exits[0], depth)

    def _held_one(
        self, query: Query, event: Event, expression: Expression, end: Event, depth: int
    ) -> Iterator[Leaf]:
        if expression.node.get("negated"):
            path = _single_path(event)
            if path:
                yield from self._failures(path, query, depth + 1)
            else:
                yield self._leaf(query, event, expression, end, held=True)
            return
        path = _single_path(event)
        if path and self._is_rule(path):
            body = next((q for q in self.account.of_rule(path) if q.exits()), None)
            if body is not None:
                yield from self._held(body, depth + 1)
            return
        if not _binds(expression):
            yield self._leaf(query, event, expression, end, held=True)
        if expression.operator == _MEMBER:  # of what a rule gathers: why it is in there
            for path in self._named(query, expression):
                body = next((q for q in self.account.of_rule(path) if q.exits()), None)
                if body is not None:
                    yield from self._held(body, depth + 1)

    def _named(self, query: Query, expression: Expression) -> set[str]:
        """The rules that an expression names, in any part that OPA made of it."""
        found: set[str] = set()
        for event in query.events:
            terms = event.node.get("terms") if event.op == "Eval" else None
            module = self._module(event.at.file)
            if isinstance(terms, list) and module.expression_at(event.at) is expression:
                found |= {self._rule_within(path_of(term)) for term in terms} - {""}
        return found

    def _failed(self, query: Query, depth: int) -> Iterator[Leaf]:
        """What kept this body from holding."""
        if depth > _DEPTH_MAX:
            return
        for event in query.last_failures()[:_WAYS_MAX]:
            expression = self._module(event.at.file).expression_at(event.at)
            if expression is None:
                continue
            found = list(self._failed_one(query, event, expression, depth))
            yield from found or [self._leaf(query, event, expression, event, held=False)]
        if not query.last_failures():
            yield from (leaf for body in _tried(query) for leaf in self._failed(body, depth + 1))

    def _failed_one(
        self, query: Query, event: Event, expression: Expression, depth: int
    ) -> Iterator[Leaf]:
        path = _single_path(event)
        if expression.node.get("negated"):
            for body in self.account.of_rule(path) if path else ():
                yield from self._held(body, depth + 1)
        elif path and self._is_rule(path):
            yield from self._failures(path, query, depth + 1)
        elif isinstance(event.node.get("terms"), dict) and "body" in event.node["terms"]:
            for domain in query.within:
                if domain.kind == EVERY and domain.at[1:] == event.at[1:]:
                    for body in _tried(domain):
                        yield from self._failed(body, depth + 1)
        else:
            for undefined in self._undefined_rules(event):
                yield from self._failures(undefined, query, depth + 1)

    def _undefined_rules(self, event: Event) -> Iterator[str]:
        """Rules that the expression names and that have no value."""
        terms = event.node.get("terms")
        for term in terms if isinstance(terms, list) else [terms]:
            path = self._rule_within(path_of(term))
            if path and all(not body.exits() for body in self.account.of_rule(path)):
                yield path

    def _failures(self, path: str, query: Query, depth: int) -> Iterator[Leaf]:
        """What kept every body of a rule from holding; of a function, those tried from here."""
        bodies = list(self.account.of_rule(path))
        nearest = [body for body in bodies if body.above is not None and _within(body, query)]
        for body in nearest or bodies:
            if not body.exits():
                yield from self._failed(body, depth)

    def _is_rule(self, path: str) -> bool:
        return any(True for _ in self.account.of_rule(path))

    def _rule_within(self, path: str) -> str:
        """The rule that a path leads into, or nothing."""
        names = path.split(".")
        for length in range(len(names), 1, -1):
            if self._is_rule(".".join(names[:length])):
                return ".".join(names[:length])
        return ""

    def _leaf(
        self, query: Query, event: Event, expression: Expression, bound: Event, *, held: bool
    ) -> Leaf:
        return Leaf(
            moment=self._moment(query, _with_bindings(event, bound)),
            expression=expression,
            held=held,
        )

    def _moment(self, query: Query, event: Event) -> Moment:
        return Moment(
            event=event,
            query=query,
            module=self._module(event.at.file),
            question=self.question,
            documents=self.documents,
            money=self.asked.money,
        )


def _with_bindings(event: Event, bound: Event) -> Event:
    """The event with all that was bound when its body ended."""
    return Event(
        event.op, event.query, event.parent, event.at, event.node, bound.raw_locals, bound.names
    )


def _single_path(event: Event) -> str:
    """Of an expression that is nothing but a reference into data, or a call of a function there."""
    terms = event.node.get("terms") if isinstance(event.node, dict) else None
    if isinstance(terms, list):
        return path_of(terms[0])
    return path_of(terms)


def _binds(expression: Expression) -> bool:
    terms = expression.node.get("terms")
    if isinstance(terms, dict) and "symbols" in terms:
        return True
    return expression.operator in _BINDINGS


def _tried(query: Query) -> list[Query]:
    """The bodies within that did not hold."""
    return [body for body in query.within if not body.exits()]


def _within(body: Query, query: Query) -> bool:
    above: Query | None = body
    while above is not None:
        if above is query:
            return True
        above = above.above
    return False


def _distinct(leaves: Iterable[Leaf]) -> Iterator[Leaf]:
    seen: set[tuple[object, ...]] = set()
    for leaf in leaves:
        condition = leaf.condition()
        key = (leaf.expression.at, condition.values, leaf.held)
        if key not in seen:
            seen.add(key)
            yield leaf
        if len(seen) >= _LEAVES_MAX:
            return
