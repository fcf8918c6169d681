r"""Text from outside is shown so that it can neither act nor deceive.

The one escaper of the project, for terminals, logs and mails. Whatever a terminal would obey, an
eye would miss or two systems would draw differently becomes a visible escape, and a backslash two,
so that two different strings are never shown alike. (Letters that merely resemble each other are
not its matter.)

Shown escaped are control characters and ESC, bidirectional and other format controls, everything
invisible, every space but U+0020, line and paragraph separators, surrogates, private and unassigned
code points; and in text that is not in normal form NFC each mark and whatever normalising changes.

What is shown is plain text: a renderer with a markup of its own (HTML, rich) escapes that as well.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.canonical import canonical_bytes


def visible(text: str, *, characters_max: int | None = None) -> str:
    r"""Show a string, with `\n`, `\u202e`, `\U000e0001` and `\\` for what cannot be shown as it is.

    Args:
        text: any string, lone surrogates included.
        characters_max: the most characters to show; ` … (N characters)` stands for the rest, where
            N counts the whole string. An escape is never cut in two. None shows everything.
    """
    if text.isascii() and text.isprintable() and "\\" not in text:
        pieces: Iterable[str] = text
        whole = text
    else:
        pieces = _pieces(text, characters_max, _escape)
        whole = "".join(pieces)
    if characters_max is not None and len(whole) > characters_max:
        return _cut(pieces, characters_max, len(text))
    # Nobody but this function writes the mark of a cut.
    return _FORGED_MARK.sub(r"\\u2026\1", whole)


def visible_value(value: JsonValue, *, characters_max: int | None = None) -> str:
    r"""Show any JSON value as canonical JSON text, which an escape in it does not change.

    The text is JSON for the same value: a character that cannot be shown is a JSON escape, like
    `\u202e` (a surrogate pair beyond U+FFFF). What has no canonical form (a lone surrogate, a huge
    integer that a system of record returned) is shown all the same, as ASCII.

    Args:
        value: what `core.arguments` returns, or anything that the standard JSON encoder takes.
        characters_max: as for `visible`; N counts the characters of the JSON text.
    """
    try:
        text = canonical_bytes(value).decode()
    except ValueError:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    if text.isascii() and "\x7f" not in text:
        pieces: Iterable[str] = text
        whole = text
    else:
        pieces = _pieces(text, characters_max, _escape_in_json)
        whole = "".join(pieces)
    if characters_max is not None and len(whole) > characters_max:
        return _cut(pieces, characters_max, len(text))
    return whole


_SHORT: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FORGED_MARK: Final = re.compile(r"…( \([0-9]+ characters\))\Z")

# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) beyond the categories that
# str.isprintable already leaves out, and the two blanks that count as letter and symbol.
_INVISIBLE: Final = frozenset(
    map(
        chr,
        [
            0x034F,  # combining grapheme joiner
            *range(0x115F, 0x1161),  # Hangul fillers
            *range(0x17B4, 0x17B6),  # Khmer inherent vowels
            *range(0x180B, 0x1810),  # Mongolian variation selectors
            0x2800,  # blank Braille pattern
            0x3164,  # Hangul filler
            *range(0xFE00, 0xFE10),  # variation selectors
            0xFFA0,  # halfwidth Hangul filler
            *range(0xE0000, 0xE1000),  # tags and more variation selectors
        ],
    )
)


def _pieces(text: str, characters_max: int | None, escape: Callable[[str], str]) -> list[str]:
    composed = unicodedata.is_normalized("NFC", text)
    if characters_max is not None:
        text = text[: characters_max + 1]
    return [
        character if _is_clear(character, composed=composed) else escape(character)
        for character in text
    ]


def _is_clear(character: str, *, composed: bool) -> bool:
    if character.isascii():
        return character.isprintable() and character != "\\"
    if not character.isprintable() or character in _INVISIBLE:
        return False
    return composed or not _may_recompose(character)


def _may_recompose(character: str) -> bool:
    """Whether normalising text to NFC can change this character or join it to the one before."""
    is_mark = unicodedata.category(character).startswith("M")
    is_jamo = "\u1160" <= character <= "\u11ff"
    return is_mark or is_jamo or not unicodedata.is_normalized("NFC", character)


def _escape(character: str) -> str:
    short = _SHORT.get(character)
    if short:
        return short
    return f"\\u{ord(character):04x}" if character <= "\uffff" else f"\\U{ord(character):08x}"


def _escape_in_json(character: str) -> str:
    # A backslash here is JSON's own, which has already seen to the ASCII controls but U+007F.
    if character == "\\":
        return character
    return "".join(f"\\u{u:04x}" for u in memoryview(character.encode("utf-16-le")).cast("H"))


def _cut(pieces: Iterable[str], characters_max: int, characters: int) -> str:
    shown = ""
    for piece in pieces:
        if len(shown) + len(piece) > characters_max:
            break
        shown += piece
    return f"{shown} … ({characters} characters)"
