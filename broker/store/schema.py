"""The tables change by migrations alone; a broker starts on exactly the schema it was made for.

Making and migrating a file take the lock of a running broker, so neither happens beneath one.
A server's tables are migrated beneath running brokers where they only grow, by one at a time. What
does more waits until none runs, and a broker that was away meanwhile is refused when it comes back.
"""

import functools
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory

from broker.core.errors import StoreUnavailable
from broker.store import rolling
from broker.store.addresses import dialect_of, shown
from broker.store.alone import refuse_running
from broker.store.dialects import DatabaseInUse, Dialect
from broker.store.sql import Database

MIGRATIONS: Final = Path(__file__).with_name("migrations")

_VERSION: Final[sa.Select[str]] = (
    sa.select(sa.column("version_num", sa.Text()))
    .select_from(sa.table("alembic_version"))
    .with_for_update(read=True)
)


class SchemaRefused(Exception):
    """The database's schema is not this release's; the sentence names the command that mends it."""


def upgrade(url: str) -> None:
    """Make the database, or bring it to this release's schema.

    Raises:
        DatabaseInUse: a broker is running on it, and it serves one process at a time, or its tables
            change in a way that this broker does not know.
        SchemaRefused: it is of a newer release.
        StoreUnavailable: it cannot be connected to, or its tables cannot be changed.
        ValueError: the address names no database.
    """
    dialect = dialect_of(url)
    dialect.make(url)
    release = dialect.own(url)
    try:
        with dialect.engine(url).connect() as connection:
            # DDL is transactional here; the driver begins nothing by itself.
            dialect.say(connection.connection.cursor(), dialect.begin_migration)
            _refuse_unknown(connection)
            present = _present(connection)
            ends_others = bool(present) and rolling.ends_others(_scripts(), present)
            if ends_others:
                _refuse_others(connection, dialect)
            command.upgrade(_configuration(connection), "head")
            rolling.note(connection, rolling.still_running(_scripts()))
            dialect.finish(connection)
            if ends_others:  # whoever comes from here on waits in `refuse_moved`
                _refuse_others(connection, dialect)
            connection.exec_driver_sql("COMMIT")
    except dialect.opening_errors as error:
        raise StoreUnavailable(
            f"The database {shown(url)} cannot be made ready: {reason(error)}"
        ) from error
    finally:
        release()


def reason(error: BaseException) -> str:
    """What a driver says is wrong, in a line."""
    said = str(getattr(error, "orig", None) or error).strip()
    return said.splitlines()[0] if said else type(error).__name__


def is_made(connection: sa.Connection) -> bool:
    """Whether there are tables of some release of this program."""
    return bool(_present(connection))


def refuse_other(connection: sa.Connection) -> None:
    """Pass only a database with this release's schema, or one that only adds to it.

    Raises:
        SchemaRefused: it has none, an older or a newer one.
    """
    present = _present(connection)
    if not present:
        raise SchemaRefused("The database is not set up: run `callbroker migrate`.")
    if not present <= set(_known()) and rolling.may_run(connection, _known()[0]):
        return
    _refuse_unknown(connection)
    if present != {_known()[0]}:
        raise SchemaRefused("The database is of an older release: run `callbroker migrate`.")


def refuse_moved(engine: sa.Engine) -> None:
    """As `refuse_other`, for a broker that has its name by now; waits for a migration to be over.

    Raises:
        SchemaRefused: it was migrated to tables that this release does not know.
    """
    with engine.connect() as connection:
        connection.execute(_VERSION).all()
        refuse_other(connection)


def _refuse_others(connection: sa.Connection, dialect: Dialect) -> None:
    try:
        refuse_running(Database(connection, dialect))
    except DatabaseInUse as running:
        raise DatabaseInUse(
            "This release changes tables in a way that brokers of the one before do not know: stop "
            "every broker on the database, and ask again."
        ) from running


def _refuse_unknown(connection: sa.Connection) -> None:
    if not _present(connection) <= set(_known()):
        raise SchemaRefused(
            "The database is of a newer release: use that one. "
            "`callbroker migrate` goes forward only.",
        )


def _present(connection: sa.Connection) -> set[str]:
    context = MigrationContext.configure(connection, opts={"as_sql": False})
    return set(context.get_current_heads())


def _known() -> tuple[str, ...]:
    """This release's revisions, newest first."""
    return tuple(script.revision for script in _scripts())


@functools.cache
def _scripts() -> tuple[Script, ...]:
    """This release's migrations, newest first."""
    scripts = ScriptDirectory.from_config(_configuration(None))
    return tuple(scripts.walk_revisions())


def _configuration(connection: sa.Connection | None) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    return configuration
