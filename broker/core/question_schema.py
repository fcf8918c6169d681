"""The shape of a policy input, and the one that asks for nothing.

This is the source of `policies/schemas/input.json`; a test compares the two. It keeps to the JSON
Schema that OPA's type checker understands: one type each, and members of any name only in objects
that name none. Objects that name theirs are closed, so that a misspelt path in a rule is an error.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from broker.core.arguments import JsonValue

_Schema: TypeAlias = dict[str, JsonValue]

QUESTION_VERSION: Final = 1
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

EXAMPLE: Final[_Schema] = {
    "version": QUESTION_VERSION,
    "call": {
        "tool": "example",
        "tool_revision": f"sha256:{'0' * 64}",
        "digest": f"sha256:{'0' * 64}",
        "arguments": {},
    },
    "tool": {
        "runner": "worker",
        "scopes": [],
        "behaviour": {
            "read_only": False,
            "destructive": True,
            "idempotent": False,
            "open_world": True,
        },
        "targets": [],
        "payload": [],
        "bound": [],
        "output": {"trust": "untrusted", "sensitivity": "none"},
    },
    "principal": {"id": "example", "groups": [], "attributes": {}, "assurance": ""},
    "agent": {"id": "example", "owner": "example", "attributes": {}},
    "session": {
        "id": "sessions/example",
        "words": [],
        "context": "open",
        "labels": [],
        "opened_at": "2000-01-03T00:00:00.000Z",
    },
    "scopes": {"required": [], "effective": []},
    "facts": {},
    "usage": {},
    "artefacts": {},
    "provenance": {},
    "history": {},
    "reached": {},
    "time": {"now": "2000-01-03T00:00:00.000Z", "weekday": "Monday", "zone": "UTC"},
}
"""A question that asks for nothing: what engines are warmed with and rules' cases are laid over."""


def question_schema(
    *, facts: Iterable[str] = (), counters: Iterable[str] = ()
) -> dict[str, JsonValue]:
    """The JSON Schema (2020-12) of a policy input.

    Args:
        facts: the facts that any tool declares. Where there are some, a rule may name these alone.
        counters: likewise, the counters.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy input",
        "description": "Everything that a rule may weigh about one call.",
        **_closed(
            {
                **_WHO_AND_WHAT,
                "scopes": _closed({"required": _TEXTS, "effective": _TEXTS}),
                "facts": _named(facts, _FACT),
                "usage": _named(counters, _USAGE),
                "artefacts": _members(_ARTEFACT),
                "provenance": _members(_ORIGIN),
                "history": _members(_members(_PAST)),
                "reached": _members(_members(_PAST)),
                "time": _closed(
                    {
                        "now": _INSTANT,
                        "weekday": {"type": "string", "enum": [*WEEKDAYS]},
                        "zone": _TEXT,
                    }
                ),
            }
        ),
    }


def _closed(properties: _Schema, *, optional: Iterable[str] = ()) -> _Schema:
    required: list[JsonValue] = [name for name in properties if name not in set(optional)]
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _members(schema: JsonValue) -> _Schema:
    return {"type": "object", "additionalProperties": schema}


def _named(names: Iterable[str], schema: _Schema) -> _Schema:
    known = sorted(set(names))
    if not known:
        return _members(schema)
    return _closed(dict.fromkeys(known, schema), optional=known)


_TEXT: Final[_Schema] = {"type": "string"}
_TEXTS: Final[_Schema] = {"type": "array", "items": _TEXT}
_FLAG: Final[_Schema] = {"type": "boolean"}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}
_ANYTHING: Final[_Schema] = {"type": "object", "additionalProperties": True}
_DIGEST: Final[_Schema] = {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"}
_INSTANT: Final[_Schema] = {
    "type": "string",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{3}Z$",
}
_FACT: Final = _closed(
    {"source": _TEXT, "value": {}, "error": _TEXT, "absent": _FLAG},
    optional=("value", "error", "absent"),
)
_USAGE: Final = _closed({"used": _COUNT, "limit": _COUNT, "window_s": _COUNT})
_ARTEFACT: Final = _closed(
    {
        "size": _COUNT,
        "sha256": _DIGEST,
        "trust": _TEXT,
        "sensitivity": _TEXT,
        "made_by": _TEXT,
    }
)
_ORIGIN: Final = _closed(
    {
        "source": _TEXT,
        "from": _TEXTS,
        "carries": _TEXT,
        "approved": _TEXT,
        "characters": _COUNT,
        "asked": {"type": "boolean"},
    },
    optional=("asked",),  # of inputs that older brokers wrote down
)
_PAST: Final = _closed({"count": _COUNT, "first": _INSTANT, "last": _INSTANT})
_WHO_AND_WHAT: Final[_Schema] = {
    "version": {"type": "integer", "const": QUESTION_VERSION},
    "call": _closed(
        {"tool": _TEXT, "tool_revision": _DIGEST, "digest": _DIGEST, "arguments": _ANYTHING}
    ),
    "tool": _closed(
        {
            "runner": _TEXT,
            "sandbox": _closed({"profile": _TEXT}),
            "scopes": _TEXTS,
            "behaviour": _closed(
                dict.fromkeys(("read_only", "destructive", "idempotent", "open_world"), _FLAG)
            ),
            "targets": _TEXTS,
            "payload": _TEXTS,
            "bound": _TEXTS,
            "output": _closed({"trust": _TEXT, "sensitivity": _TEXT}),
        },
        optional=("sandbox",),
    ),
    "principal": _closed(
        {"id": _TEXT, "groups": _TEXTS, "attributes": _ANYTHING, "assurance": _TEXT}
    ),
    "agent": _closed({"id": _TEXT, "owner": _TEXT, "attributes": _ANYTHING}),
    "session": _closed(
        {
            "id": _TEXT,
            "words": _TEXTS,
            "context": _TEXT,
            "labels": _TEXTS,
            "opened_at": _INSTANT,
        }
    ),
}
