"""Where one text is known to come from, by all that a call may have it from.

To trust, it is exactly and wholly something that the user typed, that a fact or the operator's
directory says, or that a trusted tool released. To distrust, likeness is enough. What is too long
or too much to be looked at to the end is taken for the worst that the session has seen.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.labels import BEST, Labels, Sensitivity, join
from broker.core.provenance.decoding import decoded
from broker.core.provenance.effort import Effort
from broker.core.provenance.folding import fold, folded
from broker.core.provenance.leaves import leaves_of
from broker.core.provenance.marked import INDEXED_BYTES_MIN
from broker.core.provenance.memory import ORIGINS_MAX, Memory, exact, spelled
from broker.core.provenance.origins import TRUSTED, Origin
from broker.core.provenance.places import NOWHERE, Places
from broker.core.provenance.words import Words, words_of

LOOSE_BYTES_MIN: Final = 5
TRACED_CHARACTERS_MAX: Final = 65_536
"""Of one text. A longer one is never trusted."""
LOOKED_AT_CHARACTERS_MAX: Final = 262_144
"""Of all texts of a call together, in each of their forms."""
_LOOK_CHARACTERS: Final = 64  # that a form counts for at least
_SHORT_CHARACTERS: Final = 512
_TOKENS_MAX: Final = 64
_DATE: Final = re.compile(r"[^\w]*[0-9]{1,4}[-./:][0-9]{1,2}[-./:T]")
_TOKEN_CHARACTERS_MIN: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known besides what the session has seen.

    Attributes:
        words: what the user typed.
        places: of the directory, for this principal.
    """

    words: Sequence[str] = ()
    places: Places = NOWHERE


@dataclass(slots=True, kw_only=True)
class Finder:
    """Finds texts, each once; looks at no more than it may.

    Attributes:
        effort: what may be read of what the session has seen.
        left: characters that may still be looked at.
    """

    memory: Memory
    known: Known
    effort: Effort
    left: int = LOOKED_AT_CHARACTERS_MAX
    _found: dict[tuple[str, bool], Origin] = field(default_factory=dict)

    def find(self, text: str, *, is_number: bool = False) -> Origin:
        """Where a text comes from, facts aside.

        Args:
            text: in its exact form.
            is_number: whether it is a number's spelling.
        """
        key = (text, is_number)
        origin = self._found.get(key)
        if origin is None:
            self._found[key] = origin = self._find(text, is_number=is_number)
        return origin

    def _find(self, text: str, *, is_number: bool) -> Origin:
        has_room = self.left > 0 and not self.effort.is_spent
        if len(text) > TRACED_CHARACTERS_MAX or not has_room:
            return self._unlooked()
        loose = _folded(text)
        carried = self._carried(text, loose)
        trusted = self._trusted(text, carried, is_number=is_number)
        if trusted is not None:
            return replace(trusted, carries=carried.sensitivity)
        if len(loose) >= LOOSE_BYTES_MIN and (
            self.known.places.is_like(loose)
            or (self.memory.is_like_trusted(loose) and not self.memory.has(text))
            or self._words.is_like(text, loose)
        ):
            return Origin(source="lookalike", carries=carried.sensitivity)
        return Origin(
            source="untrusted_result" if carried.untrusted else "unseen",
            origins=carried.untrusted,
            carries=carried.sensitivity,
            asked=not carried.is_untrusted and self._words.is_retold(text),
        )

    @property
    def _words(self) -> Words:
        return words_of(tuple(self.known.words))

    def _carried(self, text: str, loose: bytes) -> "_Carried":
        """Results that this has something of, in whichever form."""
        self.left -= _LOOK_CHARACTERS
        if not self.memory.has_marked:
            return _Carried()
        forms = decoded(text)
        self.left -= sum(max(len(form), _LOOK_CHARACTERS) for form in forms.texts)
        others = (_folded(form) for form in forms.texts[1:])
        # By chance anything short is found somewhere.
        others = (other for other in others if len(other) >= INDEXED_BYTES_MIN)
        needles = dict.fromkeys((loose, *others))
        parts = dict.fromkeys((*needles, *_tokens(text)))
        found = [self.memory.carried(part, self.effort) for part in parts]
        labels = join(*(one.labels for one in found))
        if not forms.is_complete:
            labels = join(labels, self.memory.labels)
        names = dict.fromkeys(name for one in found for name in one.untrusted)
        return _Carried(
            labels=labels,
            untrusted=tuple(names)[:ORIGINS_MAX],
            forms=forms.texts,
            is_complete=forms.is_complete,
        )

    def _trusted(self, text: str, carried: "_Carried", *, is_number: bool) -> Origin | None:
        if self._words.has(text, is_number=is_number):
            return Origin(source="words")
        place = self.known.places.find(text)
        # A known host says nothing of a path that a stranger has given.
        if place is not None and (place.is_whole or not carried.is_untrusted):
            entry = place.entry
            return Origin(
                source="directory",
                origins=(entry.source,),
                approved=entry.sensitivity,
                asked=self.known.places.is_named(text, self._words),
            )
        if not carried.is_complete or not self.memory.has(text):
            return None
        by = self.memory.trusted(text, _apart(text, carried.forms), self.effort)
        return Origin(source="trusted_result", origins=(by,)) if by else None

    def _unlooked(self) -> Origin:
        return Origin(
            source="untrusted_result" if self.memory.is_untrusted else "unseen",
            carries=self.memory.labels.sensitivity,
        )


class FactTexts:
    """What sound facts say, each exactly; and what each looks like."""

    def __init__(self, facts: Mapping[str, JsonValue]) -> None:
        """Read each once, by name."""
        self._names: dict[str, str] = {}
        for name, fact in facts.items():
            for leaf in leaves_of({"value": fact}, True):  # noqa: FBT003 - the schema of anything
                if text := exact(spelled(leaf.value)):
                    self._names.setdefault(text, name)
        self._folded = {_folded(text) for text in self._names}

    def judge(self, text: str, origin: Origin) -> Origin:
        """The origin of a text, now that the facts are known too."""
        if origin.source == "words":
            return origin
        name = self._names.get(text)
        if name is not None:
            return Origin(source="fact", origins=(name,), carries=origin.carries)
        if origin.source in TRUSTED or origin.source == "lookalike":
            return origin
        loose = _folded(text)
        if len(loose) >= LOOSE_BYTES_MIN and loose in self._folded:
            return Origin(source="lookalike", carries=origin.carries)
        return origin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Carried:
    """What marked results have of a text, and what forms it was looked for in."""

    forms: tuple[str, ...] = ()
    is_complete: bool = True
    labels: Labels = BEST
    untrusted: tuple[str, ...] = ()

    @property
    def is_untrusted(self) -> bool:
        return self.labels.trust == "untrusted"

    @property
    def sensitivity(self) -> Sensitivity:
        return self.labels.sensitivity


def _apart(text: str, forms: Iterable[str]) -> set[bytes]:
    """What a text folds to, and each thing that was found encoded in it does."""
    lines = (line for form in forms for line in (form, *form.split("\n")) if form != text)
    found = {fold(line) for line in lines}
    return {_folded(text), *(one for one in found if len(one) >= INDEXED_BYTES_MIN)}


def _tokens(text: str) -> list[bytes]:
    """Numbers, codes and addresses in a longer text; a date is too common to tell anything."""
    tokens = [
        token
        for token in text.split()
        if len(token) >= _TOKEN_CHARACTERS_MIN
        and ("@" in token or any(c.isdigit() for c in token))
        and not _DATE.match(token)
    ]
    return [folded(token[:_SHORT_CHARACTERS]) for token in tokens[:_TOKENS_MAX]]


def _folded(text: str) -> bytes:
    return folded(text) if len(text) <= _SHORT_CHARACTERS else fold(text)
