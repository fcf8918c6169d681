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
class Directory:
    """All that is known. `entries` is by subject."""

    entries: Mapping[str, tuple[Entry, ...]] = field(default_factory=dict)

    def known_to(self, subjects: Iterable[str]) -> tuple[Entry, ...]:
        """What is known to any of these subjects, and to everybody."""
        asked = dict.fromkeys((EVERYBODY, *subjects))
        return tuple(entry for subject in asked for entry in self.entries.get(subject, ()))


EMPTY: Final = Directory()
