"""Keeps a few containers started and waiting, and hands each out once.

A pool is one image under one profile. What is free goes to whoever has waited longest; where
nothing is, a container is started, and where there is no room, an idle one of another pool makes
way. None is ever shared, and none comes back once it was asked.
"""

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from sandboxes.engine import EngineRefused, EngineUnavailable
from sandboxes.profile import Profile
from sandboxes.slot import Event, NotReady, Slot, State

HAND_OVER_S: Final = 0.1
LINGER_S: Final = 0.03
SILENT_WITHIN_S: Final = 0.1  # of its end; one that answered goes by itself
STARTS_MAX: Final = 4
TURN_S: Final = 2.0  # after which a start that goes on is nobody's way any more
_log = structlog.get_logger()

Starter = Callable[[str, Profile], Awaitable[Slot]]
Ender = Callable[[Slot], Awaitable[None]]


class NoRoom(Exception):
    """Every container that there may be is at work; `str` is one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """How many there may be.

    Attributes:
        warm: started and waiting, of each pool.
        containers_max: of all pools together, those at work included.
        idle_s: after which a pool that nobody asked gives its containers up.
        recycle_s: after which a container that nobody asked is replaced.
    """

    warm: int = 2
    containers_max: int = 16
    idle_s: float = 600.0
    recycle_s: float = 600.0


@dataclass(slots=True, kw_only=True)
class Pool:
    """One image under one profile."""

    image: str
    profile: Profile
    used_at_s: float
    ready: deque[Slot] = field(default_factory=deque)
    busy: set[Slot] = field(default_factory=set)
    waiters: deque["asyncio.Future[Slot]"] = field(default_factory=deque)
    starting: int = 0
    starts_at_s: float = 0.0
    failed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.image, self.profile.digest


class Pools:
    """All pools of a node. For one event loop."""

    def __init__(self, *, limits: PoolLimits, start: Starter, end: Ender) -> None:
        """Keep nothing yet.

        Args:
            limits: how many there may be.
            start: makes a slot that waits for a question; raises as `Slot.start`.
            end: kills and removes; never raises. A slot that is QUARANTINED after counts on.
        """
        self.limits = limits
        self._start = start
        self._end = end
        self._pools: dict[tuple[str, str], Pool] = {}
        self._slots: set[Slot] = set()
        self._starting = 0
        self._turns: set[object] = set()
        self._arrived: dict[asyncio.Future[Slot], int] = {}
        self._arrivals = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waking: asyncio.TimerHandle | None = None
        self._refilling = True
        self._calm = asyncio.Event()

    @property
    def pools(self) -> Iterable[Pool]:
        """Each of them."""
        return self._pools.values()

    @property
    def slots(self) -> Iterable[Slot]:
        """Every slot that is not gone, those that start excepted."""
        return self._slots

    @property
    def count(self) -> int:
        """Containers that there are or are about to be."""
        return len(self._slots) + self._starting

    async def take(self, image: str, profile: Profile, *, wait_s: float) -> tuple[Slot, bool]:
        """A slot that is the caller's alone, and whether it was warm.

        Raises:
            NoRoom: none came free in time.
            NotReady, EngineRefused, EngineUnavailable: a container for it could not be started.
        """
        loop = asyncio.get_running_loop()
        pool = self._pool(image, profile, now_s=loop.time())
        pool.failed = False
        while pool.ready and not pool.waiters:
            slot = pool.ready.popleft()
            if slot.usable():
                self._claim(pool, slot)
                return slot, True
            self._retire(pool, slot)
        waiter: asyncio.Future[Slot] = loop.create_future()
        pool.waiters.append(waiter)
        self._arrived[waiter] = next(self._arrivals)
        self._arrange()
        taken: Slot | None = None
        try:
            async with asyncio.timeout(wait_s):
                taken = await waiter
        except TimeoutError:
            raise NoRoom(
                f"No container came free within {wait_s:g} s: {self.count} of "
                f"{self.limits.containers_max} are there."
            ) from None
        finally:
            del self._arrived[waiter]
            if taken is None:
                self._forget(pool, waiter)
        return taken, False

    def give_back(self, slot: Slot) -> None:
        """It was claimed and never asked: it waits for the next."""
        pool = self._pools.get((slot.order.image, slot.order.profile.digest))
        if pool is None or slot.state is not State.CLAIMED:
            self.retire(slot)
            return
        slot.happen(Event.GIVE_BACK)
        pool.busy.discard(slot)
        self._offer(pool, slot)

    def retire(self, slot: Slot) -> None:
        """It was used, or is not as it should be: it ends."""
        pool = self._pools.get((slot.order.image, slot.order.profile.digest))
        if pool is not None:
            pool.starts_at_s = 0.0
            self._retire(pool, slot)

    def count_on(self, slot: Slot) -> None:
        """It came to nothing and could not be removed: it counts until `forget`."""
        self._slots.add(slot)

    def forget(self, slot: Slot) -> None:
        """The engine says that its container is gone."""
        self._slots.discard(slot)
        self._arrange()

    def tidy(self) -> None:
        """Give up what is idle or old. Called every few seconds."""
        now_s = asyncio.get_running_loop().time()
        for pool in list(self._pools.values()):
            if pool.busy or pool.waiters or pool.starting:
                pool.used_at_s = now_s
            idle = now_s - pool.used_at_s > self.limits.idle_s
            old = [s for s in pool.ready if now_s - s.started_at_s > self.limits.recycle_s]
            for slot in list(pool.ready) if idle else old:
                self._retire(pool, slot)
            if idle:
                del self._pools[pool.key]
        self._arrange()

    def empty(self) -> None:
        """End everything that waits; what is at work goes on."""
        for pool in self._pools.values():
            for slot in list(pool.ready):
                self._retire(pool, slot)

    def refuse(self, error: EngineUnavailable) -> None:
        """The engine is lost: whoever waits is told, and what waited is set aside."""
        self._refilling = False
        for pool in self._pools.values():
            while pool.waiters:
                waiter = pool.waiters.popleft()
                if not waiter.done():
                    waiter.set_exception(error)
        self.empty()

    def resume(self) -> None:
        """The engine answers again."""
        self._refilling = True
        for pool in self._pools.values():
            pool.failed = False
        self._arrange()

    async def close(self) -> None:
        """End every slot and wait for that."""
        self._refilling = False
        if self._waking is not None:
            self._waking.cancel()
        self.empty()
        for pool in self._pools.values():
            for slot in list(pool.busy):
                self._retire(pool, slot)
        while self._tasks:
            await asyncio.wait(self._tasks)
            self.empty()

    def _pool(self, image: str, profile: Profile, *, now_s: float) -> Pool:
        key = (image, profile.digest)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(image=image, profile=profile, used_at_s=now_s)
        pool.used_at_s = now_s
        return pool

    def _claim(self, pool: Pool, slot: Slot) -> None:
        slot.claim(at_s=asyncio.get_running_loop().time())
        pool.busy.add(slot)
        self._wake_after(HAND_OVER_S)

    def _offer(self, pool: Pool, slot: Slot) -> None:
        while pool.waiters:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                self._claim(pool, slot)
                waiter.set_result(slot)
                return
        pool.ready.append(slot)
        slot.outcome.add_done_callback(lambda _: self._spoiled(pool, slot))

    def _spoiled(self, pool: Pool, slot: Slot) -> None:
        """It said something, or ended, while nobody had asked."""
        if slot.state is State.READY and slot in pool.ready:
            _log.warning("sandbox_spoiled", run=slot.run, heard=repr(slot.outcome.result()))
            self._retire(pool, slot)

    def _retire(self, pool: Pool, slot: Slot) -> None:
        with contextlib.suppress(ValueError):
            pool.ready.remove(slot)
        pool.busy.discard(slot)
        if not self._is_handing_over():
            self._calm.set()
        if slot.state in (State.READY, State.CLAIMED, State.ASKED):
            slot.happen(Event.END)
            self._spawn(self._ending(slot))

    async def _ending(self, slot: Slot) -> None:
        if slot.was_asked:
            await slot.fall_silent(within_s=SILENT_WITHIN_S)
        slot.hang_up()
        if self._is_handing_over():
            self._calm.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._calm.wait()
        await self._end(slot)
        if slot.state is State.GONE:
            self._slots.discard(slot)
        self._arrange()

    def _forget(self, pool: Pool, waiter: "asyncio.Future[Slot]") -> None:
        with contextlib.suppress(ValueError):
            pool.waiters.remove(waiter)
        if not waiter.done():
            waiter.cancel()
        elif not waiter.cancelled() and waiter.exception() is None:
            # Handed over in the very moment in which its taker gave up.
            self.give_back(waiter.result())

    def _is_handing_over(self) -> bool:
        """Whether a call was handed out a moment ago and has not ended.

        To start a container, or to remove one, costs the engine many times the processor time of a
        short call: in a burst all others would wait for what the first one left behind.
        """
        since_s = asyncio.get_running_loop().time() - HAND_OVER_S
        return any(
            slot.claimed_at_s > since_s for pool in self._pools.values() for slot in pool.busy
        )

    def _arrange(self) -> None:
        """Start what is missing: for whoever waits first, then to be warm."""
        now_s = asyncio.get_running_loop().time()
        for pool in sorted((p for p in self._pools.values() if p.waiters), key=self._turn_of):
            while len(pool.waiters) > pool.starting and self._may_start(pool):
                self._spawn_start(pool)
        if not self._refilling or self._is_handing_over():
            return
        for pool in list(self._pools.values()):
            if pool.failed or pool.starts_at_s > now_s:
                continue
            while (
                len(pool.ready) + pool.starting - len(pool.waiters) < self.limits.warm
                and len(self._turns) < STARTS_MAX
                and self.count < self.limits.containers_max
            ):
                self._spawn_start(pool)

    def _turn_of(self, pool: Pool) -> int:
        """When whoever waits longest there came; one that has just been served counts for none."""
        return min((self._arrived[w] for w in pool.waiters if w in self._arrived), default=0)

    def _pass_on(self, turn: object) -> None:
        """A program that is slow to load costs its own caller time, and no other."""
        self._turns.discard(turn)
        self._arrange()

    def _may_start(self, pool: Pool) -> bool:
        if len(self._turns) >= STARTS_MAX:
            return False
        if self.count < self.limits.containers_max:
            return True
        others = [p for p in self._pools.values() if p is not pool and p.ready]
        if others:
            longest_unused = min(others, key=lambda p: p.used_at_s)
            longest_unused.starts_at_s = asyncio.get_running_loop().time() + self.limits.idle_s
            self._retire(longest_unused, longest_unused.ready[0])
        return False  # once that one is gone

    def _spawn_start(self, pool: Pool) -> None:
        pool.starting += 1
        self._starting += 1
        turn = object()
        self._turns.add(turn)
        self._spawn(self._starts(pool, turn))

    async def _starts(self, pool: Pool, turn: object) -> None:
        passing_on = asyncio.get_running_loop().call_later(TURN_S, self._pass_on, turn)
        try:
            slot = await self._start(pool.image, pool.profile)
        except (NotReady, EngineRefused, EngineUnavailable) as failed:
            _log.warning("sandbox_not_started", image=pool.image, why=str(failed))
            self._fail(pool, failed)
        except Exception as defect:
            self._fail(pool, defect)
            raise
        else:
            self._slots.add(slot)
            self._offer(pool, slot)
        finally:
            passing_on.cancel()
            self._turns.discard(turn)
            pool.starting -= 1
            self._starting -= 1
        self._arrange()

    def _fail(self, pool: Pool, error: Exception) -> None:
        """Whoever waits first is told; nothing is started in advance until somebody asks again."""
        pool.failed = True
        while pool.waiters:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error)
                return

    def _spawn(self, work: "Awaitable[None]") -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake_after(self, delay_s: float) -> None:
        if self._waking is not None:
            self._waking.cancel()
        self._waking = asyncio.get_running_loop().call_later(delay_s + 0.01, self._arrange)
