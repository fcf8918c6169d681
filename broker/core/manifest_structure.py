"""A manifest's structure is checked by its schema, and each misfit is told so as to be mended."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jsonschema_rs

from broker.core.arguments import JsonValue
from broker.core.manifest_schema import manifest_schema
from broker.core.pointers import Missing, Pointer
from broker.core.sandbox_section import image_finding

FINDINGS_MAX: Final = 50

_SCHEMA: Final = manifest_schema()
_VALIDATOR: Final = jsonschema_rs.Draft202012Validator(_SCHEMA)


def findings(document: Mapping[str, JsonValue]) -> tuple[str, ...]:
    """What is missing, misspelt or of the wrong type; at most 50, empty where nothing is."""
    found: list[str] = []
    for error in _VALIDATOR.iter_errors(dict(document)):
        found.extend(_told(error))
        if len(found) >= FINDINGS_MAX:
            break
    return tuple(found[:FINDINGS_MAX])


def _told(error: jsonschema_rs.ValidationError) -> list[str]:
    at = str(Pointer(tuple(str(token) for token in error.instance_path)))
    details: Mapping[str, Any] = error.kind.as_dict()
    match error.kind.name:
        case "additionalProperties":
            known = _known(error.schema_path)
            return [f"{at}/{name}: {_unknown(name, known)}" for name in details["unexpected"]]
        case "required":
            return [f"{at}: add {details['property']}"]
        case "oneOf":
            return [f"{at}: {_one_of(error.schema_path)}"]
        case "pattern" if at == "/sandbox/image":
            return [f"{at}: {image_finding(error.instance)}"]
        case "propertyNames":
            return [f"{at}: a name in it does not have the form that it needs"]
        case _:
            return [f"{at}: {error.message}"]


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]}?" if close else ""
    return f"no such key{meant} There are {', '.join(known)}"


def _known(schema_path: Sequence[str | int]) -> list[str]:
    parent = Pointer(tuple(str(token) for token in schema_path[:-1])).resolve(_SCHEMA)
    if isinstance(parent, Missing) or not isinstance(parent, dict):
        return []
    properties = parent.get("properties")
    return list(properties) if isinstance(properties, dict) else []


def _one_of(schema_path: Sequence[str | int]) -> str:
    if "limits" in schema_path:
        return "give either calls, or sum with maximum"
    if "exclusive" in schema_path:
        return "write a pointer such as /order_id, or {as: order, value: /order_id}"
    return "give one of sql and url"
