"""Names that sort by time: UUIDv7 (RFC 9562 §5.7), monotonic within a process (§6.2, method 1).

Keyset pages walk names in order, so a name made later must sort later, even within a millisecond
and even if the clock steps back.
"""

import secrets
import threading
import uuid

from broker.ports import Clock

_COUNTER_BITS = 12
_RANDOM_BITS = 62


class UuidFactory:
    """Implements `ports.IdFactory`. Safe to call from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> str:
        """A new UUIDv7 in its usual text form; greater than every one before."""
        now_ms = int(self._clock() * 1000)
        drawn = secrets.randbits(_COUNTER_BITS - 1 + _RANDOM_BITS)  # at once: it lets others run
        # The upper half of the counter starts at zero, so that a millisecond holds 2048 or more.
        fresh = (now_ms << _COUNTER_BITS) | drawn >> _RANDOM_BITS
        with self._lock:
            self._last = max(fresh, self._last + 1)
            tick = self._last
        milliseconds, counter = tick >> _COUNTER_BITS, tick & ((1 << _COUNTER_BITS) - 1)
        value = (
            (milliseconds & ((1 << 48) - 1)) << 80
            | 0x7 << 76
            | counter << 64
            | 0b10 << 62
            | drawn & ((1 << _RANDOM_BITS) - 1)
        )
        return str(uuid.UUID(int=value))
