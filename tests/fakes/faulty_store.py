"""A real store before which a test puts faults: away, or in doubt about what it has written."""

import enum
from collections.abc import Awaitable, Callable
from typing import Any

from broker.core.audit import EntryKind
from broker.core.errors import OutcomeUnstored, StoreUnavailable
from broker.core.unit import Unit


class Fault(enum.Enum):
    """What goes wrong with one commit."""

    AWAY = "nothing is written, and it says so"
    LOST = "nothing is written, and it does not know"
    DOUBT = "it is written, and it does not know"


class FaultyStore:
    """Implements `ports.Store` over another one.

    Attributes:
        faults: what the next commits of units with an entry of this kind come to, in order; the
            last one stays.
        before: awaited before each commit.
        is_away: while true nothing can be read.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self.faults: dict[EntryKind, list[Fault | None]] = {}
        self.before: Callable[[Unit], Awaitable[None]] | None = None
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away and name != "close":
            return _away
        return getattr(self._store, name)

    async def commit(self, unit: Unit) -> None:
        if self.before is not None:
            await self.before(unit)
        match self._fault(unit):
            case Fault.AWAY:
                raise StoreUnavailable("The disk is full.")
            case Fault.LOST:
                raise OutcomeUnstored("Nobody knows.")
            case Fault.DOUBT:
                await self._store.commit(unit)
                raise OutcomeUnstored("Nobody knows.")
            case None:
                await self._store.commit(unit)

    def _fault(self, unit: Unit) -> Fault | None:
        for entry in unit.entries:
            faults = self.faults.get(entry.kind, [])
            if faults:
                return faults.pop(0) if len(faults) > 1 else faults[0]
        return None


async def _away(*_: Any, **__: Any) -> Any:
    raise StoreUnavailable("It cannot be read.")
