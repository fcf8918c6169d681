"""Makes mutants of rules: each differs from its rule in one condition, constant or term."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from broker.policy.syntax import (
    Node,
    Place,
    called,
    expressions,
    members,
    name_of,
    nodes,
    place,
    rules,
)

OTHER_OPERATORS = {
    "lt": ("<=", ">="),
    "lte": ("<", ">"),
    "gt": (">=", "<="),
    "gte": (">", "<"),
    "equal": ("!=",),
    "neq": ("==",),
    "plus": ("-",),
    "minus": ("+",),
}
DECLARING = {"assign", "eq"}
UNJUDGED = {"message"}  # read by people; no case says how it is worded
UNJUDGED_RULES = {"tightens_only"}  # what silence means, which a case has no word for: a law is


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change of one file; `key` names it without line numbers."""

    file: str
    key: str
    line: int
    source: bytes

    @property
    def unit(self) -> str:
        """The package whose copy it is: `broker/rules/x` or `lib/x`."""
        return self.file.rpartition("/")[0]


def mutants_of(file: str, source: bytes, tree: Node) -> Iterator[Mutant]:
    """Every mutant of a module."""
    seen: set[bytes] = set()
    for rule in rules(tree):
        if name_of(rule) in UNJUDGED_RULES:
            continue
        for where, text in _changes(rule):
            if (changed := _spliced(source, where, text)) not in seen:
                seen.add(changed)
                key = f"{file.removesuffix('.rego')} {name_of(rule)}: {_one_line(where.text)} -> "
                yield Mutant(file=file, key=key + _one_line(text), line=where.row, source=changed)


def _changes(rule: Node) -> Iterator[tuple[Place, str]]:
    written = [e for e in expressions(rule) if not place(e).text.startswith("else")]
    body = [e for e in rule["body"] if not e.get("generated")]
    if body and body[0] in written:
        yield place(body[0]), "false"
    for expression in written:
        where = place(expression)
        if expression.get("negated"):
            yield where, "true"
            yield where, where.text.removeprefix("not").strip()
            continue
        if called(expression) in DECLARING or _declares(expression):
            continue
        yield where, "true"
        if not called(expression) or called(expression) not in OTHER_OPERATORS:
            yield where, f"not {where.text}"
    for part in (rule["body"], rule["head"]):
        yield from _terms(part)


def _declares(expression: Node) -> bool:
    return isinstance(expression["terms"], dict) and "symbols" in expression["terms"]


def _terms(part: object) -> Iterator[tuple[Place, str]]:
    """Other operators and other constants, wherever they stand."""
    unjudged = {
        id(below)
        for node in nodes(part)
        for name, value in members(node).items()
        if name in UNJUDGED
        for below in nodes(value)
    } | {
        id(name)
        for node in nodes(part)
        if node.get("type") == "object"
        for name, _ in node["value"]
    }
    for node in nodes(part):
        operator = called(node) if "terms" in node or node.get("type") == "call" else ""
        if operator in OTHER_OPERATORS:
            symbol = place((node.get("terms") or node.get("value"))[0])
            for other in OTHER_OPERATORS[operator]:
                yield symbol, other
        if id(node) not in unjudged and (other := _other_constant(node)):
            yield place(node), other


def _other_constant(node: Node) -> str:
    text = place(node).text
    match node.get("type"):
        case "number" if re.fullmatch(r"[0-9]+", text):
            return str(int(text) + 1)
        case "boolean" if text in {"true", "false"}:
            return "false" if text == "true" else "true"
        case "string" if text.startswith('"') and len(text) > 2:
            return f'{text[:-1]}_X"' if text[1].isupper() else f'{text[:-1]}_x"'
        case "string" if text.startswith("`"):
            return f"{text[:-1]}_x`"
    return ""


def _spliced(source: bytes, where: Place, text: str) -> bytes:
    lines = source.split(b"\n")
    start = sum(len(line) + 1 for line in lines[: where.row - 1]) + where.column - 1
    old = where.text.encode()
    assert source[start:].startswith(old), where
    return source[:start] + text.encode() + source[start + len(old) :]


def _one_line(text: str) -> str:
    return " ".join(text.split())
