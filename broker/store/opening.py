"""What a broker finds is checked before it is used.

The schema is this release's, nobody else has what only one may have, the server keeps what it has
committed, the log is whole, and it is not older than the newest signed head outside of it.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broker.core import limits
from broker.core.errors import StoreUnavailable
from broker.ids import UuidFactory
from broker.ports import Clock
from broker.store import schema, sqlite
from broker.store.addresses import dialect_of, shown
from broker.store.dialects import DatabaseInUse, Dialect
from broker.store.heads import Heads
from broker.store.keys import AuditKeys
from broker.store.log import Log
from broker.store.readers import Readers
from broker.store.reserve import Reserve
from broker.store.sql import Database
from broker.store.writer import Cadence, Writer

_NAME_HAD: Final = "55006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A database that was found good, and what gives it up again."""

    writer: Writer
    readers: Readers
    release: Callable[[], None]


async def open_database(
    url: str,
    *,
    state: Path,
    instance: str,
    audit_keys: AuditKeys,
    clock: Clock,
    cadence: Cadence,
) -> Opened:
    """Open a database that `schema.upgrade` has made; the writer runs. See `SqlStore.open`."""
    dialect = dialect_of(url)
    if not dialect.is_shared and not sqlite.path_of(url).exists():
        path = sqlite.path_of(url)
        raise schema.SchemaRefused(f"There is no database {path}: run `callbroker migrate`.")
    heads = Heads(state / "checkpoints")
    log = Log(
        instance,
        audit_keys,
        UuidFactory(clock),
        secrets.token_bytes,
        is_shared=dialect.is_shared,
    )
    # A file's own lock says the same, and more: that nobody else has the file.
    release = heads.own() if dialect.is_shared else dialect.own(url)
    engine = dialect.engine(url)

    def connect() -> Database:
        return Database(engine.connect(), dialect)

    def check() -> None:
        with engine.connect() as connection:
            schema.refuse_other(connection)
            dialect.refuse(connection)
        database = connect()
        try:
            # Nobody else adds to this chain from here on; whoever wrote it before is over.
            database.claim(instance, former=0)
            database.say(dialect.begin_read)
            newest = heads.newest()
            log.load(database, newest=newest)
        finally:
            database.close()
        if newest is None:
            # Else a broker that is killed between its first signed commit and the head of it
            # outside would look as if that had been taken away.
            heads.append(log.beginning())

    try:
        await asyncio.to_thread(check)
    except dialect.opening_errors as error:
        release()
        raise _refusal(dialect, url, instance, error) from error
    except BaseException:
        release()
        raise
    reserve = None
    if not dialect.is_shared:
        path = sqlite.path_of(url)
        reserve = Reserve(path=path.with_name(path.name + ".reserve"))
    writer = Writer(connect, log, heads, cadence, dialect, reserve)
    if dialect.is_shared:
        writer.refuse = functools.partial(schema.refuse_moved, engine)
    writer.start()
    return Opened(
        writer=writer,
        readers=Readers(connect, dialect=dialect, deadline_s=limits.STORE_DEADLINE_S),
        release=release,
    )


def _refusal(dialect: Dialect, url: str, instance: str, error: BaseException) -> Exception:
    if getattr(error, "sqlstate", None) == _NAME_HAD:
        return DatabaseInUse(f"Another process writes to {shown(url)} as {instance}.")
    if dialect.is_shared:
        return StoreUnavailable(f"The database {shown(url)} cannot be read: {schema.reason(error)}")
    return StoreUnavailable("The database cannot be read.")
