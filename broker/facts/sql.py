"""A database is opened so that it cannot be written to, and a query that runs away is stopped.

Values travel as bound parameters alone. SQLite is opened `mode=ro` with `query_only` and an
authorizer that admits reading; PostgreSQL in read-only transactions with a statement timeout. Each
source has a small thread pool of its own, so that a slow one delays nobody else.
"""

import asyncio
import math
import sqlite3
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from broker.core import statements
from broker.core.arguments import JsonValue
from broker.core.limits import FACT_DEADLINE_S, FACT_DEADLINE_S_MAX, FACT_ITEMS_MAX, INTEGER_MAX
from broker.core.manifest import FactSpec
from broker.facts.source import Code, LookUpFailed, SourceSettings

# SQLite asks whether to go on every so many of its virtual machine's steps: some 0.1 ms.
_STEPS_BETWEEN_LOOKS: Final = 5_000
_READING: Final = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    },
)


class SqlSource:
    """A database, read-only."""

    def __init__(self, settings: SourceSettings) -> None:
        """Prepare; nothing is opened before the first look-up.

        Raises:
            ValueError: the URL names no database that is supported.
        """
        self._engine = _engine(settings)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="facts-sql")
        self._texts: dict[str, sa.TextClause] = {}

    def refuses(self, spec: FactSpec) -> str:
        """Why no look-up like this can ever work here; empty where it can."""
        return "" if spec.sql else "it is a database: give sql"

    async def look_up(
        self,
        spec: FactSpec,
        parameters: Mapping[str, JsonValue],
        *,
        rows_max: int,
    ) -> list[JsonValue]:
        """The rows, as objects by column.

        Raises:
            LookUpFailed: there is no answer, or more rows than `rows_max`.
        """
        bound = _bindable(spec.sql, parameters)
        running = _Running()
        try:
            rows = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._fetch, spec, bound, rows_max, running
            )
        except asyncio.CancelledError:
            running.stop()
            raise
        if len(rows) > rows_max:
            raise LookUpFailed("TOO_MANY_ROWS", f"more than {rows_max} rows")
        return rows

    async def close(self) -> None:
        """Give up connections and threads."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._engine.dispose()

    def _fetch(
        self,
        spec: FactSpec,
        bound: Mapping[str, Any],
        rows_max: int,
        running: "_Running",
    ) -> list[JsonValue]:
        try:
            with self._engine.connect() as connection, running.on(connection):
                if connection.dialect.name == "postgresql":
                    limit_ms = math.ceil(spec.deadline_s * 1_000)
                    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {limit_ms:d}")
                with connection.execute(self._text(spec.sql), bound) as result:
                    found = result.mappings().fetchmany(rows_max + 1)
        except DBAPIError as error:
            raise LookUpFailed(_code(error), str(error.orig)) from None
        except SQLAlchemyError as error:
            raise LookUpFailed("QUERY_FAILED", str(error)) from None
        return [{name: _json(value) for name, value in row.items()} for row in found]

    def _text(self, sql: str) -> sa.TextClause:
        text = self._texts.get(sql)
        if text is None:
            expanding: list[sa.BindParameter[Any]] = [
                sa.bindparam(name, expanding=True) for name in statements.expanding(sql)
            ]
            text = self._texts[sql] = sa.text(sql).bindparams(*expanding)
        return text


class _Running:
    """The query that a look-up has under way, so that it can be stopped from the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._connection: Any = None

    def on(self, connection: sa.Connection) -> "_Running":
        self._connection = connection.connection.driver_connection
        return self

    def __enter__(self) -> None:
        with self._lock:
            if self._stopped:
                raise LookUpFailed("DEADLINE_EXCEEDED", "stopped before it began")
        if isinstance(self._connection, sqlite3.Connection):
            self._connection.set_progress_handler(lambda: self._stopped, _STEPS_BETWEEN_LOOKS)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if isinstance(connection, sqlite3.Connection):
            connection.set_progress_handler(None, 0)

    def stop(self) -> None:
        """End the query now; harmless where it has ended, or another uses the connection."""
        with self._lock:
            self._stopped = True
            if self._connection is None:
                return
            if isinstance(self._connection, sqlite3.Connection):
                self._connection.interrupt()
            else:
                self._connection.cancel()


def _engine(settings: SourceSettings) -> sa.Engine:
    url = sa.make_url(settings.url)
    pool = {
        "poolclass": QueuePool,
        "pool_size": settings.connections,
        "max_overflow": 0,
        "pool_timeout": FACT_DEADLINE_S_MAX,
    }
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            # `?`, `#` and `%` would end or change the path of a file URI.
            place = f"file:{quote(url.database)}?mode=ro"
            # One statement is a transaction of its own: there is nothing to reset.
            return sa.create_engine(
                "sqlite://",
                creator=lambda: _open_sqlite(place),
                pool_reset_on_return=None,
                skip_autocommit_rollback=True,
                isolation_level="AUTOCOMMIT",
                **pool,
            )
        case "postgresql":
            return sa.create_engine(
                url, **pool, pool_pre_ping=True, execution_options={"postgresql_readonly": True}
            )
        case _:
            raise ValueError("A source is sqlite:///path, postgresql+psycopg://… or https://host.")


def _open_sqlite(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        place, uri=True, timeout=FACT_DEADLINE_S, isolation_level=None, check_same_thread=False
    )  # waiting for a writer's lock cannot be interrupted, so it is short
    connection.execute("PRAGMA query_only = 1")
    connection.execute("PRAGMA trusted_schema = 0")
    connection.set_authorizer(_admit)
    return connection


def _admit(
    action: int, first: str | None, second: str | None, _database: str | None, _by: str | None
) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (second or first or "").lower() == "load_extension":
        return sqlite3.SQLITE_DENY
    if (action, first, second) == (sqlite3.SQLITE_PRAGMA, "read_uncommitted", None):
        return sqlite3.SQLITE_OK  # SQLAlchemy asks, once per engine
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _code(error: DBAPIError) -> Code:
    text = str(error.orig)
    if "interrupted" in text or "statement timeout" in text:
        return "DEADLINE_EXCEEDED"
    if (
        error.connection_invalidated
        or "unable to open" in text
        or "locked" in text
        or "not a database" in text
    ):
        return "SOURCE_UNAVAILABLE"
    return "QUERY_FAILED"


def _bindable(sql: str, parameters: Mapping[str, JsonValue]) -> Mapping[str, Any]:
    arrays = statements.expanding(sql)
    for name, value in parameters.items():
        elements = value if isinstance(value, list) else [value]
        if isinstance(value, list) != (name in arrays):
            raise LookUpFailed("QUERY_FAILED", f"{name}: an array is for IN :{name}, and only it")
        if any(isinstance(element, dict | list) for element in elements):
            raise LookUpFailed("QUERY_FAILED", f"{name}: a parameter is no object")
        if len(elements) > FACT_ITEMS_MAX:
            raise LookUpFailed("TOO_MANY_ROWS", f"{name}: more than {FACT_ITEMS_MAX} elements")
    return parameters


def _json(value: object) -> JsonValue:
    match value:
        case None | bool() | str():
            return value
        case int() if abs(value) <= INTEGER_MAX:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise LookUpFailed("SHAPE_INVALID", f"a {type(value).__name__} is no JSON value")
