"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go forward."""
    op.create_table(
        "audit_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_audit_checkpoints")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_contents",
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("entry", name=op.f("pk_audit_contents")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("instance", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("entry", sa.LargeBinary(), nullable=False),
        sa.Column("mac", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_index", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("instance", "sequence", name=op.f("pk_audit_entries")),
        sa.UniqueConstraint("leaf_index", name=op.f("uq_audit_entries_leaf_index")),
    )
    op.create_index(
        "ix_audit_entries_invocation",
        "audit_entries",
        ["invocation", "id"],
        unique=False,
        sqlite_where=sa.text("invocation <> ''"),
        postgresql_where=sa.text("invocation <> ''"),
    )
    op.create_table(
        "control_revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_control_revision_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_control_revision")),
    )
    op.create_table(
        "control_rows",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name=op.f("pk_control_rows")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "counters",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "documents",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_documents")),
    )
    op.create_index("ix_documents_kind", "documents", ["kind", "at"], unique=False)
    op.create_table(
        "history",
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("first_at", sa.Double(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("session", "tool", "effect", name=op.f("pk_history")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_keys")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_keys_invocation",
        "keys",
        ["invocation"],
        unique=False,
        sqlite_where=sa.text("invocation <> ''"),
        postgresql_where=sa.text("invocation <> ''"),
    )
    op.create_table(
        "mandates",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("redeem_by", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('ISSUED', 'REDEEMED', 'REVOKED')", name=op.f("ck_mandates_state")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_mandates")),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_mandates_secret_digest")),
    )
    op.create_table(
        "reservations",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.CheckConstraint("amount >= 0", name=op.f("ck_reservations_amount")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    op.create_index("ix_reservations_invocation", "reservations", ["invocation"], unique=False)
    op.create_index("ix_reservations_key", "reservations", ["key", "at", "amount"], unique=False)
    op.create_table(
        "mandate_words",
        sa.Column("mandate", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mandate"], ["mandates.name"], name=op.f("fk_mandate_words_mandate")
        ),
        sa.PrimaryKeyConstraint("mandate", "position", name=op.f("pk_mandate_words")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "sessions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mandate", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("idle_expires_at", sa.Double(), nullable=False),
        sa.Column("secret_digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state IN ('OPEN', 'CLOSED', 'REVOKED')", name=op.f("ck_sessions_state")
        ),
        sa.ForeignKeyConstraint(["mandate"], ["mandates.name"], name=op.f("fk_sessions_mandate")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sessions")),
        sa.UniqueConstraint("mandate", name=op.f("uq_sessions_mandate")),
    )
    op.create_table(
        "invocations",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("canonical", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=True),
        sa.Column("tool_revision", sa.Text(), nullable=False),
        sa.Column("policy_revision", sa.Text(), nullable=False),
        sa.Column("control_revision", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=True),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_expires_at", sa.Double(), nullable=False),
        sa.Column("deadline_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("etag", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('NEW', 'HELD', 'RUNNING', 'DENIED', 'REJECTED', 'EXPIRED', 'CANCELLED', "
            "'SUCCEEDED', 'FAILED', 'UNKNOWN')",
            name=op.f("ck_invocations_state"),
        ),
        sa.ForeignKeyConstraint(
            ["session"], ["sessions.name"], name=op.f("fk_invocations_session")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_invocations")),
        sa.UniqueConstraint("session", "request_id", name=op.f("uq_invocations_session")),
    )
    op.create_index(
        "ix_invocations_open",
        "invocations",
        ["state"],
        unique=False,
        sqlite_where=sa.text("state IN ('HELD', 'RUNNING', 'UNKNOWN')"),
        postgresql_where=sa.text("state IN ('HELD', 'RUNNING', 'UNKNOWN')"),
    )
    op.create_table(
        "holds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("invocation", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("decide_by", sa.Double(), nullable=False),
        sa.Column("run_by", sa.Double(), nullable=False),
        sa.Column("etag", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('PENDING', 'APPROVED', 'CLAIMED', 'REJECTED', 'EXPIRED', 'WITHDRAWN', "
            "'VOID')",
            name=op.f("ck_holds_state"),
        ),
        sa.ForeignKeyConstraint(
            ["invocation"], ["invocations.name"], name=op.f("fk_holds_invocation")
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_holds")),
    )
    op.create_index("ix_holds_invocation", "holds", ["invocation"], unique=False)
    op.create_index(
        "ix_holds_open",
        "holds",
        ["state", "name"],
        unique=False,
        sqlite_where=sa.text("state IN ('PENDING', 'APPROVED')"),
        postgresql_where=sa.text("state IN ('PENDING', 'APPROVED')"),
    )
    op.create_table(
        "reviews",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("effect", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("etag", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("counted", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("effect IN ('APPROVE', 'REJECT')", name=op.f("ck_reviews_effect")),
        sa.CheckConstraint("counted IN (0, 1)", name=op.f("ck_reviews_counted")),
        sa.ForeignKeyConstraint(["hold"], ["holds.name"], name=op.f("fk_reviews_hold")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reviews")),
    )
    op.create_index("ix_reviews_hold", "reviews", ["hold"], unique=False)
    op.create_index(
        "uq_reviews_person",
        "reviews",
        ["hold", "issuer", "subject"],
        unique=True,
        sqlite_where=sa.text("counted = 1"),
        postgresql_where=sa.text("counted = 1"),
    )
    op.execute("INSERT INTO control_revision (id, revision) VALUES (1, 0)")
