"""Where a value stood before it was asked for: a few words around it, out of a recorded result.

A quotation helps a person to judge where a value comes from, and decides nothing: whether a value
is known was said when the call was (`core.provenance`). What is quoted is somebody else's text; who
shows it escapes it, and marks it as untrusted where it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue

AROUND: Final = 60
"""Characters that are quoted on either side."""

FOUND_MAX: Final = 120
"""Characters of what was found that are quoted; the value itself is shown in whole elsewhere."""

_LOOKED_AT_MAX: Final = 262_144
_PIECE_MIN: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A value and what stood around it.

    Attributes:
        before, after: at most AROUND characters each.
        found: as it stood there, at most FOUND_MAX characters.
        starts, ends: whether the text starts, or ends, with what is quoted.
    """

    before: str
    found: str
    after: str
    starts: bool
    ends: bool


def quote(value: JsonValue, result: bytes | None) -> Quote | None:
    """The first place of a result where a value stands, or else its longest word that does.

    Args:
        value: a scalar of a call's arguments.
        result: RFC 8785 bytes of a recorded result; None where there is none, or it was erased.

    Returns:
        None where it is not to be found as it is written: likeness is not looked for.
    """
    wanted = value if isinstance(value, str) else _spelled(value)
    if not wanted.strip() or result is None or len(result) > _LOOKED_AT_MAX:
        return None
    try:
        texts = list(_texts(json.loads(result)))
    except ValueError:
        return None
    for one in (wanted, *sorted(_pieces(wanted), key=len, reverse=True)):
        for text in texts:
            at = _place(one, text)
            if at >= 0:
                return _quoted(text, at, len(one))
    return None


def _quoted(text: str, at: int, length: int) -> Quote:
    end = at + min(length, FOUND_MAX)
    return Quote(
        before=text[max(0, at - AROUND) : at],
        found=text[at:end],
        after=text[end : end + AROUND],
        starts=at <= AROUND,
        ends=end + AROUND >= len(text),
    )


def _place(wanted: str, text: str) -> int:
    exact = text.find(wanted)
    if exact >= 0:
        return exact
    # Lowering some letters changes a text's length, and with it every place in it.
    lowered = text.lower()
    return lowered.find(wanted.lower()) if len(lowered) == len(text) else -1


def _pieces(text: str) -> set[str]:
    stripped = (word.strip(".,:;!?()[]<>\"'") for word in text[:2_000].split())
    return {word for word in stripped if len(word) >= _PIECE_MIN and word != text}


def _texts(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    else:
        yield value if isinstance(value, str) else _spelled(value)


def _spelled(value: JsonValue) -> str:
    return json.dumps(value) if isinstance(value, int | float) else ""
