"""A backup is one file, whole, of one moment, and can be checked with the log's public key alone.

It is read while a broker runs, in one read transaction of SQLite's own backup; it is there under
its name only once all of it is durable.
"""

import contextlib
import os
import sqlite3
import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from broker.core.audit_verification import Report, verify
from broker.core.key_line import line_of, rotations_in
from broker.store import export, sqlite
from broker.store import queries as q
from broker.store.addresses import is_file
from broker.store.keys import signature_holds, sync_directory
from broker.store.sql import Database

_SOUND: Final = "ok"


class BackupRefused(Exception):
    """The file is no backup, or a damaged one; the sentence says so."""


def file_of(url: str) -> Path:
    """The file of a database.

    Raises:
        BackupRefused: it is on a server, which has tools of its own for that.
    """
    if not is_file(url):
        raise BackupRefused(
            "The database is on a server: back it up with pg_dump, as docs/operate.md says."
        )
    return sqlite.path_of(url)


def take(source: Path, out: Path) -> None:
    """Copy a database that may be in use.

    Args:
        source: the database's file.
        out: a new file, readable by its owner alone.

    Raises:
        BackupRefused: the database cannot be read, or the copy is not whole.
        OSError: the file is there already, or cannot be written.
    """
    if out.exists():
        raise FileExistsError(f"{out} is there already.")
    made = out.with_name(f".{out.name}.new")
    try:
        copy(source, made)
        require_sound(made)
        made.rename(out)
        sync_directory(out.parent)
    finally:
        made.unlink(missing_ok=True)


def copy(source: Path, out: Path) -> None:
    """Copy a database, as it is at one moment, into one durable file without a journal beside it.

    Raises:
        BackupRefused: it cannot be read, or there is no room for the copy.
    """
    if not source.is_file():
        raise BackupRefused(f"There is no file {source}.")
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    os.close(descriptor)
    try:
        with _reading(source) as database, contextlib.closing(sqlite3.connect(out)) as copied:
            # All pages in one step: one read transaction, which no writer has to wait for.
            database.backup(copied, pages=-1)
            copied.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        if sqlite.is_full(error):
            raise BackupRefused(
                f"There is no room for a copy of {source} in {out.parent}: it takes "
                f"{source.stat().st_size} bytes. Make room there, and ask again."
            ) from error
        raise BackupRefused(f"{source} cannot be read as a database: {error}.") from error
    with out.open("rb") as file:
        sync(file)


def require_sound(path: Path) -> None:
    """Pass only a file that SQLite finds whole.

    Raises:
        BackupRefused: it does not.
    """
    try:
        with _reading(path) as database:
            (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"{path} is no database: {error}.") from error
    if found != _SOUND:
        raise BackupRefused(f"{path} is damaged: {found}.")


def check(
    path: Path,
    public_key: bytes,
    *,
    checkpoints: Sequence[str] = (),
    epochs: Sequence[str] = (),
    rotations: Sequence[str] = (),
) -> Report:
    """Check the log in a backup as an export of it would be; without a broker, without its keys.

    Args:
        path: of the backup.
        public_key: of the log; from a trusted place.
        checkpoints: heads from outside that the backup must have: those up to its own newest.
        epochs: notes of restores from outside.
        rotations: notes of rotations of the log's keys from outside: a backup of before knows
            nothing of them.

    Raises:
        BackupRefused: it is no database of this program, or damaged.
        MalformedNote: a note from outside is not signed by this key.
    """
    require_sound(path)
    engine = sa.create_engine("sqlite://", poolclass=NullPool, creator=lambda: _open(path))
    try:
        database = Database(engine.connect(), sqlite.DIALECT)
        try:
            notes = [*rotations, *rotations_in(_lines(database, public_key))]
            newest = line_of(public_key, notes, signature_holds).keys[-1]
            return verify(
                _lines(database, newest),
                public_key,
                signature_holds=signature_holds,
                checkpoints=checkpoints,
                epochs=epochs,
                rotations=notes,
            )
        finally:
            database.close()
    except (sqlite3.Error, sa.exc.DBAPIError) as error:
        raise BackupRefused(f"{path} is not a backup of a broker: {error}.") from error
    finally:
        engine.dispose()


def sync(file: BinaryIO) -> None:
    """Have what is in a file on the disk."""
    os.fsync(file.fileno())


def _lines(database: Database, public_key: bytes) -> Iterator[bytes]:
    row = database.row(q.SIGNED, {})
    size = 0 if row is None else int(row["size"] or 0)
    before = export.tree_before(database, 0)
    yield export.header(before, public_key, include_contents=True)
    for first in range(0, size, export.CHUNK):
        below = min(size, first + export.CHUNK)
        text = export.lines(database, first, below, include_contents=True)
        yield from text.splitlines()


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[Any]:
    connection = _open(path)
    try:
        yield connection
    finally:
        connection.close()


def _open(path: Path) -> sqlite3.Connection:
    """Read-only; one that nobody has open is not even looked at for a journal."""
    is_in_use = path.with_name(path.name + "-wal").exists()
    quoted = urllib.parse.quote(str(path.resolve()))
    mode = "mode=ro" if is_in_use else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quoted}?{mode}", uri=True, isolation_level=None)
