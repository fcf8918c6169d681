"""After a restore nobody knows what the lost time has used up: every limit counts as reached.

A limit's window that reaches back before the restore may hold effects that the backup does not
know. Until such a window has gone by its counter is full: nothing else makes it so, and nothing
lifts it early. What would be lost for ever waits until an operator has looked and has lifted the
freeze that the restore has put on.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from broker.core.calls import Usage
from broker.core.freezes import Freeze, FreezeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredAt:
    """When the broker was last restored: POSIX seconds and which epoch of the log that began."""

    at: float
    epoch: int


NEVER: Final = RestoredAt(at=0.0, epoch=0)


def is_to_be_looked_at(restored: RestoredAt, freezes: Iterable[Freeze]) -> bool:
    """Whether the freeze that the last restore has put on, at its own time, still stands."""
    return restored.epoch > 0 and any(
        freeze.kind is FreezeKind.ALL and freeze.created_at == restored.at for freeze in freezes
    )


def filled(usage: Mapping[str, Usage], restored: RestoredAt, *, now: float) -> Mapping[str, Usage]:
    """The counters as they count: full where their window reaches back before the restore."""
    if restored.epoch == 0:
        return usage
    return {
        name: replace(one, used=max(one.used, one.limit))
        if now < restored.at + one.window_s
        else one
        for name, one in usage.items()
    }
