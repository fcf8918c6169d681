"""The table of what is told outside of holds, over each channel; see `tables` for its rules."""

from typing import Final

import sqlalchemy as sa

from broker.core.notices import NoticeState
from broker.store.tables import metadata

# Spelled in SQL, because a partial index serves only a query that spells its condition alike.
NOTICE_DUE: Final = "state = 'DUE'"
NOTICE_WAITING: Final = "state = 'WAITING'"

_STATES: Final = ", ".join(f"'{state.value}'" for state in NoticeState)


def _index(name: str, *columns: str, where: str) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, sqlite_where=condition, postgresql_where=condition)


# A row until long after it was told: by it a hold is known, and told of once.
notices: Final = sa.Table(
    "notices",
    metadata,
    sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("channel", "event", "subject", "hold", "invocation", "state")
    ),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("problem", sa.Text, nullable=False),
    sa.CheckConstraint(f"state IN ({_STATES})", name="state"),
    sa.UniqueConstraint("channel", "event", "subject"),
    _index("ix_notices_due", "channel", "number", "due_at", where=NOTICE_DUE),
    _index("ix_notices_due_invocation", "channel", "invocation", where=NOTICE_DUE),
    _index("ix_notices_waiting", "channel", "number", where=NOTICE_WAITING),
)
