"""What sessions have seen."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "sightings",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("trust", sa.Text(), nullable=False),
        sa.Column("sensitivity", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("trust IN ('trusted', 'untrusted')", name=op.f("ck_sightings_trust")),
        sa.CheckConstraint(
            "sensitivity IN ('none', 'personal', 'secret')",
            name=op.f("ck_sightings_sensitivity"),
        ),
        sa.ForeignKeyConstraint(["session"], ["sessions.name"], name=op.f("fk_sightings_session")),
        sa.PrimaryKeyConstraint("session", "position", name=op.f("pk_sightings")),
    )
