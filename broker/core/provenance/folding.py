"""What two texts share that a person or a program may take for one another. Only to distrust.

`fold` throws away all that an eye, a keyboard or a format may lose: case, accents, width, invisible
characters, look-alike letters (after Unicode UTS #39, its commonest), spaces and punctuation. That
two texts fold alike says that they may be meant for each other, never that they are the same.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from broker.core.provenance.look_alikes import LOOK_ALIKES

DECODED_MAX: Final = 16  # forms of one text
DECODED_CHARACTERS_MAX: Final = 65_536
_ROUNDS: Final = 3

# Digits, signs and letters that look like one another.
_ONE: Final = str.maketrans("01|i!5$3@4", "ollllsseaa")
_SEPARATING: Final = re.compile(r"[\W_]+")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:]?){6,}")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")


def fold(text: str) -> str:
    """What is left of a text: letters and digits alone, each as the plainest that it looks like."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf", "Cc"))
        text = text.casefold().translate(LOOK_ALIKES)
    return _SEPARATING.sub("", text.lower().translate(_ONE).replace("rn", "m").replace("vv", "w"))


@lru_cache(maxsize=4_096)
def folded(text: str) -> str:
    """`fold`, of short texts that come again."""
    return fold(text)


def decoded(text: str) -> Iterator[str]:
    """A text as it may have been meant: itself first, then decoded, reversed and turned.

    Percent signs, HTML entities, escapes, Base64, hexadecimal digits, Punycode, ROT13; each also
    within the others, a few times. At most `DECODED_MAX` forms, of bounded length.
    """
    seen = {text: None}
    latest = [text]
    for _ in range(_ROUNDS):
        found = [
            form[:DECODED_CHARACTERS_MAX]
            for each in latest
            for form in _once(each)
            if form and form not in seen
        ]
        latest = list(dict.fromkeys(found))[: DECODED_MAX - len(seen)]
        seen.update(dict.fromkeys(latest))
        if not latest:
            break
    return iter(seen)


def _once(text: str) -> Iterator[str]:
    yield unquote(text.replace("+", " "), errors="replace")
    yield html.unescape(text)
    yield _ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16)), text)
    for run in _BASE64.findall(text)[:4]:
        yield from _bytes_as_text(run, "base64")
    for run in _HEX.findall(text)[:4]:
        yield from _bytes_as_text(re.sub(r"[\s:]", "", run), "hex")
    if "xn--" in text:
        yield ".".join(_label(part) for part in text.split("."))
    yield text[::-1]
    yield text.translate(_ROT13)


def _bytes_as_text(run: str, how: str) -> Iterator[str]:
    try:
        if how == "hex":
            raw = bytes.fromhex(run)
        else:
            plain = run.rstrip("=").replace("-", "+").replace("_", "/")
            raw = base64.b64decode(plain + "=" * (-len(plain) % 4))
        yield raw.decode("utf-8")
    except (ValueError, binascii.Error):
        return


def _label(part: str) -> str:
    _, marked, rest = part.partition("xn--")
    try:
        return rest.encode("ascii").decode("punycode") if marked else part
    except (UnicodeError, ValueError):
        return part


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_ROT13: Final = str.maketrans(
    _LETTERS + _LETTERS.upper(),
    _LETTERS[13:] + _LETTERS[:13] + (_LETTERS[13:] + _LETTERS[:13]).upper(),
)
