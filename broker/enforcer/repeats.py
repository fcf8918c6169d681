"""A call that is denied over and over keeps no more rows: the same no to the same call is counted.

It is decided anew each time, so that whatever has changed since counts. Only where it is denied for
the very same reasons, and was recorded so often in the window that the session's denials are full
(`core.standing`), its agent is answered with the last record of it. The log then has one entry with
the count. Whatever else is decided is recorded, always.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.lifecycle import InvocationState
from broker.core.plan import Refuse
from broker.core.standing import DenialBounds, counts
from broker.enforcer.deciding import Considered
from broker.fairness.coalescing import Coalescing
from broker.ports import Clock, Store

REPEATED_MAX: Final = 1_024
"""Denied calls that are known at once, the latest; one that is forgotten is recorded anew."""

_OTHERS: Final = "others"
_Denial = tuple[str, str, tuple[str, ...]]


@dataclass(slots=True)
class _Recorded:
    started_at: float
    name: str
    times: int = 1


class Repeats:
    """What of late was denied, and how often it was recorded. For one event loop."""

    def __init__(self, *, store: Store, clock: Clock, bounds: DenialBounds) -> None:
        self._store = store
        self._clock = clock
        self._bounds = bounds
        self._recorded: OrderedDict[_Denial, _Recorded] = OrderedDict()
        self._coalescing = Coalescing(store=store, clock=clock, entries_max=0)
        self._malformed = Coalescing(store=store, clock=clock)

    async def counted(
        self, call: ToolCall, caller: Caller, considered: Considered
    ) -> Invocation | None:
        """The record that answers this call, which is counted; None where it is to be recorded.

        Args:
            call: as it is asked now.
            caller: who asks.
            considered: what came of it.

        Raises:
            StoreUnavailable: the record cannot be read.
        """
        if not isinstance(considered.plan, Refuse) or not counts(considered.plan.decision):
            return None
        denial = _denial(caller.session.name, call, considered)
        recorded = self._recorded.get(denial)
        if recorded is None or self._is_over(recorded):
            return None
        if recorded.times < self._bounds.denials_max:
            return None
        found = await self._store.find_invocation(recorded.name)
        if found is None or found.state is not InvocationState.DENIED:
            return None
        await self._count(denial, caller, found)
        return replace(found, request_id=call.request_id)

    def took(self, invocation: Invocation, considered: Considered) -> None:
        """A decision was recorded."""
        if invocation.state is not InvocationState.DENIED:
            return
        denial = _denial(invocation.session, invocation.call, considered)
        before = self._recorded.pop(denial, None)
        if before is None or self._is_over(before):
            self._recorded[denial] = _Recorded(self._clock(), invocation.name)
        else:
            self._recorded[denial] = replace(before, name=invocation.name, times=before.times + 1)
        if len(self._recorded) > REPEATED_MAX:
            self._recorded.popitem(last=False)

    async def note_malformed(self, entry: EntryDraft) -> None:
        """Write down that what was sent is no call; of many of a session, the count."""
        common = {"code": entry.body["code"]}
        session, kind = entry.session, (entry.session, str(entry.body["code"]))
        if not self._malformed.is_known(kind):
            session, kind = "", (_OTHERS, kind[1])
        await self._malformed.note(
            kind, replace(entry, session=session), replace(entry, session=session, body=common)
        )

    async def flush(self, *, everything: bool = False) -> None:
        """Write the counts of windows that are over, or of all; call it every now and then."""
        await self._coalescing.flush(everything=everything)
        await self._malformed.flush(everything=everything)

    def _is_over(self, recorded: _Recorded) -> bool:
        return not 0.0 <= self._clock() - recorded.started_at < self._bounds.window_s

    async def _count(self, denial: _Denial, caller: Caller, found: Invocation) -> None:
        session, digest, codes = denial
        kind = (session, digest, *codes)
        body: dict[str, JsonValue] = {
            "tool": found.call.tool,
            "digest": digest,
            "codes": [*codes],
            "like": found.name,
        }
        if not self._coalescing.is_known(kind):
            kind, session, body = (_OTHERS,), "", {"codes": []}
        entry = EntryDraft(
            kind=EntryKind.CALLS_REPEATED,
            at=self._clock(),
            actor=caller.agent.id if session else "",
            session=session,
            body=body,
        )
        await self._coalescing.note(kind, entry, entry)


def _denial(session: str, call: ToolCall, considered: Considered) -> _Denial:
    reasons = considered.plan.decision.reasons
    return session, call.digest, tuple(sorted({verdict.code for verdict in reasons}))
