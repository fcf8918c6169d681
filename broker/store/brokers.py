"""Which brokers there are: one row for each, written in no call's transaction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.brokers import BeatBroker, BrokerRow, DropBroker
from broker.store.sql import Database, Statement, upsert
from broker.store.tables import metadata

brokers: Final = sa.Table(
    "brokers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("seen_at", sa.Double, nullable=False),
    sa.Column("beats", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

_BEAT: Final = upsert(
    brokers,
    address="excluded.address",
    version="excluded.version",
    started_at="excluded.started_at",
    seen_at="excluded.seen_at",
    beats="excluded.beats",
)
_DROP: Final = Statement(sa.delete(brokers).where(brokers.c.name == bound("of_broker")))
_ALL: Final = Statement(sa.select(brokers).order_by(brokers.c.name))


def beat_broker(database: Database, change: BeatBroker) -> None:
    """Write the row."""
    database.run(_BEAT, asdict(change.broker))


def drop_broker(database: Database, change: DropBroker) -> None:
    """Remove it."""
    database.run(_DROP, {"of_broker": change.name})


def all_brokers(database: Database) -> tuple[BrokerRow, ...]:
    """All rows by name, which is the order in which they started."""
    return tuple(BrokerRow(**row) for row in database.rows(_ALL, {}))


BROKERS: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    BeatBroker: beat_broker,
    DropBroker: drop_broker,
}
