"""What is durable, as tables; constraints do the policing that a condition in code could forget.

Only plain column types, so that a row means the same to every database and driver and no value is
converted on the way: text, integers, doubles (POSIX seconds) and bytes. What is read back whole is
one JSON column; what is searched, compared or counted has a column of its own. Names of sessions,
invocations and holds end in a UUIDv7, so their order is the order of time. Every index is a page
more in every commit: there is none that no read needs, and small tables are their own (rowid-less).
"""

from typing import Final, get_args

import sqlalchemy as sa

from broker.core.labels import Sensitivity, Trust
from broker.core.lifecycle import HoldState, InvocationState

metadata: Final = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    },
)

SESSION_STATES: Final = ("OPEN", "CLOSED", "REVOKED")
MANDATE_STATES: Final = ("ISSUED", "REDEEMED", "REVOKED")

# Spelled in SQL, because a partial index serves only a query that spells its condition alike.
OPEN_INVOCATION: Final = "state IN ('HELD', 'RUNNING', 'UNKNOWN')"
HOLD_FILTERS: Final = ("tool", "principal", "agent")
OPEN_HOLD: Final = "state IN ('PENDING', 'APPROVED')"
UNSIGNED: Final = "leaf_index IS NULL"
COUNTED: Final = "counted = 1"
OF_INVOCATION: Final = "invocation <> ''"
OF_SESSION: Final = "about IS NOT NULL"

# SQLite counts by itself only what it calls INTEGER; the others need all 64 bits said.
_COUNTING: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _seconds(name: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double, nullable=False)


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, nullable=False)


def _one_of(column: str, values: tuple[str, ...]) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(
        name,
        *columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


control_revision = sa.Table(
    "control_revision",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    _integer("revision"),
    sa.CheckConstraint("id = 1", name="single"),
)

control_rows = sa.Table(
    "control_rows",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    _text("digest"),
    _bytes("body"),
    sqlite_with_rowid=False,
)

documents = sa.Table(
    "documents",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    _text("kind"),
    _seconds("at"),
    _bytes("body"),
    sa.Index("ix_documents_kind", "kind", "at"),
)

mandates = sa.Table(
    "mandates",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("secret_digest", sa.LargeBinary, nullable=False, unique=True),
    _text("host"),
    _text("session"),
    _seconds("redeem_by"),
    _text("state"),
    _one_of("state", MANDATE_STATES),
)

# What the user typed, first to last: the mandate's, and so its session's.
mandate_words = sa.Table(
    "mandate_words",
    metadata,
    sa.Column("mandate", sa.ForeignKey("mandates.name"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    _text("words"),
    sqlite_with_rowid=False,
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("mandate", sa.ForeignKey("mandates.name"), nullable=False, unique=True),
    _text("body"),
    _seconds("opened_at"),
    _seconds("expires_at"),
    _seconds("idle_expires_at"),
    _bytes("secret_digest"),
    _text("state"),
    # When and by whom its contents, and those of its calls, were erased. NULL: they were not.
    sa.Column("erased", sa.Text, nullable=True),
    _one_of("state", SESSION_STATES),
)

invocations = sa.Table(
    "invocations",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("session", sa.ForeignKey("sessions.name"), nullable=False),
    _text("principal"),
    _text("agent"),
    _text("request_id"),
    _text("tool"),
    _text("digest"),
    _bytes("canonical"),
    _text("state"),
    sa.Column("decision", sa.Text, nullable=True),
    _text("tool_revision"),
    _text("policy_revision"),
    _integer("control_revision"),
    _text("code"),
    _text("message"),
    sa.Column("result", sa.LargeBinary, nullable=True),
    _text("hold"),
    _integer("attempt"),
    _text("owner"),
    _seconds("lease_expires_at"),
    _seconds("deadline_at"),
    _seconds("created_at"),
    _seconds("updated_at"),
    _integer("etag"),
    # What it released besides: of each file everything but what is in it. NULL: none.
    sa.Column("artefacts", sa.Text, nullable=True),
    # The arguments that the agent asked for, where a reviewer has narrowed them. NULL: the same.
    sa.Column("asked", sa.LargeBinary, nullable=True),
    # What has it carried out. NULL: written before that was kept.
    sa.Column("runner", sa.Text, nullable=True),
    sa.Column("erased", sa.Text, nullable=True),
    _one_of("state", tuple(state.value for state in InvocationState)),
    sa.UniqueConstraint("session", "request_id"),
    _partial("ix_invocations_open", "state", where=OPEN_INVOCATION),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("invocation", sa.ForeignKey("invocations.name"), nullable=False),
    _text("session"),
    # With a default only because rows of before had none.
    *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in HOLD_FILTERS),
    _text("state"),
    _text("body"),
    _seconds("created_at"),
    _seconds("decide_by"),
    _seconds("run_by"),
    _integer("etag"),
    _one_of("state", tuple(state.value for state in HoldState)),
    _partial("ix_holds_open", "state", "name", where=OPEN_HOLD),
    sa.Index("ix_holds_invocation", "invocation"),
)

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("id", _COUNTING, primary_key=True),
    sa.Column("hold", sa.ForeignKey("holds.name"), nullable=False),
    _text("issuer"),
    _text("subject"),
    _text("reviewer"),
    _text("groups"),
    _text("effect"),
    _text("reason"),
    _integer("etag"),
    _seconds("at"),
    _integer("counted"),
    _one_of("effect", ("APPROVE", "REJECT")),
    sa.CheckConstraint("counted IN (0, 1)", name="counted"),
    sa.Index("ix_reviews_hold", "hold"),
    # Two credentials of one Person, or two concurrent clicks, are still one say.
    _partial("uq_reviews_person", "hold", "issuer", "subject", where=COUNTED, unique=True),
)

# A Person at the review page; the cookie's secret is nowhere.
sign_ins = sa.Table(
    "sign_ins",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    _text("issuer"),
    _text("subject"),
    _text("reviewer"),
    _text("groups"),
    _text("how"),
    _seconds("created_at"),
    _seconds("expires_at"),
    _seconds("idle_expires_at"),
)

# A fresh sign-in for one hold as it was shown; spending it is deleting its row.
step_ups = sa.Table(
    "step_ups",
    metadata,
    sa.Column("sign_in", sa.LargeBinary, primary_key=True),
    sa.Column("hold", sa.Text, primary_key=True),
    _integer("etag"),
    _text("call_digest"),
    _seconds("created_at"),
    _seconds("expires_at"),
)

# A file of a session. Nothing here is ever updated: what was named is what is read.
artefacts = sa.Table(
    "artefacts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("session", sa.ForeignKey("sessions.name"), nullable=False),
    _text("made_by"),
    _text("file_name"),
    _integer("size"),
    _text("sha256"),
    _text("trust"),
    _text("sensitivity"),
    _seconds("created_at"),
    _seconds("expires_at"),
    _one_of("trust", get_args(Trust)),
    _one_of("sensitivity", get_args(Sensitivity)),
    sa.CheckConstraint("size >= 0", name="size"),
    sa.Index("ix_artefacts_session", "session", "created_at", "name", "size"),
    sa.Index("ix_artefacts_expires_at", "expires_at"),
    sqlite_with_rowid=False,
)

# What is in it; apart, so that telling files from each other reads none of them.
artefact_contents = sa.Table(
    "artefact_contents",
    metadata,
    sa.Column("artefact", sa.ForeignKey("artefacts.name"), primary_key=True),
    _bytes("content"),
)

# What was released to a session's model, in that order: what its later calls are traced by.
sightings = sa.Table(
    "sightings",
    metadata,
    sa.Column("session", sa.ForeignKey("sessions.name"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    _text("invocation"),
    _text("trust"),
    _text("sensitivity"),
    _integer("size"),
    # Empty: there was no room for it, or it was erased.
    _bytes("content"),
    _one_of("trust", get_args(Trust)),
    _one_of("sensitivity", get_args(Sensitivity)),
)

# An exclusive key is free (no invocation) or taken; its version rises when it is given back.
keys = sa.Table(
    "keys",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _integer("version"),
    _text("invocation"),
    _partial("ix_keys_invocation", "invocation", where=OF_INVOCATION),
    sqlite_with_rowid=False,
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _integer("version"),
    sqlite_with_rowid=False,
)

reservations = sa.Table(
    "reservations",
    metadata,
    sa.Column("id", _COUNTING, primary_key=True),
    _text("key"),
    _text("invocation"),
    _integer("amount"),
    _seconds("at"),
    sa.CheckConstraint("amount >= 0", name="amount"),
    sa.Index("ix_reservations_key", "key", "at", "amount"),
    sa.Index("ix_reservations_invocation", "invocation"),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("session", sa.Text, primary_key=True),
    sa.Column("tool", sa.Text, primary_key=True),
    sa.Column("effect", sa.Text, primary_key=True),
    _integer("count"),
    _seconds("first_at"),
    _seconds("last_at"),
    sqlite_with_rowid=False,
)

# Whom a principal has reached by which tool; `target` is a digest, since contents are erased.
reached = sa.Table(
    "reached",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),
    sa.Column("tool", sa.Text, primary_key=True),
    _integer("count"),
    _seconds("first_at"),
    _seconds("last_at"),
    sqlite_with_rowid=False,
)

# What each broker has seen of a policy that is asked beside the one in force.
shadow_tallies = sa.Table(
    "shadow_tallies",
    metadata,
    sa.Column("shadow", sa.Text, primary_key=True),
    sa.Column("broker", sa.Text, primary_key=True),
    _bytes("body"),
    sqlite_with_rowid=False,
)

# The bytes in `entry` are the log; the other columns only find them.
audit_entries = sa.Table(
    "audit_entries",
    metadata,
    sa.Column("instance", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("id"),
    _text("invocation"),
    _bytes("entry"),
    _bytes("mac"),
    sa.Column("leaf_index", sa.BigInteger, nullable=True, unique=True),
    _partial("ix_audit_entries_invocation", "invocation", "id", where=OF_INVOCATION),
)

# What an entry commits to by a salted digest. Erasing it is deleting its row; the log still holds.
audit_contents = sa.Table(
    "audit_contents",
    metadata,
    sa.Column("entry", sa.Text, primary_key=True),
    _bytes("salt"),
    _bytes("body"),
    # The session or mandate, where the entry is of no call.
    sa.Column("about", sa.Text, nullable=True),
    _partial("ix_audit_contents_about", "about", where=OF_SESSION),
)

audit_checkpoints = sa.Table(
    "audit_checkpoints",
    metadata,
    sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("note"),
    sqlite_with_rowid=False,
)
