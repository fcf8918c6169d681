"""What has a call carried out: whether how it ended is its agent's own word."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.add_column("invocations", sa.Column("runner", sa.Text(), nullable=True))
