"""People and places that an operator has provisioned as known. No tool ever writes here.

To be known says that a value is where the operator's own source says it is, and for how sensitive
content it was approved; it never says that a deed was asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from broker.core.labels import Sensitivity

Kind = Literal["mailbox", "domain", "host", "account", "channel", "person"]
KINDS: Final[tuple[Kind, ...]] = ("mailbox", "domain", "host", "account", "channel", "person")
SENSITIVITIES: Final[tuple[Sensitivity, ...]] = ("none", "personal", "secret")
EVERYBODY: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One known value.

    Attributes:
        value: as it is written, in Unicode's NFC.
        subject: for whom it is known: a principal's id, `groups/NAME`, or `*`.
        sensitivity: the most sensitive content that it was approved for.
        source: where the operator has it from.
    """

    kind: Kind
    value: str
    subject: str = EVERYBODY
    sensitivity: Sensitivity = "none"
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """All that one source says. Made by `core.directory_checks.parse`, so that it is well formed.

    Attributes:
        entries: at least one, in the order of subject, kind and value.
    """

    source: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A source that is in force.

    Attributes:
        digest: of what it says, which is kept as a document by this digest.
        count: of its entries.
        size: of what it says, bytes.
        put_at: when it was last put, POSIX seconds; the same content put again renews it.
        put_by: the operator.
    """

    name: str
    digest: str
    count: int
    size: int
    put_at: float
    put_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """All that is known, in force.

    While no source changes it is one and the same object, so that what is computed of it may be
    kept by its identity.

    Attributes:
        entries: by subject, those of one subject in the order of source, kind and value.
        sources: in the order of their names.
    """

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()

    def known_to(self, subjects: Iterable[str]) -> tuple[Entry, ...]:
        """What is known to any of these subjects, and to everybody."""
        asked = dict.fromkeys((EVERYBODY, *subjects))
        return tuple(entry for subject in asked for entry in self.entries.get(subject, ()))


EMPTY: Final = Directory()


def subjects_of(principal: str, groups: Iterable[str]) -> tuple[str, ...]:
    """For whom entries are that somebody may use, besides those for everybody.

    Args:
        principal: the principal's id.
        groups: names, as the host says them.
    """
    return (principal, *(f"groups/{name}" for name in groups))


def order(entry: Entry) -> tuple[str, str, str, str]:
    """Where an entry stands among others."""
    return (entry.subject, entry.kind, entry.value, entry.source)


def compose(provisions: Iterable[tuple[Source, Provision]]) -> Directory:
    """What all sources say together; two that say the same are both kept."""
    given = sorted(provisions, key=lambda pair: pair[0].name)
    entries: dict[str, list[Entry]] = {}
    for _, provision in given:
        for entry in provision.entries:
            entries.setdefault(entry.subject, []).append(entry)
    return Directory(
        entries={subject: tuple(found) for subject, found in entries.items()},
        sources=tuple(source for source, _ in given),
    )
