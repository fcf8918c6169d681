"""A worker keeps a stream to each broker while it lives, and its answers until a broker has them.

A lost stream is made again for ever; attempts run on meanwhile and answer on the next one. Only a
refused hello ends a worker: that is somebody's to mend, and the error says what. Never are more
calls carried out at a time than it has slots, however many brokers hand it some.
"""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from broker.sdk.attempts import Attempts
from broker.sdk.carrying import carry_out, declined, not_started
from broker.sdk.configuration import settings_from
from broker.sdk.errors import CallerError, Unavailable, WorkerRefused
from broker.sdk.patience import DRAIN_GRACE_S, DRAIN_S, FINISH_S, SETTLE_S, SLOT_WAIT_S
from broker.sdk.tool_function import PREVIEW_SUFFIX, P, R, ToolFunction
from broker.sdk.worker_streams import WorkerStreams
from broker.v1 import worker_pb2

LOG: Final = logging.getLogger("callbroker.worker")
SLOTS_MAX: Final = 1_000


class Worker:
    """Tools' own process.

    Args:
        address: `host:port`; CALLBROKER_ADDRESS, else 127.0.0.1:7400, where left out.
        token: CALLBROKER_WORKER_TOKEN where left out; it names the tools that it is good for.
        slots: how many calls it takes at a time; 1 to 1000.
        ca_file: CALLBROKER_CA_FILE where left out; needed off this machine.
        drain_s: how long `stop` lets calls under way go on.
        slot_wait_s: how long a call waits for a slot that calls of other brokers have.
    """

    def __init__(
        self,
        address: str | None = None,
        token: str | None = None,
        slots: int = 8,
        *,
        ca_file: str | Path | None = None,
        drain_s: float = DRAIN_S,
        slot_wait_s: float = SLOT_WAIT_S,
    ) -> None:
        if not 1 <= slots <= SLOTS_MAX:
            raise ValueError(f"slots is 1 to {SLOTS_MAX}, not {slots}.")
        self._address, self._token, self._ca_file = address, token, ca_file
        self._slots = slots
        self._drain_s = drain_s
        self._slot_wait_s = slot_wait_s
        self._tools: dict[str, ToolFunction[..., Any]] = {}
        self._attempts = Attempts()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(slots)
        self._streams: WorkerStreams | None = None
        self._serving: asyncio.Task[None] | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._is_closing = False
        self._now: Callable[[], float] = time.time  # noqa: TID251 - deadlines are wall-clock times

    @property
    def tools(self) -> Mapping[str, ToolFunction[..., Any]]:
        """What it implements, by name."""
        return self._tools

    def tool(self, name: str) -> Callable[[Callable[P, R]], ToolFunction[P, R]]:
        """Declares a function as the implementation of a tool.

        A first parameter named `call` or annotated with `Call` is given the call; the others are
        given the arguments, by name. Plain functions run in a thread.

        Raises:
            TypeError: the signature has no JSON Schema, or no name is given.
            ValueError: there is one for this tool already.
        """
        _require_name(name)

        def register(function: Callable[P, R]) -> ToolFunction[P, R]:
            if name in self._tools:
                raise ValueError(f"There is an implementation of {name} already.")
            implementation = ToolFunction(name, function)
            self._tools[name] = implementation
            return implementation

        return register

    def run(self) -> None:
        """Serves until SIGINT or SIGTERM, then drains. For a process that does nothing else.

        Raises:
            SystemExit: the broker does not take this worker, or there is no token. Standard error
                gets the sentence that says what to change; `start` raises the error itself.
        """
        try:
            asyncio.run(self._run())
        except CallerError as refused:
            raise SystemExit(str(refused)) from refused

    @asynccontextmanager
    async def serving(self, *, timeout_s: float = 10.0) -> AsyncIterator["Worker"]:
        """Serves within an `async with`, for tests and for processes that do more."""
        await self.start(timeout_s=timeout_s)
        try:
            yield self
        finally:
            await self.stop()

    async def start(self, *, timeout_s: float | None = None) -> None:
        """Connects and returns once the broker has taken the worker.

        Args:
            timeout_s: for ever where left out.

        Raises:
            WorkerRefused: the broker does not take this worker, or it has no tool.
            Unavailable: no broker within the timeout.
        """
        if self._streams is not None:
            raise RuntimeError("This worker serves already.")
        if not self._tools:
            raise WorkerRefused(
                'This worker has no tool: put @worker.tool("pay") over a function, with the name '
                "of the function's tool, before the worker starts."
            )
        settings = settings_from(address=self._address, ca_file=self._ca_file, worker=self._token)
        self._is_closing = False
        self._threads = ThreadPoolExecutor(self._slots, thread_name_prefix="callbroker-tool")
        self._places = asyncio.Semaphore(self._slots)
        self._streams = WorkerStreams(
            settings,
            hello=worker_pb2.WorkerHello(
                slots=self._slots, tools=[tool.offer() for tool in self._tools.values()]
            ),
            attempts=self._attempts,
            take=self._take,
        )
        self._serving = asyncio.create_task(self._streams.serve())
        try:
            await self._welcomed(self._streams, self._serving, timeout_s)
        except BaseException:
            if self._serving.done():  # its error is the one that is raised
                self._serving = None
            await self._close()
            raise

    async def stop(self) -> None:
        """Announces the end, lets what runs end for drain_s, then waits until its answers are had.

        What has not ended by then is cancelled and answered as unknown.
        """
        if self._streams is None:
            return
        self._streams.drain()
        # Calls that had a place here before the broker heard of it still come, and are carried out.
        await asyncio.sleep(min(DRAIN_GRACE_S, self._drain_s))
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=self._drain_s)
        self._is_closing = True
        for answer in self._attempts.abandon("The worker stopped before the tool ended."):
            self._streams.answer(answer)
        self._streams.hand_in()
        for task in self._tasks.values():
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                await self._streams.settled()
        if left := len(self._attempts.unacknowledged):
            LOG.error("stopped with %d answers that the broker does not have", left)
        if self._serving is not None and self._streams.finish():
            await asyncio.wait({self._serving}, timeout=FINISH_S)
        await self._close()

    async def _run(self) -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        starting = asyncio.create_task(self.start())
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
            if self._serving is not None and not stop.done():
                await asyncio.wait({self._serving, stop}, return_when=asyncio.FIRST_COMPLETED)
                if self._serving.done():  # it ends by an error alone
                    ended, self._serving = self._serving, None
                    await ended
        finally:
            starting.cancel()
            stop.cancel()
            await asyncio.wait({starting, stop})
            await self.stop()

    async def _welcomed(
        self, streams: WorkerStreams, serving: "asyncio.Task[None]", timeout_s: float | None
    ) -> None:
        welcomed = asyncio.create_task(streams.welcomed.wait())
        try:
            await asyncio.wait(
                {serving, welcomed}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if serving.done():
                await serving
            if not welcomed.done():
                raise Unavailable(f"No broker answered this worker within {timeout_s} s.")
        finally:
            welcomed.cancel()

    def _take(self, handover: worker_pb2.Handover, broker: str) -> worker_pb2.WorkerAnswer | None:
        """Takes an attempt up, or answers at once."""
        if kept := self._attempts.kept(handover.fencing_token):
            return kept
        if not self._attempts.begin(handover, broker):
            return None
        if why := self._objection(handover):
            answer = not_started(handover, why)
            self._attempts.end(answer)
            return answer
        self._say_load()
        task = asyncio.create_task(self._carry_out(handover))
        self._tasks[handover.fencing_token] = task
        task.add_done_callback(lambda _: self._tasks.pop(handover.fencing_token, None))
        return None

    def _objection(self, handover: worker_pb2.Handover) -> str:
        if self._is_closing:
            return "The worker is stopping."
        if self._function(handover.tool) is None:
            return "The worker does not implement this tool."
        is_shared = self._streams is not None and self._streams.is_shared
        if self._attempts.running > self._slots and not is_shared:
            return "The worker has no free slot."
        return ""

    def _function(self, tool: str) -> ToolFunction[..., Any] | None:
        """What implements a tool, or the preview of one."""
        if tool in self._tools:
            return self._tools[tool]
        of = self._tools.get(tool.removesuffix(PREVIEW_SUFFIX))
        return of.previewer if of is not None else None

    async def _carry_out(self, handover: worker_pb2.Handover) -> None:
        answer = await self._answer(handover)
        if self._attempts.end(answer) and self._streams is not None:
            self._streams.answer(answer)
        self._say_load()

    async def _answer(self, handover: worker_pb2.Handover) -> worker_pb2.WorkerAnswer:
        """What becomes of a call; each broker may have counted on the same slot."""
        assert self._threads is not None  # noqa: S101 - start has set it
        function = self._function(handover.tool)
        assert function is not None  # noqa: S101 - there was no objection
        try:
            async with asyncio.timeout(self._slot_wait_s):
                await self._places.acquire()
        except TimeoutError:
            return declined(handover, "Calls of other brokers have all slots of the worker.")
        try:
            return await carry_out(function, handover, now=self._now, threads=self._threads)
        finally:
            self._places.release()

    def _say_load(self) -> None:
        if self._streams is not None:
            self._streams.loaded()

    async def _close(self) -> None:
        serving, self._serving = self._serving, None
        threads, self._threads = self._threads, None
        self._streams = None
        for task in self._tasks.values():
            task.cancel()
        if serving is not None:
            serving.cancel()
            await asyncio.wait({serving})
            if not serving.cancelled() and (error := serving.exception()):
                LOG.error("%s", error)
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


def _require_name(name: object) -> None:
    """`@worker.tool` without parentheses would declare nothing, and not say so."""
    if not isinstance(name, str):
        example = getattr(name, "__name__", "pay")
        raise TypeError(f'give the tool\'s name: @worker.tool("{example}")')
