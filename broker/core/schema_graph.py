"""Where in a JSON Schema a schema stands, and what one check of it may cost.

`{"enum": [{"$ref": "…"}]}` holds no reference and `{"properties": {"$ref": {}}}` declares a
property of that name, so a schema is walked by what its keywords mean (JSON Schema 2020-12 Core,
§10 and §11), along its local references, and without recursion: it comes from outside.
"""

import graphlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import unquote

from broker.core.arguments import JsonValue
from broker.core.pointers import MISSING, Pointer


@dataclass(frozen=True, slots=True)
class SchemaGraph:
    """Every subschema of a schema, by JSON Pointer, and which of them a check goes on to.

    Attributes:
        places: the subschemas that are objects; `true` and `false` need no looking after.
        here: for each, those that look at the same value next (`allOf`, `$ref`, …).
        apart: those that look at a part each, no two at the same (`properties`, `prefixItems`).
        below: those that look at parts, perhaps at the same ones (`items`, `contains`, …).
        is_whole: false where a reference or base URI leads to where this graph does not follow.
    """

    places: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    here: dict[str, list[str]] = field(default_factory=dict)
    apart: dict[str, list[str]] = field(default_factory=dict)
    below: dict[str, list[str]] = field(default_factory=dict)
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """How many subschemas may come to look at one value, the same one as often as it does.

    Attributes:
        at_once: on behalf of a single subschema that looks at it.
        in_all: on behalf of the whole schema; None if it grows with a value's depth or is unknown.
    """

    at_once: int
    in_all: int | None


def graph(schema: dict[str, JsonValue]) -> SchemaGraph:
    """Walk a schema, of which nothing but that it is finite JSON need hold."""
    walked = SchemaGraph()
    anchors: dict[str, str] = {}
    waiting: list[tuple[Pointer, JsonValue]] = [(Pointer(), schema)]
    is_whole = True
    while waiting:
        _visit_all(waiting, walked, anchors)
        # A reference may lead to where no keyword does: look there too, with all anchors known.
        for place, target in _references(walked.places):
            pointer = _target(target, anchors)
            value = pointer.resolve(schema) if pointer else MISSING
            if pointer is None or not isinstance(value, dict):
                is_whole = is_whole and isinstance(value, bool)
            elif str(pointer) not in walked.here[place]:
                walked.here[place].append(str(pointer))
                waiting += [] if str(pointer) in walked.places else [(pointer, value)]
    moves_base = any("$id" in subschema for place, subschema in walked.places.items() if place)
    return replace(walked, is_whole=is_whole and not moves_base)


def cost(walked: SchemaGraph) -> Cost | None:
    """Bound the work of a check; None if some subschema leads back to itself on the same value."""
    try:
        at_once = _visits_at_once(walked)
    except graphlib.CycleError:
        return None
    try:
        in_all = _visits_in_all(walked, at_once) if walked.is_whole else None
    except graphlib.CycleError:
        in_all = None
    return Cost(at_once=max(at_once.values()), in_all=in_all)


def has_at_most(value: object, nodes_max: int) -> bool:
    """Count the values in a value, an array or object as one; holding itself is too many."""
    waiting = [value]
    for _ in range(nodes_max):
        if not waiting:
            return True
        following = waiting.pop()
        if isinstance(following, dict):
            waiting += following.values()
        elif isinstance(following, list):
            waiting += following
    return not waiting


def is_within_depth(value: object, depth_max: int) -> bool:
    """Whether arrays and objects lie at most so deep inside each other; `[]` has depth 1."""
    level = [value]
    for _ in range(depth_max + 1):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


_HERE_ONE: Final = ("not", "if", "then", "else")
_HERE_MANY: Final = ("allOf", "anyOf", "oneOf")
_HERE_NAMED: Final = ("dependentSchemas",)
_BELOW_ONE: Final = (
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BELOW_NAMED: Final = ("patternProperties",)
_APART_MANY: Final = ("prefixItems",)
_APART_NAMED: Final = ("properties",)
_ASIDE_ONE: Final = ("contentSchema",)
_ASIDE_NAMED: Final = ("$defs", "definitions")


def _visit_all(
    waiting: list[tuple[Pointer, JsonValue]], walked: SchemaGraph, anchors: dict[str, str]
) -> None:
    while waiting:
        pointer, subschema = waiting.pop()
        name = str(pointer)
        if not isinstance(subschema, dict) or name in walked.places:
            continue
        here = list(_children(pointer, subschema, _HERE_ONE, _HERE_MANY, _HERE_NAMED))
        apart = list(_children(pointer, subschema, (), _APART_MANY, _APART_NAMED))
        below = list(_children(pointer, subschema, _BELOW_ONE, (), _BELOW_NAMED))
        aside = list(_children(pointer, subschema, _ASIDE_ONE, (), _ASIDE_NAMED))
        waiting += reversed([*here, *apart, *below, *aside])  # so that places are in reading order
        walked.places[name] = subschema
        walked.here[name] = [str(child) for child, _ in here]
        walked.apart[name] = [str(child) for child, _ in apart]
        walked.below[name] = [str(child) for child, _ in below]
        for keyword in ("$anchor", "$dynamicAnchor"):
            anchor = subschema.get(keyword)
            if isinstance(anchor, str):
                anchors.setdefault(anchor, name)


def _children(
    pointer: Pointer,
    subschema: dict[str, JsonValue],
    one: tuple[str, ...],
    many: tuple[str, ...],
    named: tuple[str, ...],
) -> Iterator[tuple[Pointer, dict[str, JsonValue]]]:
    for keyword in one:
        child = subschema.get(keyword)
        if isinstance(child, dict):
            yield pointer / keyword, child
    for keyword in many:
        children = subschema.get(keyword)
        for index, child in enumerate(children if isinstance(children, list) else []):
            if isinstance(child, dict):
                yield pointer / keyword / index, child
    for keyword in named:
        children = subschema.get(keyword)
        for name, child in children.items() if isinstance(children, dict) else ():
            if isinstance(child, dict):
                yield pointer / keyword / name, child


def _references(places: dict[str, dict[str, JsonValue]]) -> Iterator[tuple[str, str]]:
    for place, subschema in places.items():
        for keyword in ("$ref", "$dynamicRef"):
            target = subschema.get(keyword)
            if isinstance(target, str):
                yield place, target


def _target(reference: str, anchors: dict[str, str]) -> Pointer | None:
    """Where in this document a `$ref` leads; None if elsewhere, or nowhere."""
    if not reference.startswith("#"):
        return None
    fragment = unquote(reference[1:])
    try:
        return Pointer.parse(anchors.get(fragment, fragment))
    except ValueError:
        return None


def _visits_at_once(walked: SchemaGraph) -> dict[str, int]:
    """Count, for each place, it and all that look at the same value because it does.

    Raises:
        graphlib.CycleError: it would look at that value again itself.
    """
    visits: dict[str, int] = {}
    for place in graphlib.TopologicalSorter(walked.here).static_order():
        visits[place] = 1 + sum(visits[after] for after in walked.here[place])
    return visits


def _visits_in_all(walked: SchemaGraph, at_once: dict[str, int]) -> int:
    """Bound how many look at any one value, be it the whole or a part however deep.

    Raises:
        graphlib.CycleError: the schema is recursive.
    """
    edges = {
        place: [*walked.here[place], *walked.apart[place], *walked.below[place]]
        for place in walked.places
    }
    on_part: dict[str, int] = {}  # on any one part, because of one look at the value it is of
    most: dict[str, int] = {}
    for place in graphlib.TopologicalSorter(edges).static_order():
        on_part[place] = (
            max((most[after] for after in walked.apart[place]), default=0)
            + sum(most[after] for after in walked.below[place])
            + sum(on_part[after] for after in walked.here[place])
        )
        most[place] = max(at_once[place], on_part[place])
    return most[""]
