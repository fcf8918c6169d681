"""Files of sessions."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "artefacts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("trust", sa.Text(), nullable=False),
        sa.Column("sensitivity", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.CheckConstraint("trust IN ('trusted', 'untrusted')", name=op.f("ck_artefacts_trust")),
        sa.CheckConstraint(
            "sensitivity IN ('none', 'personal', 'secret')",
            name=op.f("ck_artefacts_sensitivity"),
        ),
        sa.CheckConstraint("size >= 0", name=op.f("ck_artefacts_size")),
        sa.ForeignKeyConstraint(["session"], ["sessions.name"], name=op.f("fk_artefacts_session")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_artefacts")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_artefacts_session",
        "artefacts",
        ["session", "created_at", "name", "size"],
        unique=False,
    )
    op.create_index("ix_artefacts_expires_at", "artefacts", ["expires_at"], unique=False)
    op.create_table(
        "artefact_contents",
        sa.Column("artefact", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["artefact"], ["artefacts.name"], name=op.f("fk_artefact_contents_artefact")
        ),
        sa.PrimaryKeyConstraint("artefact", name=op.f("pk_artefact_contents")),
    )
    op.add_column("invocations", sa.Column("artefacts", sa.Text(), nullable=True))
