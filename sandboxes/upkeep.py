"""Looks after the engine and what is left on it: nothing is promised while it does not answer.

A loss is noticed at once where the engine's connections end, and within seconds where it hangs.
Once it answers again, leftovers are removed before anything new is started.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from typing import Final

import structlog

from sandboxes import seccomp
from sandboxes.containers import Containers, Surroundings
from sandboxes.engine import (
    Engine,
    EngineFacts,
    EngineRefused,
    EngineUnavailable,
    security_names,
)
from sandboxes.pool import Pools
from sandboxes.reaper import EVERY_S, reap, reap_directories
from sandboxes.refusals import Reason, Refused

LOOK_S: Final = 2.0
LOST_LOOK_S: Final = 0.5
_log = structlog.get_logger()


class Upkeep:
    """Whether the engine answers, and what follows from that.

    Attributes:
        problem: why nothing can be promised; empty where all is well.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        around: Surroundings,
        containers: Containers,
        pools: Pools,
        reading: Collection[str],
        changed: Callable[[], None],
    ) -> None:
        """Ask nothing yet.

        Args:
            engine: to be looked after.
            around: whose leftovers are ours, and where they lie.
            containers: the books.
            pools: told when the engine is lost and when it is back.
            reading: names of containers that images are looked into by.
            changed: called where another engine answers: what was known of images is void.
        """
        self.problem = "The container engine was not asked yet."
        self._engine = engine
        self._around = around
        self._containers = containers
        self._pools = pools
        self._reading = reading
        self._changed = changed
        self._facts: EngineFacts | None = None
        self._reaped_at_s = 0.0
        self._keeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, and from then on; an engine that is absent is waited for."""
        await self._look()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Look no longer."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping

    def facts(self) -> EngineFacts:
        """What the engine is.

        Raises:
            Refused: it does not answer.
        """
        if self.problem or self._facts is None:
            raise Refused(Reason.ENGINE_UNAVAILABLE, self.problem)
        return self._facts

    async def reap(self) -> None:
        """Remove what no slot owns; what was set aside is owned by none.

        Raises:
            EngineUnavailable, EngineRefused: the engine does not say what there is.
        """
        stuck = self._containers.quarantined
        reaped = await reap(self._engine, self._around.node_id, owned=self._owned)
        for slot in stuck:
            if slot.order.name not in reaped.left:
                self._containers.strike(slot)
                self._pools.forget(slot)
        removed = reaped.removed + reap_directories(self._around.directory, self._owned())
        if removed:
            _log.info("leftovers_removed", count=removed)
        lost = self._around.traces.end_lost(self._owned())
        if lost:
            _log.warning("lost_processes_ended", count=lost)

    def _owned(self) -> frozenset[str]:
        return self._containers.owned().union(self._reading)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(LOST_LOOK_S if self.problem else LOOK_S)
            try:
                await self._look()
            except Exception:  # noqa: BLE001 - a defect of one look shall not end all looking
                _log.exception("upkeep_failed")

    async def _look(self) -> None:
        now_s = asyncio.get_running_loop().time()
        try:
            if self.problem:
                await self._recover()
                self._reaped_at_s = now_s
            elif now_s - self._reaped_at_s >= EVERY_S:
                await self.reap()
                self._reaped_at_s = now_s
            else:
                await self._engine.ping()
        except (EngineUnavailable, EngineRefused) as lost:
            self._lose(str(lost))
        self._pools.tidy()

    def _lose(self, why: str) -> None:
        if self.problem and self._facts is not None:
            return  # it is known, and the first cause says most
        if self.problem == why:
            return  # it was said, and is looked for again twice a second
        self.problem = why
        self._containers.is_engine_lost = True
        _log.error("engine_lost", why=why)
        self._pools.refuse(EngineUnavailable(why))

    def _watch_ended(self) -> None:
        self._lose("The container engine was stopped, killed or restarted.")

    async def _recover(self) -> None:
        facts = await self._engine.facts()
        await self._engine.watch(self._watch_ended)
        if self._facts is not None and self._facts.engine_id != facts.engine_id:
            _log.warning("engine_changed", before=self._facts.engine_id, now=facts.engine_id)
            self._changed()
        self._facts = facts
        known = facts.architecture in seccomp.ARCHITECTURES  # else no profile can be given
        self._containers.seccomp = seccomp.stored(facts.architecture) if known else ""
        self._containers.are_uids_mapped = _are_uids_mapped(facts)
        await self.reap()
        self.problem = ""
        self._containers.is_engine_lost = False
        _log.info("engine_answers", version=facts.version, kernel=facts.kernel)
        self._pools.resume()


def _are_uids_mapped(facts: EngineFacts) -> bool:
    return not security_names(facts.security).isdisjoint({"userns", "rootless"})
