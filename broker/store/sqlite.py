"""What only SQLite needs: how it is opened, how it locks, and what its errors mean.

WAL with synchronous FULL: what was committed survives a loss of power. One broker has the database;
a lock on a file beside it says so to a second one, and is gone with the process however it ends.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.pool import NullPool

from broker.core.limits import STORE_BUSY_S, STORE_READERS
from broker.store.dialects import DatabaseInUse, DatabaseRefused, Dialect

BEGIN_READ: Final = "BEGIN DEFERRED"
BEGIN_WRITE: Final = "BEGIN IMMEDIATE"
WAIT_FOR_NO_LOCK: Final = "PRAGMA busy_timeout = 0"

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",
    f"PRAGMA busy_timeout = {int(STORE_BUSY_S * 1000)}",
)
_UNIQUE: Final = frozenset({sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY})
# With these the commit is known not to have happened: no lock was had, or no room for its frames.
_CERTAIN: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
_PRIMARY: Final = 0xFF


# Errors that are one unit's own fault: its values, not the database's state.
_OF_UNIT: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
ERRORS: Final = (sqlite3.Error,)
OPENING_ERRORS: Final = (sqlite3.Error, sa.exc.DBAPIError)


class Watching(sqlite3.Connection):
    """A connection that knows which file it has opened.

    SQLite goes on writing to a file that somebody has removed or replaced, and nobody would ever
    read that again.
    """

    def __init__(self, database: str, *given: Any, **named: Any) -> None:
        """Open it."""
        super().__init__(database, *given, **named)
        self._path = database
        self._file = _identity(database)

    def is_gone(self) -> bool:
        """Whether its file is not any more where it was."""
        return _identity(self._path) != self._file


def engine(url: str) -> sa.Engine:
    """An engine whose connections never begin a transaction by themselves."""
    made = sa.create_engine(
        url,
        poolclass=NullPool,
        connect_args={
            "check_same_thread": False,
            "isolation_level": None,
            "factory": Watching,
        },
    )
    sa.event.listen(made, "connect", _prepare)
    return made


def path_of(url: str) -> Path:
    """The database's file.

    Raises:
        ValueError: the address is not of a SQLite file.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise ValueError("The database is named as sqlite:///<path of a file>.")
    return Path(str(parsed.database))


def is_unique(error: Any) -> bool:
    """Whether an integrity error is one of uniqueness."""
    return getattr(error, "sqlite_errorcode", None) in _UNIQUE


def is_certainly_not_committed(error: BaseException) -> bool:
    """Whether a commit that failed with this certainly did not happen."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY in _CERTAIN


def is_full(error: BaseException) -> bool:
    """Whether there was no room on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_FULL


def is_of_unit(error: BaseException) -> bool:
    """Whether it is the fault of the values, and rolling the unit back is enough."""
    return isinstance(error, _OF_UNIT)


def is_no_transaction(error: BaseException) -> bool:
    """Whether a rollback failed because SQLite had rolled back by itself."""
    return "no transaction is active" in str(error)


def lock(database: Path) -> Callable[[], None]:
    """Have the database for this process alone.

    Returns:
        What gives it up again.

    Raises:
        DatabaseInUse: another one has it.
        DatabaseRefused: its directory takes no file.
    """
    path = database.with_name(database.name + ".lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as refused:
        raise DatabaseRefused(
            f"The directory of {database} cannot be written: {refused.strerror}. Give the broker a "
            "disk and a directory that it may write, or name another `database`."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise DatabaseInUse(
            f"Another broker has the database {database}: SQLite serves one at a time. "
            "Stop the other, or give this one a database of its own.",
        ) from None
    # The file stays: removing it would let two processes lock two files of one name.
    return lambda: os.close(descriptor)


def _prepare(connection: Any, _record: object) -> None:
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - once for each group of units
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _say(cursor: DBAPICursor, text: str) -> None:
    if text == BEGIN_WRITE:
        connection = getattr(cursor, "connection", None)
        if isinstance(connection, Watching) and connection.is_gone():
            raise sqlite3.OperationalError(
                "The database file was removed or replaced: put it back, or stop the broker and "
                "`callbroker restore` a backup."
            )
    cursor.execute(text)


def _make(url: str) -> None:
    path_of(url).parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _own(url: str) -> Callable[[], None]:
    return lock(path_of(url))


# The lock on the file beside it has said already that nobody else writes: nothing is claimed, no
# transaction is in another's way, no connection is lost.
DIALECT: Final = Dialect(
    is_shared=False,
    is_near=True,
    readers=STORE_READERS,
    errors=ERRORS,
    opening_errors=OPENING_ERRORS,
    begin_read=BEGIN_READ,
    begin_write=BEGIN_WRITE,
    begin_control=BEGIN_WRITE,
    begin_migration=BEGIN_WRITE,
    begin_alone=BEGIN_WRITE,
    wait_for_no_lock=WAIT_FOR_NO_LOCK,
    lock=lambda _name: "",
    others="",
    lock_log="",
    engine=engine,
    say=_say,
    make=_make,
    own=_own,
    claim=lambda _cursor, _name, _former: None,
    backend=lambda _cursor: 0,
    finish=lambda _connection: None,
    refuse=lambda _connection: None,
    is_unique=is_unique,
    is_of_unit=is_of_unit,
    is_contended=lambda _error: False,
    is_lost=lambda _error: False,
    is_certainly_not_committed=is_certainly_not_committed,
    is_no_transaction=is_no_transaction,
)
