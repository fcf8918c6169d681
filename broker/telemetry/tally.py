"""No span goes without a trace of its own: each one that was told was taken in, or is counted."""

from dataclasses import dataclass, field
from typing import Final

QUEUE_FULL: Final = "queue_full"
NOT_DELIVERED: Final = "not_delivered"
REJECTED: Final = "rejected"
STOPPED: Final = "stopped"
REASONS: Final = (QUEUE_FULL, NOT_DELIVERED, REJECTED, STOPPED)


@dataclass(slots=True)
class Tally:
    """How many spans were taken in there, and how many were dropped, by why."""

    exported: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REASONS, 0))
