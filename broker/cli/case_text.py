r"""A case as YAML to paste: on one line what fits there, and nothing in it that a terminal obeys.

Strings that any reader of YAML could take for something else are in double quotes; whatever is
neither ASCII nor a Latin letter is an escape.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from broker.core.arguments import JsonValue

WIDTH: Final = 120
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*", re.ASCII)
_WORDS: Final = frozenset(
    {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "inf", "nan", "infinity"}
)
_BASIC: Final = 0xFFFF
_LATIN_MAX: Final = 0x24F


def case_lines(
    name: str, given: Mapping[str, JsonValue], expect: Mapping[str, JsonValue]
) -> Iterator[str]:
    """The lines of one item of `cases`, indented as it stands there."""
    yield f"  - case: {_quoted(name)}"
    if given:
        yield from _lines("given", dict(given), indent=4)
    yield from _lines("expect", dict(expect), indent=4)


def flow(value: JsonValue) -> str:
    """A value on one line, in flow style."""
    match value:
        case str():
            return _scalar(value)
        case dict():
            members = (f"{_scalar(name)}: {flow(one)}" for name, one in value.items())
            return f"{{{', '.join(members)}}}"
        case list():
            return f"[{', '.join(flow(item) for item in value)}]"
        case _:
            return json.dumps(value)


def _lines(name: str, value: JsonValue, *, indent: int) -> Iterator[str]:
    line = f"{' ' * indent}{_scalar(name)}: {flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, dict) or not value:
        yield line
        return
    yield f"{' ' * indent}{_scalar(name)}:"
    for member, one in value.items():
        yield from _lines(member, one, indent=indent + 2)


def _scalar(text: str) -> str:
    is_plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return text if is_plain else _quoted(text)


def _quoted(text: str) -> str:
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    code = ord(character)
    if character.isprintable() and (character.isascii() or _is_latin(character)):
        return character
    return f"\\u{code:04x}" if code <= _BASIC else f"\\U{code:08x}"


def _is_latin(character: str) -> bool:
    return character.isalpha() and ord(character) <= _LATIN_MAX
