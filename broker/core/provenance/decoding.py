"""A text as it may have been meant: decoded, reversed, turned. Only to distrust.

What was not looked at to the end says so: whoever asks takes that for the worst that there is.
"""

import base64
import binascii
import html
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

FORMS_MAX: Final = 24
FORM_CHARACTERS_MAX: Final = 65_536
TURNED_CHARACTERS_MIN: Final = 12
"""What is shorter is not looked for reversed or turned: it would be found by chance."""
_UNDONE_TURNED_MAX: Final = 4_096  # characters: of longer ones only what is undone is turned
_ROUNDS: Final = 3

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_BASE32: Final = re.compile(r"[A-Z2-7]{16,}={0,6}")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2}[\s:,-]?){6,}")
_HEX_SPACE: Final = re.compile(r"[\s:,-]")
_HALVES: Final = range(0xD800, 0xE000)  # of characters, none by themselves
_NUMBERED: Final = re.compile(r"&#([0-9]{8,});?")  # of thousands of digits Python makes no number
_ESCAPE: Final = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})")
_SIGNS: Final = r"[\s\[\](){}<>]"
# From where a run of signs begins, and never from within: else a long one is read once for each.
_SPOKEN: Final = re.compile(rf"(?<!{_SIGNS}){_SIGNS}++(at|dot){_SIGNS}++", re.IGNORECASE)
_READABLE: Final = re.compile(rb"[\x20-\x7e]{8,}")
_SPACE: Final = re.compile(r"\s+")


def _marks(kept: re.Pattern[str]) -> bytes:
    """A table: what a pattern has becomes a mark, all else something that is none."""
    return bytes(ord("x" if kept.match(chr(code)) else " ") for code in range(128)) + b" " * 128


# Whatever a pattern finds has so many marks in a row: looking for those is many times quicker. What
# is not ASCII is a question mark here, and counts as whatever might be part of what is found.
_RUN: Final = b"x" * 16
_BASE64_MIN: Final = 12
_BASE32_MIN: Final = 16
_HEX_MIN: Final = 12
_READABLE_MIN: Final = 8
_OF_BASE64: Final = _marks(re.compile(r"[A-Za-z0-9+/_-]"))
_OF_BASE32: Final = _marks(re.compile(r"[A-Z2-7]"))
_OF_HEX: Final = _marks(re.compile(r"[0-9A-Fa-f]"))
_BETWEEN_HEX: Final = bytes(c for c in range(128) if _HEX_SPACE.match(chr(c))) + b"?"
_OF_READABLE: Final = _marks(re.compile(r"[\x20-\x7e]"))
_OF_SPOKEN: Final = bytes(
    ord(" ") if chr(c).isspace() or chr(c) in "[](){}<>?" else ord(chr(c).lower())
    for c in range(128)
) + bytes(range(128, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class Forms:
    """What a text may have been meant as, itself first.

    Attributes:
        is_complete: whether that is all that could be found.
    """

    texts: tuple[str, ...]
    is_complete: bool


def decoded(text: str) -> Forms:
    """A text in each form that it may stand for.

    Undone are percent signs, HTML entities, escapes, Base64 and 32, hexadecimal digits, Punycode
    and spoken signs, each also within the others; all of it is reversed too, and turned (ROT13).
    """
    is_turned = len(text) >= TURNED_CHARACTERS_MIN
    found, is_complete = _undone(
        _turned(text) if is_turned and len(text) <= _UNDONE_TURNED_MAX else (text,)
    )
    forms = dict.fromkeys(found)
    if is_turned:
        forms.update(dict.fromkeys(turn for form in found for turn in _turned(form)))
    return Forms(
        texts=tuple(forms)[: 4 * FORMS_MAX],
        is_complete=is_complete and len(text) <= FORM_CHARACTERS_MAX,
    )


def undone(text: str) -> tuple[str, ...]:
    """A text of several lines, and what is encoded in any; neither reversed nor turned."""
    return _undone((text,), is_spread=False)[0]


def _undone(starts: Iterable[str], *, is_spread: bool = True) -> tuple[tuple[str, ...], bool]:
    """Forms, and whether these are all. `is_spread`: what is encoded may have spaces within."""
    seen = {text[:FORM_CHARACTERS_MAX]: None for text in starts}
    latest = [*seen]
    is_complete = True
    for _ in range(_ROUNDS):
        found = [
            form[:FORM_CHARACTERS_MAX]
            for each in latest
            for form in _once(each, is_spread=is_spread)
            if form and form not in seen
        ]
        latest = list(dict.fromkeys(found))
        is_complete = is_complete and len(latest) + len(seen) <= FORMS_MAX
        latest = latest[: max(FORMS_MAX - len(seen), 0)]
        seen.update(dict.fromkeys(latest))
        if not latest:
            return tuple(seen), is_complete
    more = (form for each in latest for form in _once(each, is_spread=is_spread))
    is_over = all(not form or form[:FORM_CHARACTERS_MAX] in seen for form in more)
    return tuple(seen), is_complete and is_over


def _once(text: str, *, is_spread: bool) -> Iterator[str]:
    """Each way of undoing that changes anything, all that it finds in the text as one."""
    if "%" in text:
        yield unquote(text, errors="replace")
    if "&" in text:
        yield html.unescape(_NUMBERED.sub(_numbered, text))
    if "\\" in text:
        yield _ESCAPE.sub(_escaped, text)
    if "xn--" in text:
        yield ".".join(map(_label, text.split(".")))
    plain = text.encode("ascii", "replace")
    if _may_be_spoken(plain):
        yield _SPOKEN.sub(lambda m: "@" if m[1].lower() == "at" else ".", text)
    closed = _SPACE.sub("", text) if is_spread and len(text.split(None, 1)) > 1 else text
    for written in dict.fromkeys((text, closed)):
        marks = (plain if written is text else written.encode("ascii", "replace")).translate
        if _RUN[:_BASE64_MIN] in marks(_OF_BASE64):
            yield _runs(written, _BASE64, _base64)
        if _RUN[:_BASE32_MIN] in marks(_OF_BASE32):
            yield _runs(written, _BASE32, _base32)
    if _RUN[:_HEX_MIN] in plain.translate(_OF_HEX, _BETWEEN_HEX):
        yield _runs(text, _HEX, _hex)


def _may_be_spoken(plain: bytes) -> bool:
    spoken = plain.translate(_OF_SPOKEN)
    return b" at " in spoken or b" dot " in spoken


def _numbered(match: re.Match[str]) -> str:
    """The same character by few digits: zeros before a number mean nothing, and no code has 8."""
    return f"&#{match[1].lstrip('0')[:8] or 0};"


def _escaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2], 16)
    return chr(code) if code <= sys.maxunicode and code not in _HALVES else ""


def _runs(text: str, pattern: re.Pattern[str], decode: Callable[[str], Iterator[bytes]]) -> str:
    read = (raw for run in pattern.findall(text) for raw in decode(run))
    return "\n".join(filter(None, map(_text, read)))


def _text(raw: bytes) -> str:
    """What is plain to read; of what is none as a whole, the runs that are."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if text and all(c.isprintable() or c.isspace() for c in text):
        return text
    if _RUN[:_READABLE_MIN] not in raw.translate(_OF_READABLE):
        return ""
    return b"\n".join(_READABLE.findall(raw)).decode("ascii")


def _base64(run: str) -> Iterator[bytes]:
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    # What stands before it without a space shifts it.
    for start in range(4):
        part = plain[start:]
        part = part[: len(part) - 1] if len(part) % 4 == 1 else part
        with_padding = part + "=" * (-len(part) % 4)
        try:
            yield binascii.a2b_base64(with_padding)
        except binascii.Error:
            continue


def _base32(run: str) -> Iterator[bytes]:
    plain = run.rstrip("=")
    try:
        yield base64.b32decode(plain + "=" * (-len(plain) % 8))
    except binascii.Error:
        return


def _hex(run: str) -> Iterator[bytes]:
    digits = _HEX_SPACE.sub("", run)
    for start in (0, 1):
        part = digits[start:]
        yield bytes.fromhex(part[: len(part) // 2 * 2])


def _label(part: str) -> str:
    before, marked, rest = part.partition("xn--")
    try:
        return before + rest.encode("ascii").decode("punycode") if marked else part
    except (UnicodeError, ValueError):
        return part


def _turned(text: str) -> tuple[str, ...]:
    turned = text.translate(_ROT13)
    return (text, text[::-1], turned, turned[::-1])


_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_AROUND: Final = _LETTERS[13:] + _LETTERS[:13]
_ROT13: Final = str.maketrans(_LETTERS + _LETTERS.upper(), _AROUND + _AROUND.upper())
