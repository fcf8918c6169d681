"""Finds in a module what an account's places mean: the expression, its text and its parts.

The account speaks of rewritten expressions and gives places only; the module has what the author
wrote. A place belongs to the last expression of its body that begins at or before it.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from broker.policy.explaining.steps import At

Term = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """One expression of a body, as it is written."""

    at: At
    text: str
    node: Mapping[str, Any]

    @property
    def operator(self) -> str:
        """`equal`, `lte`, `internal.member_2`, …; empty where it is no call."""
        terms = self.node.get("terms")
        return _dotted(terms[0]) if isinstance(terms, list) and terms else ""

    @property
    def operands(self) -> Sequence[Term]:
        """What the operator is applied to; of no call, the term itself."""
        terms = self.node.get("terms")
        if isinstance(terms, list):
            return terms[1:]
        return [terms] if isinstance(terms, dict) and "type" in terms else []


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRule:
    """A rule: its head's place, all string constants in it, and its node."""

    at: At
    strings: frozenset[str]
    node: Mapping[str, Any]


@dataclass(kw_only=True)
class Module:
    """A parsed file of the bundle.

    Attributes:
        imports: the path (`data.lib.shop`) that each imported name stands for.
    """

    file: str
    parsed: Mapping[str, Any]
    imports: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for imported in self.parsed.get("imports") or ():
            path = _dotted(imported["path"])
            self.imports[str(imported.get("alias") or path.rpartition(".")[2])] = path

    @property
    def package(self) -> str:
        """`broker.rules.mail`."""
        return ".".join(self.file.split("/")[:-1])

    @cached_property
    def rules(self) -> tuple[WrittenRule, ...]:
        """In the order of the file; the `else` of a rule is one of its own."""
        found = []
        for rule in self.parsed.get("rules") or ():
            node = rule
            while node:
                found.append(
                    WrittenRule(
                        at=_at(node, self.file), strings=frozenset(_strings(node)), node=node
                    )
                )
                node = node.get("else")
        return tuple(found)

    @cached_property
    def _bodies(self) -> tuple[tuple[Expression, ...], ...]:
        return tuple(
            tuple(_expression(node, self.file) for node in body) for body in _bodies(self.parsed)
        )

    @cached_property
    def rule_names(self) -> frozenset[str]:
        """The first names of the rules that the file has."""
        return frozenset(
            str((rule.node["head"].get("ref") or [{}])[0].get("value") or rule.node["head"]["name"])
            for rule in self.rules
            if "head" in rule.node
        )

    def rule_at(self, at: At) -> WrittenRule | None:
        """The rule whose head is here."""
        return next((rule for rule in self.rules if rule.at[1:] == at[1:]), None)

    def expression_at(self, at: At) -> Expression | None:
        """The innermost expression that this place belongs to."""
        best: Expression | None = None
        for body in self._bodies:
            for expression in body:
                if _covers(expression, at) and (best is None or expression.at >= best.at):
                    best = expression
        return best


def text_of(term: Mapping[str, Any]) -> str:
    """What the author wrote; empty where nobody did."""
    encoded = (term.get("location") or {}).get("text", "")
    return base64.b64decode(encoded).decode("utf-8", "replace")


def references(node: object) -> Iterator[Term]:
    """The outermost references and variables of a node, operators left out."""
    if isinstance(node, list):
        for part in node:
            yield from references(part)
    elif isinstance(node, Mapping):
        if node.get("type") in {"ref", "var"}:
            yield node
        elif node.get("type") == "call":
            yield from references(node["value"][1:])
        elif isinstance(node.get("terms"), list):
            yield from references(node["terms"][1:])
        else:
            yield from references([part for name, part in node.items() if name != "location"])


def place_of(term: Mapping[str, Any], file: str) -> At:
    """Where a term stands."""
    return _at(term, file)


def _covers(expression: Expression, at: At) -> bool:
    begin = expression.at
    lines = expression.text.split("\n")
    last_row = begin.row + len(lines) - 1
    last_column = len(lines[-1]) + (begin.column if len(lines) == 1 else 1)
    return (begin.row, begin.column) <= (at.row, at.column) <= (last_row, last_column)


def _expression(node: Mapping[str, Any], file: str) -> Expression:
    return Expression(at=_at(node, file), text=text_of(node), node=node)


def _bodies(node: object) -> Iterator[list[Mapping[str, Any]]]:
    """Every body of a module, outer ones first."""
    if isinstance(node, list):
        for part in node:
            yield from _bodies(part)
    elif isinstance(node, dict):
        body = node.get("body")
        if isinstance(body, list):
            yield body
        for part in node.values():
            yield from _bodies(part)


def _strings(node: object) -> Iterator[str]:
    if isinstance(node, list):
        for part in node:
            yield from _strings(part)
    elif isinstance(node, dict):
        if node.get("type") == "string" and isinstance(node.get("value"), str):
            yield node["value"]
        for name, part in node.items():
            if name not in {"location", "else", "annotations"}:
                yield from _strings(part)


def _at(node: Mapping[str, Any], file: str) -> At:
    place = node.get("location") or {}
    return At(file, place.get("row", 0), place.get("col", 0))


def _dotted(term: Term) -> str:
    value = term.get("value")
    if isinstance(value, list):
        return ".".join(str(part.get("value", "")) for part in value)
    return str(value)


def operator_of(term: Term) -> str:
    """`minus` of a call; empty for any other term."""
    return _dotted(term["value"][0]) if term.get("type") == "call" else ""


def parts_of(term: Term) -> Sequence[Term]:
    """What a call is applied to; nothing for any other term."""
    parts: Sequence[Term] = term["value"][1:] if term.get("type") == "call" else ()
    return parts
