"""What a session has seen, in the order in which it was released to its model.

Kept so that a value can be found again: whole and exact where it would be trusted, as loosely as
anybody may have changed it where not. What was first met as untrusted stays so: a later result that
repeats it, from whoever, does not make it better. What does not fit any more is not forgotten but
taken for the worst that was seen.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.labels import BEST, Labels, join
from broker.core.provenance.folding import fold

MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one session, of what was released to it; in memory about three times as much."""
PIECE: Final = 16  # folded characters of a text that give it away inside of another
_PIECES_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One thing that was released to the model of a session.

    Attributes:
        position: counts up from 1 within the session, without a gap.
        invocation: that released it.
        content: JSON, UTF-8; empty where there was no room for it, or it was erased.
    """

    position: int
    invocation: str
    labels: Labels
    content: bytes


@dataclass(frozen=True, slots=True)
class _Seen:
    position: int
    invocation: str
    labels: Labels
    folded: str


class Memory:
    """What a session has seen so far. Add to it in order; ask it as often as wanted.

    Attributes:
        position: of the newest sighting; 0 where there is none.
        labels: the worst of everything seen.
    """

    def __init__(self, *, is_clean: bool) -> None:
        """Nothing was seen yet.

        Args:
            is_clean: the model reads nothing but the user's words and what passes the broker; where
                it may read anything, everything may have come from anybody.
        """
        self.position = 0
        self.labels = BEST if is_clean else Labels(trust="untrusted", sensitivity="none")
        self._lost: list[_Seen] = []
        self._trusted: dict[str, _Seen] = {}
        self._alike: set[str] = set()
        self._marked: list[_Seen] = []

    @property
    def is_untrusted(self) -> bool:
        """Whether anything untrusted was seen."""
        return self.labels.trust == "untrusted"

    def see(self, sighting: Sighting) -> None:
        """Remember what was released."""
        if sighting.position != self.position + 1:
            raise ValueError(f"{sighting.position} does not follow {self.position}")
        self.position = sighting.position
        self.labels = join(self.labels, sighting.labels)
        seen = _Seen(sighting.position, sighting.invocation, sighting.labels, "")
        if not sighting.content:
            self._lost.append(seen)
            return
        texts = [exact(text) for text in _texts(json.loads(sighting.content))]
        if sighting.labels != BEST:
            kept = fold("\n".join(texts))
            self._marked.append(_Seen(seen.position, seen.invocation, seen.labels, kept))
        if sighting.labels.trust == "trusted":
            for text in texts:
                self._trusted.setdefault(text, seen)
            self._alike.update(fold(text) for text in texts)

    def trusted(self, text: str) -> str:
        """The invocation that first released exactly this from a trusted source; empty: none did.

        Nothing that was met as untrusted before counts, and once something untrusted was lost
        nothing that came after it does.
        """
        found = self._trusted.get(text)
        if found is None:
            return ""
        if any(one.position < found.position for one in self._lost):
            return ""
        wanted = fold(text)
        was_untrusted = any(
            one.labels.trust == "untrusted"
            and one.position < found.position
            and wanted in one.folded
            for one in self._marked
        )
        return "" if was_untrusted else found.invocation

    def is_like_trusted(self, folded: str) -> bool:
        """Whether something trusted folds to the same."""
        return folded in self._alike

    def carriers(self, folded: str) -> tuple[tuple[str, Labels], ...]:
        """Invocations whose marked results have this in them, or a piece of it, and their labels.

        Args:
            folded: of the text that is looked for; an empty one is in none.
        """
        if not folded:
            return ()
        pieces = (folded,) if len(folded) <= PIECE else (folded, *_pieces(folded))
        found = [
            (one.invocation, one.labels)
            for one in self._marked
            if any(piece in one.folded for piece in pieces)
        ]
        return (*found, *((one.invocation, one.labels) for one in self._lost))


def exact(text: str) -> str:
    """The form in which texts are equal or not: Unicode's NFC."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def spelled(value: JsonValue) -> str:
    """A scalar as text; empty where there is nothing that could be found again."""
    match value:
        case bool() | None:
            return ""
        case str():
            return value
        case int() | float():
            return json.dumps(value)
        case _:
            return ""


def remembered(words: Iterable[str]) -> str:
    """What the user typed, as one text in which nothing runs from one message into the next."""
    return "\n\n".join(exact(text) for text in words)


def _pieces(folded: str) -> Iterator[str]:
    """Overlapping pieces of a long text, from all over it where there are too many."""
    step = max(PIECE // 2, len(folded) // _PIECES_MAX)
    return (folded[at : at + PIECE] for at in range(0, len(folded) - PIECE + 1, step))


def _texts(value: JsonValue) -> Iterator[str]:
    """Every scalar and every name in a result, as text."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from _texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from _texts(member)
    elif text := spelled(value):
        yield text
