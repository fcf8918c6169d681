"""Calls that contend for the same key or counter take turns inside one process.

The store's conditions are what keeps them right; taking turns only keeps them from losing to each
other again and again. A turn is held while a call looks and records, never while a tool runs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable


class Turns:
    """First come, first served, per name."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def of(self, names: Iterable[str]) -> AsyncIterator[None]:
        """Hold the turn of every name; in sorted order, so that no two wait for each other."""
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(set(names)):
                await stack.enter_async_context(self._turn(name))
            yield

    @contextlib.asynccontextmanager
    async def _turn(self, name: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(name, asyncio.Lock())
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name], self._locks[name]
