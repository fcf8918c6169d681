"""What a session has seen: appended in order, never changed, bounded."""

from broker.core.labels import Labels
from broker.core.provenance.memory import Sighting
from broker.core.unit import AddSighting, Conflict, ConflictOn, RequireMemory
from broker.store import queries as q
from broker.store import statements as s
from broker.store.sql import Database, NotUnique


def add_sighting(database: Database, change: AddSighting) -> None:
    """Put it after the newest; without its content where there is no room for that."""
    have_for_adding(database, change.session)
    had = database.row(s.SIGHTINGS_HAD, {"session": change.session})
    if had is None:
        raise Conflict(ConflictOn.MEMORY)
    fits = had["bytes"] + len(change.content) <= change.bytes_max
    content = change.content if fits else b""
    row = {
        "session": change.session,
        "position": had["position"] + 1,
        "invocation": change.invocation,
        "trust": change.labels.trust,
        "sensitivity": change.labels.sensitivity,
        "size": len(content),
        "content": content,
    }
    try:
        database.run(s.ADD_SIGHTING, row)
    except NotUnique as taken:
        raise Conflict(ConflictOn.MEMORY) from taken


def require_memory(database: Database, change: RequireMemory) -> None:
    """Check that nothing was added since, and have nothing added until the commit."""
    have_for_reading(database, change.session)
    had = database.row(s.SIGHTINGS_HAD, {"session": change.session})
    if had is None or had["position"] != change.position:
        raise Conflict(ConflictOn.MEMORY)


def have_for_adding(database: Database, session: str) -> None:
    """Nobody else adds to what a session has, or counts it, until the commit."""
    if database.dialect.is_shared:
        database.row(s.SESSION_FOR_ADDING, {"session": session})


def have_for_reading(database: Database, session: str) -> None:
    """Nobody adds to what a session has until the commit."""
    if database.dialect.is_shared:
        database.row(s.SESSION_FOR_READING, {"session": session})


def sightings(database: Database, session: str, after: int) -> tuple[Sighting, ...]:
    """What was added after a position, in order."""
    return tuple(
        Sighting(
            position=row["position"],
            invocation=row["invocation"],
            labels=Labels(trust=row["trust"], sensitivity=row["sensitivity"]),
            content=bytes(row["content"]),
        )
        for row in database.rows(q.SIGHTINGS, {"session": session, "after": after})
    )
