"""Reads have connections and threads of their own: a slow one holds up neither loop nor writer.

Each read is one transaction, so it sees one state of the database, the last that was committed.
"""

import asyncio
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

import structlog

from broker.core.errors import StoreUnavailable
from broker.store import sqlite
from broker.store.sql import Database

P = ParamSpec("P")
T = TypeVar("T")

_AWAY: Final = "The database cannot be read; nothing was decided and nothing ran."
_log: Final = structlog.get_logger(__name__)


class Readers:
    """A few threads, each with a connection when it reads."""

    def __init__(self, connect: Callable[[], Database], *, count: int, deadline_s: float) -> None:
        """Take a number of threads; connections are opened as they are needed."""
        self._connect = connect
        self._deadline_s = deadline_s
        self._closed = False
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="store-reader")

    async def ask(
        self,
        read: Callable[Concatenate[Database, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a read in a transaction of its own.

        Raises:
            StoreUnavailable: the database cannot answer, or not in time.
        """
        if self._closed:
            raise StoreUnavailable(_AWAY)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(
                    self._threads, lambda: self._read(lambda d: read(d, *args, **kwargs))
                )
        except (*sqlite.ERRORS, TimeoutError) as error:
            _log.warning("store_not_read", why=str(error), what=read.__name__)
            raise StoreUnavailable(_AWAY) from error

    def close(self) -> None:
        """End the threads and give the connections up."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _read(self, read: Callable[[Database], T]) -> T:
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = self._connect()
        try:
            database.say(sqlite.BEGIN_READ)
            answer = read(database)
            database.say("COMMIT")
        except BaseException:
            # Closing rolls back; the next read opens a connection that is surely whole.
            database.close()
            raise
        self._idle.put(database)
        return answer
