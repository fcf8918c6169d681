"""Gives OPA's checker the types of what rules read: a misspelt path or argument is an error.

The checker knows less than JSON Schema: one type each, and members of any name only in objects that
name none. Whatever it cannot express becomes "anything": a rule is refused for what is surely
wrong, never for what it cannot judge.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.manifest import FactSpec, ToolManifest
from broker.core.question_schema import question_schema

_DEPTH_MAX: Final = 32
_SCALARS: Final = {"string", "integer", "number", "boolean", "null"}
_WIDENING: Final = frozenset(
    {"allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas", "$dynamicRef"}
)
_ANYTHING: Final[dict[str, JsonValue]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSchemas:
    """What a tool's manifest says of the values that a rule may read.

    Attributes:
        arguments: JSON Schema of the arguments.
        facts: JSON Schema of each fact's value, by the fact's name.
        counters: names of its limits.
    """

    arguments: Mapping[str, JsonValue]
    facts: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    counters: tuple[str, ...] = ()


def tool_schemas(manifest: ToolManifest) -> ToolSchemas:
    """What rules may read of this tool."""
    return ToolSchemas(
        arguments=manifest.arguments,
        facts={name: _value_schema(fact) for name, fact in manifest.facts.items()},
        counters=tuple(manifest.limits),
    )


def write_schemas(
    directory: Path, tools: Mapping[str, ToolSchemas], *, named_in: bytes | None = None
) -> None:
    """Write `input.json` and `tools/<tool>/…` for `opa check --schema directory`.

    In a rule's metadata they are `schema.input`, `schema.tools.<tool>.arguments` and
    `schema.tools.<tool>.facts.<fact>`.

    Args:
        directory: where.
        tools: all in force.
        named_in: what the rules say. A tool that is not named there gets no file of its own: of ten
            thousand, that is nearly all, and OPA reads each file at each check.
    """
    facts = {name for tool in tools.values() for name in tool.facts}
    counters = {name for tool in tools.values() for name in tool.counters}
    _write(directory / "input.json", question_schema(facts=facts, counters=counters))
    for tool, schemas in tools.items():
        if named_in is not None and tool.encode() not in named_in:
            continue
        _write(directory / "tools" / tool / "arguments.json", checkable(schemas.arguments))
        for fact, schema in schemas.facts.items():
            _write(directory / "tools" / tool / "facts" / f"{fact}.json", checkable(schema))


def checkable(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The part of a JSON Schema that OPA's type checker understands; `{}` accepts anything."""
    return _checkable(schema, root=schema, depth=0)


def _value_schema(fact: FactSpec) -> Mapping[str, JsonValue]:
    schema: dict[str, JsonValue] = checkable(fact.shape)
    if fact.rows == "many":
        schema = {"type": "array", "items": schema}
    return {"type": "array", "items": schema} if fact.for_each is not None else schema


def _checkable(
    schema: object, *, root: Mapping[str, JsonValue], depth: int
) -> dict[str, JsonValue]:
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX or not _WIDENING.isdisjoint(schema):
        return dict(_ANYTHING)
    reference = schema.get("$ref")
    if reference is not None:
        return _checkable(_resolve(reference, root), root=root, depth=depth + 1)
    match schema.get("type", _type_of_enum(schema)):
        case "object":
            return _object(schema, root=root, depth=depth)
        case "array":
            items = _checkable(schema.get("items"), root=root, depth=depth + 1)
            return {"type": "array", "items": {} if "prefixItems" in schema else items}
        case str(kind) if kind in _SCALARS:
            return {"type": kind}
    return dict(_ANYTHING)


def _object(
    schema: Mapping[str, JsonValue], *, root: Mapping[str, JsonValue], depth: int
) -> dict[str, JsonValue]:
    properties = schema.get("properties")
    if (
        not isinstance(properties, Mapping)
        or schema.get("additionalProperties", False) is not False
    ):
        return {"type": "object", "additionalProperties": True}
    typed: dict[str, JsonValue] = {
        name: _checkable(member, root=root, depth=depth + 1) for name, member in properties.items()
    }
    return {"type": "object", "additionalProperties": False, "properties": typed}


def _type_of_enum(schema: Mapping[str, JsonValue]) -> str | None:
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return "string" if isinstance(values, list) and _all_text(values) else None


def _all_text(values: list[JsonValue]) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def _resolve(reference: JsonValue, root: Mapping[str, JsonValue]) -> JsonValue:
    """What a local reference (`#/$defs/x`) names; None for any other and for none."""
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: JsonValue = dict(root)
    for token in reference[2:].split("/"):
        if not isinstance(found, dict):
            return None
        found = found.get(token.replace("~1", "/").replace("~0", "~"))
    return found


def _write(path: Path, schema: Mapping[str, JsonValue]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(schema, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """The command `python -m broker.policy.schemas DIRECTORY`: write `input.json` there."""
    (directory,) = arguments
    write_schemas(Path(directory), {})


if __name__ == "__main__":
    main(sys.argv[1:])
