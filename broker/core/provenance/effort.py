"""How much of what a session has seen is read for one call: there is an end, whatever is asked.

Little is read of it where little is alike; but a session chooses both what it has seen and what it
asks, and can make all of it alike.
"""

from dataclasses import dataclass
from typing import Final

EFFORT_BYTES_MAX: Final = 64 * 1024 * 1024
"""For one call: a fifth of a second, or so."""
_LOOK_BYTES: Final = 1_024  # that each look counts for, however little it reads
_GLANCE_BYTES: Final = 256


@dataclass(slots=True)
class Effort:
    """What may still be read. What cannot be looked at to the end is taken for the worst.

    Attributes:
        left: bytes.
    """

    left: int = EFFORT_BYTES_MAX

    @property
    def is_spent(self) -> bool:
        """Whether something may have been left out."""
        return self.left <= 0

    def spend(self, read: int) -> None:
        """One look, and the bytes that it has read."""
        self.left -= max(read, 0) + _LOOK_BYTES

    def glance(self) -> None:
        """Whether a look is worth while."""
        self.left -= _GLANCE_BYTES
