"""Rego is judged by OPA's own syntax tree, never by patterns over its text.

The tree is what `opa parse` prints. This module knows its form, so that what looks for traps, for
codes or for conditions need not: which parts are expressions, what a call calls, which path a
reference names, and where in the file each part stands.
"""

import base64
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from broker.policy import opa_command

Node: TypeAlias = dict[str, Any]
"""A part of a tree: a rule, a head, an expression or a term."""

_AT_ONCE: Final = 2
_NOT_PARTS: Final = frozenset({"location", "annotations"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a part stands.

    Attributes:
        row: from 1.
        column: from 1, in bytes.
        text: the part as it is written.
    """

    row: int
    column: int
    text: str


def trees(opa: Path, modules: Mapping[str, bytes]) -> dict[str, Node]:
    """The tree of each module, by its path.

    Raises:
        CommandRefused: one is no Rego.
        PolicyUnavailable: OPA cannot be run.
    """
    with tempfile.TemporaryDirectory(prefix="callbroker-syntax-") as scratch:

        def tree(numbered: tuple[int, bytes]) -> Node:
            number, data = numbered
            file = Path(scratch) / f"{number}.rego"
            file.write_bytes(data)
            return opa_command.syntax(opa, file)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return dict(zip(modules, pool.map(tree, enumerate(modules.values())), strict=True))


def place(node: Node) -> Place:
    """Where a node stands; row 0 where OPA does not say."""
    location = node.get("location") or {}
    return Place(
        row=location.get("row", 0),
        column=location.get("col", 0),
        text=base64.b64decode(location.get("text", "")).decode("utf-8", "replace"),
    )


def nodes(part: Any) -> Iterator[Node]:
    """Every node at and below a part, each before what is below it."""
    if isinstance(part, dict):
        yield part
        for name, below in part.items():
            if name not in _NOT_PARTS:
                yield from nodes(below)
    elif isinstance(part, list):
        for item in part:
            yield from nodes(item)


def rules(tree: Node) -> Iterator[Node]:
    """Every rule of a module; an `else` is one of its own."""
    for rule in tree.get("rules", ()):
        yield rule
        other = rule.get("else")
        while other:
            yield other
            other = other.get("else")


def expressions(rule: Node) -> Iterator[Node]:
    """Every expression that somebody wrote in a rule, those in comprehensions and `every` too."""
    for part in (rule.get("body"), rule.get("head")):
        for node in nodes(part):
            if "terms" in node and not node.get("generated"):
                yield node


def name_of(rule: Node) -> str:
    """The rule's name as it is written, up to the first bracket."""
    head = rule["head"]
    return str(head.get("name") or path_of({"type": "ref", "value": head.get("ref", [])}) or "")


def called(node: Node) -> str:
    """What an expression or a call term calls (`lte`, `internal.member_2`); empty for no call."""
    terms = node["terms"] if "terms" in node else node.get("value")
    if "terms" not in node and node.get("type") != "call":
        return ""
    if not isinstance(terms, list) or not terms:
        return ""
    return path_of(terms[0])


def arguments(node: Node) -> list[Node]:
    """What a call is given."""
    terms = node["terms"] if "terms" in node else node["value"]
    return list(terms[1:])


def path_of(term: Any) -> str:
    """`input.call.tool` for a reference, up to its first part that is no constant."""
    if not isinstance(term, dict):
        return ""
    if term.get("type") == "var":
        return str(term["value"])
    if term.get("type") != "ref":
        return ""
    parts: list[str] = []
    for number, part in enumerate(term["value"]):
        if part.get("type") != ("var" if number == 0 else "string"):
            break
        parts.append(str(part["value"]))
    return ".".join(parts)


def members(term: Node) -> dict[str, Node]:
    """The members of an object term that have constant names."""
    if term.get("type") != "object":
        return {}
    return {
        str(name["value"]): value for name, value in term["value"] if name.get("type") == "string"
    }


def declared_codes(tree: Node) -> dict[str, int]:
    """The codes that a module's verdicts have, with the row of the first of each."""
    found: dict[str, int] = {}
    for node in nodes(tree.get("rules", [])):
        told = members(node)
        code = told.get("code")
        if code is not None and "effect" in told and code.get("type") == "string":
            found.setdefault(str(code["value"]), place(code).row)
    return found


def declared_effects(tree: Node) -> set[str]:
    """The effects that a module's verdicts have."""
    found = (members(node) for node in nodes(tree.get("rules", [])))
    return {
        str(told["effect"]["value"])
        for told in found
        if "code" in told and "effect" in told and told["effect"].get("type") == "string"
    }
