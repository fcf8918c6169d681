"""What is said again and again is a few entries and one count: no flood fills the disk or the log.

Of one kind, the first few in a window are entries of their own; the rest are counted, and the count
becomes one entry, with its first and last time, when the window is over. What cannot be written now
stays counted. At a clean stop nothing of the count is lost.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from broker.core.audit import EntryDraft
from broker.core.errors import BrokerError
from broker.core.limits import STORE_DEADLINE_S
from broker.core.unit import Unit
from broker.ports import Clock, Store

ENTRIES_PER_WINDOW: Final = 20
WINDOW_S: Final = 60.0
KINDS_MAX: Final = 256
"""Told apart in one window; the others share one count."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Window:
    """One kind's: `common` is what all of it have in common."""

    common: EntryDraft
    started_at: float
    entries: int = 0
    counted: int = 0
    first: float = 0.0
    last: float = 0.0

    def is_over(self, now: float) -> bool:
        return not 0.0 <= now - self.started_at < WINDOW_S

    def count(self, now: float, times: int = 1, *, first: float | None = None) -> None:
        """Once more, or what another window had counted before."""
        since = now if first is None else first
        self.first = min(self.first, since) if self.counted else since
        self.last = max(self.last, now)
        self.counted += times

    def entry(self, now: float) -> EntryDraft:
        body = {**self.common.body, "count": self.counted, "first": self.first, "last": self.last}
        return replace(self.common, at=now, body=body)


class Coalescing:
    """Writes entries, a bounded number of each kind a minute. For one event loop."""

    def __init__(
        self, *, store: Store, clock: Clock, entries_max: int = ENTRIES_PER_WINDOW
    ) -> None:
        """Make one; `entries_max` of each kind are written in a window, the rest are counted."""
        self._store = store
        self._clock = clock
        self._entries_max = entries_max
        self._windows: dict[tuple[str, ...], _Window] = {}

    def is_known(self, kind: tuple[str, ...]) -> bool:
        """Whether a kind is told apart now, or still can be."""
        return kind in self._windows or len(self._windows) < KINDS_MAX

    async def note(self, kind: tuple[str, ...], single: EntryDraft, common: EntryDraft) -> None:
        """Write it down, or count it. Never raises for the store.

        Args:
            kind: what is counted as the same.
            single: its own entry; `count` 1 is added to its body.
            common: what all of the kind have in common; `count`, `first` and `last` are added.
        """
        now = self._clock()
        window = self._windows.get(kind)
        over: _Window | None = None
        if window is None or window.is_over(now):
            over, window = window, _Window(common, now)
            self._windows[kind] = window
        if over is not None and over.counted and not await self._write(over.entry(now)):
            window.count(over.last, over.counted, first=over.first)
        if window.entries >= self._entries_max:
            window.count(now)
            return
        window.entries += 1
        if not await self._write(replace(single, body={**single.body, "count": 1})):
            window.count(now)

    async def flush(self, *, everything: bool = False) -> None:
        """Write the counts of windows that are over, or of all; call it every now and then."""
        now = self._clock()
        over = [kind for kind, w in self._windows.items() if everything or w.is_over(now)]
        windows = {kind: self._windows.pop(kind) for kind in over}
        counted = {kind: window for kind, window in windows.items() if window.counted}
        if await self._write(*(window.entry(now) for window in counted.values())):
            return
        for kind, window in counted.items():
            later = self._windows.setdefault(kind, window)
            if later is not window:
                later.count(window.last, window.counted, first=window.first)

    async def _write(self, *entries: EntryDraft) -> bool:
        """Whether they are written, or nobody knows; what may be written is not counted again."""
        try:
            return await self._commit(entries)
        except (BrokerError, TimeoutError) as error:
            _log.warning("refusal_unrecorded", why=type(error).__name__, entries=len(entries))
            return False

    async def _commit(self, entries: Sequence[EntryDraft]) -> bool:
        if entries:
            async with asyncio.timeout(STORE_DEADLINE_S):
                await self._store.commit(Unit(changes=(), entries=tuple(entries)))
        return True
