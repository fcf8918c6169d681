"""What has lost its contents, and what contents of no call belong to."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_OF_NO_CALL = sa.text(
    "SELECT id, entry FROM audit_entries WHERE invocation = '' "
    "AND id IN (SELECT entry FROM audit_contents)",
)
_ABOUT = sa.text("UPDATE audit_contents SET about = :about WHERE entry = :entry")


def upgrade() -> None:
    """Go forward."""
    op.add_column("sessions", sa.Column("erased", sa.Text(), nullable=True))
    op.add_column("invocations", sa.Column("erased", sa.Text(), nullable=True))
    op.add_column("audit_contents", sa.Column("about", sa.Text(), nullable=True))
    of_session = sa.text("about IS NOT NULL")
    op.create_index(
        "ix_audit_contents_about",
        "audit_contents",
        ["about"],
        unique=False,
        sqlite_where=of_session,
        postgresql_where=of_session,
    )
    connection = op.get_bind()
    for row in connection.execute(_OF_NO_CALL).all():
        said = json.loads(row.entry)
        about = said["body"].get("mandate") or said["session"]
        if about:
            connection.execute(_ABOUT, {"about": about, "entry": row.id})
