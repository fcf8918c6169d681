"""The statements that `store.reads` asks with."""

import functools
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.limits import PAGE_SIZE_MAX
from broker.store import tables as t
from broker.store.sql import Statement

REVISION: Final = Statement(sa.select(t.control_revision.c.revision))
CONTROL: Final = Statement(
    sa.select(t.control_rows).order_by(t.control_rows.c.kind, t.control_rows.c.key),
)
DOCUMENT: Final = Statement(
    sa.select(t.documents.c.body).where(t.documents.c.digest == bound("digest")),
)
DOCUMENTS: Final = Statement(
    sa.select(t.documents.c.digest, t.documents.c.at)
    .where(t.documents.c.kind == bound("kind"))
    .order_by(t.documents.c.at.desc(), t.documents.c.digest),
)
MANDATE: Final = Statement(sa.select(t.mandates).where(t.mandates.c.name == bound("name")))
MANDATE_BY_SECRET: Final = Statement(
    sa.select(t.mandates).where(t.mandates.c.secret_digest == bound("secret_digest")),
)
WORDS: Final = Statement(
    sa.select(t.mandate_words)
    .where(t.mandate_words.c.mandate == bound("mandate"))
    .order_by(t.mandate_words.c.position),
)
SESSION: Final = Statement(sa.select(t.sessions).where(t.sessions.c.name == bound("name")))
SESSION_OF_MANDATE: Final = Statement(
    sa.select(t.sessions).where(t.sessions.c.mandate == bound("mandate")),
)
INVOCATION: Final = Statement(
    sa.select(t.invocations).where(t.invocations.c.name == bound("name")),
)
REQUEST: Final = Statement(
    sa.select(t.invocations).where(
        t.invocations.c.session == bound("session"),
        t.invocations.c.request_id == bound("request_id"),
    ),
)
KEY: Final = Statement(
    sa.select(t.keys.c.version, t.keys.c.invocation, t.invocations.c.state)
    .select_from(t.keys.outerjoin(t.invocations, t.invocations.c.name == t.keys.c.invocation))
    .where(t.keys.c.key == bound("key")),
)
COUNTER: Final = Statement(
    sa.select(t.counters.c.version).where(t.counters.c.key == bound("key")),
)
USED: Final = Statement(
    sa.select(sa.func.sum(t.reservations.c.amount).label("used")).where(
        t.reservations.c.key == bound("key"),
        t.reservations.c.at > bound("since"),
    ),
)
HISTORY: Final = Statement(
    sa.select(
        t.history.c.tool,
        t.history.c.effect,
        t.history.c.count,
        t.history.c.first_at,
        t.history.c.last_at,
    )
    .where(t.history.c.session == bound("session"))
    .order_by(t.history.c.tool, t.history.c.effect),
)
REACHED: Final = Statement(
    sa.select(
        t.reached.c.tool,
        t.reached.c.count,
        t.reached.c.first_at,
        t.reached.c.last_at,
    )
    .where(t.reached.c.principal == bound("principal"), t.reached.c.target == bound("target"))
    .order_by(t.reached.c.tool),
)
HOLD: Final = Statement(sa.select(t.holds).where(t.holds.c.name == bound("name")))
REVIEWS: Final = Statement(
    sa.select(t.reviews).where(t.reviews.c.hold == bound("hold")).order_by(t.reviews.c.id),
)
AMONG_SIZES: Final = (1, 8, 64, PAGE_SIZE_MAX)
"""How many names a statement takes that asks for several: few sizes, so few statements."""


def among(names: Sequence[str]) -> tuple[int, dict[str, str]]:
    """The size of statement that these names need, and its values; "" names nothing."""
    size = next(size for size in AMONG_SIZES if size >= len(names))
    padded = [*names, *[""] * (size - len(names))]
    return size, {f"name_{number}": name for number, name in enumerate(padded)}


def is_among(column: sa.Column[str], size: int) -> sa.ColumnElement[bool]:
    """Whether it is one of the names of `among`."""
    return column.in_([bound(f"name_{number}") for number in range(size)])


@functools.cache
def reviews_of(size: int) -> Statement:
    """The reviews of several holds, each hold's oldest first."""
    columns = t.reviews.c
    return Statement(
        sa.select(t.reviews).where(is_among(columns.hold, size)).order_by(columns.id),
    )


ALL_HOLDS: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.name > bound("after"))
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
PENDING_HOLDS: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.state == "PENDING", sa.text(t.OPEN_HOLD), t.holds.c.name > bound("after"))
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
OPEN_HOLDS_OF: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.session == bound("session"), sa.text(t.OPEN_HOLD))
    .order_by(t.holds.c.name),
)
OVERDUE: Final = Statement(
    sa.select(t.holds)
    .where(
        sa.text(t.OPEN_HOLD),
        sa.or_(
            sa.and_(t.holds.c.state == "PENDING", t.holds.c.decide_by <= bound("now")),
            sa.and_(t.holds.c.state == "APPROVED", t.holds.c.run_by <= bound("now")),
        ),
    )
    .order_by(t.holds.c.name),
)
UNFINISHED: Final = Statement(
    sa.select(t.invocations)
    .select_from(t.invocations.outerjoin(t.holds, t.holds.c.name == t.invocations.c.hold))
    .where(
        sa.text("invocations." + t.OPEN_INVOCATION),
        sa.or_(
            t.invocations.c.state == "RUNNING",
            sa.and_(t.invocations.c.state == "HELD", t.holds.c.state == "APPROVED"),
        ),
    )
    .order_by(t.invocations.c.name),
)
SIGHTINGS: Final = Statement(
    sa.select(
        t.sightings.c.position,
        t.sightings.c.invocation,
        t.sightings.c.trust,
        t.sightings.c.sensitivity,
        t.sightings.c.content,
    )
    .where(t.sightings.c.session == bound("session"), t.sightings.c.position > bound("after"))
    .order_by(t.sightings.c.position),
)
# With its session always: whoever has a name alone has nothing.
ARTEFACT: Final = Statement(
    sa.select(t.artefacts).where(
        t.artefacts.c.name == bound("name"),
        t.artefacts.c.session == bound("session"),
    ),
)
ARTEFACTS_OF: Final = Statement(
    sa.select(t.artefacts)
    .where(t.artefacts.c.session == bound("session"))
    .order_by(t.artefacts.c.created_at, t.artefacts.c.name),
)
CONTENT: Final = Statement(
    sa.select(t.artefact_contents.c.content)
    .select_from(t.artefact_contents.join(t.artefacts))
    .where(t.artefacts.c.name == bound("name"), t.artefacts.c.session == bound("session")),
)
SHADOW_TALLIES: Final = Statement(
    sa.select(t.shadow_tallies.c.broker, t.shadow_tallies.c.body)
    .where(t.shadow_tallies.c.shadow == bound("shadow"))
    .order_by(t.shadow_tallies.c.broker),
)
OPEN_STATES: Final = Statement(
    sa.select(t.invocations.c.state, sa.func.count().label("count"))
    .where(sa.text(t.OPEN_INVOCATION))
    .group_by(t.invocations.c.state),
)
PENDING_COUNT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(t.holds)
    .where(t.holds.c.state == "PENDING", sa.text(t.OPEN_HOLD)),
)
SIGNED: Final = Statement(
    sa.select((sa.func.max(t.audit_entries.c.leaf_index) + 1).label("size")),
)
UNSIGNED_COUNT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(t.audit_entries)
    .where(sa.text(t.UNSIGNED)),
)
NEWEST_HEAD: Final = Statement(
    sa.select(t.audit_checkpoints).order_by(t.audit_checkpoints.c.size.desc()).limit(1),
)


SIGN_IN: Final = Statement(sa.select(t.sign_ins).where(t.sign_ins.c.digest == bound("digest")))
STEP_UP: Final = Statement(
    sa.select(t.step_ups).where(
        t.step_ups.c.sign_in == bound("of_sign_in"), t.step_ups.c.hold == bound("of_hold")
    ),
)
SIGN_INS: Final = Statement(sa.select(t.sign_ins).order_by(t.sign_ins.c.created_at.desc()))


@functools.cache
def holds(filters: frozenset[str]) -> Statement:
    """A page of holds, newest first; one statement for each of the few ways to filter."""
    columns = t.holds.c
    select = sa.select(t.holds).order_by(columns.name.desc()).limit(bound("limit"))
    for name in sorted(filters - {"before", "is_over"}):
        select = select.where(columns[name] == bound(name))
    if "is_over" in filters:
        select = select.where(sa.text(f"NOT {t.OPEN_HOLD}"))
    if "before" in filters:
        select = select.where(columns.name < bound("before"))
    return Statement(select)


@functools.cache
def invocations(filters: frozenset[str]) -> Statement:
    """A page of invocations, newest first; one statement for each of the few ways to filter."""
    columns = t.invocations.c
    select = sa.select(t.invocations).order_by(columns.name.desc()).limit(bound("limit"))
    for name in sorted(filters - {"before"}):
        select = select.where(columns[name] == bound(name))
    if "before" in filters:
        select = select.where(columns.name < bound("before"))
    return Statement(select)
