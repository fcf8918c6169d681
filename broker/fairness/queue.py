"""Places are given in turn to whoever waits, not to whoever asks most.

Whoever is alone may have nearly all of them; as soon as others have come of late, each has an equal
part of fewer. So what somebody else has asked for is never more than a part ahead of anybody. A
place that was given is never taken back: what is done in one has a deadline of its own.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

PRESENT_S: Final = 1.0
"""Whoever has had a place so lately is there: they would only have to wait for the next one."""


class NoPlace(Exception):
    """None came free in time, or too many wait already under this name. Nothing was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """How many there are.

    Attributes:
        most: in all.
        alone_max: that one name has while nobody else is there; below `most`, one is kept free.
        crowd_max: that all who are there share, once there are several.
        each_min: that each has however many there are.
        waiting_max: who may wait under one name.
    """

    most: int
    alone_max: int
    crowd_max: int
    each_min: int = 1
    waiting_max: int = 1_024


@dataclass(slots=True)
class _Name:
    taken: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    seen_at: float = 0.0


class FairQueue:
    """Gives places by name. For one event loop."""

    def __init__(self, places: Places, *, present_s: float = PRESENT_S) -> None:
        """Make one; all its places are free. Who had one so many seconds ago is there."""
        self.watch_wait: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext
        self._places = places
        self._present_s = present_s
        self._taken = 0
        self._looked_at = 0.0
        # In the order in which they have their next turn.
        self._names: OrderedDict[str, _Name] = OrderedDict()

    @property
    def taken(self) -> int:
        """How many places are not free."""
        return self._taken

    def taken_of(self, name: str) -> int:
        """How many a name has."""
        known = self._names.get(name)
        return known.taken if known is not None else 0

    @contextlib.asynccontextmanager
    async def place(self, name: str, *, within_s: float) -> AsyncIterator[None]:
        """Have a place while the block runs.

        Args:
            name: who.
            within_s: how long to wait for it, seconds.

        Raises:
            NoPlace: none came; the block has not begun.
        """
        await self._enter(name, within_s)
        try:
            yield
        finally:
            self._leave(name)

    async def _enter(self, name: str, within_s: float) -> None:
        now = asyncio.get_running_loop().time()
        self._forget(now)
        known = self._names.setdefault(name, _Name())
        known.seen_at = now
        if not known.waiting and self._is_free_for(known):
            self._give(name, known)
            return
        if len(known.waiting) >= self._places.waiting_max:
            raise NoPlace(name)
        with self.watch_wait():
            await self._wait(name, known, within_s)

    async def _wait(self, name: str, known: _Name, within_s: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        known.waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as ended:
            if turn.done() and not turn.cancelled():
                self._leave(name)  # it came too late
            elif turn in known.waiting:
                known.waiting.remove(turn)
            if isinstance(ended, TimeoutError):
                raise NoPlace(name) from None
            raise

    def _leave(self, name: str) -> None:
        known = self._names[name]
        known.taken -= 1
        self._taken -= 1
        now = asyncio.get_running_loop().time()
        known.seen_at = now
        self._forget(now)
        while self._taken < self._places.most and self._give_next():
            pass

    def _give_next(self) -> bool:
        for name, known in self._names.items():
            while known.waiting and known.waiting[0].done():
                del known.waiting[0]  # it stopped waiting, and has not been here since
            if known.waiting and self._is_free_for(known):
                turn = known.waiting.popleft()
                self._give(name, known)
                turn.set_result(None)
                return True
        return False

    def _give(self, name: str, known: _Name) -> None:
        known.taken += 1
        self._taken += 1
        self._names.move_to_end(name)

    def _is_free_for(self, known: _Name) -> bool:
        return self._taken < self._places.most and known.taken < self._share()

    def _share(self) -> int:
        there = len(self._names)
        if there <= 1:
            return self._places.alone_max
        return max(self._places.each_min, self._places.crowd_max // there)

    def _forget(self, now: float) -> None:
        """Whoever has gone has no part any more; there may be many, so only now and then."""
        if now - self._looked_at < self._present_s / 4:
            return
        self._looked_at = now
        gone = [
            name
            for name, known in self._names.items()
            if not known.taken and not known.waiting and now - known.seen_at >= self._present_s
        ]
        for name in gone:
            del self._names[name]
