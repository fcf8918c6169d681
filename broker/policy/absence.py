"""What is missing from a question must not let a call through by making a rule undefined.

Three forms do (measured on the pinned OPA): `not f(input.x)` of an x that is missing does not hold,
a comprehension over something missing is empty, and `input.x != "y"` or `input.x > 5` is undefined.
What the same body states besides (`is_array(input.x)`) is a guard: then the author has decided.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from broker.core.question_schema import question_schema
from broker.policy.syntax import (
    Node,
    arguments,
    called,
    expressions,
    members,
    name_of,
    nodes,
    path_of,
    place,
    rules,
)

_EQUALS: Final = frozenset({"equal", "eq"})
_AT_MOST: Final = frozenset({"lt", "lte"})
_ORDERS: Final = frozenset({"lt", "lte", "gt", "gte"})
_LEFT_OUT: Final = ("input.call.arguments.", "input.facts.")
_COMPREHENSIONS: Final = frozenset(
    {"arraycomprehension", "setcomprehension", "objectcomprehension"}
)
_OF_MANY: Final = frozenset({"count", "sum"})
_STRICT: Final = ("DENY", "HOLD")

Found: TypeAlias = Iterator[tuple[Node, str]]
"""Where, and the sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One rule and what its names may mean.

    Attributes:
        rule: its node.
        uncertain: the first parts of names that may be undefined: `input`, `data`, what the file
            imports, and the package's own rules that have one value or none.
    """

    rule: Node
    uncertain: frozenset[str]


def judged(tree: Node, siblings: list[Node]) -> Iterator[Judged]:
    """The rules of a module, whose package `siblings` (the module too) make up."""
    imported = {
        str(one.get("alias") or one["path"]["value"][-1]["value"])
        for one in tree.get("imports", ())
    }
    own = [rule for sibling in siblings for rule in rules(sibling)]
    always = {name_of(rule) for rule in own if rule.get("default") or _is_partial(rule)}
    uncertain = {"input", "data"} | imported | ({name_of(rule) for rule in own} - always)
    for rule in rules(tree):
        yield Judged(rule=rule, uncertain=frozenset(uncertain))


def negated_calls(one: Judged) -> Found:
    """`not f(input.x)`: where x is missing it does not hold, and neither does the denial."""
    for expression in expressions(one.rule):
        if not expression.get("negated"):
            continue
        stated = _stated(one.rule, expression)
        for missing in _missing(expression, one):
            if missing not in stated:
                yield expression, _NEGATED.format(missing=missing)


def empty_passes(one: Judged) -> Found:
    """`count([… input.x …]) == 0`: where x is missing, all of nothing is well."""
    for expression in expressions(one.rule):
        for suspect, what in _suspects(expression):
            if missing := _over_missing(suspect, expression, one):
                yield expression, _EMPTY.format(missing=missing, what=what)


def unequal_to_missing(one: Judged) -> Found:
    """`input.x != "y"` in a denial: where x is missing, nothing is denied."""
    effect = _strict_effect(one)
    for expression in one.rule["body"] if effect else ():
        if called(expression) != "neq" or expression.get("negated"):
            continue
        stated = _stated(one.rule, expression)
        for term in arguments(expression):
            missing = path_of(term)
            if missing.startswith("input.") and not {missing} & stated and not _is_sure(missing):
                yield expression, _UNEQUAL.format(missing=missing, effect=effect)


def ordered_with_missing(one: Judged) -> Found:
    """`input.x > 5` in a denial: where x is missing, nothing is denied.

    An argument that the tool's schema requires is never missing, which a rule does not say: so this
    is how a rule should read, and no reason to keep a policy out of force.
    """
    effect = _strict_effect(one)
    body = one.rule["body"] if effect else []
    compared = [e for e in body if called(e) in _ORDERS and not e.get("negated")]
    if not compared:
        return
    named = [e for e in body if called(e) == "assign"]
    stated = _stated(one.rule, *compared, *named)
    local = {name: term for name, term in assigned(one.rule).items() if name not in stated}
    for expression in compared:
        for term in arguments(expression):
            for missing in _weighed(term, local):
                if missing.startswith(_LEFT_OUT) and missing not in stated:
                    yield expression, _ORDERED.format(missing=missing, effect=effect)


_NEGATED: Final = (
    "where {missing} is missing, this does not hold: negate a helper rule that states the positive"
)
_EMPTY: Final = (
    "where {missing} is missing, the comprehension is empty and {what}: state that it is there"
)
_UNEQUAL: Final = (
    "where {missing} is missing, this {effect} is skipped: negate a helper rule that states what "
    "is equal"
)
_ORDERED: Final = (
    "where {missing} is missing, this {effect} is skipped: negate a helper rule that states what "
    "may run, such as `not _small`"
)


def _strict_effect(one: Judged) -> str:
    """DENY or HOLD, of a rule that contributes such a verdict; else nothing."""
    effect = members(one.rule["head"].get("key") or {}).get("effect", {}).get("value")
    return str(effect) if effect in _STRICT else ""


def _weighed(term: Node, local: dict[str, Node]) -> Iterator[str]:
    """The paths that a compared term cannot do without, through the rule's own names."""
    if term.get("type") == "call":
        for part in arguments(term):
            yield from _weighed(part, local)
    elif term.get("type") == "var":
        if (value := local.get(path_of(term))) is not None:
            yield from _weighed(value, {})
    elif term.get("type") == "ref":
        yield path_of(term)


def _is_partial(rule: Node) -> bool:
    head = rule["head"]
    return "key" in head or len(head.get("ref", ())) > 1


def _missing(expression: Node, one: Judged) -> Iterator[str]:
    """What a negated expression needs to be there to be anything at all."""
    terms = expression["terms"]
    operator = called(expression)
    if operator in _EQUALS:  # OPA 1.22: `not input.x == "y"` holds where x is missing
        needed = [term for term in arguments(expression) if term.get("type") == "call"]
    elif operator:
        needed = arguments(expression)
    elif isinstance(terms, dict) and terms.get("type") == "ref":
        needed = [part for part in terms["value"][1:] if part.get("type") in {"ref", "call"}]
    else:
        return
    for term in needed:
        yield from _uncertain(term, one)


def _uncertain(part: Any, one: Judged) -> Iterator[str]:
    """The names within a part that may be undefined, as they are written."""
    for node in _operands(part):
        path = path_of(node)
        if path.partition(".")[0] not in one.uncertain:
            continue
        if node["type"] == "ref" or path not in {"input", "data"}:
            yield _written(node)


def _operands(part: Any) -> Iterator[Node]:
    """Every term within, but for what is called and for the parts of references."""
    if isinstance(part, list):
        for item in part:
            yield from _operands(item)
    elif isinstance(part, dict):
        if isinstance(part.get("terms"), list):
            yield from _operands(part["terms"][1:])
        elif part.get("type") == "call":
            yield from _operands(part["value"][1:])
        elif part.get("type") == "ref":
            yield part
            yield from _operands([key for key in part["value"][1:] if key.get("type") != "string"])
        elif part.get("type") == "var":
            yield part
        else:
            for name, below in part.items():
                if name != "location":
                    yield from _operands(below)


def _suspects(expression: Node) -> Iterator[tuple[Node, str]]:
    """Terms of which it is told here that none is enough."""
    terms = expression["terms"]
    if isinstance(terms, dict) and "domain" in terms:
        yield terms["domain"], "`every` holds"
    elif called(expression) in _AT_MOST | _EQUALS and not expression.get("negated"):
        left, right = arguments(expression)[:2]
        if called(expression) in _AT_MOST or _is_nothing(right):
            yield left, "this holds"
        elif _is_nothing(left):
            yield right, "this holds"


def _over_missing(term: Node, expression: Node, one: Judged) -> str:
    """What a comprehension ranges over that may be missing, nowhere stated; or nothing."""
    if term.get("type") == "call" and called(term) in _OF_MANY:
        return _over_missing(arguments(term)[0], expression, one)
    if term.get("type") == "var":
        term = assigned(one.rule).get(str(term["value"]), {})
        if term.get("type") == "var":
            return ""
    if term.get("type") not in _COMPREHENSIONS:
        return ""
    stated = _stated(one.rule, expression)
    unsure = (name for name in _uncertain(term["value"], one) if name not in stated)
    return next((name for name in unsure if not _is_sure(name)), "")


def _is_nothing(term: Node) -> bool:
    if term.get("type") == "number":
        return bool(term["value"] == 0)
    if term.get("type") in {"array", "set", "object"}:
        return not term["value"]
    return _written(term) == "set()"


def assigned(rule: Node) -> dict[str, Node]:
    """A rule's local names, and the terms that they stand for."""
    found: dict[str, Node] = {}
    for expression in expressions(rule):
        if called(expression) in {"assign", "eq"}:
            name, value = arguments(expression)[:2]
            if name.get("type") == "var":
                found[str(name["value"])] = value
    return found


def _stated(rule: Node, *apart: Node) -> set[str]:
    """What must be there for the bodies around an expression to hold, it and some others aside."""
    named: set[str] = set()
    for body in _around(rule["body"], apart[0]) or [rule["body"]]:
        for expression in body:
            if any(expression is one for one in apart) or expression.get("negated"):
                continue
            for name in _needed(expression["terms"]):
                parts = name.split(".")
                named |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
    return named


def _needed(part: Any) -> Iterator[str]:
    """The names that an expression cannot do without: not those within a comprehension."""
    if isinstance(part, list):
        for item in part:
            yield from _needed(item)
    elif isinstance(part, dict) and part.get("type") not in _COMPREHENSIONS:
        if part.get("type") in {"ref", "var"}:
            yield _written(part)
        for name, below in part.items():
            if name not in {"location", "body"}:
                yield from _needed(below)


def _around(body: list[Node], target: Node) -> list[list[Node]]:
    """The bodies that an expression stands in, outermost first."""
    for expression in body:
        if expression is target:
            return [body]
        for node in nodes(expression["terms"]):
            if isinstance(node.get("body"), list) and (found := _around(node["body"], target)):
                return [body, *found]
    return []


def _is_sure(name: str) -> bool:
    """Whether every question has it: each step is required of an object that names its members."""
    first, *steps = name.split(".")
    schema: Any = question_schema()
    if first != "input":
        return False
    for step in steps:
        if not isinstance(schema, dict) or step not in schema.get("required", ()):
            return False
        schema = schema["properties"][step]
    return True


def _written(node: Node) -> str:
    return " ".join(place(node).text.split())
