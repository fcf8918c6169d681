"""What the user typed: a value stands in it whole, or it does not.

Nothing runs from one message into the next. A number is the same number however many zeros end it.
That the user speaks of somebody, or that a text is all but the user's, is less: it says what was
meant, never that a value is known.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final

from broker.core.provenance.folding import fold
from broker.core.provenance.memory import exact

_BETWEEN: Final = "\udfff"  # half a character: no argument has one
_TRIED_MAX: Final = 1_000
_JOINING: Final = frozenset(".-@+/:_%&=?#~\\!$*'\u2019|")
_GROUPING: Final = frozenset(",'\u2019")  # of digits, as in 1,000,000
_NUMBER: Final = re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?")
_LABEL: Final = re.compile(r"(?:^|\s)[^\W\d_]{1,20}:$")
_TOKEN: Final = re.compile(r"\S+")
_RUN: Final = 3  # words in a row that are not there by chance
_TELLING_CHARACTERS_MIN: Final = 4
_RETOLD_CHARACTERS_MAX: Final = 2_000
_WORD: Final = re.compile(r"[^\W_]+")
_AROUND: Final = "!|$\"'()[]{}<>,.;:?*_`"


class Words:
    """All messages of a session's user so far."""

    def __init__(self, messages: Iterable[str]) -> None:
        """Read them once."""
        self._messages = [exact(text.replace(_BETWEEN, " ")) for text in messages]
        self._all = _BETWEEN.join(self._messages)
        self._plain = _plain(self._all)
        self._folded, self._bounds = _folded(self._messages)
        self._numbers = {
            _number(found[0])
            for found in _NUMBER.finditer(self._all)
            if _is_bounded(self._all, found.start(), found.end())
        }
        spoken = [_WORD.findall(message) for message in self._messages]
        self._named = {word.casefold() for line in spoken for word in line if word[0].isupper()}
        self._runs = {run for line in spoken for run in _runs([word.casefold() for word in line])}

    def has(self, text: str, *, is_number: bool = False) -> bool:
        """Whether the user typed this: as a whole, and not as a piece of something longer.

        Args:
            text: in its exact form.
            is_number: whether it is a number's spelling.
        """
        if is_number and _NUMBER.fullmatch(text) and _number(text) in self._numbers:
            return True
        return _stands_in(text, self._all)

    def is_like(self, text: str, folded: bytes) -> bool:
        """Whether it only looks like something whole that the user typed.

        A title in other capitals or with other spaces is not that: nobody takes it for another.
        """
        return self._is_folded(folded) and not _stands_in(_plain(text), self._plain)

    def named(self, names: Collection[str]) -> set[str]:
        """Those of some people's names that the user wrote as names are written.

        Args:
            names: each one word, case-folded.
        """
        return self._named.intersection(names)

    def is_retold(self, text: str) -> bool:
        """Whether a text is the user's own words in a row, but for what is too short to tell."""
        if len(text) > _RETOLD_CHARACTERS_MAX:
            return False
        words = [word.casefold() for word in _WORD.findall(text)]
        found = [run in self._runs for run in _runs(words)]
        return any(found) and all(
            len(word) < _TELLING_CHARACTERS_MIN or any(found[max(at - _RUN + 1, 0) : at + 1])
            for at, word in enumerate(words)
        )

    def _is_folded(self, folded: bytes) -> bool:
        at = self._folded.find(folded)
        for _ in range(_TRIED_MAX):
            if at < 0:
                return False
            if at in self._bounds and at + len(folded) in self._bounds:
                return True
            at = self._folded.find(folded, at + 1)
        return True


@lru_cache(maxsize=64)
def words_of(messages: tuple[str, ...]) -> Words:
    """What the user typed; read once for many calls."""
    return Words(messages)


def _runs(words: list[str]) -> Iterable[tuple[str, ...]]:
    return zip(*(words[at:] for at in range(_RUN)), strict=False)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()) if text.isascii() else " ".join(text.casefold().split())


def _folded(messages: Iterable[str]) -> tuple[bytes, frozenset[int]]:
    """All messages, and where something whole begins or ends."""
    parts: list[bytes] = []
    bounds: set[int] = set()
    at = 0
    for message in messages:
        for token in _TOKEN.findall(message):
            part = fold(token.strip(_AROUND))
            bounds.add(at)
            at += len(part)
            bounds.add(at)
            parts.append(part)
        parts.append(b"\n")
        at += 1
    return b"".join(parts), frozenset(bounds)


def _number(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _stands_in(text: str, words: str) -> bool:
    at = words.find(text)
    for _ in range(_TRIED_MAX):
        if at < 0:
            return False
        if _is_bounded(words, at, at + len(text)):
            return True
        at = words.find(text, at + 1)
    return False


def _is_bounded(words: str, start: int, end: int) -> bool:
    before = words[max(start - 2, 0) : start][::-1]
    if not _ends(before) and not (
        before[0] == ":" and _LABEL.search(words, max(start - 22, 0), start)
    ):
        return False
    if words[start].isdigit() and before[:1] in _GROUPING and before[1:].isdigit():
        return False
    after = words[end : end + 2]
    if words[end - 1].isdigit() and after[:1] in _GROUPING and after[1:].isdigit():
        return False
    return _ends(after)


def _ends(beyond: str) -> bool:
    """Whether a value ends before these characters, read away from it."""
    if not beyond:
        return True
    near = _near(beyond[0])
    if near.isalnum() or near == "_" or unicodedata.category(near)[0] == "M":
        return False
    if unicodedata.category(near) == "Cf":
        return False  # joined by what nobody sees
    return not (near in _JOINING and len(beyond) > 1 and _near(beyond[1]).isalnum())


def _near(character: str) -> str:
    """As it is read: a full-width dot is a dot."""
    return character if character.isascii() else unicodedata.normalize("NFKC", character)[:1]
