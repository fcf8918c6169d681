"""The operator's directory as it is looked up: by the value, a mailbox's domain, a URL's host.

To be found here is to be known exactly. A known host vouches for the host alone: what else stands
in a URL is for whoever asks to judge.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from broker.core.directory import EVERYBODY, Directory, Entry, Kind
from broker.core.provenance.folding import fold
from broker.core.provenance.memory import exact
from broker.core.provenance.words import Words

_MAILBOX: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9.-]{1,253})", re.ASCII
)
_URL: Final = re.compile(r"https?://([A-Za-z0-9.-]{1,253})(?::[0-9]{1,5})?(/.*)?", re.ASCII)
_NAME: Final = re.compile(r"[^\W\d_]{3,64}")
_NAMED: Final[frozenset[Kind]] = frozenset({"mailbox", "person"})
_CASELESS: Final[tuple[Kind, ...]] = ("mailbox", "domain", "host")


@dataclass(frozen=True, slots=True)
class _Index:
    """Of one subject's entries: the first of each value, and what each folds to.

    Attributes:
        caseless: by kind and value, of kinds that are the same in any case of ASCII.
        bearers: how many known people have a name in their own.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    caseless: dict[tuple[Kind, str], Entry] = field(default_factory=dict)
    folded: set[bytes] = field(default_factory=set)
    bearers: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        value = exact(entry.value)
        if entry.kind in _NAMED and value not in self.entries:
            self.bearers.update(names_in(value))
        self.entries.setdefault(value, entry)
        self.folded.add(fold(value))
        if entry.kind in _CASELESS and value.isascii():
            self.caseless.setdefault((entry.kind, value.lower()), entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A known value.

    Attributes:
        is_whole: whether all of it is known, and not its host alone.
    """

    entry: Entry
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Places:
    """What is known to somebody."""

    indexes: tuple[_Index, ...] = ()

    def find(self, text: str) -> Found | None:
        """By the value itself; a mailbox or URL also by its domain or host, where that is known."""
        entry = self._first(index.entries.get(text) for index in self.indexes)
        if entry is None and text.isascii():
            entry = self._first(self._caseless(kind, text) for kind in _CASELESS)
        if entry is not None:
            return Found(entry=entry, is_whole=True)
        mailbox, url = _MAILBOX.fullmatch(text), _URL.fullmatch(text)
        if mailbox is not None:
            entry = self._caseless("domain", mailbox[1])
            return Found(entry=entry, is_whole=True) if entry is not None else None
        if url is not None:
            entry = self._caseless("host", url[1])
            is_whole = url[2] in (None, "/")
            return Found(entry=entry, is_whole=is_whole) if entry is not None else None
        return None

    def is_named(self, text: str, words: Words) -> bool:
        """Whether the user speaks of this known person: by a name that nobody else has, or in full.

        Args:
            text: a value that is known, or whose domain is.
            words: what the user typed.
        """
        names = names_in(text)
        named = words.named(names)
        if len(names) > 1 and named == names:
            return True
        return any(sum(index.bearers[name] for index in self.indexes) == 1 for name in named)

    def is_like(self, folded: bytes) -> bool:
        """Whether something known folds to the same."""
        return any(folded in index.folded for index in self.indexes)

    def _caseless(self, kind: Kind, text: str) -> Entry | None:
        return self._first(index.caseless.get((kind, text.lower())) for index in self.indexes)

    def _first(self, found: Iterable[Entry | None]) -> Entry | None:
        return next((entry for entry in found if entry is not None), None)


NOWHERE: Final = Places()


def names_in(value: str) -> frozenset[str]:
    """The words of a person's name, or of a mailbox before its domain, case-folded."""
    name = value.rpartition("@")[0] or value
    return frozenset(word.casefold() for word in _NAME.findall(name))


def places(entries: Iterable[Entry]) -> Places:
    """These entries, to be looked up."""
    return Places((_index(entries),))


@dataclass(slots=True)
class KnownPlaces:
    """The directory in force, put in order once for everybody."""

    ordered: tuple[Directory, Mapping[str, _Index]] | None = None

    def is_ready(self, directory: Directory) -> bool:
        """Whether this one is in order already; else that takes a second for 100,000 entries."""
        return self.ordered is not None and self.ordered[0] is directory

    def to(self, directory: Directory, subjects: Iterable[str]) -> Places:
        """What is known to any of these subjects, and to everybody."""
        ordered = self.ordered
        if ordered is None or ordered[0] is not directory:
            indexes = {subject: _index(every) for subject, every in directory.entries.items()}
            self.ordered = ordered = (directory, indexes)
        asked = dict.fromkeys((EVERYBODY, *subjects))
        return Places(tuple(ordered[1][one] for one in asked if one in ordered[1]))


def _index(entries: Iterable[Entry]) -> _Index:
    index = _Index()
    for entry in entries:
        index.add(entry)
    return index
