"""What agents' processes say of calls to a broker that does not have them."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

EXPANDS = True


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "reports",
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("said", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("invocation", name=op.f("pk_reports")),
        sqlite_with_rowid=False,
    )
