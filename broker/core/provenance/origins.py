"""What is said of one value: where it is known to come from, and what it carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from broker.core.labels import Labels, Sensitivity, join

Source = Literal[
    "words",
    "fact",
    "directory",
    "trusted_result",
    "untrusted_result",
    "weak",
    "lookalike",
    "unseen",
]
TRUSTED: Final[frozenset[Source]] = frozenset({"words", "fact", "directory", "trusted_result"})
_RISING: Final[tuple[Source, ...]] = (
    "words",
    "fact",
    "directory",
    "trusted_result",
    "weak",
    "unseen",
    "untrusted_result",
    "lookalike",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where one value is known to come from.

    Attributes:
        origins: invocations, facts or sources of the directory, as far as there are any.
        carries: the most sensitive content that is found in it.
        approved: of a value of the directory, the most sensitive content that it may receive.
        asked: whether the user's words speak of it without having it: by a known person's name, or
            of a text that is all but theirs.
    """

    source: Source
    origins: tuple[str, ...] = ()
    carries: Sensitivity = "none"
    approved: Sensitivity = "none"
    asked: bool = False


WEAK: Final = Origin(source="weak")


def worst(origins: Sequence[Origin]) -> Origin:
    """Of a value and of the names that lead to it: the worse source, and all that any carries."""
    if len(origins) == 1:
        return origins[0]
    of_worst = max(origins, key=lambda one: _RISING.index(one.source))
    carried = (Labels(trust="trusted", sensitivity=one.carries) for one in origins)
    return Origin(
        source=of_worst.source,
        origins=of_worst.origins,
        carries=join(*carried).sensitivity,
    )
