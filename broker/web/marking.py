r"""What stands out in a text that somebody else wrote: escapes, and letters that pass for others.

`core.text.visible` says what cannot be shown as it is; here that is told apart from the text
around it, so that a page can set it off. Letters that merely look like Latin ones are shown as
they are, and named: `\u0430` would be unreadable in a language that has that letter.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from broker.core.provenance.look_alikes import LOOK_ALIKES
from broker.core.text import visible

FENCE: Final = "┊"
_FENCE_ESCAPE: Final = "\\u250a"
_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-f]{4}|U[0-9a-f]{8}|[\\nrt])")
_WORD: Final = re.compile(r"\w+")
# Accents and strokes of European languages are nobody's disguise, but for the dotless i.
_OTHER_SCRIPTS: Final = "\u0180"
_DOTLESS_I: Final = "\u0131"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        text: what is shown.
        kind: `text`, `escape`, `break` (an escape after which a line ends) or `letter`.
        code: of a letter that looks like another, `U+0430`; else empty.
    """

    text: str
    kind: str = "text"
    code: str = ""


def marked(text: str) -> list[Piece]:
    """A text that was made visible, in pieces. Their texts, joined, are it."""
    if text.isascii() and "\\" not in text:
        return [Piece(text)]
    pieces: list[Piece] = []
    start = 0
    for escape in _ESCAPE.finditer(text):
        pieces += _lettered(text[start : escape.start()])
        pieces.append(Piece(escape[0], "break" if escape[0] == "\\n" else "escape"))
        start = escape.end()
    return [*pieces, *_lettered(text[start:])]


def look_alikes(text: str) -> list[str]:
    """`U+0430` of each letter that looks like another, in order, each once."""
    return list(dict.fromkeys(piece.code for piece in marked(text) if piece.code))


def fenced(text: str) -> str:
    """Somebody's text made visible, with nothing in it that could pass for the fence around it."""
    return visible(text).replace(FENCE, _FENCE_ESCAPE)


def _lettered(text: str) -> Iterator[Piece]:
    start = 0
    for at in _disguised(text):
        if at > start:
            yield Piece(text[start:at])
        yield Piece(text[at], "letter", f"U+{ord(text[at]):04X}")
        start = at + 1
    if start < len(text):
        yield Piece(text[start:])


def _disguised(text: str) -> list[int]:
    """Where letters stand that look like Latin ones, in words that could be read as Latin."""
    if text.isascii():
        return []
    found: list[int] = []
    for word in _WORD.finditer(text):
        if word[0].isascii():
            continue
        others = [at for at in range(*word.span()) if not text[at].isascii()]
        alike = [at for at in others if _looks_latin(text[at])]
        if len(alike) == len(others) or any(c.isascii() and c.isalpha() for c in word[0]):
            found += alike
    return found


def _looks_latin(character: str) -> bool:
    if character < _OTHER_SCRIPTS and character != _DOTLESS_I:
        return False
    plain = unicodedata.normalize("NFKC", character).casefold().translate(LOOK_ALIKES)
    return plain.isascii() and plain.isalnum()
