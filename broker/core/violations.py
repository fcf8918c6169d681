"""A failure is worded from the schema's side alone, so that it repeats nothing of the value.

The library's own texts may hold the value, or a hostile property's name; what a reviewer, a log or
a model reads of a failure is said here.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from jsonschema_rs import ValidationError

from broker.core.pointers import Pointer
from broker.core.text import visible, visible_value

VIOLATIONS_MAX: Final = 10
POINTER_CHARACTERS_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class Violation:
    """One way in which a value is not what its schema says.

    Attributes:
        pointer: JSON Pointer to the place, at most `POINTER_CHARACTERS_MAX` long; of a property
            missing or not declared, to that property. Its keys may be the sender's own text, to be
            escaped (`core.text`) before it is shown.
        message: a predicate, such as `is not of type integer`. It comes from the schema alone.
    """

    pointer: str
    message: str


def worded(errors: list[ValidationError]) -> tuple[Violation, ...]:
    """Word failures, each once, at most `VIOLATIONS_MAX` of them."""
    distinct = dict.fromkeys(itertools.chain.from_iterable(map(_worded, errors)))
    return tuple(itertools.islice(distinct, VIOLATIONS_MAX))


# What each keyword says of a value, from what the schema says; `named` is the operator's own text.
_WORDS: Final[dict[str, Callable[[Any], str]]] = {
    "type": lambda types: f"is not of type {' or '.join(sorted(types))}",
    "enum": lambda named: f"is not one of {visible_value(named, characters_max=200)}",
    "const": lambda named: f"is not {visible_value(named, characters_max=200)}",
    "pattern": lambda named: f"does not match {visible(named, characters_max=200)}",
    "format": lambda named: f"is not of format {visible(named, characters_max=40)}",
    "minimum": lambda limit: f"is less than {limit}",
    "exclusiveMinimum": lambda limit: f"is not more than {limit}",
    "maximum": lambda limit: f"is more than {limit}",
    "exclusiveMaximum": lambda limit: f"is not less than {limit}",
    "multipleOf": lambda factor: f"is not a multiple of {factor}",
    "minLength": lambda limit: f"has fewer than {limit} characters",
    "maxLength": lambda limit: f"has more than {limit} characters",
    "minItems": lambda limit: f"has fewer than {limit} items",
    "maxItems": lambda limit: f"has more than {limit} items",
    "minProperties": lambda limit: f"has fewer than {limit} properties",
    "maxProperties": lambda limit: f"has more than {limit} properties",
    "uniqueItems": lambda _: "has the same item twice",
    "contains": lambda _: "does not contain what it must",
    "propertyNames": lambda _: "has a property of a forbidden name",
    "not": lambda _: "is what it must not be",
    "falseSchema": lambda _: "is not allowed here",
    "unevaluatedItems": lambda _: "has items that are not declared",
}


def _worded(error: ValidationError) -> Iterator[Violation]:
    place = Pointer(tuple(map(str, error.instance_path)))
    keyword, detail = error.kind.name, error.kind.value
    if keyword == "required":
        yield _violation(place / detail, "is required")
    elif keyword in ("additionalProperties", "unevaluatedProperties"):
        for name in itertools.islice(detail, VIOLATIONS_MAX):
            yield _violation(place / name, "is not a declared property")
    elif keyword == "falseSchema" and error.schema_path[-1:] == ["additionalProperties"]:
        yield _violation(place, "has a property, and none is declared")
    elif keyword in ("anyOf", "oneOf"):
        yield from _alternatives(place, detail)
    else:
        words = _WORDS.get(keyword)
        yield _violation(place, words(detail) if words else "is not what the schema says")


def _alternatives(place: Pointer, branches: list[list[ValidationError]]) -> Iterator[Violation]:
    """Speak of the branch that was meant, where types tell: of `anyOf: [{…}, {type: "null"}]`."""
    if not all(branches):
        yield _violation(place, "matches several alternatives")
        return
    right_type = [branch for branch in branches if not _is_of_other_type(place, branch)]
    if len(right_type) == 1:
        for error in right_type[0]:
            yield from _worded(error)
    elif right_type:
        yield _violation(place, "matches no alternative")
    else:
        types = {name for branch in branches for name in branch[0].kind.value}
        yield _violation(place, _WORDS["type"](types))


def _is_of_other_type(place: Pointer, branch: list[ValidationError]) -> bool:
    first = branch[0]
    at = tuple(map(str, first.instance_path))
    return len(branch) == 1 and first.kind.name == "type" and at == place.tokens


def _violation(place: Pointer, message: str) -> Violation:
    """A sender can choose a key of a megabyte; the pointer then stops above it."""
    pointer = str(place)
    while len(pointer) > POINTER_CHARACTERS_MAX:
        place = Pointer(place.tokens[:-1])
        pointer = str(place)
        message = "has a part, of a very long name, that is not what the schema says"
    return Violation(pointer, message)
