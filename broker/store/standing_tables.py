"""The tables of what a session was refused; see `tables` for their rules."""

from typing import Final

import sqlalchemy as sa

from broker.store.tables import OPEN_HOLD, holds, metadata

# The newest few of each session; older ones count no more, and are gone.
denials: Final = sa.Table(
    "denials",
    metadata,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("at", sa.Double, primary_key=True),
    sa.Column("invocation", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)

# What a reviewer's no was said to; `reached` is digests, since contents are erased.
rejections: Final = sa.Table(
    "rejections",
    metadata,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("tool", sa.Text, primary_key=True),
    sa.Column("invocation", sa.Text, primary_key=True),
    sa.Column("reached", sa.Text, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sqlite_with_rowid=False,
)

# So that what waits of one agent, or for one principal, is counted without reading the others'.
for _column in (holds.c.agent, holds.c.principal):
    _ = sa.Index(
        f"ix_holds_open_{_column.name}",
        _column,
        sqlite_where=sa.text(OPEN_HOLD),
        postgresql_where=sa.text(OPEN_HOLD),
    )
