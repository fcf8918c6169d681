"""Whoever is turned away at the door is written down, and cannot fill the disk by knocking.

Of one kind of refusal to one knocker, the first few in a minute are entries of their own; the rest
are counted, and the count becomes one entry when the minute is over. What was sent, a token above
all, is never written. An entry that cannot be stored changes nothing about the refusal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.fairness.coalescing import ENTRIES_PER_WINDOW, KINDS_MAX, WINDOW_S, Coalescing
from broker.ports import Clock, Store

__all__ = ["ENTRIES_PER_WINDOW", "KNOCKERS_MAX", "WINDOW_S", "Refusal", "Refusals"]

KNOCKERS_MAX: Final = KINDS_MAX

_OTHERS: Final = "others"


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


class Refusals:
    """Writes refusals to the audit log, a bounded number a minute."""

    def __init__(self, *, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._coalescing = Coalescing(store=store, clock=clock)

    async def note(self, refusal: Refusal) -> None:
        """Write a refusal down, or count it. Never raises for the store."""
        now = self._clock()
        kind = (refusal.knocker, refusal.reason)
        if not self._coalescing.is_known(kind):
            kind = (_OTHERS, refusal.reason)
        told = replace(refusal, knocker=kind[0])
        # What is only counted names no method or field.
        common = replace(told, rpc="", actor="", field="")
        await self._coalescing.note(kind, _entry(told, now), _entry(common, now))

    async def flush(self, *, everything: bool = False) -> None:
        """Write the counts of windows that are over, or of all; call it every now and then."""
        await self._coalescing.flush(everything=everything)


def _entry(refusal: Refusal, now: float) -> EntryDraft:
    body: Mapping[str, JsonValue] = {
        "reason": refusal.reason,
        "rpc": refusal.rpc,
        "knocker": refusal.knocker,
        "class": refusal.credential_class,
        "field": refusal.field,
    }
    return EntryDraft(
        kind=refusal.kind,
        at=now,
        actor=refusal.actor,
        body={name: value for name, value in body.items() if value != ""},
    )
