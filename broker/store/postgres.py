"""What only PostgreSQL needs: how it is opened, which locks brokers take, what its errors mean.

Transactions are READ COMMITTED: `store.apply` writes by conditional statements, and what it reads
first it locks. Four kinds of advisory locks stand beside the rows. Every transaction shares the one
of control, which a change of control rows has alone, so that no change slips in between the
decision's check and its record. What waits for people of an agent, or for a principal, is counted
under a lock of that name. Whoever signs a head has the log's until its commit. A broker's name is
had by the connection that writes under it: one that has it knows that the one before is over.
"""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from psycopg.adapt import Dumper, Loader
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import NullPool

from broker.core.limits import (
    STORE_BUSY_S,
    STORE_CONNECT_S,
    STORE_DEADLINE_S,
    STORE_IDLE_S,
    STORE_READERS_REMOTE,
)
from broker.store.dialects import DatabaseRefused, Dialect
from broker.store.tables import metadata

SERVER_VERSION_MIN: Final = 13

_ENCODING: Final = "UTF8"


def lock_of(name: str) -> int:
    """The number of an advisory lock, as PostgreSQL's bigint."""
    digest = hashlib.sha256(f"callbroker {name}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


_CONTROL: Final = lock_of("control")
_LOG: Final = lock_of("log")
_MIGRATION: Final = lock_of("migration")
_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

# An index of a large table takes its time; but nobody waits behind it for a table that is used.
_UNHURRIED: Final = (
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
    f"SET LOCAL lock_timeout = {int(STORE_DEADLINE_S * 1000)}"
)

# Every broker has its name by a lock of the connection that writes; who only looks has none.
_OTHERS: Final = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
    "AND pid <> pg_backend_pid() "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

# The server ends what a broker that hangs, or is cut off, would keep from the others.
_SETTINGS: Final = "; ".join(
    (
        f"SET statement_timeout = {int(STORE_DEADLINE_S * 1000)}",
        f"SET lock_timeout = {int(STORE_BUSY_S * 1000)}",
        f"SET idle_in_transaction_session_timeout = {int(STORE_IDLE_S * 1000)}",
        "SET standard_conforming_strings = on",
        "SET timezone = 'UTC'",
    )
)
KEEPALIVE: Final = {
    "connect_timeout": int(STORE_CONNECT_S),
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": int(STORE_DEADLINE_S * 1000),
    "application_name": "callbroker",
}
_PREPARED_MAX: Final = 500

_UNIQUE: Final = "23505"
_CONTENDED: Final = frozenset({"40001", "40P01", "55P03"})  # serialization, deadlock, lock timeout
_OF_VALUES: Final = ("22", "23", "42")  # data, integrity, syntax or access


class _Whole(Loader):
    """Sums of whole numbers are `numeric`; no column is."""

    def load(self, data: Any) -> int:
        return int(bytes(data))


class _Text(Dumper):
    """No text here has a NUL, which others may well send: it is shown as what cannot be shown.

    What is compared or signed byte for byte is kept as bytes.
    """

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "\N{REPLACEMENT CHARACTER}").encode()


def engine(url: str) -> sa.Engine:
    """An engine whose connections never begin a transaction by themselves."""
    made = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        paramstyle="format",
        connect_args=KEEPALIVE,
        use_native_hstore=False,
    )
    sa.event.listen(made, "connect", _prepare)
    return made


def _prepare(connection: Any, _record: object) -> None:
    connection.autocommit = True
    connection.adapters.register_loader("numeric", _Whole)
    connection.adapters.register_dumper(str, _Text)
    connection.prepared_max = _PREPARED_MAX
    connection.execute(_SETTINGS, prepare=False)


def _say(cursor: DBAPICursor, text: str) -> None:
    made: Any = cursor
    made.execute(text, prepare=False)
    # A transaction that an error has ended is rolled back by COMMIT, without an error.
    if text == "COMMIT" and made.statusmessage != "COMMIT":
        raise psycopg.errors.InFailedSqlTransaction("The transaction was rolled back.")


def refuse(connection: sa.Connection) -> None:
    """Pass only a server that keeps what it has committed, and text as it was given.

    Raises:
        DatabaseRefused: it may lose it, or orders names in a way of its own.
    """
    found = {name: str(value) for name, value in connection.exec_driver_sql(_ASKED).all()}
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if found[name] == "off":
            raise DatabaseRefused(
                f"The database's server runs with {name} = off: it may lose what it has committed. "
                "Turn it on.",
            )
    if found["server_encoding"] != _ENCODING:
        raise DatabaseRefused(
            f"The database keeps text as {found['server_encoding']}: make it with ENCODING 'UTF8'."
        )
    if int(found["server_version_num"]) < SERVER_VERSION_MIN * 10_000:
        raise DatabaseRefused(f"The server is older than PostgreSQL {SERVER_VERSION_MIN}.")
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        raise DatabaseRefused("The database's server is a standby: name the primary.")
    if _unordered(connection):
        raise DatabaseRefused("Text is not ordered by its bytes: run `callbroker migrate`.")


_ASKED: Final = (
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', "
    "'synchronous_commit', 'server_encoding', 'server_version_num')"
)


def finish(connection: sa.Connection) -> None:
    """Have all text ordered by its bytes: a page starts where the last name of another ended."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    for table, column in _unordered(connection):
        connection.exec_driver_sql(
            f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} TYPE text COLLATE pg_catalog."
            '"C"'
        )


def _unordered(connection: sa.Connection) -> list[tuple[str, str]]:
    """Columns of text of our own tables, and these, in the order of some language."""
    rows = connection.exec_driver_sql(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_collation l ON l.oid = a.attcollation "
        "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace "
        "AND a.atttypid = 'text'::regtype AND l.collname <> 'C' AND NOT a.attisdropped "
        "AND c.relname = ANY(%s) ORDER BY c.relname, a.attnum",
        (sorted(metadata.tables),),
    )
    return [(row[0], row[1]) for row in rows.all()]


def _claim(cursor: DBAPICursor, name: str, former: int) -> None:
    number = lock_of(name)
    if _is_had(cursor, number):
        return
    # Our own connection of before, which the server has not missed yet; nobody else's.
    cursor.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND pid = %s AND ((classid::bigint << 32) | objid::bigint) = %s AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())",
        [former, number],
    )
    try:
        cursor.execute("SELECT pg_advisory_lock(%s)", [number])
    except psycopg.errors.LockNotAvailable as error:
        raise psycopg.errors.ObjectInUse(f"Another process writes as {name}.") from error


def _is_had(cursor: DBAPICursor, number: int) -> bool:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", [number])
    return bool(cursor.fetchall()[0][0])


def _backend(cursor: DBAPICursor) -> int:
    made: Any = cursor
    return int(made.connection.info.backend_pid)


def _nothing_to_give_up(_url: str) -> Callable[[], None]:
    return lambda: None


def is_unique(error: Any) -> bool:
    """Whether an integrity error is one of uniqueness."""
    return _state(error) == _UNIQUE


def is_of_unit(error: BaseException) -> bool:
    """Whether it is the fault of the values, and rolling the unit back is enough."""
    state = _state(error)
    if not state:  # what the driver could not even send
        return isinstance(error, psycopg.DataError | psycopg.ProgrammingError)
    return state.startswith(_OF_VALUES)


def is_contended(error: BaseException) -> bool:
    """Whether the transaction and another were in each other's way."""
    return _state(error) in _CONTENDED


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, with whatever was not committed on it."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = _state(error)
    return not state or state.startswith(("08", "57P"))


def is_certainly_not_committed(error: BaseException) -> bool:
    """Whether a commit that failed with this certainly did not happen: the server has said so."""
    diagnosis = getattr(error, "diag", None)
    severity = getattr(diagnosis, "severity_nonlocalized", None)
    return severity == "ERROR" or isinstance(error, psycopg.errors.InFailedSqlTransaction)


def _state(error: object) -> str:
    return getattr(error, "sqlstate", None) or ""


DIALECT: Final = Dialect(
    is_shared=True,
    is_near=False,
    readers=STORE_READERS_REMOTE,
    errors=(psycopg.Error,),
    opening_errors=(psycopg.Error, sa.exc.DBAPIError),
    begin_read="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    begin_write=f"{_BEGIN}; SELECT pg_advisory_xact_lock_shared({_CONTROL})",
    begin_control=f"{_BEGIN}; SELECT pg_advisory_xact_lock({_CONTROL})",
    begin_migration=f"{_BEGIN}; {_UNHURRIED}; SELECT pg_advisory_xact_lock({_MIGRATION})",
    begin_alone=(
        f"{_BEGIN}; {_UNHURRIED}; SELECT pg_advisory_xact_lock({_CONTROL}); "
        f"SELECT pg_advisory_xact_lock({_LOG})"
    ),
    wait_for_no_lock="",
    lock=lambda name: f"SELECT pg_advisory_xact_lock({lock_of(name)})",
    others=_OTHERS,
    lock_log=f"SELECT pg_advisory_xact_lock({_LOG})",
    engine=engine,
    say=_say,
    make=lambda _url: None,
    own=_nothing_to_give_up,
    claim=_claim,
    backend=_backend,
    finish=finish,
    refuse=refuse,
    is_unique=is_unique,
    is_of_unit=is_of_unit,
    is_contended=is_contended,
    is_lost=is_lost,
    is_certainly_not_committed=is_certainly_not_committed,
    is_no_transaction=lambda _error: False,
)
