"""What is seen of a policy that is asked beside the one in force."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "shadow_tallies",
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("broker", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("shadow", "broker", name=op.f("pk_shadow_tallies")),
        sqlite_with_rowid=False,
    )
