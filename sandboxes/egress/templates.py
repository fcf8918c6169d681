"""A template's values come from the frozen input alone, and none of them changes its structure.

`{/pointer}` reads a string or an integer (RFC 6901). A value stands within one label or one
segment: it never adds a label, a segment or a parameter (RFC 6570 section 3.2.2, simple expansion,
compared decoded).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

VALUE_CHARACTERS_MAX = 512
_SPOT = re.compile(r"\{((?:/(?:[^{}~/]|~[01])*)+)\}")
_INDEX = re.compile(r"0|[1-9][0-9]*")
_MARK = "\0"
_MISSING = object()


def is_template(text: str) -> bool:
    """Whether there is anything in it to expand."""
    return "{" in text or "}" in text


def is_sound(text: str) -> bool:
    """Whether every brace belongs to a pointer."""
    return not is_template(_SPOT.sub("", text)) and _MARK not in text


def expand(text: str, given: Mapping[str, Any]) -> str | None:
    """Put the input's values in; None where one is missing, empty, too long or of another kind.

    Raises:
        ValueError: not `is_sound`.
    """
    if not is_sound(text):
        raise ValueError(f"not a template: {text!r}")
    values = {found[1]: _value(found[1], given) for found in _SPOT.finditer(text)}
    if any(value is None for value in values.values()):
        return None
    return _SPOT.sub(lambda found: values[found[1]] or "", text)


def split(text: str, separator: str) -> tuple[str, ...]:
    """Split at a separator, but not within pointers; of what `is_sound`."""
    spots = (found[0] for found in _SPOT.finditer(text))
    parts = _SPOT.sub(_MARK, text).split(separator)
    return tuple(re.sub(_MARK, lambda _: next(spots), part) for part in parts)


def _value(pointer: str, given: Mapping[str, Any]) -> str | None:
    found: Any = given
    for token in pointer.split("/")[1:]:
        found = _step(found, token.replace("~1", "/").replace("~0", "~"))
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if isinstance(found, str) and 0 < len(found) <= VALUE_CHARACTERS_MAX:
        return found
    return None


def _step(within: Any, token: str) -> Any:
    match within:
        case Mapping():
            return within.get(token, _MISSING)
        case Sequence() if not isinstance(within, str) and _INDEX.fullmatch(token):
            return within[int(token)] if int(token) < len(within) else _MISSING
        case _:
            return _MISSING
