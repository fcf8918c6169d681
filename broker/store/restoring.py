"""A backup is put back by an explicit act that says so in the log for ever, or not at all.

What it changes (`store.new_epoch`), the entry that tells of it and the first head of the new epoch
are one transaction: of a file on a copy beside the database, which then takes the database's place;
of a database that its own tools have put back, in place. Last the heads outside hear of the epoch.
Whatever is interrupted before that leaves a database that is refused, and can be restored again.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from broker.core.errors import StoreUnavailable
from broker.ports import Clock
from broker.store import backing_up, schema, sqlite
from broker.store.addresses import dialect_of, shown
from broker.store.alone import refuse_running
from broker.store.dialects import Dialect
from broker.store.heads import Heads
from broker.store.keys import AuditKeys, sync_directory
from broker.store.new_epoch import Opened, Restored, RestoreOrder, open_epoch
from broker.store.sql import Database

__all__ = ["RestoreOrder", "Restored", "restore"]


def restore(order: RestoreOrder, *, audit_keys: AuditKeys, clock: Clock) -> Restored:
    """Go on from a backup. No broker may be running on the database.

    Raises:
        DatabaseInUse: a broker is running on it.
        BackupRefused, LogRefused, SchemaRefused: the backup is not one of this log, or is damaged.
        DatabaseRefused: the server may lose what it has committed.
        OSError: a file cannot be written.
        StoreUnavailable: the server cannot be asked, or a file's disk is full.
        ValueError: the address is of no database, or the heads outside cannot be read.
    """
    if order.backup is None:
        return _in_place(order, audit_keys, clock)
    path = sqlite.path_of(order.url)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    release = sqlite.lock(path)
    prepared = path.with_name(path.name + ".restoring")
    try:
        _remove(prepared)
        backing_up.copy(order.backup, prepared)
        backing_up.require_sound(prepared)
        url = f"sqlite:///{prepared}"
        with sqlite.DIALECT.engine(url).connect() as connection:
            if not schema.is_made(connection):
                raise backing_up.BackupRefused(f"{order.backup} is not a backup of a broker.")
        schema.upgrade(url)
        heads = Heads(order.state / "checkpoints")
        opened = _in_one_transaction(replace(order, url=url), audit_keys, clock, heads)
        replaced = _swap(prepared, path)
        _tell(heads, opened)
    except sqlite.OPENING_ERRORS as error:
        raise StoreUnavailable(
            f"The copy of {order.backup} cannot be made ready: {schema.reason(error)}. That takes "
            f"room for twice the backup in {path.parent}, where nothing was changed."
        ) from error
    finally:
        _remove(prepared)
        release()
    return replace(opened.done, replaced=replaced)


def _in_place(order: RestoreOrder, keys: AuditKeys, clock: Clock) -> Restored:
    heads = Heads(order.state / "checkpoints")
    dialect = dialect_of(order.url)
    try:
        with _for_oneself(order.url, dialect, heads):
            opened = _in_one_transaction(order, keys, clock, heads)
            _tell(heads, opened)
    except dialect.opening_errors as error:
        raise StoreUnavailable(
            f"The database {shown(order.url)} cannot be restored: {schema.reason(error)}"
        ) from error
    return opened.done


@contextlib.contextmanager
def _for_oneself(url: str, dialect: Dialect, heads: Heads) -> Iterator[None]:
    """A database that is there, made ready for this release, with no broker on it."""
    if not dialect.is_shared and not sqlite.path_of(url).exists():
        raise backing_up.BackupRefused(f"There is no database {sqlite.path_of(url)}.")
    # First, for nobody may sign beneath a restore; a file is had as a whole, and by one alone.
    release = heads.own()
    try:
        with dialect.engine(url).connect() as connection:
            if not schema.is_made(connection):
                raise backing_up.BackupRefused("The database is empty: put the dump back first.")
            dialect.refuse(connection)
        schema.upgrade(url)
        give_up = dialect.own(url)
        try:
            yield
        finally:
            give_up()
    finally:
        release()


def _in_one_transaction(order: RestoreOrder, keys: AuditKeys, clock: Clock, heads: Heads) -> Opened:
    """All that a restore changes; committed where nobody else was there, before and after."""
    dialect = dialect_of(order.url)
    engine = dialect.engine(order.url)
    database = Database(engine.connect(), dialect)
    try:
        refuse_running(database)
        database.say(dialect.begin_alone)
        opened = open_epoch(database, order, keys=keys, heads=heads, now=clock())
        refuse_running(database)
        database.say("COMMIT")
        if not dialect.is_shared:
            database.say("PRAGMA journal_mode = DELETE")
    finally:
        database.close()
        engine.dispose()
    return opened


def _tell(heads: Heads, opened: Opened) -> None:
    """Have the heads outside hear of the epoch; until then no broker starts on it."""
    try:
        heads.open_epoch(opened.note, opened.head)
    except OSError as error:
        raise backing_up.BackupRefused(
            f"The backup is in place, but {heads.path} could not be told ({error.strerror or error}"
            "), and no broker starts on it until it is: have that file written, and restore again."
        ) from error


def _swap(prepared: Path, path: Path) -> Path | None:
    """Put the copy in the database's place; what was there is kept beside it, whole."""
    replaced = _set_aside(path) if path.exists() else None
    with prepared.open("rb") as file:
        backing_up.sync(file)
    prepared.rename(path)
    sync_directory(path.parent)
    return replaced


def _set_aside(path: Path) -> Path:
    _fold(path)
    number = 1
    while (kept := path.with_name(f"{path.name}.replaced-{number}")).exists():
        number += 1
    # The journal first: a journal beside another database would be taken for that one's.
    for suffix in ("-wal", "-shm", ""):
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    return kept


def _fold(path: Path) -> None:
    """Have its journal in the file, where it can be read at all."""
    try:
        connection = sqlite3.connect(path)
        try:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except sqlite3.Error:
        return  # it is damaged, and is kept as it is


def _remove(prepared: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", ".lock"):
        prepared.with_name(prepared.name + suffix).unlink(missing_ok=True)
