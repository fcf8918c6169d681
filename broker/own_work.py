"""What the broker has begun is the broker's own: nobody who hangs up cancels it, and it is bounded.

Whoever asked only waits. A caller has a share of what may be under way at once, so that one that
asks and hangs up, again and again, costs the others nothing. Once the broker is stopping, nothing
new begins.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from broker.core import limits
from broker.core.errors import (
    BrokerError,
    Defect,
    LimitExceeded,
    OutcomeUnstored,
    RunnerUnavailable,
    retry_after,
)

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class OwnWork:
    """The tasks that are under way. For one event loop."""

    def __init__(
        self,
        *,
        tasks_max: int = limits.CALLS_UNDER_WAY_MAX,
        share_max: int = limits.CALLS_OF_SESSION_MAX,
    ) -> None:
        """Make one; `share_max` is what one name may have under way."""
        self._tasks_max = tasks_max
        self._share_max = share_max
        self._tasks: set[asyncio.Task[Any]] = set()
        self._shares: Counter[str] = Counter()
        self._is_stopping = False

    @property
    def tasks(self) -> frozenset["asyncio.Task[Any]"]:
        """Those that have not ended."""
        return frozenset(self._tasks)

    async def run(self, work: Coroutine[Any, Any, _T], *, share: str = "") -> _T:
        """Begin, and wait; who stops waiting cancels nothing.

        Args:
            work: runs to its end.
            share: whose share it is of; empty for what is not a call.

        Raises:
            RunnerUnavailable: the broker is stopping; nothing was begun.
            LimitExceeded: too much is under way; nothing was begun.
        """
        try:
            self._admit(share)
        except BrokerError:
            work.close()
            raise
        return await asyncio.shield(self._begin(work, share))

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin what nobody waits for. Nothing happens once the broker is stopping."""
        if self._is_stopping:
            work.close()
            return
        _ = self._begin(work, "")

    def go_on(self, work: Coroutine[Any, Any, Any], *, share: str) -> None:
        """Go on with what was begun, without whoever asked; also while the broker is stopping."""
        _ = self._begin(work, share)

    async def drain(self, *, within_s: float, hurry: asyncio.Event | None = None) -> None:
        """Begin nothing more, and wait; what is left then is cancelled.

        Args:
            within_s: how long to wait, seconds.
            hurry: once it is set, nothing is waited for any more.
        """
        self._is_stopping = True
        if self._tasks:
            loop = asyncio.get_running_loop()
            waiting = {loop.create_task(self._none_left())}
            if hurry is not None:
                waiting.add(loop.create_task(_is_set(hurry)))
            await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        left = self.tasks
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _none_left(self) -> None:
        while self._tasks:
            await asyncio.wait(self.tasks)

    def _admit(self, share: str) -> None:
        if self._is_stopping:
            raise stopping()
        if share and self._shares[share] >= self._share_max:
            raise LimitExceeded(f"A session has at most {self._share_max} calls under way.")
        if share and len(self._tasks) >= self._tasks_max:
            raise LimitExceeded("Too many calls are under way.")

    def _begin(self, work: Coroutine[Any, Any, _T], share: str) -> "asyncio.Task[_T]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self._shares[share] += 1
        task.add_done_callback(lambda ended: self._ended(ended, share))
        return task

    def _ended(self, task: "asyncio.Task[Any]", share: str) -> None:
        self._tasks.discard(task)
        self._shares[share] -= 1
        if not self._shares[share]:
            del self._shares[share]
        # Perhaps nobody waits any more: what an operator must know of is said here too.
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OutcomeUnstored):
            # Of the database's making, not of ours: which call it is says more than where it was.
            _log.error("outcome_unstored", why=str(error), **error.metadata)
        elif error is not None and _is_defect(error):
            _log.error("work_failed", error=type(error).__name__, exc_info=error)


def stopping() -> RunnerUnavailable:
    """What whoever comes too late is told: nothing was begun, and it may be asked again."""
    return RunnerUnavailable("The broker is stopping.", metadata=retry_after())


async def _is_set(event: asyncio.Event) -> None:
    await event.wait()


def _is_defect(error: BaseException) -> bool:
    return not isinstance(error, BrokerError) or isinstance(error, Defect)
