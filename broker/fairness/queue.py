"""Places are given in turn to whoever waits, not to whoever asks most.

Whoever is alone may have as many as keep what they are for busy; as soon as others have come of
late, each has an equal part of fewer. So what somebody else has asked for is never more than a part
ahead of anybody. Those who come under one name share what that name has in the same way, so that a
name with many of them has no more than a name with one. A place that was given is never taken back:
what is done in one has a deadline of its own.

What is over quickly makes turns come quickly: whoever asks nothing but nonsense would have the loop
for it most of the time, however few its places. So a place may rest before anybody has it again.
"""

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

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
        waiting_max: who may wait under one name and member.
    """

    most: int
    alone_max: int
    crowd_max: int
    each_min: int = 1
    waiting_max: int = 1_024


@dataclass(slots=True)
class _Member:
    taken: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    seen_at: float = 0.0

    def drop_who_left(self) -> None:
        """Whoever stopped waiting has not been here since."""
        while self.waiting and self.waiting[0].done():
            del self.waiting[0]

    def is_gone(self, since: float) -> bool:
        return not self.taken and not self.waiting and self.seen_at <= since


@dataclass(slots=True)
class _Name:
    """In the order in which its members have their next turn."""

    taken: int = 0
    members: OrderedDict[str, _Member] = field(default_factory=OrderedDict)

    @property
    def is_waiting(self) -> bool:
        return any(not turn.done() for one in self.members.values() for turn in one.waiting)


class FairQueue:
    """Gives places by name, and by member under a name. For one event loop."""

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

    def place(self, name: str, member: str = "", *, within_s: float) -> "Place":
        """A place to have while a block runs.

        Args:
            name: who.
            member: for whom of those that this one comes for.
            within_s: how long to wait for it, seconds.
        """
        return Place(self, name, member, within_s)

    async def enter(self, name: str, member: str, within_s: float) -> None:
        """Take a place, or wait for one; what `Place` does. Raises as it."""
        now = asyncio.get_running_loop().time()
        self._forget(now)
        known = self._names.setdefault(name, _Name())
        one = known.members.setdefault(member, _Member())
        one.seen_at = now
        if not one.waiting and self._is_free_for(known, one):
            self._give(name, member)
            return
        if len(one.waiting) >= self._places.waiting_max:
            raise NoPlace(name)
        with self.watch_wait():
            await self._wait(name, member, within_s)

    async def _wait(self, name: str, member: str, within_s: float) -> None:
        one = self._names[name].members[member]
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        one.waiting.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except BaseException as ended:
            if turn.done() and not turn.cancelled():
                self._leave(name, member)  # it came too late
            elif turn in one.waiting:
                one.waiting.remove(turn)
            if isinstance(ended, TimeoutError):
                raise NoPlace(name) from None
            raise

    def leave(self, name: str, member: str, *, rest_s: float = 0.0) -> None:
        """Give a place back; where more wait of this name, it rests before."""
        if rest_s > 0.0 and self._names[name].is_waiting:
            asyncio.get_running_loop().call_later(rest_s, self._leave, name, member)
        else:
            self._leave(name, member)

    def _leave(self, name: str, member: str) -> None:
        known = self._names[name]
        one = known.members[member]
        known.taken -= 1
        one.taken -= 1
        self._taken -= 1
        now = asyncio.get_running_loop().time()
        one.seen_at = now
        self._forget(now)
        while self._taken < self._places.most and self._give_next():
            pass

    def _give_next(self) -> bool:
        share = self._share()
        for name, known in self._names.items():
            if known.taken >= share:
                continue
            for member, one in known.members.items():
                one.drop_who_left()
                if one.waiting and self._is_free_for(known, one):
                    turn = one.waiting.popleft()
                    self._give(name, member)
                    turn.set_result(None)
                    return True
        return False

    def _give(self, name: str, member: str) -> None:
        known = self._names[name]
        known.members[member].taken += 1
        known.taken += 1
        self._taken += 1
        known.members.move_to_end(member)
        self._names.move_to_end(name)

    def _is_free_for(self, known: _Name, one: _Member) -> bool:
        share = self._share()
        return (
            self._taken < self._places.most
            and known.taken < share
            and one.taken < max(1, share // len(known.members))
        )

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
        since = now - self._present_s
        for name, known in [*self._names.items()]:
            gone = [member for member, one in known.members.items() if one.is_gone(since)]
            for member in gone:
                del known.members[member]
            if not known.members:
                del self._names[name]


@dataclass(slots=True)
class Place:
    """A place in a queue, while a block runs.

    Attributes:
        rest_s: how long nobody has it afterwards, seconds, where more wait under the same name; for
            the block to say.
    """

    _queue: FairQueue
    _name: str
    _member: str
    _within_s: float
    rest_s: float = 0.0

    async def __aenter__(self) -> Self:
        """Have it.

        Raises:
            NoPlace: none came; the block has not begun.
        """
        await self._queue.enter(self._name, self._member, self._within_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""
        self._queue.leave(self._name, self._member, rest_s=self.rest_s)
