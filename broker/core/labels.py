"""What content may be is the worst of all that went into it; nothing makes it better again.

`join` is that worst: a least upper bound, so that order, grouping and repetition do not matter and
one more source never improves a label.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

Trust = Literal["trusted", "untrusted"]
Sensitivity = Literal["none", "personal", "secret"]

_T = TypeVar("_T")
_TRUST: Final[tuple[Trust, ...]] = ("trusted", "untrusted")
_SENSITIVITY: Final[tuple[Sensitivity, ...]] = ("none", "personal", "secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Whether content may be believed, and whom it may hurt to be read by others."""

    trust: Trust
    sensitivity: Sensitivity


BEST: Final = Labels(trust="trusted", sensitivity="none")
"""Of nothing at all; joining it changes nothing."""

WORST: Final = Labels(trust="untrusted", sensitivity="secret")
"""Of what nobody can say anything about."""


def join(*labels: Labels) -> Labels:
    """The worst of each, `BEST` of none."""
    return Labels(
        trust=_worst(_TRUST, [one.trust for one in labels]),
        sensitivity=_worst(_SENSITIVITY, [one.sensitivity for one in labels]),
    )


def _worst(order: tuple[_T, ...], found: list[_T]) -> _T:
    return order[max(map(order.index, found), default=0)]
