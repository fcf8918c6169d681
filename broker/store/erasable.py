"""What might be erased: sessions by name, a page at a time, each told whether it is over.

A page is found by its key and by what is not erased yet, so that a long past costs little to pass.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import bindparam as bound

from broker.core.retention import Erasable
from broker.store import tables as t
from broker.store.erasing import BLANK_ORDER, scrub
from broker.store.json_text import decode
from broker.store.names import name_at
from broker.store.readers import Readers
from broker.store.sql import Database, Row, Statement

_NEWEST: Final = "~"  # sorts behind every name


class ErasableReads:
    """Implements `ports.Keeping` over a store's readers."""

    _readers: Readers
    _connect: Callable[[], Database]

    async def erasable_sessions(
        self, *, after: str, opened_before: float, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of sessions that are not erased."""
        return await self._readers.ask(sessions, after, opened_before, now, page_size)

    async def erasable_mandates(
        self, *, after: str, made_before: float, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of mandates that nobody redeemed or can redeem, and that are not erased."""
        return await self._readers.ask(mandates, after, made_before, now, page_size)

    async def sessions_with_files_over(
        self, *, after: str, now: float, page_size: int
    ) -> Sequence[Erasable]:
        """A page of sessions that have files whose own time is over, by name."""
        return await self._readers.ask(sessions_with_files_over, after, now, page_size)

    async def unerased_calls(self, session: str, *, calls_max: int) -> Sequence[str]:
        """Some calls of a session that are not erased."""
        return await self._readers.ask(unerased_calls, session, calls_max)

    async def scrub(self) -> bool:
        """Have nothing that was erased left in the database's journal; whether that is so."""
        return await self._readers.ask(_scrubbed, self._connect)


def sessions(
    database: Database, after: str, opened_before: float, now: float, page_size: int
) -> Sequence[Erasable]:
    """A page of sessions that are not erased, by name."""
    rows = database.rows(
        _SESSIONS,
        {"after": after, "before": _before("sessions", opened_before), "limit": page_size},
    )
    return [_session(row, now) for row in rows]


def mandates(
    database: Database, after: str, made_before: float, now: float, page_size: int
) -> Sequence[Erasable]:
    """A page of mandates without a session, by name."""
    values = {
        "after": after,
        "before": _before("mandates", made_before),
        "limit": page_size,
        "now": now,
        "blank": '""',
    }
    return [
        Erasable(
            mandate=row["name"],
            session="",
            principal=str(decode(row["session"])["body"]["principal"]["id"]),
            is_over=True,
            changed_at=float(row["redeem_by"]),
        )
        for row in database.rows(_MANDATES, values)
    ]


def sessions_with_files_over(
    database: Database, after: str, now: float, page_size: int
) -> Sequence[Erasable]:
    """A page of sessions that have files whose own time is over, by name."""
    values = {"after": after, "now": now, "limit": page_size}
    return [
        Erasable(
            mandate=row["mandate"],
            session=row["name"],
            principal=str(decode(row["body"])["principal"]["id"]),
            is_over=True,
            changed_at=float(row["last"]),
            files=int(row["files"]),
        )
        for row in database.rows(_WITH_FILES_OVER, values)
    ]


def unerased_calls(database: Database, session: str, calls_max: int) -> Sequence[str]:
    """Some calls of a session that are not erased."""
    rows = database.rows(_CALLS, {"session": session, "limit": calls_max})
    return [row["name"] for row in rows]


def _before(kind: str, epoch_s: float) -> str:
    return name_at(kind, epoch_s) or _NEWEST


def _session(row: Row, now: float) -> Erasable:
    is_open = row["state"] == "OPEN" and row["expires_at"] > now
    ended_at = row["opened_at"] if row["state"] != "OPEN" else row["expires_at"]
    return Erasable(
        mandate=row["mandate"],
        session=row["name"],
        principal=str(decode(row["body"])["principal"]["id"]),
        is_over=not is_open and not row["unsettled"],
        changed_at=max(float(ended_at), float(row["changed_at"] or 0.0)),
    )


def _scrubbed(_database: Database, connect: Callable[[], Database]) -> bool:
    own = connect()
    try:
        return scrub(own)
    finally:
        own.close()


_UNSETTLED: Final = sa.text("invocations." + t.OPEN_INVOCATION)
_S, _M, _I = t.sessions.c, t.mandates.c, t.invocations.c


def _of_session(column: Any, *conditions: Any) -> Any:
    return sa.select(column).where(_I.session == _S.name, *conditions).scalar_subquery()


_SESSIONS: Final = Statement(
    sa.select(
        _S.name,
        _S.mandate,
        _S.body,
        _S.state,
        _S.opened_at,
        _S.expires_at,
        _of_session(sa.func.max(_I.updated_at)).label("changed_at"),
        _of_session(sa.func.count(), _UNSETTLED).label("unsettled"),
    )
    .where(_S.erased.is_(None), _S.name > bound("after"), _S.name < bound("before"))
    .order_by(_S.name)
    .limit(bound("limit")),
)
_MANDATES: Final = Statement(
    sa.select(_M.name, _M.session, _M.redeem_by)
    .where(
        _M.name > bound("after"),
        _M.name < bound("before"),
        sa.or_(_M.state == "REVOKED", _M.redeem_by <= bound("now")),
        ~sa.exists().where(_S.mandate == _M.name),
        # Words can come after it was erased: nobody redeems it, but its host may go on.
        sa.or_(
            sa.func.substr(_M.session, 1, len(BLANK_ORDER)) != BLANK_ORDER,
            sa.exists().where(
                t.mandate_words.c.mandate == _M.name, t.mandate_words.c.words != bound("blank")
            ),
        ),
    )
    .order_by(_M.name)
    .limit(bound("limit")),
)
_A: Final = t.artefacts.c
_WITH_FILES_OVER: Final = Statement(
    sa.select(
        _S.name,
        _S.mandate,
        _S.body,
        sa.func.count().label("files"),
        sa.func.max(_A.expires_at).label("last"),
    )
    .select_from(t.artefacts.join(t.sessions, _S.name == _A.session))
    .where(_A.expires_at <= bound("now"), _S.name > bound("after"))
    .group_by(_S.name)
    .order_by(_S.name)
    .limit(bound("limit")),
)
_CALLS: Final = Statement(
    sa.select(_I.name)
    .where(_I.session == bound("session"), _I.erased.is_(None))
    .limit(bound("limit")),
)
