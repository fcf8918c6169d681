"""What a session has seen, in the order in which it was released to its model.

Kept so that a value can be found again: whole and exact where it would be trusted, as loosely as
anybody may have changed it where not. What was first met as untrusted stays so: a later result that
repeats it, from whoever, does not make it better. What does not fit any more is not forgotten but
taken for the worst that was seen.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.labels import BEST, Labels, join
from broker.core.provenance.decoding import FORM_CHARACTERS_MAX, undone
from broker.core.provenance.effort import Effort
from broker.core.provenance.folding import fold
from broker.core.provenance.marked import TOLD_MAX, Marked

MEMORY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Of one session, of what was released to it. In memory it takes five to twenty-two times as much,
where it is many short texts up to fifty times (`Memory.size`)."""
ORIGINS_MAX: Final = TOLD_MAX
_TEXT_BYTES: Final = 320  # that a short text takes besides its characters
_OVERLAP_CHARACTERS: Final = 512
# A few characters of Unicode are, by NFC, the same as one of ASCII. No program takes them for that.
_LIKE_ASCII: Final = re.compile("[\\u037e\\u1fef\\u212a]")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What of a text was seen in marked results.

    Attributes:
        labels: the worst of them.
        untrusted: the invocations of untrusted ones, the first `ORIGINS_MAX`.
    """

    labels: Labels = BEST
    untrusted: tuple[str, ...] = ()


_NOTHING: Final = Carried()


class Memory:
    """What a session has seen so far. Add to it in order; ask it as often as wanted.

    Attributes:
        position: of the newest sighting; 0 where there is none.
    """

    def __init__(self, *, is_clean: bool, parent: "Memory | None" = None) -> None:
        """Nothing was seen yet.

        Args:
            is_clean: the model reads nothing but the user's words and what passes the broker; where
                it may read anything, everything may have come from anybody.
            parent: of the session that this one goes on from: whatever was seen there, at any time,
                was seen before anything here.
        """
        self.position = 0
        self._own = BEST if is_clean else Labels(trust="untrusted", sensitivity="none")
        self._parent = parent
        self._lost: list[tuple[_Seen, Labels]] = []
        self._trusted: dict[str, _Seen] = {}
        self._alike: set[bytes] = set()
        self._marked: dict[Labels, tuple[Marked, list[_Seen]]] = {}
        self._texts_size = 0

    @property
    def labels(self) -> Labels:
        """The worst of everything seen."""
        return self._own if self._parent is None else join(self._own, self._parent.labels)

    @property
    def is_untrusted(self) -> bool:
        """Whether anything untrusted was seen."""
        return self.labels.trust == "untrusted"

    @property
    def has_marked(self) -> bool:
        """Whether anything was seen that may be found again, or was lost."""
        is_above = self._parent is not None and self._parent.has_marked
        return bool(self._marked or self._lost) or is_above

    @property
    def size(self) -> int:
        """About how many bytes it takes, its parent aside."""
        marked = sum(one.size + _TEXT_BYTES * len(seen) for one, seen in self._marked.values())
        return self._texts_size + marked

    def see(self, sighting: Sighting) -> None:
        """Remember what was released."""
        if sighting.position != self.position + 1:
            raise ValueError(f"{sighting.position} does not follow {self.position}")
        seen, labels = _Seen(sighting.position, sighting.invocation), sighting.labels
        if not sighting.content:
            if not any(join(had, labels) == had for _, had in self._lost):
                self._lost.append((seen, labels))
        else:
            texts = [exact(text) for text in _texts(json.loads(sighting.content))]
            if labels != BEST:
                marked, numbered = self._marked.setdefault(labels, (Marked(), []))
                marked.add(fold("\n".join((*texts, *_hidden(texts)))))
                numbered.append(seen)
            if labels.trust == "trusted":
                self._remember(texts, seen)
        self._own = join(self._own, labels)
        self.position = sighting.position  # last: half of it is not seen

    def _remember(self, texts: list[str], seen: _Seen) -> None:
        for text in texts:
            if text not in self._trusted:
                self._trusted[text] = seen
                self._alike.add(fold(text))
                self._texts_size += _TEXT_BYTES + 2 * len(text)

    def trusted(self, text: str, forms: Collection[bytes], effort: Effort) -> str:
        """The invocation that first released exactly this from a trusted source; empty: none did.

        Nothing that was met as untrusted before counts, and once something untrusted was lost
        nothing that came after it does.

        Args:
            text: in its exact form.
            forms: what it folds to, and what it may have been made of does.
            effort: what may be read.
        """
        if self._parent is not None:
            known = self._parent.trusted(text, forms, effort)
            if known:
                return known
        found = self._trusted.get(text)
        if found is None:
            return ""
        if any(self._was_untrusted(form, effort, before=found.position) for form in forms):
            return ""
        return found.invocation

    def has(self, text: str) -> bool:
        """Whether exactly this was released from a trusted source, be it trusted or not."""
        return text in self._trusted or (self._parent is not None and self._parent.has(text))

    def _was_untrusted(self, folded: bytes, effort: Effort, *, before: int | None = None) -> bool:
        """Whether it is met in something untrusted, or may be."""
        parent = self._parent
        if parent is not None and parent._was_untrusted(folded, effort):  # noqa: SLF001
            return True

        def counts(seen: _Seen) -> bool:
            return before is None or seen.position < before

        if any(labels.trust == "untrusted" and counts(seen) for seen, labels in self._lost):
            return True
        for labels, (marked, numbered) in self._marked.items():
            if labels.trust != "untrusted" or not counts(numbered[0]):
                continue
            if not folded:
                return True
            first = next(marked.holders(folded, effort), None)
            if first is not None and counts(numbered[first]):
                return True
        return effort.is_spent

    def is_like_trusted(self, folded: bytes) -> bool:
        """Whether something trusted folds to the same."""
        return folded in self._alike or (
            self._parent is not None and self._parent.is_like_trusted(folded)
        )

    def carried(self, folded: bytes, effort: Effort) -> Carried:
        """What marked results have of this: all of it, or a long piece.

        Args:
            folded: of the text that is looked for; an empty one is in none.
            effort: what may be read; with none left, all of them may have it.
        """
        if not folded:
            return _NOTHING
        above = self._parent.carried(folded, effort) if self._parent is not None else _NOTHING
        found = [above.labels]
        untrusted: list[_Seen] = []
        for labels, (marked, numbered) in self._marked.items():
            numbers, is_sure = marked.sharers(folded, effort)
            if numbers or not is_sure:
                found.append(labels)
            if labels.trust == "untrusted":
                untrusted += [numbered[number] for number in numbers]
                untrusted += [] if is_sure else numbered[:1]
        for seen, labels in self._lost:
            found.append(labels)
            if labels.trust == "untrusted":
                untrusted.append(seen)
        if len(found) == 1 and not untrusted:
            return above
        untrusted.sort(key=lambda seen: seen.position)
        names = dict.fromkeys((*above.untrusted, *(seen.invocation for seen in untrusted)))
        return Carried(labels=join(*found), untrusted=tuple(names)[:ORIGINS_MAX])


def exact(text: str) -> str:
    """The form in which texts are equal or not: Unicode's NFC, which makes nothing ASCII here."""
    if text.isascii() or _LIKE_ASCII.search(text):
        return text
    return unicodedata.normalize("NFC", text)


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


def _hidden(texts: list[str]) -> Iterator[str]:
    """What is encoded in them, for whoever tells the model to decode it."""
    text = "\n".join(texts)
    for start in range(0, len(text), FORM_CHARACTERS_MAX - _OVERLAP_CHARACTERS):
        yield from undone(text[start : start + FORM_CHARACTERS_MAX])[1:]


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
