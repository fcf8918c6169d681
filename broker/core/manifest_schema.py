"""The structure of a manifest; every key that a manifest may have is here and nowhere else.

This is the source of `policies/schemas/manifest.json`, which editors complete manifests with; a
test compares the two. What a schema cannot say (that a reference resolves, that a statement only
reads) is in `manifest_checks`.
"""

from typing import Final

from broker.core.limits import (
    COUNTERS_MAX,
    EXCLUSIVE_KEYS_MAX,
    FACT_DEADLINE_S_MAX,
    FACT_ITEMS_MAX,
    FACT_ROWS_MAX,
    FACTS_MAX,
    INTEGER_MAX,
    NAME_CHARACTERS_MAX,
    PREVIEW_DEADLINE_S_MAX,
    SCOPES_MAX,
    STORES_MAX,
    TOOL_DEADLINE_S_MAX,
)
from broker.core.manifest_words import (
    LOCAL_NAME,
    POINTER,
    Schema,
    closed,
    deadline,
    flag,
    list_of,
    named,
    text,
)
from broker.core.reconcile_section import RECONCILE_SECTION
from broker.core.sandbox_section import SANDBOX_SECTION

TOOL_NAME: Final = "^[a-z][a-z0-9_.-]{0,63}$"
WINDOW_S_MAX: Final = 366 * 86_400
RUNNERS: Final = ("worker", "sandbox", "http", "mcp", "caller")


def manifest_schema() -> Schema:
    """The JSON Schema (2020-12) of a tool manifest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tool manifest",
        "description": "What a tool is, who may use it, and what bounds it whatever policy says.",
        **closed(
            {
                **_PRESENTATION,
                **_SCHEMAS,
                **_NATURE,
                "facts": named(_FACT, at_most=FACTS_MAX),
                "scopes": _SCOPES,
                "limits": named(_LIMIT, at_most=COUNTERS_MAX),
                "exclusive": _EXCLUSIVE,
                **_EXECUTION,
                "review": _REVIEW,
                "reconcile": RECONCILE_SECTION,
            },
            required=("name", "description", "summary", "arguments", "scopes"),
        ),
    }


_REFERENCE: Final = text(
    "/x into the arguments, fact#/x into a fact; principal#/, session#/ and agent#/ likewise.",
    500,
    pattern="^(?:[a-z][a-z0-9_]{0,63}#)?(?:/.*)?$",
)
_PAIRS: Final[Schema] = {
    "type": "object",
    "maxProperties": 50,
    "propertyNames": _REFERENCE,
    "additionalProperties": _REFERENCE,
}
_PRESENTATION: Final[Schema] = {
    "name": text("What agents and rules call the tool.", 64, pattern=TOOL_NAME),
    "description": text("What the tool does; the model reads this.", 4_000),
    "summary": text(
        "One line for people; {/x} and {fact#/x} are filled in, {{ and }} are braces.", 500
    ),
}
_SCHEMAS: Final[Schema] = {
    "arguments": {
        "type": "object",
        "description": "JSON Schema 2020-12 of the arguments: an object closed at its root.",
    },
    "result": {
        "type": ["object", "boolean"],
        "description": "JSON Schema 2020-12 of the result; one that does not fit is withheld.",
    },
}
_STORE: Final = text("A store's name.", 64, pattern=LOCAL_NAME)
_NATURE: Final[Schema] = {
    "output": closed(
        {
            "trust": {
                "enum": ["trusted", "untrusted"],
                "default": "untrusted",
                "description": "untrusted: somebody else may have written what comes back.",
            },
            "sensitivity": {
                "enum": ["none", "personal", "secret"],
                "default": "secret",
                "description": "The worst that a result may hold.",
            },
        },
        about="What a result may carry.",
    ),
    "stores": closed(
        {
            "reads": list_of(_STORE, "Stores that a result can come from.", at_most=STORES_MAX),
            "writes": list_of(_STORE, "Stores that a call can change.", at_most=STORES_MAX),
        },
        about="Names of one's own, such as orders or wiki, that tools share. What is read from a "
        "store that any tool writes is untrusted, whatever output says.",
    ),
    "behaviour": closed(
        {
            "read_only": flag("It changes nothing anywhere.", default=False),
            "destructive": flag("What it changes may be lost.", default=True),
            "idempotent": flag(
                "Twice with one idempotency key is as once; it may be tried again.", default=False
            ),
            "open_world": flag(
                "It reaches beyond the operator's own systems, or people outside.", default=True
            ),
        },
        about="What the operator says of it; what is left out is assumed at its worst.",
    ),
    "targets": list_of(POINTER, "Arguments that say who or what is reached.", at_most=50),
    "payload": list_of(POINTER, "Arguments that say what is carried there.", at_most=50),
}
_FACT: Final[Schema] = {
    **closed(
        {
            "source": text(
                "A system of record that the configuration names; opened read-only.",
                64,
                pattern=LOCAL_NAME,
            ),
            "sql": text("One SELECT, or WITH ... SELECT; values only as :parameters.", 10_000),
            "url": text("HTTP GET; {name} is a parameter (RFC 6570), the host constant.", 2_000),
            "parameters": {
                "type": "object",
                "description": "What each parameter is bound to; an array expands (IN :ids).",
                "maxProperties": 30,
                "propertyNames": {"pattern": LOCAL_NAME},
                "additionalProperties": _REFERENCE,
            },
            "rows": {
                "enum": ["one", "many"],
                "default": "one",
                "description": "one: the value is the row; many: the value is a list of rows.",
            },
            "rows_max": {
                "type": "integer",
                "minimum": 1,
                "maximum": FACT_ROWS_MAX,
                "default": 100,
                "description": "With many: more rows than this are an error.",
            },
            "for_each": {
                **_REFERENCE,
                "description": "An array; one look-up per element, which is each#/ below it. "
                "The value is a list in its order.",
            },
            "items_max": {
                "type": "integer",
                "minimum": 1,
                "maximum": FACT_ITEMS_MAX,
                "default": FACT_ITEMS_MAX,
                "description": "With for_each: a longer array is an error.",
            },
            "absent": {
                "enum": ["DENY", "HOLD", "NULL"],
                "default": "DENY",
                "description": "What it means that there is no such row.",
            },
            "deadline_s": deadline("Seconds; later is an error.", FACT_DEADLINE_S_MAX),
            "shape": {
                "type": "object",
                "description": "JSON Schema 2020-12 of one row, or of the body of the answer.",
            },
        },
        required=("source", "shape"),
        about="What the broker itself looks up for a call, in a system of record.",
    ),
    "oneOf": [{"required": ["sql"]}, {"required": ["url"]}],
}
_SCOPES: Final = list_of(
    closed(
        {
            "name": text(
                "Such as refunds:write.", NAME_CHARACTERS_MAX, pattern="^[a-z][a-z0-9_.:/-]*$"
            ),
            "where": {**_PAIRS, "description": "Each left side must equal its right side."},
        },
        required=("name",),
    ),
    "Permissions that principal, agent and session must all hold.",
    at_most=SCOPES_MAX,
    minItems=1,
)
_LIMIT: Final[Schema] = {
    **closed(
        {
            "per": {
                "enum": ["principal", "agent", "session", "tool"],
                "description": "Whom it counts for; tool: everyone together.",
            },
            "window_s": {
                "type": "integer",
                "minimum": 1,
                "maximum": WINDOW_S_MAX,
                "description": "Length of the sliding window, seconds.",
            },
            "calls": {
                "type": "integer",
                "minimum": 0,
                "maximum": INTEGER_MAX,
                "description": "The most calls in a window.",
            },
            "sum": {**POINTER, "description": "An integer argument that adds up."},
            "currency": {**POINTER, "description": "Sums are kept apart by this argument."},
            "maximum": {
                "type": "integer",
                "minimum": 0,
                "maximum": INTEGER_MAX,
                "description": "The most that may add up in a window.",
            },
        },
        required=("per", "window_s"),
        about="A floor: past it the call is denied, whatever policy says.",
    ),
    "oneOf": [{"required": ["calls"]}, {"required": ["sum", "maximum"]}],
    "dependentRequired": {"currency": ["sum"], "maximum": ["sum"]},
}
_EXCLUSIVE: Final = list_of(
    {
        "oneOf": [
            POINTER,
            closed(
                {"as": text("The key's name.", 64, pattern=LOCAL_NAME), "value": POINTER},
                required=("as", "value"),
            ),
        ],
    },
    "Arguments of whose value only one effect may be under way at a time. {as: order, value: /id} "
    "names the key, so that tools which call it differently exclude each other.",
    at_most=EXCLUSIVE_KEYS_MAX,
)
_EXECUTION: Final[Schema] = {
    "runner": {
        "enum": [*RUNNERS],
        "default": "worker",
        "description": "What carries the call out; worker, sandbox and caller are available now. "
        "caller: the agent's own process, on a permit; its results are its word, and untrusted.",
    },
    "sandbox": SANDBOX_SECTION,
    "deadline_s": deadline("Seconds for one attempt; 30 unless said.", TOOL_DEADLINE_S_MAX),
}
_REVIEW: Final = closed(
    {
        "money": {
            **_PAIRS,
            "description": "Integers in minor units, to the ISO 4217 currency of each.",
        },
        "beside": {
            "type": "object",
            "description": "Facts to show next to an argument.",
            "maxProperties": 50,
            "propertyNames": POINTER,
            "additionalProperties": list_of(_REFERENCE, "", at_most=20),
        },
        "narrowing": {
            "type": "object",
            "description": "How a reviewer may narrow an argument.",
            "maxProperties": 50,
            "propertyNames": POINTER,
            "additionalProperties": {"enum": ["smaller", "subset"]},
        },
        "preview": closed(
            {"deadline_s": deadline("Seconds; 2 unless said.", PREVIEW_DEADLINE_S_MAX)},
            about="The worker tells beforehand what would change.",
        ),
    },
    about="What reviewers are shown.",
)
