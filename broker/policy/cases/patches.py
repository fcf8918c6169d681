"""Merge patches, as cases write them (RFC 7396): objects merge, null removes, the rest replaces."""

from broker.core.arguments import JsonValue


def merge_patch(target: JsonValue, patch: JsonValue) -> JsonValue:
    """Lay a patch over a value (RFC 7396 section 2); neither is changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value)
    return result
