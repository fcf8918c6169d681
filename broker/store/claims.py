"""What any broker over one database may do is done by one of them at a time.

A claim is an advisory lock of one connection, which ends with the broker however that ends. It
spares work and nothing else: conditions in the database are what is right. So where the database
does not answer, whoever asks goes on, and finds that out there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import sqlalchemy as sa
import structlog

from broker.core.limits import STORE_DEADLINE_S
from broker.store import postgres
from broker.store.sql import Database, Statement

_TAKE: Final = Statement(
    sa.select(sa.func.pg_try_advisory_lock(sa.bindparam("number", type_=sa.BigInteger)).label("it"))
)
_GIVE_BACK: Final = Statement(
    sa.select(sa.func.pg_advisory_unlock(sa.bindparam("number", type_=sa.BigInteger)).label("it"))
)
# A broker whose machine is gone says nothing any more, and the server waits two hours by itself.
_ALIVE: Final = (
    "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"
)

_log = structlog.get_logger(__name__)


class Claims:
    """Claims of one broker, over a connection of their own. For one event loop."""

    def __init__(self, url: str) -> None:
        """Make them; nothing is connected to before the first claim."""
        self._engine = postgres.engine(url)
        self._database: Database | None = None
        self._is_doubtful = False
        self._is_closed = False
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="store-claims")

    @contextlib.asynccontextmanager
    async def claimed(self, name: str) -> AsyncIterator[bool]:
        """Have a name while the block runs.

        Args:
            name: of what is worked on; not had twice by one broker at once.

        Yields:
            False where another broker has it now; what it does need not be done here.
        """
        values = {"number": postgres.lock_of(f"claim {name}")}
        had = await self._ask(_TAKE, values)
        try:
            yield had is not False
        finally:
            if had:
                await self._ask(_GIVE_BACK, values)

    async def close(self) -> None:
        """Give up all of them; what is under way then is nobody's."""
        self._is_closed = True
        await asyncio.to_thread(self._threads.shutdown)
        self._give_up()

    async def _ask(self, statement: Statement, values: dict[str, int]) -> bool | None:
        """None where the database does not say."""
        if self._is_closed:
            return None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                return await loop.run_in_executor(self._threads, self._said, statement, values)
        except BaseException as error:
            self._is_doubtful = True  # it may be had yet, and nobody would give it back
            if isinstance(error, TimeoutError):
                return None
            raise

    def _said(self, statement: Statement, values: dict[str, int]) -> bool | None:
        if self._is_doubtful:
            self._is_doubtful = False
            self._give_up()
        try:
            if self._database is None:
                self._database = Database(self._engine.connect(), postgres.DIALECT)
                self._database.say(_ALIVE)
            row = self._database.row(statement, values)
        except postgres.DIALECT.opening_errors as error:
            _log.warning("claim_not_asked", why=type(error).__name__)
            self._give_up()
            return None
        return row is not None and bool(row["it"])

    def _give_up(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            with contextlib.suppress(psycopg.Error):
                database.close()
