"""How a session stands: read for a decision, and again in the transaction that records it.

So brokers that share a database agree: whichever records later sees what the other has recorded.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.standing import (
    AddRejection,
    CountDenial,
    Rejection,
    RequireRoomForHold,
    RequireStanding,
    Standing,
    StandingAsked,
    marks_of,
)
from broker.core.unit import Conflict, ConflictOn
from broker.store.json_text import decode, encode
from broker.store.remembering import have_for_adding, have_for_reading
from broker.store.sql import Database, NotUnique, Statement, insert
from broker.store.standing_tables import denials as d
from broker.store.standing_tables import rejections as r
from broker.store.tables import OPEN_HOLD, holds, invocations

DENIALS: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(d)
    .where(d.c.session == bound("session"), d.c.at > bound("since"))
)
REJECTIONS: Final = Statement(
    sa.select(r.c.invocation, r.c.reached, invocations.c.message)
    .select_from(r.outerjoin(invocations, invocations.c.name == r.c.invocation))
    .where(r.c.session == bound("session"), r.c.tool == bound("tool"))
    .order_by(r.c.invocation)
)
REJECTIONS_COUNT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(r)
    .where(r.c.session == bound("session"), r.c.tool == bound("tool"))
)
ADD_REJECTION: Final = insert(r)
ADD_DENIAL: Final = insert(d)
WAITING_OF_AGENT: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(holds)
    .where(holds.c.agent == bound("agent"), sa.text(OPEN_HOLD))
)
WAITING_OF_PRINCIPAL: Final = Statement(
    sa.select(sa.func.count().label("count"))
    .select_from(holds)
    .where(holds.c.principal == bound("principal"), sa.text(OPEN_HOLD))
)
_NEWEST: Final = (
    sa.select(d.c.at)
    .where(d.c.session == bound("of_session"))
    .order_by(d.c.at.desc())
    .limit(bound("kept_max"))
    .subquery("newest")
)
DROP_OLD_DENIALS: Final = Statement(
    sa.delete(d).where(
        d.c.session == bound("of_session"),
        d.c.at < sa.select(sa.func.min(_NEWEST.c.at)).scalar_subquery(),
    )
)


def standing(database: Database, asked: StandingAsked) -> Standing:
    """How a session stands towards a tool."""
    rows = (
        row
        for session in (*asked.elders, asked.session)
        for row in database.rows(REJECTIONS, {"session": session, "tool": asked.tool})
    )
    return Standing(
        denials=_denials(database, asked),
        rejections=tuple(
            Rejection(
                invocation=row["invocation"],
                reached=marks_of(decode(row["reached"])),
                message=row["message"] or "",
            )
            for row in rows
        ),
    )


def _denials(database: Database, asked: StandingAsked) -> int:
    (row,) = database.rows(DENIALS, {"session": asked.session, "since": asked.since})
    return int(row["count"])


def _require_standing(database: Database, change: RequireStanding) -> None:
    asked = change.asked
    rejected = 0
    for session in (*asked.elders, asked.session):
        have_for_reading(database, session)
        (row,) = database.rows(REJECTIONS_COUNT, {"session": session, "tool": asked.tool})
        rejected += int(row["count"])
    if rejected != change.rejections:
        raise Conflict(ConflictOn.STANDING)
    if change.denials_below is not None and _denials(database, asked) >= change.denials_below:
        raise Conflict(ConflictOn.STANDING)


def _count_denial(database: Database, change: CountDenial) -> None:
    have_for_adding(database, change.session)
    row = {"session": change.session, "at": change.at, "invocation": change.invocation}
    try:
        database.run(ADD_DENIAL, row)
    except NotUnique as taken:
        raise Conflict(ConflictOn.STANDING) from taken
    database.run(DROP_OLD_DENIALS, {"of_session": change.session, "kept_max": change.kept_max})


def _add_rejection(database: Database, change: AddRejection) -> None:
    have_for_adding(database, change.session)
    row = {
        "session": change.session,
        "tool": change.tool,
        "invocation": change.invocation,
        "reached": encode(change.reached),
        "at": change.at,
    }
    try:
        database.run(ADD_REJECTION, row)
    except NotUnique as taken:
        raise Conflict(ConflictOn.STANDING) from taken


def _require_room_for_hold(database: Database, change: RequireRoomForHold) -> None:
    (of_agent,) = database.rows(WAITING_OF_AGENT, {"agent": change.agent})
    (of_principal,) = database.rows(WAITING_OF_PRINCIPAL, {"principal": change.principal})
    if of_agent["count"] >= change.of_agent_max or of_principal["count"] >= change.of_principal_max:
        raise Conflict(ConflictOn.HOLDS)


STANDING: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    RequireStanding: _require_standing,
    RequireRoomForHold: _require_room_for_hold,
    CountDenial: _count_denial,
    AddRejection: _add_rejection,
}
