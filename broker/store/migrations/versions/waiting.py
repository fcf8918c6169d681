"""What waits for people is counted by agent and by principal."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    where = sa.text("state IN ('PENDING', 'APPROVED')")
    for column in ("agent", "principal"):
        name = f"ix_holds_open_{column}"
        op.create_index(name, "holds", [column], sqlite_where=where, postgresql_where=where)
