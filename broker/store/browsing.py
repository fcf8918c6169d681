"""What pages read, as synchronous functions over one read transaction each; see `ports.Browsing`.

A list is one statement for its rows and one for each thing that is told beside them, never one for
each row.
"""

import base64
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.arguments import JsonValue
from broker.core.calls import Person
from broker.core.holds import ReviewEffect
from broker.core.labels import BEST, Labels, join
from broker.core.lifecycle import HoldState
from broker.core.limits import PAGE_SIZE_MAX
from broker.core.notes import MalformedNote, read, verifier_key
from broker.core.review_quality import HoldSeen, ReviewSeen
from broker.ports import AgentSeen, DocumentSeen, LogHead, SessionQuery, SessionSeen
from broker.store import queries as q
from broker.store import tables as t
from broker.store.hold_bodies import codes_of, is_narrowed
from broker.store.json_text import decode
from broker.store.keys import signature_holds
from broker.store.names import name_at, time_of
from broker.store.rows import session_of, words_of
from broker.store.sql import Database, Row, Statement

_STATES: Final = {state.value: state for state in HoldState}
_EFFECTS: Final = {effect.value: effect for effect in ReviewEffect}
_NEWEST: Final = "~"  # sorts behind every name


def list_sessions(database: Database, query: SessionQuery) -> Sequence[SessionSeen]:
    """A page of sessions, newest first."""
    rows = database.rows(
        _SESSIONS,
        {"before": query.before or _NEWEST, "limit": max(1, min(query.page_size, PAGE_SIZE_MAX))},
    )
    if not rows:
        return ()
    names = [row["name"] for row in rows]
    said = _by(_words, database, [row["mandate"] for row in rows], key="mandate")
    decided = _by(_decided, database, names, key="session")
    untrusted = _by(_untrusted, database, names, key="session")
    return [
        SessionSeen(
            decided={one["effect"]: int(one["calls"]) for one in decided.get(row["name"], ())},
            is_untrusted=row["name"] in untrusted,
            session=session_of(row, words_of(said.get(row["mandate"], ()))),
        )
        for row in rows
    ]


def released(database: Database, session: str) -> Mapping[str, Labels]:
    """The labels of what was released to a session, by invocation, in that order."""
    found: dict[str, Labels] = {}
    for row in database.rows(_RELEASED, {"session": session}):
        labels = Labels(trust=row["trust"], sensitivity=row["sensitivity"])
        found[row["invocation"]] = join(found.get(row["invocation"], BEST), labels)
    return found


def holds_seen(database: Database, since: float, holds_max: int) -> Sequence[HoldSeen]:
    """The newest holds since a time, newest first, with their reviews."""
    rows = database.rows(_HOLDS, {"since": name_at("holds", since), "limit": holds_max})
    if not rows:
        return ()
    said: dict[str, list[ReviewSeen]] = {}
    for row in database.rows(_REVIEWS, {"since": rows[-1]["name"]}):
        said.setdefault(row["hold"], []).append(_review(row))
    return [_hold(row, said.get(row["name"], ())) for row in rows]


def agents_seen(database: Database, calls_max: int) -> Sequence[AgentSeen]:
    """The agents of the newest calls, by id."""
    return [
        AgentSeen(
            agent=row["agent"],
            calls=int(row["calls"]),
            first_at=time_of(row["first"]),
            last_at=time_of(row["last"]),
        )
        for row in database.rows(_AGENTS, {"limit": calls_max})
    ]


def documents_seen(database: Database, kind: str, documents_max: int) -> Sequence[DocumentSeen]:
    """The newest documents of a kind."""
    rows = database.rows(_DOCUMENTS, {"kind": kind, "limit": documents_max})
    return [
        DocumentSeen(digest=row["digest"], at=row["at"], body=bytes(row["body"])) for row in rows
    ]


def log_head(database: Database, public_key: bytes) -> LogHead | None:
    """The newest signed head, and whether this key has signed it."""
    row = database.row(q.NEWEST_HEAD, {})
    if row is None:
        return None
    size, note = row["size"], row["note"]
    try:
        head = read(note, public_key, signature_holds)
    except MalformedNote:
        head = None
    return LogHead(
        size=size,
        root=base64.b64encode(head.root).decode() if head else "",
        origin=head.origin if head else "",
        key=verifier_key(public_key),
        note=note,
        is_signed=head is not None and head.size == size,
    )


def log_entries(
    database: Database, before: int | None, page_size: int
) -> Sequence[Mapping[str, JsonValue]]:
    """A page of the log, newest first; what no head covers yet comes before all of it."""
    size = max(1, min(page_size, PAGE_SIZE_MAX))
    below = {"before": _ALL if before is None else before, "limit": size}
    rows = database.rows(_LEAVES, below)
    if before is None:
        fresh = database.rows(_UNSIGNED, {"limit": PAGE_SIZE_MAX})
        rows = [*sorted(fresh, key=lambda row: str(row["id"]), reverse=True), *rows]
    return [_entry(row) for row in rows]


def _entry(row: Row) -> Mapping[str, JsonValue]:
    said: dict[str, JsonValue] = decode(bytes(row["entry"]).decode())
    return {**said, "leaf_index": row["leaf_index"]}


def _hold(row: Row, said: Sequence[ReviewSeen]) -> HoldSeen:
    return HoldSeen(
        name=row["name"],
        tool=row["tool"],
        state=_STATES[row["state"]],
        codes=codes_of(row["body"]),
        created_at=row["created_at"],
        is_approved=row["run_by"] > 0,
        is_narrowed=is_narrowed(row["body"]),
        reviews=tuple(said),
    )


def _review(row: Row) -> ReviewSeen:
    return ReviewSeen(
        person=_person(row["issuer"], row["subject"]),
        reviewer=row["reviewer"],
        effect=_EFFECTS[row["effect"]],
        at=row["at"],
        counted=bool(row["counted"]),
    )


@functools.lru_cache(maxsize=4096)
def _person(issuer: str, subject: str) -> str:
    return str(Person(issuer=issuer, subject=subject))


def _by(
    statement: Callable[[int], Statement], database: Database, names: Sequence[str], *, key: str
) -> dict[str, list[Row]]:
    """The rows of a statement that asks for several names, by one of their columns."""
    size, values = q.among(names)
    found: dict[str, list[Row]] = {}
    for row in database.rows(statement(size), values):
        found.setdefault(row[key], []).append(row)
    return found


_ALL: Final = 2**62  # above every leaf
_SESSIONS: Final = Statement(
    sa.select(t.sessions)
    .where(t.sessions.c.name < bound("before"))
    .order_by(t.sessions.c.name.desc())
    .limit(bound("limit")),
)
_RELEASED: Final = Statement(
    sa.select(t.sightings.c.invocation, t.sightings.c.trust, t.sightings.c.sensitivity)
    .where(t.sightings.c.session == bound("session"))
    .order_by(t.sightings.c.position),
)
_HOLDS: Final = Statement(
    sa.select(
        t.holds.c.name,
        t.holds.c.tool,
        t.holds.c.state,
        t.holds.c.body,
        t.holds.c.created_at,
        t.holds.c.run_by,
    )
    .where(t.holds.c.name >= bound("since"))
    .order_by(t.holds.c.name.desc())
    .limit(bound("limit")),
)
# Reviews of later holds alone: a review is never older than its hold.
_REVIEWS: Final = Statement(
    sa.select(
        t.reviews.c.hold,
        t.reviews.c.issuer,
        t.reviews.c.subject,
        t.reviews.c.reviewer,
        t.reviews.c.effect,
        t.reviews.c.at,
        t.reviews.c.counted,
    )
    .where(t.reviews.c.hold >= bound("since"))
    .order_by(t.reviews.c.id),
)
_NEWEST_CALLS: Final = (
    sa.select(t.invocations.c.agent, t.invocations.c.name)
    .order_by(t.invocations.c.name.desc())
    .limit(bound("limit"))
    .subquery("newest")
)
# A name tells its time; the columns of times lie behind what calls carry, which can be long.
_AGENTS: Final = Statement(
    sa.select(
        _NEWEST_CALLS.c.agent,
        sa.func.count().label("calls"),
        sa.func.min(_NEWEST_CALLS.c.name).label("first"),
        sa.func.max(_NEWEST_CALLS.c.name).label("last"),
    )
    .group_by(_NEWEST_CALLS.c.agent)
    .order_by(_NEWEST_CALLS.c.agent),
)
_DOCUMENTS: Final = Statement(
    sa.select(t.documents)
    .where(t.documents.c.kind == bound("kind"))
    .order_by(t.documents.c.at.desc(), t.documents.c.digest)
    .limit(bound("limit")),
)
_E = t.audit_entries.c
_LEAVES: Final = Statement(
    sa.select(_E.id, _E.entry, _E.leaf_index)
    .where(_E.leaf_index < bound("before"))
    .order_by(_E.leaf_index.desc())
    .limit(bound("limit")),
)
_UNSIGNED: Final = Statement(
    sa.select(_E.id, _E.entry, _E.leaf_index).where(sa.text(t.UNSIGNED)).limit(bound("limit")),
)


@functools.cache
def _words(size: int) -> Statement:
    columns = t.mandate_words.c
    return Statement(
        sa.select(t.mandate_words)
        .where(q.is_among(columns.mandate, size))
        .order_by(columns.mandate, columns.position),
    )


@functools.cache
def _decided(size: int) -> Statement:
    columns = t.history.c
    return Statement(
        sa.select(columns.session, columns.effect, sa.func.sum(columns.count).label("calls"))
        .where(q.is_among(columns.session, size))
        .group_by(columns.session, columns.effect),
    )


@functools.cache
def _untrusted(size: int) -> Statement:
    columns = t.sightings.c
    return Statement(
        sa.select(columns.session)
        .where(q.is_among(columns.session, size), columns.trust == "untrusted")
        .distinct(),
    )
