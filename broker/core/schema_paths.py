"""Whether a schema has a place that a pointer names; where it leaves doubt, the answer is yes.

For checks on what an operator writes, so that a misspelt pointer is told early. Local references
are followed; what combines schemas (`oneOf`, `if`, patterns) is not weighed.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.limits import SCHEMA_DEPTH_MAX
from broker.core.pointers import MISSING, Missing, Pointer

_INDEX: Final = re.compile(r"0|[1-9][0-9]*|-")
_COMBINING: Final = frozenset(
    "allOf anyOf oneOf if then else not patternProperties dependentSchemas contains $ref"  # noqa: SIM905
    " $dynamicRef".split()
)


def declares(schema: JsonValue, pointer: Pointer) -> bool:
    """Whether an instance of the schema may have a value there. False only where it is certain."""
    return not isinstance(described(schema, pointer), Missing)


def described(schema: JsonValue, pointer: Pointer) -> JsonValue | Missing:
    """The schema of that place: True where anything may be there, MISSING where nothing may."""
    here: JsonValue | Missing = _followed(schema, schema)
    for token in pointer.tokens:
        if isinstance(here, Missing):
            return MISSING
        here = _below(here, token)
        if not isinstance(here, Missing):
            here = _followed(here, schema)
    return MISSING if here is False else here


def below(here: JsonValue | Missing, token: str, schema: JsonValue) -> JsonValue | Missing:
    """The schema of a member of the place that `here` describes; of `described`, one step.

    Args:
        here: what `described` gives for the place.
        token: of the member.
        schema: the whole schema.
    """
    if isinstance(here, Missing):
        return MISSING
    member = _below(here, token)
    return member if isinstance(member, Missing) else _followed(member, schema)


def requires(schema: JsonValue, pointer: Pointer) -> bool:
    """Whether every instance has a value there, as far as plain `required` says; doubt is no."""
    for depth, token in enumerate(pointer.tokens):
        here = described(schema, Pointer(pointer.tokens[:depth]))
        if not isinstance(here, dict):
            return False
        required = here.get("required")
        if here.get("type") != "object" or not isinstance(required, list) or token not in required:
            return False
    return True


def _followed(schema: JsonValue, root: JsonValue) -> JsonValue:
    for _ in range(SCHEMA_DEPTH_MAX):
        reference = schema.get("$ref") if isinstance(schema, dict) else None
        if not isinstance(reference, str):
            return schema
        try:
            target = Pointer.parse(reference.removeprefix("#")).resolve(root)
        except ValueError:
            return True
        if isinstance(target, Missing):
            return True
        schema = target
    return True


def _below(schema: JsonValue, token: str) -> JsonValue | Missing:
    if not isinstance(schema, dict) or _is_scalar(schema):
        return True if schema is True else MISSING
    properties = schema.get("properties")
    if isinstance(properties, dict) and token in properties:
        return properties[token]
    if _INDEX.fullmatch(token) and ("items" in schema or "prefixItems" in schema):
        return _element(schema, token)
    if _COMBINING & schema.keys():
        return True
    rest = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    if isinstance(rest, dict):
        return rest
    names_its_own = isinstance(properties, dict) and bool(properties)
    return MISSING if rest is False or (rest is None and names_its_own) else True


def _element(schema: Mapping[str, Any], token: str) -> JsonValue | Missing:
    first = schema.get("prefixItems", [])
    if token.isdigit() and int(token) < len(first):
        element: JsonValue = first[int(token)]
        return element
    items: JsonValue = schema.get("items", True)
    return MISSING if items is False else items


def _is_scalar(schema: Mapping[str, Any]) -> bool:
    named = types_of(schema)
    return bool(named) and not named & {"object", "array"}


def types_of(schema: Mapping[str, Any]) -> set[str]:
    """The types that a schema names; none where it names none."""
    given = schema.get("type", ())
    return {given} if isinstance(given, str) else set(given)
