"""Erases what was said in sessions that are over: a session at a time, a few calls a unit.

A unit requires the control revision under which nothing was seen to keep the session, so that a
legal hold that comes meanwhile wins. What is interrupted is begun again by whoever erases next.
"""

import asyncio
import enum
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from broker.administration.changes import ControlChanges
from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.control import Control
from broker.core.errors import BrokerError
from broker.core.restored import is_to_be_looked_at
from broker.core.retention import (
    DAY_S,
    Erasable,
    EraseCalls,
    EraseFiles,
    EraseSession,
    Erasing,
    LegalHoldKind,
    is_held,
)
from broker.core.unit import Conflict, ConflictOn, RequireControl, Unit
from broker.ports.keeping import Keeping

PERIOD: Final = "retention"

_log = structlog.get_logger(__name__)
_Page = Callable[[str], Awaitable[Sequence[Erasable]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseOrder:
    """Whose contents, and how old.

    Attributes:
        by: who erases: an operator, or `retention`.
        said: what the log says besides: the reason, the credential.
        principal: of whom alone; empty for everybody.
        before: POSIX seconds: only what ended earlier; 0 for all.
    """

    by: str
    said: Mapping[str, JsonValue]
    principal: str = ""
    before: float = 0.0


@dataclass(slots=True, kw_only=True)
class ErasedTally:
    """What came of it: sessions with their calls, and mandates that nobody had redeemed.

    Attributes:
        open: sessions that are not over, or whose calls have not ended.
        held: sessions that a legal hold keeps.
    """

    sessions: int = 0
    calls: int = 0
    mandates: int = 0
    open: int = 0
    held: int = 0


class _Came(enum.Enum):
    """What came of a unit: a legal hold keeps what it would erase, or that is not over."""

    DONE = enum.auto()
    HELD = enum.auto()
    OPEN = enum.auto()


class Eraser:
    """Erases by order, or by age for ever.

    By age nothing is erased while the freeze of a restore stands: what must be kept, and for how
    long, may have been said since the backup, and nobody has looked yet.
    """

    def __init__(self, *, changes: ControlChanges, keeping: Keeping) -> None:
        self._changes = changes
        self._keeping = keeping
        self._session_of: dict[str, str] = {}
        # A broker that was killed may have erased and left it in the journal.
        self._is_scrubbed = False

    async def sweep(self) -> None:
        """For ever: erase what is older than the setting says. Ends by cancellation."""
        while True:
            try:
                await self.sweep_once()
            except BrokerError as error:
                _log.warning("erasing_failed", reason=error.reason, error=str(error))
            except Exception:  # noqa: BLE001 - one that fails must not end all
                _log.exception("erasing_failed", reason="DEFECT")
            await asyncio.sleep(limits.ERASING_INTERVAL_S)

    async def sweep_once(self) -> ErasedTally:
        """One round.

        Raises:
            StoreUnavailable: the store is away; the next round begins again.
        """
        await self._scrub()
        control = self._changes.room.current()
        if is_to_be_looked_at(control.restored, control.freezes):
            return ErasedTally()
        await self._erase_files_over()
        days = control.retention.contents_days
        if not days:
            await self._scrub()
            return ErasedTally()
        before = self._changes.clock() - days * DAY_S
        order = EraseOrder(by=PERIOD, said={"contents_days": days}, before=before)
        return await self.erase(order)

    async def erase(self, order: EraseOrder) -> ErasedTally:
        """Erase what the order names, as far as it is over and nothing keeps it.

        Raises:
            StoreUnavailable: the store is away; what is not erased yet is erased by the next.
        """
        tally = ErasedTally()
        async for one in self._every(order):
            await self._one(one, order, tally)
        await self._scrub()
        if tally.sessions or tally.calls or tally.mandates:
            _log.info("contents_erased", sessions=tally.sessions, calls=tally.calls, by=order.by)
        return tally

    async def _scrub(self) -> None:
        """Have what was erased gone from the journal too, now or with the next round."""
        if not self._is_scrubbed:
            self._is_scrubbed = await self._keeping.scrub()
        if not self._is_scrubbed:
            _log.warning("journal_not_emptied", why="somebody reads the database")

    async def _every(self, order: EraseOrder) -> AsyncIterator[Erasable]:
        now = self._changes.clock()

        async def sessions(after: str) -> Sequence[Erasable]:
            return await self._keeping.erasable_sessions(
                after=after, opened_before=order.before, now=now, page_size=limits.ERASING_PAGE
            )

        async def mandates(after: str) -> Sequence[Erasable]:
            return await self._keeping.erasable_mandates(
                after=after, made_before=order.before, now=now, page_size=limits.ERASING_PAGE
            )

        for page in (sessions, mandates):
            async for one in _paged(page):
                is_meant = order.principal in ("", one.principal)
                if is_meant and (not order.before or one.changed_at <= order.before):
                    yield one

    async def _one(self, one: Erasable, order: EraseOrder, tally: ErasedTally) -> None:
        """Erase one session, or count why not."""
        if not one.is_over:
            tally.open += 1
            return
        while True:
            calls = await self._calls(one)
            came = await self._commit(one, functools.partial(self._unit, one, calls, order))
            tally.held += came is _Came.HELD
            tally.open += came is _Came.OPEN
            if came is not _Came.DONE:
                return
            tally.calls += len(calls)
            if not calls:
                tally.sessions += bool(one.session)
                tally.mandates += not one.session
                return

    async def _erase_files_over(self) -> None:
        """Files have a time of their own, which is over long before most periods."""
        now = self._changes.clock()

        async def with_files_over(after: str) -> Sequence[Erasable]:
            return await self._keeping.sessions_with_files_over(
                after=after, now=now, page_size=limits.ERASING_PAGE
            )

        async for one in _paged(with_files_over):
            await self._commit(one, functools.partial(_files_unit, one, now))

    async def _commit(self, one: Erasable, unit_under: Callable[[Control], Unit]) -> _Came:
        """Commit a unit under the control revision under which nothing was seen to keep it."""
        while True:
            control = self._changes.room.current()
            if await self._is_kept(control, one):
                return _Came.HELD
            self._is_scrubbed = False
            try:
                await self._changes.store.commit(unit_under(control))
            except Conflict as conflict:
                if conflict.on is not ConflictOn.CONTROL:
                    return _Came.OPEN
                await self._changes.room.refresh()
                continue
            return _Came.DONE

    async def _calls(self, one: Erasable) -> tuple[str, ...]:
        if not one.session:
            return ()
        return tuple(
            await self._keeping.unerased_calls(one.session, calls_max=limits.ERASING_CALLS)
        )

    def _unit(
        self, one: Erasable, calls: tuple[str, ...], order: EraseOrder, control: Control
    ) -> Unit:
        """Some of its calls; once there are none, the rest of it."""
        now = self._changes.clock()
        change: Erasing = (
            EraseCalls(session=one.session, invocations=calls, at=now, by=order.by)
            if calls
            else EraseSession(mandate=one.mandate, session=one.session, at=now, by=order.by)
        )
        entry = EntryDraft(
            kind=EntryKind.CONTENTS_ERASED,
            at=now,
            actor=order.by,
            session=one.session,
            body={
                "mandate": one.mandate,
                "principal": one.principal,
                "calls": len(calls),
                **order.said,
            },
        )
        return Unit(changes=(RequireControl(revision=control.revision), change), entries=(entry,))

    async def _is_kept(self, control: Control, one: Erasable) -> bool:
        return is_held(control.legal_holds, one, await self._sessions_held(control))

    async def _sessions_held(self, control: Control) -> frozenset[str]:
        """Those of the calls that legal holds name; a call's session is looked up once."""
        named = {h.subject for h in control.legal_holds if h.kind is LegalHoldKind.INVOCATION}
        for name in named - self._session_of.keys():
            found = await self._changes.store.find_invocation(name)
            if found is not None:
                self._session_of[name] = found.session
        return frozenset(self._session_of[name] for name in named & self._session_of.keys())


def _files_unit(one: Erasable, now: float, control: Control) -> Unit:
    entry = EntryDraft(
        kind=EntryKind.ARTEFACTS_ERASED,
        at=now,
        actor="broker",
        session=one.session,
        body={"count": one.files},
    )
    erase = EraseFiles(session=one.session, at=now)
    return Unit(changes=(RequireControl(revision=control.revision), erase), entries=(entry,))


async def _paged(page: _Page) -> AsyncIterator[Erasable]:
    after = ""
    while found := await page(after):
        for one in found:
            yield one
        after = found[-1].session or found[-1].mandate
