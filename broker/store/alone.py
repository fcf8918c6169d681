"""Whether brokers run on a database is asked of the database itself, whoever else is connected."""

import functools

import sqlalchemy as sa

from broker.store.addresses import dialect_of
from broker.store.dialects import DatabaseInUse
from broker.store.sql import Database, Statement


def refuse_running(database: Database) -> None:
    """Pass only a database on which no broker runs; of a file its lock says that already.

    Raises:
        DatabaseInUse: one does.
    """
    asked = database.dialect.others
    row = database.row(_statement(asked), {}) if asked else None
    if row is not None and row["others"]:
        raise DatabaseInUse(
            "Another broker has the database: stop every broker on it, and ask again."
        )


def require_no_broker(url: str) -> None:
    """As `refuse_running`, of an address."""
    dialect = dialect_of(url)
    engine = dialect.engine(url)
    try:
        with engine.connect() as connection:
            refuse_running(Database(connection, dialect))
    finally:
        engine.dispose()


@functools.cache
def _statement(asked: str) -> Statement:
    return Statement(sa.select(sa.literal_column(f"({asked})").label("others")))
