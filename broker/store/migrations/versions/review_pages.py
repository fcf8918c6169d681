"""What the review pages need: sign-ins, narrowed calls, and columns that lists filter by."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "sign_ins",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("idle_expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_ins")),
    )
    op.create_table(
        "step_ups",
        sa.Column("sign_in", sa.LargeBinary(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("etag", sa.BigInteger(), nullable=False),
        sa.Column("call_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sign_in", "hold", name=op.f("pk_step_ups")),
    )
    op.add_column("invocations", sa.Column("asked", sa.LargeBinary(), nullable=True))
    for name in ("tool", "principal", "agent"):
        op.add_column("holds", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    _fill()


def _fill() -> None:
    """Holds of before say it in their bodies."""
    holds = sa.table(
        "holds",
        *(sa.column(name, sa.Text()) for name in ("name", "body", "tool", "principal", "agent")),
    )
    bind = op.get_bind()
    for name, text in bind.execute(sa.select(holds.c.name, holds.c.body)).all():
        body = json.loads(text)
        filled = {
            "tool": body["tool"],
            "principal": body["principal"]["id"],
            "agent": body["agent"]["id"],
        }
        bind.execute(sa.update(holds).where(holds.c.name == name).values(**filled))
