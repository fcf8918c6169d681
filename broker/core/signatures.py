"""A worker's function is checked against its manifest before any call, so that none fails for it.

This compares two JSON Schemas by name and by type, as far as both say anything. It serves the
engineer; the schema of the manifest is what decides about arguments and results.
"""

from collections.abc import Mapping

from broker.core.arguments import JsonValue
from broker.core.manifest import ToolManifest

_EVERY = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def misfits(
    manifest: ToolManifest,
    *,
    parameters: Mapping[str, JsonValue],
    result: Mapping[str, JsonValue] | None,
) -> list[str]:
    """What about a function does not fit its manifest, one sentence each, with the mend."""
    declared = _members(manifest.arguments)
    taken = _members(parameters)
    open_ended = parameters.get("additionalProperties", True) is not False
    findings = [
        f"{manifest.name}: the function takes no {name!r}, which the manifest allows"
        for name in sorted(set(declared) - set(taken))
        if not open_ended
    ]
    optional = (_required(parameters) & set(declared)) - _required(manifest.arguments)
    findings += [
        f"{manifest.name}: the function needs {name!r}, which the manifest does not have"
        for name in sorted(_required(parameters) - set(declared))
    ]
    findings += [
        f"{manifest.name}: {name!r} may be left out by the manifest; give it a default"
        for name in sorted(optional)
    ]
    findings += [
        f"{manifest.name}: {name!r} is {_say(declared[name])} in the manifest "
        f"and {_say(taken[name])} in the function"
        for name in sorted(set(declared) & set(taken))
        if not _fits(_types(declared[name]), _types(taken[name]))
    ]
    if result is not None and isinstance(manifest.result, Mapping):
        findings += _result_misfits(manifest.name, manifest.result, result)
    return findings


def _result_misfits(
    tool: str,
    declared: Mapping[str, JsonValue],
    returned: Mapping[str, JsonValue],
) -> list[str]:
    given, wanted = dict(returned), dict(declared)
    if not _fits(_types(given), _types(wanted)):
        return [f"{tool}: it returns {_say(given)}, and the manifest says {_say(wanted)}"]
    members = _members(returned)
    if not members:
        return []
    return [
        f"{tool}: its result lacks {name!r}, which the manifest requires"
        for name in sorted(_required(declared) - set(members))
    ]


def _members(schema: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    properties = schema.get("properties")
    return dict(properties) if isinstance(properties, Mapping) else {}


def _required(schema: Mapping[str, JsonValue]) -> set[str]:
    required = schema.get("required")
    return {str(name) for name in required} if isinstance(required, list | tuple) else set()


def _types(schema: JsonValue) -> frozenset[str]:
    """The JSON types that a schema may accept; all of them where that is not plain to see."""
    if not isinstance(schema, Mapping):
        return _EVERY
    said = schema.get("type")
    if isinstance(said, str):
        return frozenset({said})
    if isinstance(said, list | tuple):
        return frozenset(str(t) for t in said)
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list | tuple):
        return frozenset(_type_of(v) for v in values)
    alternatives = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(alternatives, list | tuple):
        return frozenset().union(*(_types(a) for a in alternatives))
    return _EVERY


def _type_of(value: JsonValue) -> str:
    return _NAMES.get(type(value), "object")


def _fits(given: frozenset[str], taken: frozenset[str]) -> bool:
    """Whether whatever is given can be taken; an integer is a number too."""
    if _EVERY in (given, taken):
        return True
    widened = taken | ({"integer"} if "number" in taken else set())
    return given <= widened


def _say(schema: JsonValue) -> str:
    types = _types(schema)
    return "anything" if types == _EVERY else " or ".join(sorted(types))
