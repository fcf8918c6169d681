"""What is told outside of a hold: a row for each channel, by which it is told once or again."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "notices",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('WAITING', 'DUE', 'SENT', 'MOOT', 'DEAD')", name=op.f("ck_notices_state")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_notices")),
        sa.UniqueConstraint("channel", "event", "subject", name=op.f("uq_notices_channel")),
    )
    for name, columns, state in (
        ("ix_notices_due", ("channel", "number", "due_at"), "DUE"),
        ("ix_notices_due_invocation", ("channel", "invocation"), "DUE"),
        ("ix_notices_waiting", ("channel", "number"), "WAITING"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "notices", list(columns), sqlite_where=where, postgresql_where=where)
