"""The tool that is asked beforehand is made of the tool that it is of, and can do less.

It takes the same arguments under the same scopes, so that nobody learns by it what they may not
reach. It only reads, from a closed world; it reaches nobody, counts towards no limit and excludes
no other call. What it answers is nobody's to trust.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from broker.core.control import RegisteredTool
from broker.core.limits import INTEGER_MAX, PREVIEW_DEADLINE_S
from broker.core.manifest import (
    Behaviour,
    FactSpec,
    Output,
    ReviewView,
    Stores,
    ToolManifest,
)
from broker.core.previews import (
    CHANGES_MAX,
    LABEL_CHARACTERS_MAX,
    PREVIEW_SUFFIX,
    VALUE_CHARACTERS_MAX,
)
from broker.core.schemas import Validator

_VALUE: Final = {
    "type": ["string", "number", "boolean", "null"],
    "maxLength": VALUE_CHARACTERS_MAX,
}
_MINOR: Final = {"type": "integer", "minimum": -INTEGER_MAX, "maximum": INTEGER_MAX}
_LABEL: Final = {"type": "string", "minLength": 1, "maxLength": LABEL_CHARACTERS_MAX}
_CURRENCY: Final = {"type": "string", "pattern": "^[A-Z]{3}$"}


def _line(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["label"],
        "properties": {"label": _LABEL, **properties},
    }


CHANGES_SCHEMA: Final[dict[str, Any]] = {
    "type": "array",
    "maxItems": CHANGES_MAX,
    "items": {
        "anyOf": [
            _line({"before": _VALUE, "after": _VALUE}),
            _line({"before_minor": _MINOR, "after_minor": _MINOR, "currency": _CURRENCY}),
        ],
    },
}
"""JSON Schema 2020-12 of what a preview answers: lines of text and numbers, or of money."""

_CHANGES: Final = Validator(CHANGES_SCHEMA)


def preview_tool(manifest: ToolManifest, arguments: Validator) -> RegisteredTool | None:
    """The tool that says what a call of this one would change; None where it names none.

    Its revision is that of the tool itself, which says all of it.
    """
    if manifest.review.preview is None:
        return None
    made = _manifest(manifest, manifest.review.preview)
    return RegisteredTool(
        manifest=made, output=made.output, arguments=arguments, result=_CHANGES, preview=None
    )


def _manifest(manifest: ToolManifest, preview: Mapping[str, Any]) -> ToolManifest:
    return replace(
        manifest,
        name=f"{manifest.name}{PREVIEW_SUFFIX}",
        summary=f"Preview: {manifest.summary}",
        result=CHANGES_SCHEMA,
        output=Output(),
        stores=Stores(),
        behaviour=Behaviour(read_only=True, destructive=False, idempotent=True, open_world=False),
        targets=(),
        payload=(),
        facts=MappingProxyType({name: _fact(fact) for name, fact in manifest.facts.items()}),
        limits=MappingProxyType({}),
        exclusive=(),
        runner="worker",
        sandbox=None,
        deadline_s=float(preview.get("deadline_s", PREVIEW_DEADLINE_S)),
        review=ReviewView(money=manifest.review.money),
    )


def _fact(fact: FactSpec) -> FactSpec:
    """Absence that holds the call holds not its preview: nobody lifts a hold of that."""
    return replace(fact, absent="NULL") if fact.absent == "HOLD" else fact
