"""Calls that contend for the same key or counter take turns inside one process.

The store's conditions are what keeps them right; taking turns only keeps them from losing to each
other again and again. So a turn that does not come in time is done without. It is held while a call
looks and records, never while a tool runs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

from broker.core import limits


class Turns:
    """First come, first served, per name. `wait_s` is the most that one call waits in all."""

    def __init__(self, *, wait_s: float = limits.EXCLUSIVE_WAIT_S) -> None:
        self._wait_s = wait_s
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def of(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Hold the turn of every name; in sorted order, so that no two wait for each other."""
        until = asyncio.get_running_loop().time() + self._wait_s
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._turn(name, until))
            yield

    @contextlib.asynccontextmanager
    async def _turn(self, name: str, until: float) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._waiting[name] = self._waiting.get(name, 0) + 1
        has_it = False
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    has_it = await lock.acquire()
            yield
        finally:
            if has_it:
                lock.release()
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._locks[name]
