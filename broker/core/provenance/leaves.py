"""Every value of a call's arguments, with the names that the model chose on the way to it.

A name that the schema does not declare is as much the model's as a value is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.core.arguments import JsonValue
from broker.core.pointers import Missing, Pointer
from broker.core.schema_paths import below, described


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A scalar, or an empty object or array.

    Attributes:
        pointer: JSON Pointer.
        is_enumerated: whether the schema lists what may stand here.
        names: on the way here, that the schema does not declare.
    """

    pointer: str
    value: JsonValue
    is_enumerated: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands here that could be found again."""
        return self.value is None or (isinstance(self.value, str | list | dict) and not self.value)


def leaves_of(arguments: Mapping[str, JsonValue], schema: JsonValue) -> Iterator[Leaf]:
    """All of them, in order.

    Args:
        arguments: of the call.
        schema: of its arguments.
    """
    here = described(schema, Pointer())
    declared = _Declared(schema)
    return _below("", dict(arguments), here, (), schema, declared)


def _below(
    pointer: str,
    value: JsonValue,
    here: JsonValue | Missing,
    names: tuple[str, ...],
    schema: JsonValue,
    declared: "_Declared",
) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for name, member in value.items():
            under = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            place = below(here, name, schema)
            chosen = names if declared.has(here, name) else (*names, name)
            yield from _below(under, member, place, chosen, schema, declared)
    elif isinstance(value, list) and value:
        is_plain = isinstance(here, dict) and "prefixItems" not in here
        place = below(here, "0", schema)
        for index, member in enumerate(value):
            place = place if is_plain else below(here, str(index), schema)
            yield from _below(f"{pointer}/{index}", member, place, names, schema, declared)
    elif pointer:
        is_enumerated = isinstance(here, dict) and ("enum" in here or "const" in here)
        yield Leaf(pointer=pointer, value=value, is_enumerated=is_enumerated, names=names)


class _Declared:
    """Which names of members a schema declares."""

    def __init__(self, schema: JsonValue) -> None:
        self._schema = schema
        self._anywhere: frozenset[str] | None = None

    def has(self, here: JsonValue | Missing, name: str) -> bool:
        """Whether it does at this place, or where it is hard to say, anywhere."""
        properties = here.get("properties") if isinstance(here, dict) else None
        if isinstance(properties, dict) and name in properties:
            return True
        if self._anywhere is None:
            self._anywhere = frozenset(_names(self._schema))
        return name in self._anywhere


def _names(schema: JsonValue) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for member in schema.values():
            yield from _names(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from _names(member)
