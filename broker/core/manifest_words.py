"""The words that a manifest's schema is written in: closed objects, texts, lists, pointers."""

from collections.abc import Iterable
from typing import Final, TypeAlias

from broker.core.arguments import JsonValue

Schema: TypeAlias = dict[str, JsonValue]

LOCAL_NAME: Final = "^[a-z][a-z0-9_]{0,63}$"


def closed(properties: Schema, *, required: Iterable[str] = (), about: str = "") -> Schema:
    """An object that has these members and no other."""
    return {
        "type": "object",
        **({"description": about} if about else {}),
        "additionalProperties": False,
        "required": [*required],
        "properties": properties,
    }


def named(schema: Schema, *, at_most: int) -> Schema:
    """An object whose members' names are the author's own."""
    return {
        "type": "object",
        "description": str(schema.get("description", "")),
        "maxProperties": at_most,
        "propertyNames": {"pattern": LOCAL_NAME},
        "additionalProperties": schema,
    }


def text(about: str, characters_max: int, **more: JsonValue) -> Schema:
    """A text that is not empty."""
    return {
        "type": "string",
        "description": about,
        "minLength": 1,
        "maxLength": characters_max,
        **more,
    }


def flag(about: str, *, default: bool) -> Schema:
    """True or false."""
    return {"type": "boolean", "description": about, "default": default}


def deadline(about: str, most: float) -> Schema:
    """Seconds, more than none."""
    return {"type": "number", "description": about, "exclusiveMinimum": 0, "maximum": most}


def list_of(items: Schema, about: str, *, at_most: int, **more: JsonValue) -> Schema:
    """An array in which nothing comes twice."""
    return {
        "type": "array",
        "description": about,
        "items": items,
        "maxItems": at_most,
        "uniqueItems": True,
        **more,
    }


POINTER: Final = text(
    "JSON Pointer (RFC 6901) into the arguments, such as /order_id.", 500, pattern="^/"
)
