"""The structure of a directory file, for editors; `directory_checks` decides, and says more.

This is the source of `policies/schemas/directory.json`; a test compares the two, and each file that
the checks take passes the schema too. What a schema cannot say (that a value is a mailbox, that no
entry comes twice) is in the checks alone.
"""

from typing import Final

from broker.core.directory import EVERYBODY, KINDS, SENSITIVITIES
from broker.core.limits import (
    DIRECTORY_ENTRIES_MAX,
    DIRECTORY_VALUE_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
)
from broker.core.manifest_words import Schema, closed, text

_ENTRY: Final = closed(
    {
        "kind": {"enum": [*KINDS], "description": "What the value is."},
        "value": text(
            "As it is written, in Unicode's NFC. A domain stands for itself, not for what is "
            "below it.",
            DIRECTORY_VALUE_CHARACTERS_MAX,
        ),
        "for": text(
            'For whom it is known: a principal\'s id, groups/NAME, or "*" for everybody.',
            NAME_CHARACTERS_MAX,
            default=EVERYBODY,
        ),
        "sensitivity": {
            "enum": [*SENSITIVITIES],
            "description": "The most sensitive content that it may receive.",
            "default": SENSITIVITIES[0],
        },
    },
    required=("kind", "value"),
    about="One known person or place.",
)


def directory_schema() -> Schema:
    """A JSON Schema (draft 2020-12) of all that one source says."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Known people and places",
        **closed(
            {
                "source": text(
                    "Where these are from. A file replaces all that was put before from the same "
                    "source.",
                    NAME_CHARACTERS_MAX,
                ),
                "entries": {
                    "type": "array",
                    "description": "All that this source knows.",
                    "minItems": 1,
                    "maxItems": DIRECTORY_ENTRIES_MAX,
                    "items": _ENTRY,
                },
            },
            required=("source", "entries"),
        ),
    }
