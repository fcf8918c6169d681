"""A reviewer may approve less than was asked, and never more or anything else.

What counts as less is the tool's own word (`review.narrowing` of its manifest): a number that is
`smaller`, or a list that is a `subset` of what was asked, in its order. Whether the narrowed call
may run is for every stage to say again; this only says that it is no wider.
"""

from collections.abc import Mapping
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes
from broker.core.errors import MalformedRequest
from broker.core.manifest import ToolManifest
from broker.core.pointers import Missing, Pointer

SMALLER: Final = "smaller"
SUBSET: Final = "subset"


def narrow(
    manifest: ToolManifest,
    arguments: Mapping[str, JsonValue],
    changes: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """The arguments with the changes made.

    Args:
        manifest: of the tool, which says what may be narrowed and how.
        arguments: as they were asked; they stay as they are.
        changes: new values by JSON Pointer.

    Raises:
        MalformedRequest: nothing changes, or something that may not, or a value is not narrower.
            `metadata["pointer"]` says where.
    """
    if not changes:
        raise MalformedRequest("Say what is to be less.")
    narrowed = dict(arguments)
    pointers = {text: _parsed(text) for text in changes}
    for text, value in changes.items():
        pointer = pointers[text]
        if any(_is_below(pointer, other) for other in pointers.values()):
            raise _refused(text, "This is within something else that is to be less.")
        how = manifest.review.narrowing.get(pointer)
        if how is None:
            raise _refused(text, "The tool does not say that this may be less.")
        before = pointer.resolve(narrowed)
        if isinstance(before, Missing) or not pointer.tokens:
            raise _refused(text, "The call has no such argument.")
        less = _smaller(before, value) if how == SMALLER else _part(before, value)
        if less is None:
            raise _refused(text, _WHY[how])
        narrowed = _put(narrowed, pointer.tokens, less)
    return narrowed


_WHY: Final = {
    SMALLER: "This must be a smaller whole number than was asked, and not below zero.",
    SUBSET: "This must be fewer of what was asked, at least one, in the same order.",
}


def _parsed(text: str) -> Pointer:
    try:
        return Pointer.parse(text)
    except ValueError:
        raise _refused(text, "This is no JSON Pointer.") from None


def _is_below(pointer: Pointer, other: Pointer) -> bool:
    """Whether one is within the other: which element it then names would depend on the order."""
    depth = len(other.tokens)
    return depth < len(pointer.tokens) and pointer.tokens[:depth] == other.tokens


def _refused(pointer: str, message: str) -> MalformedRequest:
    return MalformedRequest(message, metadata={"field": "changes", "pointer": pointer})


def _smaller(before: JsonValue, after: JsonValue) -> int | None:
    """The smaller number; None where it is none."""
    if isinstance(before, bool) or isinstance(after, bool):
        return None
    if isinstance(before, int) and isinstance(after, int) and 0 <= after < before:
        return after
    return None


def _part(before: JsonValue, after: JsonValue) -> list[JsonValue] | None:
    """Those elements of `before`, as they were asked, that `after` keeps; None where it is none."""
    if not isinstance(before, list) or not isinstance(after, list):
        return None
    if not 0 < len(after) < len(before):
        return None
    kept: list[JsonValue] = []
    rest = iter(before)
    for one in after:
        for left in rest:
            if _same(one, left):
                kept.append(left)
                break
        else:
            return None
    return kept


def _same(one: JsonValue, other: JsonValue) -> bool:
    """Equal as JSON: to Python a boolean is a number, too."""
    return canonical_bytes(one) == canonical_bytes(other)


def _put(
    arguments: dict[str, JsonValue], tokens: tuple[str, ...], new: JsonValue
) -> dict[str, JsonValue]:
    """A copy with one value in another's place; the pointer is known to resolve below the root."""
    first, rest = tokens[0], tokens[1:]
    return {**arguments, first: _within(arguments[first], rest, new)}


def _within(value: JsonValue, tokens: tuple[str, ...], new: JsonValue) -> JsonValue:
    if isinstance(value, dict) and tokens:
        return _put(value, tokens, new)
    if isinstance(value, list) and tokens:
        at = int(tokens[0])
        return [*value[:at], _within(value[at], tokens[1:], new), *value[at + 1 :]]
    return new
