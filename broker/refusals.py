"""Whoever is turned away at the door is written down, and cannot fill the disk by knocking.

Of one kind of refusal to one knocker, the first few in a minute are entries of their own; the rest
are counted, and the count becomes one entry when the minute is over. What was sent, a token above
all, is never written. An entry that cannot be stored changes nothing about the refusal.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import structlog

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.errors import BrokerError
from broker.core.limits import STORE_DEADLINE_S
from broker.core.unit import Unit
from broker.ports import Clock, Store

ENTRIES_PER_WINDOW: Final = 20
WINDOW_S: Final = 60.0
KNOCKERS_MAX: Final = 256
"""Told apart in one window; the others share one count."""

_OTHERS: Final = "others"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One request that was turned away.

    Attributes:
        kind: REQUEST_REFUSED or REQUEST_MALFORMED.
        reason: the error's reason, UPPER_SNAKE.
        rpc: full name of the method, `broker.v1.BrokerService/Invoke`.
        actor: the credential's subject; empty where nobody was recognised.
        knocker: whom to count it against: the credential's name, else the peer's host.
        credential_class: of the credential, where there is one.
        field: which field of the request was at fault, where one was.
    """

    kind: EntryKind
    reason: str
    rpc: str
    actor: str = ""
    knocker: str
    credential_class: str = ""
    field: str = ""


@dataclass(slots=True)
class _Window:
    first: Refusal
    started_at: float
    entries: int = 0
    counted: int = 0


class Refusals:
    """Writes refusals to the audit log, a bounded number a minute."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}

    async def note(self, refusal: Refusal) -> None:
        """Write a refusal down, or count it. Never raises for the store."""
        now = self._clock()
        key = self._key(refusal)
        window = self._windows.get(key)
        over = () if window is None or not _is_over(window, now) else _count(window, now)
        if window is None or _is_over(window, now):
            window = self._windows[key] = _Window(replace(refusal, knocker=key[0]), now)
        if window.entries >= ENTRIES_PER_WINDOW:
            window.counted += 1
            return
        window.entries += 1
        await self._write(*over, _entry(refusal, now, count=1))

    async def flush(self, *, everything: bool = False) -> None:
        """Write the counts of windows that are over, or of all; call it every now and then."""
        now = self._clock()
        over = [key for key, w in self._windows.items() if everything or _is_over(w, now)]
        windows = [self._windows.pop(key) for key in over]
        await self._write(*(entry for window in windows for entry in _count(window, now)))

    def _key(self, refusal: Refusal) -> tuple[str, str]:
        key = (refusal.knocker, refusal.reason)
        known = key in self._windows or len(self._windows) < KNOCKERS_MAX
        return key if known else (_OTHERS, refusal.reason)

    async def _write(self, *entries: EntryDraft) -> None:
        if not entries:
            return
        try:
            async with asyncio.timeout(STORE_DEADLINE_S):
                await self._store.commit(Unit(changes=(), entries=entries))
        except (BrokerError, TimeoutError) as error:
            _log.warning("refusal_unrecorded", why=type(error).__name__, entries=len(entries))


def _is_over(window: _Window, now: float) -> bool:
    return now - window.started_at >= WINDOW_S


def _count(window: _Window, now: float) -> tuple[EntryDraft, ...]:
    """What was only counted, as one entry that names no method or field."""
    told = replace(window.first, rpc="", actor="", field="")
    return (_entry(told, now, count=window.counted),) if window.counted else ()


def _entry(refusal: Refusal, now: float, *, count: int) -> EntryDraft:
    body: Mapping[str, JsonValue] = {
        "reason": refusal.reason,
        "rpc": refusal.rpc,
        "knocker": refusal.knocker,
        "class": refusal.credential_class,
        "field": refusal.field,
        "count": count,
    }
    return EntryDraft(
        kind=refusal.kind,
        at=now,
        actor=refusal.actor,
        body={name: value for name, value in body.items() if value != ""},
    )
