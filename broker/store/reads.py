"""What is asked of the database, as synchronous functions over one read transaction each.

A page is a keyset: names sort by time, so the last name of a page is where the next one starts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from broker.core.artefacts import Artefact
from broker.core.calls import History, Invocation, Reached, Session, Usage
from broker.core.control import ControlRow, ControlRows
from broker.core.holds import Hold, Review
from broker.core.lifecycle import InvocationState
from broker.core.limits import PAGE_SIZE_MAX
from broker.core.sign_ins import SignIn, StepUp
from broker.core.standing import NO_STANDING, StandingAsked
from broker.core.unit import Mandate
from broker.ports import (
    CounterAsked,
    Counts,
    HoldHistoryQuery,
    HoldQuery,
    InvocationQuery,
    KeySeen,
    Seen,
)
from broker.store import queries as q
from broker.store.remembering import sightings
from broker.store.rows import (
    artefact_of,
    hold_of,
    invocation_of,
    mandate_of,
    review_of,
    session_of,
    sign_in_of,
    step_up_of,
    words_of,
)
from broker.store.sql import Database, Row
from broker.store.standing import standing


def control(database: Database) -> ControlRows:
    """All control rows in force, and under which revision."""
    (revision,) = database.rows(q.REVISION, {})
    rows = tuple(ControlRow(**row) for row in database.rows(q.CONTROL, {}))
    return ControlRows(revision=revision["revision"], rows=rows)


def document(database: Database, digest: str) -> bytes | None:
    """Content by digest."""
    row = database.row(q.DOCUMENT, {"digest": digest})
    return None if row is None else bytes(row["body"])


def documents(database: Database, kind: str) -> Sequence[tuple[str, float]]:
    """Digest and first time of all documents of a kind, newest first."""
    return [(row["digest"], row["at"]) for row in database.rows(q.DOCUMENTS, {"kind": kind})]


def find_mandate(database: Database, secret_digest: bytes, name: str) -> Mandate | None:
    """A mandate by its secret's digest, else by its name."""
    if secret_digest:
        row = database.row(q.MANDATE_BY_SECRET, {"secret_digest": secret_digest})
    else:
        row = database.row(q.MANDATE, {"name": name})
    return None if row is None else mandate_of(row, _words(database, row["name"]))


def find_session(database: Database, name: str) -> Session | None:
    """A session with its words so far."""
    row = database.row(q.SESSION, {"name": name})
    return None if row is None else session_of(row, _words(database, row["mandate"]))


def session_of_mandate(database: Database, mandate: str) -> Session | None:
    """The session that redeeming the mandate opened."""
    row = database.row(q.SESSION_OF_MANDATE, {"mandate": mandate})
    return None if row is None else session_of(row, _words(database, mandate))


def find_invocation(database: Database, name: str) -> Invocation | None:
    """An invocation by name."""
    row = database.row(q.INVOCATION, {"name": name})
    return None if row is None else invocation_of(row)


def find_request(database: Database, session: str, request_id: str) -> Invocation | None:
    """The invocation of a request id."""
    row = database.row(q.REQUEST, {"session": session, "request_id": request_id})
    return None if row is None else invocation_of(row)


def keys(database: Database, names: Sequence[str]) -> Mapping[str, KeySeen]:
    """Exclusive keys as they stand."""
    return {name: _key(database, name) for name in names}


@dataclass(frozen=True, slots=True)
class Past:
    """What of the past is asked for: see `ports.Store.seen`."""

    session: str
    after: int
    elders: Mapping[str, int]
    principal: str
    targets: Collection[str]
    standing: StandingAsked | None = None


def seen(database: Database, past: Past, counters: Sequence[CounterAsked], now: float) -> Seen:
    """Counters, history and what was released after a position, for one call."""
    usage = {asked.name: _usage(database, asked, now) for asked in counters}
    rows = database.rows(q.HISTORY, {"session": past.session})
    return Seen(
        usage=usage,
        history=tuple(History(**row) for row in rows),
        reached={one: reached(database, past.principal, one) for one in past.targets},
        sightings=sightings(database, past.session, past.after),
        elders={name: sightings(database, name, since) for name, since in past.elders.items()},
        standing=standing(database, past.standing) if past.standing else NO_STANDING,
    )


def reached(database: Database, principal: str, target: str) -> tuple[Reached, ...]:
    """How often a principal has reached a target, by tool."""
    rows = database.rows(q.REACHED, {"principal": principal, "target": target})
    return tuple(Reached(**row) for row in rows)


def find_hold(database: Database, name: str) -> tuple[Hold, tuple[Review, ...]] | None:
    """A hold with its reviews."""
    row = database.row(q.HOLD, {"name": name})
    return None if row is None else (hold_of(row), _reviews(database, name))


def list_holds(
    database: Database,
    query: HoldQuery,
) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
    """A page of holds, oldest first."""
    statement = q.ALL_HOLDS if query.include_decided else q.PENDING_HOLDS
    values = {"after": query.after, "limit": _page(query.page_size)}
    return _reviewed(database, database.rows(statement, values))


def hold_history(
    database: Database,
    query: HoldHistoryQuery,
) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
    """A page of holds in any state, newest first."""
    asked = {
        "tool": query.tool,
        "principal": query.principal,
        "agent": query.agent,
        "session": query.session,
        "invocation": query.invocation,
        "state": query.state.value if query.state else "",
        "before": query.before,
        "is_over": query.is_over,
    }
    statement = q.holds(frozenset(name for name, value in asked.items() if value))
    rows = database.rows(statement, {**asked, "limit": _page(query.page_size)})
    return _reviewed(database, rows)


def find_sign_in(database: Database, digest: bytes) -> SignIn | None:
    """A sign-in, however old."""
    row = database.row(q.SIGN_IN, {"digest": digest})
    return None if row is None else sign_in_of(row)


def find_step_up(database: Database, sign_in: bytes, hold: str) -> StepUp | None:
    """An unused step-up, however old."""
    row = database.row(q.STEP_UP, {"of_sign_in": sign_in, "of_hold": hold})
    return None if row is None else step_up_of(row)


def list_sign_ins(database: Database) -> Sequence[SignIn]:
    """All sign-ins, newest first."""
    return [sign_in_of(row) for row in database.rows(q.SIGN_INS, {})]


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
    statement = q.invocations(frozenset(name for name, value in asked.items() if value))
    rows = database.rows(statement, {**asked, "limit": _page(query.page_size)})
    return [invocation_of(row) for row in rows]


def unfinished(database: Database) -> Sequence[Invocation]:
    """Every invocation that is RUNNING, or HELD with an APPROVED hold; oldest first."""
    return [invocation_of(row) for row in database.rows(q.UNFINISHED, {})]


def overdue(database: Database, now: float) -> Sequence[Hold]:
    """Holds whose time to be decided, or to be run, has passed."""
    return [hold_of(row) for row in database.rows(q.OVERDUE, {"now": now})]


def open_holds_of(database: Database, session: str) -> Sequence[Hold]:
    """PENDING and APPROVED holds of a session."""
    return [hold_of(row) for row in database.rows(q.OPEN_HOLDS_OF, {"session": session})]


def find_artefacts(
    database: Database,
    session: str,
    names: Sequence[str],
) -> Mapping[str, Artefact]:
    """Those of these names that the session has."""
    rows = (database.row(q.ARTEFACT, {"session": session, "name": name}) for name in names)
    return {row["name"]: artefact_of(row) for row in rows if row is not None}


def list_artefacts(database: Database, session: str) -> Sequence[Artefact]:
    """All that the session has, oldest first."""
    return [artefact_of(row) for row in database.rows(q.ARTEFACTS_OF, {"session": session})]


def artefact_content(database: Database, session: str, name: str) -> bytes | None:
    """What is in an artefact of the session."""
    row = database.row(q.CONTENT, {"session": session, "name": name})
    return None if row is None else bytes(row["content"])


def shadow_tallies(database: Database, shadow: str) -> Mapping[str, bytes]:
    """What each broker has seen of a shadow."""
    rows = database.rows(q.SHADOW_TALLIES, {"shadow": shadow})
    return {row["broker"]: bytes(row["body"]) for row in rows}


def counts(database: Database) -> Counts:
    """What waits and how long the log is."""
    states = {row["state"]: row["count"] for row in database.rows(q.OPEN_STATES, {})}
    (waiting,) = database.rows(q.PENDING_COUNT, {})
    (signed,) = database.rows(q.SIGNED, {})
    (unsigned,) = database.rows(q.UNSIGNED_COUNT, {})
    size = signed["size"] or 0
    return Counts(
        holds_pending=waiting["count"],
        running=states.get("RUNNING", 0),
        unknown=states.get("UNKNOWN", 0),
        audit_entries=size + unsigned["count"],
        audit_entries_signed=size,
    )


def _words(database: Database, mandate: str) -> tuple[str, ...]:
    return words_of(database.rows(q.WORDS, {"mandate": mandate}))


def _key(database: Database, name: str) -> KeySeen:
    row = database.row(q.KEY, {"key": name})
    if row is None:
        return KeySeen(version=0, invocation="", state=None)
    state = InvocationState(row["state"]) if row["state"] else None
    return KeySeen(version=row["version"], invocation=row["invocation"], state=state)


def _usage(database: Database, asked: CounterAsked, now: float) -> Usage:
    version = database.row(q.COUNTER, {"key": asked.key})
    since = {"key": asked.key, "since": now - asked.window_s}
    (used,) = database.rows(q.USED, since)
    return Usage(
        used=used["used"] or 0,
        limit=asked.limit,
        window_s=asked.window_s,
        key=asked.key,
        version=0 if version is None else version["version"],
    )


def _reviews(database: Database, hold: str) -> tuple[Review, ...]:
    return tuple(review_of(row) for row in database.rows(q.REVIEWS, {"hold": hold}))


def _reviewed(database: Database, rows: Sequence[Row]) -> Sequence[tuple[Hold, tuple[Review, ...]]]:
    """Holds with their reviews, which are read at once."""
    if not rows:
        return []
    size, names = q.among([row["name"] for row in rows])
    said: dict[str, list[Review]] = {}
    for row in database.rows(q.reviews_of(size), names):
        said.setdefault(row["hold"], []).append(review_of(row))
    return [(hold_of(row), tuple(said.get(row["name"], ()))) for row in rows]


def _page(size: int) -> int:
    return max(1, min(size, PAGE_SIZE_MAX))
