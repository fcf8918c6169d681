"""A unit on its way to the writer, and what its sender is told: one thing, exactly once."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from broker.core.errors import BrokerError, Defect
from broker.core.unit import Conflict, Unit

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Job:
    """A unit on its way, and who waits for it.

    Attributes:
        sign: a signed head is wanted with it.
        taken: by the writer; until then it can be withdrawn.
        error: what became of it; None once it is written.
    """

    unit: Unit
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    sign: bool = False
    taken: bool = False
    error: BaseException | None = None

    def tell(self) -> None:
        """Wake who waits. On the loop."""
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self.error)


def told(error: Exception) -> BaseException:
    """What the caller of one unit is told."""
    if isinstance(error, Conflict | BrokerError):
        return error
    _log.error("unit_not_applied", exc_info=error)
    defect = Defect("The change could not be recorded.")
    defect.__cause__ = error
    return defect


def fail(jobs: Iterable[Job], error: BrokerError) -> None:
    """Every unit that did not fail by itself fails with the group."""
    for job in jobs:
        if job.error is None:
            job.error = type(error)(str(error))


def forget_conflicts(jobs: Iterable[Job], error: BrokerError) -> None:
    """What was in a unit's way may have been another of its group, which is not written either."""
    for job in jobs:
        if isinstance(job.error, Conflict):
            job.error = type(error)(str(error))


def wake(jobs: Iterable[Job]) -> None:
    """One call into each loop, however many wait there."""
    loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        loops.setdefault(job.loop, []).append(job)
    for loop, waiting in loops.items():
        try:
            loop.call_soon_threadsafe(_tell, waiting)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            _log.warning("nobody_waits", units=len(waiting))


def _tell(jobs: Iterable[Job]) -> None:
    for job in jobs:
        job.tell()
