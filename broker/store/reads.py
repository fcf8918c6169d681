"""What is asked of the database, as synchronous functions over one read transaction each.

A page is a keyset: names sort by time, so the last name of a page is where the next one starts.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.calls import History, Invocation, Session, Usage
from broker.core.control import ControlRow, ControlRows
from broker.core.holds import Hold, Review
from broker.core.lifecycle import InvocationState
from broker.core.limits import PAGE_SIZE_MAX
from broker.core.unit import Mandate
from broker.ports import CounterAsked, Counts, HoldQuery, InvocationQuery, KeySeen, Seen
from broker.store import tables as t
from broker.store.rows import (
    hold_of,
    invocation_of,
    mandate_of,
    review_of,
    session_of,
    words_of,
)
from broker.store.sql import Database, Statement


def control(database: Database) -> ControlRows:
    """All control rows in force, and under which revision."""
    (revision,) = database.rows(_REVISION, {})
    rows = tuple(ControlRow(**row) for row in database.rows(_CONTROL, {}))
    return ControlRows(revision=revision["revision"], rows=rows)


def document(database: Database, digest: str) -> bytes | None:
    """Content by digest."""
    row = database.row(_DOCUMENT, {"digest": digest})
    return None if row is None else bytes(row["body"])


def documents(database: Database, kind: str) -> Sequence[tuple[str, float]]:
    """Digest and first time of all documents of a kind, newest first."""
    return [(row["digest"], row["at"]) for row in database.rows(_DOCUMENTS, {"kind": kind})]


def find_mandate(database: Database, secret_digest: bytes, name: str) -> Mandate | None:
    """A mandate by its secret's digest, else by its name."""
    if secret_digest:
        row = database.row(_MANDATE_BY_SECRET, {"secret_digest": secret_digest})
    else:
        row = database.row(_MANDATE, {"name": name})
    return None if row is None else mandate_of(row, _words(database, row["name"]))


def find_session(database: Database, name: str) -> Session | None:
    """A session with its words so far."""
    row = database.row(_SESSION, {"name": name})
    return None if row is None else session_of(row, _words(database, row["mandate"]))


def session_of_mandate(database: Database, mandate: str) -> Session | None:
    """The session that redeeming the mandate opened."""
    row = database.row(_SESSION_OF_MANDATE, {"mandate": mandate})
    return None if row is None else session_of(row, _words(database, mandate))


def find_invocation(database: Database, name: str) -> Invocation | None:
    """An invocation by name."""
    row = database.row(_INVOCATION, {"name": name})
    return None if row is None else invocation_of(row)


def find_request(database: Database, session: str, request_id: str) -> Invocation | None:
    """The invocation of a request id."""
    row = database.row(_REQUEST, {"session": session, "request_id": request_id})
    return None if row is None else invocation_of(row)


def keys(database: Database, names: Sequence[str]) -> Mapping[str, KeySeen]:
    """Exclusive keys as they stand."""
    return {name: _key(database, name) for name in names}


def seen(
    database: Database,
    session: str,
    counters: Sequence[CounterAsked],
    now: float,
) -> Seen:
    """Counters and history for one call."""
    usage = {asked.name: _usage(database, asked, now) for asked in counters}
    rows = database.rows(_HISTORY, {"session": session})
    return Seen(usage=usage, history=tuple(History(**row) for row in rows))


def find_hold(database: Database, name: str) -> tuple[Hold, tuple[Review, ...]] | None:
    """A hold with its reviews."""
    row = database.row(_HOLD, {"name": name})
    return None if row is None else (hold_of(row), _reviews(database, name))


def list_holds(
    database: Database,
    query: HoldQuery,
) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
    """A page of holds, oldest first."""
    statement = _ALL_HOLDS if query.include_decided else _PENDING_HOLDS
    values = {"after": query.after, "limit": _page(query.page_size)}
    rows = database.rows(statement, values)
    return [(hold_of(row), _reviews(database, row["name"])) for row in rows]


def list_invocations(database: Database, query: InvocationQuery) -> Sequence[Invocation]:
    """A page of invocations, newest first."""
    asked = {
        "session": query.session,
        "tool": query.tool,
        "principal": query.principal,
        "agent": query.agent,
        "state": query.state.value if query.state else "",
        "before": query.before,
    }
    statement = _invocations(frozenset(name for name, value in asked.items() if value))
    rows = database.rows(statement, {**asked, "limit": _page(query.page_size)})
    return [invocation_of(row) for row in rows]


def unfinished(database: Database) -> Sequence[Invocation]:
    """Every invocation that is RUNNING, or HELD with an APPROVED hold; oldest first."""
    return [invocation_of(row) for row in database.rows(_UNFINISHED, {})]


def overdue(database: Database, now: float) -> Sequence[Hold]:
    """Holds whose time to be decided, or to be run, has passed."""
    return [hold_of(row) for row in database.rows(_OVERDUE, {"now": now})]


def open_holds_of(database: Database, session: str) -> Sequence[Hold]:
    """PENDING and APPROVED holds of a session."""
    return [hold_of(row) for row in database.rows(_OPEN_HOLDS_OF, {"session": session})]


def counts(database: Database) -> Counts:
    """What waits and how long the log is."""
    states = {row["state"]: row["count"] for row in database.rows(_OPEN_STATES, {})}
    (waiting,) = database.rows(_PENDING_COUNT, {})
    (signed,) = database.rows(_SIGNED, {})
    (unsigned,) = database.rows(_UNSIGNED_COUNT, {})
    size = signed["size"] or 0
    return Counts(
        holds_pending=waiting["count"],
        running=states.get("RUNNING", 0),
        unknown=states.get("UNKNOWN", 0),
        audit_entries=size + unsigned["count"],
        audit_entries_signed=size,
    )


def _words(database: Database, mandate: str) -> tuple[str, ...]:
    return words_of(database.rows(_WORDS, {"mandate": mandate}))


def _key(database: Database, name: str) -> KeySeen:
    row = database.row(_KEY, {"key": name})
    if row is None:
        return KeySeen(version=0, invocation="", state=None)
    state = InvocationState(row["state"]) if row["state"] else None
    return KeySeen(version=row["version"], invocation=row["invocation"], state=state)


def _usage(database: Database, asked: CounterAsked, now: float) -> Usage:
    version = database.row(_COUNTER, {"key": asked.key})
    since = {"key": asked.key, "since": now - asked.window_s}
    (used,) = database.rows(_USED, since)
    return Usage(
        used=used["used"] or 0,
        limit=asked.limit,
        window_s=asked.window_s,
        key=asked.key,
        version=0 if version is None else version["version"],
    )


def _reviews(database: Database, hold: str) -> tuple[Review, ...]:
    return tuple(review_of(row) for row in database.rows(_REVIEWS, {"hold": hold}))


def _page(size: int) -> int:
    return max(1, min(size, PAGE_SIZE_MAX))


@functools.cache
def _invocations(filters: frozenset[str]) -> Statement:
    """One statement for each of the few ways to filter."""
    columns = t.invocations.c
    select = sa.select(t.invocations).order_by(columns.name.desc()).limit(bound("limit"))
    for name in sorted(filters - {"before"}):
        select = select.where(columns[name] == bound(name))
    if "before" in filters:
        select = select.where(columns.name < bound("before"))
    return Statement(select)


_REVISION: Final = Statement(sa.select(t.control_revision.c.revision))
_CONTROL: Final = Statement(
    sa.select(t.control_rows).order_by(t.control_rows.c.kind, t.control_rows.c.key),
)
_DOCUMENT: Final = Statement(
    sa.select(t.documents.c.body).where(t.documents.c.digest == bound("digest")),
)
_DOCUMENTS: Final = Statement(
    sa.select(t.documents.c.digest, t.documents.c.at)
    .where(t.documents.c.kind == bound("kind"))
    .order_by(t.documents.c.at.desc(), t.documents.c.digest),
)
_MANDATE: Final = Statement(sa.select(t.mandates).where(t.mandates.c.name == bound("name")))
_MANDATE_BY_SECRET: Final = Statement(
    sa.select(t.mandates).where(t.mandates.c.secret_digest == bound("secret_digest")),
)
_WORDS: Final = Statement(
    sa.select(t.mandate_words)
    .where(t.mandate_words.c.mandate == bound("mandate"))
    .order_by(t.mandate_words.c.position),
)
_SESSION: Final = Statement(sa.select(t.sessions).where(t.sessions.c.name == bound("name")))
_SESSION_OF_MANDATE: Final = Statement(
    sa.select(t.sessions).where(t.sessions.c.mandate == bound("mandate")),
)
_INVOCATION: Final = Statement(
    sa.select(t.invocations).where(t.invocations.c.name == bound("name")),
)
_REQUEST: Final = Statement(
    sa.select(t.invocations).where(
        t.invocations.c.session == bound("session"),
        t.invocations.c.request_id == bound("request_id"),
    ),
)
_KEY: Final = Statement(
    sa.select(t.keys.c.version, t.keys.c.invocation, t.invocations.c.state)
    .select_from(t.keys.outerjoin(t.invocations, t.invocations.c.name == t.keys.c.invocation))
    .where(t.keys.c.key == bound("key")),
)
_COUNTER: Final = Statement(
    sa.select(t.counters.c.version).where(t.counters.c.key == bound("key")),
)
_USED: Final = Statement(
    sa.select(sa.func.sum(t.reservations.c.amount).label("used")).where(
        t.reservations.c.key == bound("key"),
        t.reservations.c.at > bound("since"),
    ),
)
_HISTORY: Final = Statement(
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
_HOLD: Final = Statement(sa.select(t.holds).where(t.holds.c.name == bound("name")))
_REVIEWS: Final = Statement(
    sa.select(t.reviews).where(t.reviews.c.hold == bound("hold")).order_by(t.reviews.c.id),
)
_ALL_HOLDS: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.name > bound("after"))
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
_PENDING_HOLDS: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.state == "PENDING", sa.text(t.OPEN_HOLD), t.holds.c.name > bound("after"))
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
_OPEN_HOLDS_OF: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.session == bound("session"), sa.text(t.OPEN_HOLD))
    .order_by(t.holds.c.name),
)
_OVERDUE: Final = Statement(
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
_UNFINISHED: Final = Statement(
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
_OPEN_STATES: Final = Statement(
    sa.select(t.invocations.c.state, sa.func.count().label("count"))
    .where(sa.text(t.OPEN_INVOCATION))
    .group_by(t.invocations.c.state),
)
_PENDING_COUNT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(t.holds)
    .where(t.holds.c.state == "PENDING", sa.text(t.OPEN_HOLD)),
)
_SIGNED: Final = Statement(
    sa.select((sa.func.max(t.audit_entries.c.leaf_index) + 1).label("size")),
)
_UNSIGNED_COUNT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(t.audit_entries)
    .where(sa.text(t.UNSIGNED)),
)
