"""What two texts share that a person or a program may take for one another. Only to distrust.

`fold` throws away all that an eye, a keyboard or a format may lose: case, accents, width, invisible
characters, look-alike letters (after Unicode UTS #39, its commonest), spaces and punctuation. That
two texts fold alike says that they may be meant for each other, never that they are the same.

It goes character by character and nothing else, so that `fold(a + b) == fold(a) + fold(b)`:
whatever stands around a text, or within it between its letters, what is left of it is the same.
"""

import unicodedata
from functools import lru_cache
from typing import Final

from broker.core.provenance.look_alikes import LOOK_ALIKES

_INVISIBLE: Final = frozenset({"Mn", "Me", "Cf", "Cc"})
# Digits, signs and letters that look like one another; what separates goes; and what two letters
# look like becomes those two, since two letters never become one where they meet by chance.
_ALIKE: Final = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ01|i!5$3@4", b"abcdefghljklmnopqrstuvwxyzollllsseaa"
)
_KEPT: Final = frozenset(b"|!$@" + bytes(c for c in range(128) if chr(c).isalnum()))
_DROPPED: Final = bytes(c for c in range(128) if c not in _KEPT)


def fold(text: str) -> bytes:
    """What is left of a text, UTF-8: letters and digits alone, each as the plainest it looks like.

    One character becomes at most 36 bytes, most of them one.
    """
    if not text.isascii():
        text = text.translate(_PLAINEST)
    plain = text.encode("utf-8", "replace").translate(_ALIKE, _DROPPED)
    return plain.replace(b"m", b"rn").replace(b"w", b"vv")


@lru_cache(maxsize=4_096)
def folded(text: str) -> bytes:
    """`fold`, of short texts that come again."""
    return fold(text)


class _Plainest(dict[int, str]):
    """By code point; each is found out once."""

    def __missing__(self, code: int) -> str:
        apart = unicodedata.normalize("NFKD", chr(code).casefold())
        shown = "".join(c for c in apart if unicodedata.category(c) not in _INVISIBLE)
        plain = shown.casefold().translate(LOOK_ALIKES)
        self[code] = found = "".join(c for c in plain if c.isascii() or c.isalnum())
        return found


_PLAINEST: Final = _Plainest()
