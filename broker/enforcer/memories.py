"""What sessions have seen, kept between calls, so that each call reads only what is new.

The store has it all and is asked every time; what is kept here is how far it was read. One call of
a session looks at a time, and what takes long is done beside the loop, so that a session which has
seen much, or asks much, keeps no other waiting.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, TypeVar

from broker.core.calls import Context, Session
from broker.core.provenance.effort import Effort
from broker.core.provenance.memory import Memory, Sighting

MEMORIES_MAX: Final = 1_024
MEMORIES_BYTES_MAX: Final = 256 * 1024 * 1024
AT_ONCE_BYTES_MAX: Final = 16 * 1024
"""What is looked at on the loop itself; more goes to a thread, of which there are two."""
AT_ONCE_EFFORT_BYTES_MAX: Final = 1024 * 1024
"""What is read for that on the loop; a look that wants more begins again in a thread."""
_THREADS: Final = 2

_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled:
    """How far a session was read, its parents before it."""

    name: str
    memory: Memory
    parent: "Recalled | None" = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def chain(self) -> tuple["Recalled", ...]:
        """The eldest first, itself last."""
        return (*(self.parent.chain if self.parent is not None else ()), self)

    @property
    def positions(self) -> Mapping[str, int]:
        """By session."""
        return {one.name: one.memory.position for one in self.chain}


@dataclass(slots=True)
class Memories:
    """The sessions of late, the least lately used given up first.

    Attributes:
        kept: by name, the least lately used first.
        sizes: bytes of each, as far as they were weighed.
        size: of all together.
        most: sessions that are kept, and bytes; the latest is kept in any case.
    """

    kept: OrderedDict[str, Recalled] = field(default_factory=OrderedDict)
    sizes: dict[str, int] = field(default_factory=dict)
    size: int = 0
    most: int = MEMORIES_MAX
    bytes_most: int = MEMORIES_BYTES_MAX
    threads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_THREADS))

    def recall(self, session: Session) -> Recalled:
        """What was read of a session so far; nothing, where it is new here."""
        recalled: Recalled | None = None
        for name, context in (*session.ancestors, (session.name, session.context)):
            recalled = self._recall(name, context, recalled)
        if recalled is None:
            raise AssertionError("a session is the last of its own line")
        return recalled

    def _recall(self, name: str, context: Context, parent: Recalled | None) -> Recalled:
        recalled = self.kept.get(name)
        if recalled is None or recalled.parent is not parent:
            memory = Memory(
                is_clean=context is Context.MEDIATED,
                parent=parent.memory if parent is not None else None,
            )
            recalled = self.kept[name] = Recalled(name=name, memory=memory, parent=parent)
            self.size -= self.sizes.pop(name, 0)
        self.kept.move_to_end(name)
        return recalled

    async def look(
        self,
        recalled: Recalled,
        sightings: Mapping[str, Sequence[Sighting]],
        look: Callable[[Memory, Effort], _Seen],
        *,
        size: int,
    ) -> _Seen:
        """Read what is new, and then look.

        Args:
            recalled: as it was before the store was asked.
            sightings: what the store has besides, by session.
            look: asks the memory, with so much effort; must not change it.
            size: of what it looks for, bytes.
        """
        async with AsyncExitStack() as stack:
            for one in recalled.chain:
                await stack.enter_async_context(one.lock)
            new = [(one, _new(one.memory, sightings.get(one.name, ()))) for one in recalled.chain]
            size += sum(len(seen.content) for _, every in new for seen in every)

            def work(effort: Effort) -> _Seen:
                for one, every in new:
                    while every:
                        one.memory.see(every.popleft())
                return look(recalled.memory, effort)

            grown = [one for one, every in new if every]
            found = await self._found(work, is_little=size <= AT_ONCE_BYTES_MAX)
            for one in grown:
                self._weigh(one)
        self._bound()
        return found

    async def _found(self, work: Callable[[Effort], _Seen], *, is_little: bool) -> _Seen:
        if is_little:
            effort = Effort(AT_ONCE_EFFORT_BYTES_MAX)
            found = work(effort)
            if not effort.is_spent:
                return found
        return await self.beside(lambda: work(Effort()))

    async def beside(self, work: Callable[[], _Seen]) -> _Seen:
        """Work in one of the threads; whoever stops waiting waits for its end all the same."""
        async with self.threads:
            working = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                await asyncio.wait([working])
                raise

    def _weigh(self, one: Recalled) -> None:
        if self.kept.get(one.name) is one:
            size = one.memory.size
            self.size += size - self.sizes.get(one.name, 0)
            self.sizes[one.name] = size

    def _bound(self) -> None:
        while len(self.kept) > self.most or (self.size > self.bytes_most and len(self.kept) > 1):
            name, _ = self.kept.popitem(last=False)
            self.size -= self.sizes.pop(name, 0)


def _new(memory: Memory, sightings: Iterable[Sighting]) -> deque[Sighting]:
    """Those that no other call of the session has read meanwhile."""
    return deque(seen for seen in sightings if seen.position > memory.position)
