"""When each credential was last used: one row for each, in no call's transaction."""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from broker.core.unit import NoteUses
from broker.store.sql import Database, Statement, upsert
from broker.store.tables import metadata

credential_uses: Final = sa.Table(
    "credential_uses",
    metadata,
    sa.Column("credential", sa.Text, primary_key=True),
    sa.Column("used_at", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

_NOTE: Final = upsert(credential_uses, used_at="excluded.used_at")
_ALL: Final = Statement(sa.select(credential_uses))


def note_uses(database: Database, change: NoteUses) -> None:
    """Write down when."""
    rows = [{"credential": name, "used_at": at} for name, at in change.uses]
    database.run_many(_NOTE, rows)


def last_uses(database: Database) -> Mapping[str, float]:
    """When, by the credential's name."""
    return {row["credential"]: row["used_at"] for row in database.rows(_ALL, {})}
