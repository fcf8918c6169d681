"""The tables change by migrations alone; a broker starts on exactly the schema it was made for.

Making and migrating take the same lock as a running broker, so neither happens beneath one.
"""

import functools
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from broker.store import sqlite

MIGRATIONS: Final = Path(__file__).with_name("migrations")


class SchemaRefused(Exception):
    """The database's schema is not this release's; the sentence names the command that mends it."""


def upgrade(url: str) -> None:
    """Make the database, or bring it to this release's schema.

    Raises:
        DatabaseInUse: a broker is running on it.
        SchemaRefused: it is of a newer release.
    """
    path = sqlite.path_of(url)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    release = sqlite.lock(path)
    try:
        engine = sqlite.engine(url)
        with engine.connect() as connection:
            _refuse_unknown(connection)
            # DDL is transactional here; the driver begins nothing by itself.
            connection.exec_driver_sql(sqlite.BEGIN_WRITE)
            command.upgrade(_configuration(connection), "head")
            connection.exec_driver_sql("COMMIT")
    finally:
        release()


def refuse_other(connection: sa.Connection) -> None:
    """Pass only a database with exactly this release's schema.

    Raises:
        SchemaRefused: it has none, an older or a newer one.
    """
    present = _present(connection)
    if not present:
        raise SchemaRefused("The database is not set up: run `callbroker migrate`.")
    _refuse_unknown(connection)
    if present != {_known()[0]}:
        raise SchemaRefused("The database is of an older release: run `callbroker migrate`.")


def _refuse_unknown(connection: sa.Connection) -> None:
    if not _present(connection) <= set(_known()):
        raise SchemaRefused(
            "The database is of a newer release: use that one. "
            "`callbroker migrate` goes forward only.",
        )


def _present(connection: sa.Connection) -> set[str]:
    context = MigrationContext.configure(connection, opts={"as_sql": False})
    return set(context.get_current_heads())


@functools.cache
def _known() -> tuple[str, ...]:
    """This release's revisions, newest first."""
    scripts = ScriptDirectory.from_config(_configuration(None))
    return tuple(script.revision for script in scripts.walk_revisions())


def _configuration(connection: sa.Connection | None) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    configuration.set_main_option("path_separator", "os")
    configuration.attributes["connection"] = connection
    return configuration
