"""What is yet to be told, and to whom: derived from the holds, so that no decision waits for it.

Nothing is written of a notice where a hold is opened. A hold of which a channel has no row has not
been told over it, whatever crashed in between; the row is what says that it need not be looked at
again.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.core.notices import (
    TOLD_AS_ENDED,
    AddNotices,
    DropNotices,
    MoveNotices,
    Notice,
    NoticeEvent,
    NoticeState,
)
from broker.ports.notifying import NoticeSeen, NoticeTally
from broker.store import tables as t
from broker.store.names import name_at, time_of
from broker.store.notice_table import NOTICE_DUE, NOTICE_WAITING, notices
from broker.store.rows import hold_of
from broker.store.sql import Database, Row, Statement


def holds_untold(
    database: Database,
    channel: str,
    event: NoticeEvent,
    *,
    since: float,
    is_pending: bool,
    after: str,
    page_size: int,
) -> Sequence[Hold]:
    """A page of holds of which the channel has no notice of this kind."""
    values = {
        "of_channel": channel,
        "of_event": event.value,
        "after": max(after, name_at("holds", since) if since else ""),
        "limit": page_size,
    }
    statement = _UNTOLD_PENDING if is_pending else _UNTOLD
    return [hold_of(row) for row in database.rows(statement, values)]


def newest_hold_told(database: Database, channel: str, event: NoticeEvent) -> float:
    """When the newest hold that the channel knows of was opened."""
    row = database.row(_NEWEST, {"of_channel": channel, "of_event": event.value})
    return 0.0 if row is None or row["hold"] is None else time_of(row["hold"])


def notices_due(
    database: Database, channel: str, now: float, after: int, notices_max: int
) -> Sequence[NoticeSeen]:
    """A page of what is due, in order; of one call only the first."""
    values = {"of_channel": channel, "now": now, "after": after, "limit": notices_max}
    rows = database.rows(_DUE, values)
    return [_seen(row) for row in rows]


def notices_come_about(database: Database, channel: str, notices_max: int) -> Sequence[int]:
    """What has waited for a call to end, which it has."""
    rows = database.rows(_COME_ABOUT, {"of_channel": channel, "limit": notices_max})
    return [row["number"] for row in rows]


def next_notice_due(database: Database, channel: str) -> float | None:
    """When the next one is due."""
    row = database.row(_NEXT, {"of_channel": channel})
    return None if row is None or row["due_at"] is None else float(row["due_at"])


def notice_tally(database: Database, channel: str, now: float) -> NoticeTally:
    """How many there are of each."""
    rows = {row["state"]: row for row in database.rows(_TALLY, {"of_channel": channel, "now": now})}

    def count(state: NoticeState) -> int:
        return int(rows[state.value]["count"]) if state.value in rows else 0

    due = rows.get(NoticeState.DUE.value)
    return NoticeTally(
        due=count(NoticeState.DUE),
        sent=count(NoticeState.SENT),
        dead=count(NoticeState.DEAD),
        oldest_due_at=0.0 if due is None else float(due["oldest"]),
    )


def _add_notices(database: Database, change: AddNotices) -> None:
    database.run_many(_ADD, [_row(notice) for notice in change.notices])


def _move_notices(database: Database, change: MoveNotices) -> None:
    moved = {
        "to_state": change.state.value,
        "to_due_at": change.due_at,
        "more": change.attempts_more,
        "to_problem": change.problem,
    }
    database.run_many(_MOVE, [{"at_number": number, **moved} for number in change.numbers])


def _drop_notices(database: Database, change: DropNotices) -> None:
    database.run(_DROP, {"before": change.created_before})


NOTICES: Final[Mapping[type, Callable[[Database, Any], None]]] = {
    AddNotices: _add_notices,
    MoveNotices: _move_notices,
    DropNotices: _drop_notices,
}


def _row(value: Notice) -> Row:
    return {
        "channel": value.channel,
        "event": value.event.value,
        "subject": value.subject,
        "hold": value.hold,
        "invocation": value.invocation,
        "state": value.state.value,
        "created_at": value.created_at,
        "due_at": value.due_at,
        "attempts": value.attempts,
        "problem": value.problem,
    }


def _seen(row: Row) -> NoticeSeen:
    return NoticeSeen(
        notice=Notice(
            number=row["number"],
            channel=row["channel"],
            event=NoticeEvent(row["event"]),
            subject=row["subject"],
            hold=row["hold"],
            invocation=row["invocation"],
            state=NoticeState(row["state"]),
            created_at=row["created_at"],
            due_at=row["due_at"],
            attempts=row["attempts"],
            problem=row["problem"],
        ),
        hold_state=HoldState(row["hold_state"]),
        invocation_state=InvocationState(row["invocation_state"]),
        invocation_code=row["invocation_code"],
    )


_N: Final = notices.c
_EARLIER: Final = notices.alias("earlier")

# Spelled in SQL: a list that is bound would be another statement for each length.
_ENDED: Final = ", ".join(sorted(f"'{state.value}'" for state in TOLD_AS_ENDED))

_KNOWN: Final = sa.exists().where(
    _N.channel == bound("of_channel"),
    _N.event == bound("of_event"),
    _N.subject == t.holds.c.name,
)
_UNTOLD: Final = Statement(
    sa.select(t.holds)
    .where(t.holds.c.name > bound("after"), sa.not_(_KNOWN))
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
_UNTOLD_PENDING: Final = Statement(
    sa.select(t.holds)
    .where(
        t.holds.c.state == "PENDING",
        sa.text(f"holds.{t.OPEN_HOLD}"),
        t.holds.c.name > bound("after"),
        sa.not_(_KNOWN),
    )
    .order_by(t.holds.c.name)
    .limit(bound("limit")),
)
_NEWEST: Final = Statement(
    sa.select(sa.func.max(_N.subject).label("hold")).where(
        _N.channel == bound("of_channel"), _N.event == bound("of_event")
    ),
)
_DUE: Final = Statement(
    sa.select(
        notices,
        t.holds.c.state.label("hold_state"),
        t.invocations.c.state.label("invocation_state"),
        t.invocations.c.code.label("invocation_code"),
    )
    .select_from(
        notices.join(t.holds, t.holds.c.name == _N.hold).join(
            t.invocations, t.invocations.c.name == _N.invocation
        )
    )
    .where(
        _N.channel == bound("of_channel"),
        sa.text(f"notices.{NOTICE_DUE}"),
        _N.due_at <= bound("now"),
        _N.number > bound("after"),
        sa.not_(
            sa.exists().where(
                _EARLIER.c.channel == _N.channel,
                _EARLIER.c.invocation == _N.invocation,
                sa.text(f"earlier.{NOTICE_DUE}"),
                _EARLIER.c.number < _N.number,
            )
        ),
    )
    .order_by(_N.number)
    .limit(bound("limit")),
)
_COME_ABOUT: Final = Statement(
    sa.select(_N.number)
    .select_from(notices.join(t.invocations, t.invocations.c.name == _N.invocation))
    .where(
        _N.channel == bound("of_channel"),
        sa.text(f"notices.{NOTICE_WAITING}"),
        sa.text(f"invocations.state IN ({_ENDED})"),
    )
    .order_by(_N.number)
    .limit(bound("limit")),
)
_NEXT: Final = Statement(
    sa.select(sa.func.min(_N.due_at).label("due_at")).where(
        _N.channel == bound("of_channel"), sa.text(NOTICE_DUE)
    ),
)
_TALLY: Final = Statement(
    sa.select(
        _N.state,
        sa.func.count().label("count"),
        sa.func.min(sa.case((_N.attempts > 0, _N.created_at), else_=_N.due_at)).label("oldest"),
    )
    .where(
        _N.channel == bound("of_channel"),
        # A reminder whose time has not come is owed to nobody yet.
        sa.or_(sa.text("state <> 'DUE'"), _N.attempts > 0, _N.due_at <= bound("now")),
    )
    .group_by(_N.state),
)
_COLUMNS: Final = [column.name for column in notices.columns if column.name != "number"]
_ADD: Final = Statement(
    sa.text(
        f"INSERT INTO notices ({', '.join(_COLUMNS)}) "  # noqa: S608 - names of our own table
        f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "
        "ON CONFLICT (channel, event, subject) DO NOTHING",
    ),
)
_MOVE: Final = Statement(
    sa.update(notices)
    .where(_N.number == bound("at_number"), sa.text("state IN ('DUE', 'WAITING')"))
    .values(
        state=bound("to_state"),
        due_at=bound("to_due_at"),
        attempts=_N.attempts + bound("more"),
        problem=bound("to_problem"),
    ),
)
_DROP: Final = Statement(
    sa.delete(notices).where(
        _N.created_at < bound("before"),
        sa.text("state IN ('SENT', 'MOOT', 'DEAD')"),
        sa.not_(
            sa.exists().where(t.holds.c.name == _N.hold, sa.text(f"holds.{t.OPEN_HOLD}")),
        ),
    ),
)
