"""How long, how often and with what pauses; the pauses are jittered so that clients spread out."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Final, Protocol

RPC_DEADLINE_S: Final = 15.0
INVOKE_DEADLINE_S: Final = 120.0
# A file, whole; the broker gives up a little earlier.
TRANSFER_DEADLINE_S: Final = 75.0
# A watch is asked for anew this often: asking again is also the poll behind the stream.
WATCH_S: Final = 30.0
REPETITIONS_MAX: Final = 6
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0
HELLO_DEADLINE_S: Final = 10.0
# A stopping worker: for what runs, and then for the broker to take its answers.
DRAIN_S: Final = 30.0
SETTLE_S: Final = 5.0
DRAIN_GRACE_S: Final = 0.25
FINISH_S: Final = 1.0
# A worker's slots are one lot for all brokers: what finds them taken waits so long for one.
SLOT_WAIT_S: Final = 2.0

_RANDOM: Final = random.SystemRandom()


class Clock(Protocol):
    """Time for the async client; a test brings its own."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None:
        """Lets others run for so long."""


class SyncClock(Protocol):
    """Time for the sync client."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Blocks for so long."""


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        """See Clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        await asyncio.sleep(seconds)


class SyncSystemClock:
    """The machine's own, blocking."""

    def monotonic(self) -> float:
        """See SyncClock."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """See SyncClock."""
        time.sleep(seconds)


def pauses() -> Iterator[float]:
    """Seconds before each repetition, without end: doubling to a cap, each between half and all."""
    pause_s = PAUSE_FIRST_S
    while True:
        yield pause_s * _RANDOM.uniform(0.5, 1.0)
        pause_s = min(pause_s * 2, PAUSE_MAX_S)
