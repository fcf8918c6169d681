"""A read never waits for the writer; a long one has a thread, and one by key is done on the spot.

Each read is one transaction, so it sees one state of the database, the last that was committed.
Handing a read to a thread costs more than reading a few rows by their key does (60 us and more,
against 15 to 60), and a call makes half a dozen: so those are read at once, on the loop, over a
connection that waits for no lock. Whatever that connection cannot answer, all that may be long, and
everything where the database is a server, goes to the threads, which have a deadline.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, Final, ParamSpec, TypeVar

import structlog

from broker.core.errors import StoreUnavailable
from broker.store.dialects import Dialect
from broker.store.schema import reason
from broker.store.sql import Database

P = ParamSpec("P")
T = TypeVar("T")

_AWAY: Final = "The database cannot be read; nothing was decided and nothing ran."
_log: Final = structlog.get_logger(__name__)


class Readers:
    """Connections that read: one for the loop, and one for each of a few threads."""

    def __init__(
        self, connect: Callable[[], Database], *, dialect: Dialect, deadline_s: float
    ) -> None:
        """Take some threads; connections are opened as they are needed."""
        self._connect = connect
        self._dialect = dialect
        self._away: tuple[type[BaseException], ...] = (*dialect.opening_errors, TimeoutError)
        self._deadline_s = deadline_s
        self._closed = False
        self._near: Database | None = None
        self._guard = threading.Lock()
        self._idle: queue.SimpleQueue[Database] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(dialect.readers, thread_name_prefix="store-reader")

    async def look(
        self,
        read: Callable[Concatenate[Database, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a read of a few rows by their keys.

        Raises:
            StoreUnavailable: as `ask`.
        """
        # Taken only where two loops use one store: then the other's read goes to a thread.
        if self._is_near and self._guard.acquire(blocking=False):
            try:
                return self._look(lambda d: read(d, *args, **kwargs))
            except self._dialect.opening_errors as error:
                _log.info("store_read_again", why=str(error), what=read.__name__)
            finally:
                self._guard.release()
        return await self.ask(read, *args, **kwargs)

    async def ask(
        self,
        read: Callable[Concatenate[Database, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a read that may be long.

        Raises:
            StoreUnavailable: the database cannot answer, or not in time.
        """
        if self._closed:
            raise StoreUnavailable(_AWAY)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._deadline_s):
                return await loop.run_in_executor(
                    self._threads, lambda: self._ask(lambda d: read(d, *args, **kwargs))
                )
        except self._away as error:
            _log.warning("store_not_read", why=reason(error), what=read.__name__)
            raise StoreUnavailable(_AWAY) from error

    @property
    def _is_near(self) -> bool:
        return self._dialect.is_near and not self._closed

    def close(self) -> None:
        """End the threads and give the connections up."""
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
        with self._guard:
            if self._near is not None:
                self._near.close()
        while not self._idle.empty():
            self._idle.get_nowait().close()

    def _look(self, read: Callable[[Database], T]) -> T:
        database, self._near = self._near, None
        if database is None:
            database = self._connect()
            database.say(self._dialect.wait_for_no_lock)
        answer = _read(database, read)
        self._near = database
        return answer

    def _ask(self, read: Callable[[Database], T]) -> T:
        try:
            database = self._idle.get_nowait()
        except queue.Empty:
            database = self._connect()
        try:
            answer = _read(database, read)
        except self._dialect.errors as error:
            if not self._dialect.is_lost(error):
                raise
            # It was gone before it was asked, most likely: one that is new tells.
            database = self._connect()
            answer = _read(database, read)
        self._idle.put(database)
        return answer


def _read(database: Database, read: Callable[[Database], T]) -> T:
    try:
        database.say(database.dialect.begin_read)
        answer = read(database)
        database.say("COMMIT")
    except BaseException:
        # Closing rolls back; the next read opens a connection that is surely whole.
        database.close()
        raise
    return answer
