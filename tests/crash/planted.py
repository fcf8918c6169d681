"""Bugs that a broker must not have, each put beside the ports of a good one.

They are here to be caught: a harness that lets one of them pass proves nothing of the broker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Invocation
from broker.core.lifecycle import InvocationState
from broker.core.manifest import ToolManifest
from broker.core.unit import AddInvocation, MoveInvocation, Unit
from broker.ports import FrozenCall, InvocationQuery, Outcome, Slot, Succeeded
from tests.crash.ledger import Ledger
from tests.world import World

ANSWER: Final = Succeeded(result_json=b'{"refund_id":"r-1"}')


@dataclass
class EffectBeforeRecord:
    """Implements `ports.Store`: what is about to be recorded as RUNNING has its effect first."""

    store: Any
    ledger: Ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, unit: Unit) -> None:
        for one in _running(unit):
            self.ledger.write(
                invocation=one.name, tool=one.call.tool, attempt=one.attempt, fence=f"early-{one}"
            )
        await self.store.commit(unit)


@dataclass
class AuditAfterEffect:
    """Implements `ports.Store` and `ports.Runner`: what announces an attempt is written after."""

    store: Any
    runner: Any
    late: list[EntryDraft]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def commit(self, unit: Unit) -> None:
        begun = [e for e in unit.entries if e.kind is EntryKind.ATTEMPT_STARTED]
        self.late += begun
        entries = tuple(e for e in unit.entries if e not in begun)
        await self.store.commit(replace(unit, entries=entries))

    async def reserve(self, manifest: ToolManifest, **named: Any) -> Slot:
        slot = await self.runner.reserve(manifest, **named)
        return _SaysLater(slot, self)


@dataclass
class _SaysLater:
    """Implements `ports.Slot`."""

    slot: Slot
    after: AuditAfterEffect

    async def run(self, call: FrozenCall) -> Outcome:
        outcome = await self.slot.run(call)
        late, self.after.late = tuple(self.after.late), []
        await self.after.store.commit(Unit(changes=(), entries=late))
        return outcome

    def release(self) -> None:
        self.slot.release()

    def acknowledge(self) -> None:
        self.slot.acknowledge()


@dataclass
class RetryOfUnknown:
    """Implements `ports.Store`: whoever sweeps finds that what is UNKNOWN was carried out again."""

    store: Any
    ledger: Ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def unfinished(self) -> Any:
        query = InvocationQuery(state=InvocationState.UNKNOWN, page_size=100)
        for one in await self.store.list_invocations(query):
            self.ledger.write(
                invocation=one.name, tool=one.call.tool, attempt=one.attempt, fence="again"
            )
        return await self.store.unfinished()


def _running(unit: Unit) -> list[Invocation]:
    moved = [c.invocation for c in unit.changes if isinstance(c, AddInvocation | MoveInvocation)]
    return [one for one in moved if one.state is InvocationState.RUNNING]


def _effect_before_record(world: World, ledger: Ledger) -> None:
    world.use(store=EffectBeforeRecord(world.parts.store, ledger))
    world.runner.effect = lambda _: ANSWER


def _audit_after_effect(world: World, ledger: Ledger) -> None:
    del ledger
    late = AuditAfterEffect(world.parts.store, world.parts.runner, [])
    world.use(store=late, runner=late)


def _retry_of_unknown(world: World, ledger: Ledger) -> None:
    world.use(store=RetryOfUnknown(world.parts.store, ledger))


BUGS: Final[Mapping[str, Callable[[World, Ledger], None]]] = {
    "effect before record": _effect_before_record,
    "audit after effect": _audit_after_effect,
    "retry of unknown": _retry_of_unknown,
}
