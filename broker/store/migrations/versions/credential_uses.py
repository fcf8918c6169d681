"""When credentials were last used."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "credential_uses",
        sa.Column("credential", sa.Text(), nullable=False),
        sa.Column("used_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("credential", name=op.f("pk_credential_uses")),
        sqlite_with_rowid=False,
    )
