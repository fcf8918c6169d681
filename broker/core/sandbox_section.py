"""A manifest's `sandbox` section names what runs by its content, and how far it is shut in.

A tag could name another image tomorrow, so that only a digest is one. What the section cannot say:
mounts, devices, capabilities, commands and networks, which are the profile's and the node's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from broker.core.arguments import JsonValue
from broker.core.limits import (
    SANDBOX_FILES_BYTES,
    SANDBOX_FILES_BYTES_MAX,
    SANDBOX_FILES_MAX,
)
from broker.core.manifest_words import POINTER, Schema, closed, list_of, text
from broker.core.pointers import Missing, Pointer
from broker.core.schema_paths import described, types_of

IMAGE: Final = "^sha256:[0-9a-f]{64}$"
PROFILE_NAME: Final = "^[a-z][a-z0-9_-]{0,63}$"
SANDBOX: Final = "sandbox"

SANDBOX_SECTION: Final[Schema] = closed(
    {
        "image": text(
            "The image by its digest, sha256:...; `callbroker sandbox build` prints it.",
            200,
            pattern=IMAGE,
        ),
        "profile": text(
            "The isolation that it gets at least; policy may tighten it and never loosen it.",
            64,
            pattern=PROFILE_NAME,
            default="strict",
        ),
        "files": closed(
            {
                "in": list_of(
                    POINTER,
                    "Arguments that name artefacts; the tool finds them as files.",
                    at_most=SANDBOX_FILES_MAX,
                ),
                "out": closed(
                    {
                        "max": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": SANDBOX_FILES_MAX,
                            "description": "The most files that may come back.",
                        },
                        "bytes_max": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": SANDBOX_FILES_BYTES_MAX,
                            "default": SANDBOX_FILES_BYTES,
                            "description": "The most bytes that they may have together.",
                        },
                    },
                    required=("max",),
                    about="Files that the tool may leave; none unless said.",
                ),
            },
            about="What goes in and comes out beside JSON, as artefacts of the session.",
        ),
    },
    required=("image",),
    about="With runner: sandbox, and with no other: what runs there, and how far it is shut in.",
)


def section_findings(document: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong between the section, the runner and the arguments."""
    is_sandboxed = document.get("runner") == SANDBOX
    if is_sandboxed and "sandbox" not in document:
        yield ": add sandbox, with the image that this tool is"
    if not is_sandboxed and "sandbox" in document:
        yield "/sandbox: leave it out: it is for runner: sandbox"
    files = document.get("sandbox", {}).get("files", {})
    for index, given in enumerate(files.get("in", ())):
        yield from _file(f"/sandbox/files/in/{index}", given, document["arguments"])


def image_finding(given: object) -> str:
    """What to write instead of an image that is named in another way."""
    return (
        f"name the image by its digest, sha256: and 64 hexadecimal digits; {given!s:.200} could be "
        "another one tomorrow. `callbroker sandbox build` prints the digest"
    )


def _file(at: str, given: str, arguments: JsonValue) -> Iterator[str]:
    try:
        pointer = Pointer.parse(given)
    except ValueError:
        return  # told already, as every pointer is
    shown = described(arguments, pointer)
    if isinstance(shown, Missing) or not isinstance(shown, dict):
        return
    kinds = types_of(shown)
    items = shown.get("items")
    names = kinds == {"string"} or (
        kinds == {"array"} and isinstance(items, dict) and types_of(items) == {"string"}
    )
    if not names:
        yield f"{at}: {given} must be a string, or an array of strings: names of artefacts"
