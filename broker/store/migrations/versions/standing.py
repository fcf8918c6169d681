"""What sessions were refused: the newest denials of each, and each call that was rejected."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "denials",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("session", "at", "invocation", name=op.f("pk_denials")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rejections",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("reached", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("session", "tool", "invocation", name=op.f("pk_rejections")),
        sqlite_with_rowid=False,
    )
