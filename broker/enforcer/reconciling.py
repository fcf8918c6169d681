"""Before a person must look, the tool's own word is asked for: whether what is UNKNOWN took effect.

The question is an invocation of its own, of a tool that only reads (`core.reconcile_section`):
decided by every stage, recorded, audited and carried out under the scopes of the session, as a
preview is. Its answer settles the call with an entry that names it. Any other answer, an error, a
session that is over, a tool of another revision: the call stays UNKNOWN, and is a person's matter.
One of several brokers at a time asks; whoever comes while another does looks again after a pause.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from broker.core import limits
from broker.core.arguments import JsonValue
from broker.core.audit import EntryDraft, EntryKind
from broker.core.calls import Caller, Invocation, ToolCall
from broker.core.control import Control, RegisteredTool
from broker.core.errors import BrokerError
from broker.core.lifecycle import InvocationState, step
from broker.core.reaching import counted
from broker.core.reconcile_section import ReconcileSpec, misfit
from broker.core.unit import Change, Conflict, FreeKeys, MoveInvocation, Unit
from broker.enforcer.carrying import Carrier
from broker.enforcer.previewing import Previewing
from broker.enforcer.resuming import Claimed, alone
from broker.events import Events
from broker.own_work import OwnWork
from broker.ports import Clock, InvocationQuery, Store

_log = structlog.get_logger(__name__)

PAUSES_S: Final = (5.0, 30.0, 120.0, 600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When a call is asked about next, POSIX seconds, and how often it was."""

    at: float
    tried: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciling:
    """Asks tools what became of calls.

    Attributes:
        due: the calls that are asked about yet, by name.
        asking: those that are asked about now.
    """

    previewing: Previewing
    carrier: Carrier
    own: OwnWork
    store: Store
    events: Events
    clock: Clock
    claimed: Claimed = alone
    due: dict[str, Due] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)

    async def find(self) -> None:
        """Once, at the start: whatever is UNKNOWN may have become known meanwhile."""
        tools = tuple(self.carrier.control().tools.values())
        for manifest in (tool.manifest for tool in tools if tool.manifest.reconcile is not None):
            await self._find_of(manifest.name)

    async def _find_of(self, tool: str) -> None:
        query = InvocationQuery(
            tool=tool, state=InvocationState.UNKNOWN, page_size=limits.PAGE_SIZE_MAX
        )
        while page := await self.store.list_invocations(query):
            for invocation in page:
                self._note(invocation)
            query = replace(query, before=page[-1].name)

    def sweep(self) -> None:
        """Begin to ask about what is due; one round."""
        unknown = self.carrier.endings.unknown
        for invocation in unknown.values():
            self._note(invocation)
        unknown.clear()
        now = self.clock()
        for name, due in tuple(self.due.items()):
            if now >= due.at and name not in self.asking:
                self.asking.add(name)
                self.own.start(self._try(name, due))

    def _note(self, invocation: Invocation) -> None:
        tool = self._tool(invocation)
        if tool is None or tool.manifest.reconcile is None:
            return
        # What was handed over may be under way until its deadline: "not yet" is no answer. Nor is
        # it longer than a deadline from now, whatever the clock said when that was written.
        now = self.clock()
        over_at = min(invocation.deadline_at, now + tool.manifest.deadline_s)
        self.due.setdefault(invocation.name, Due(at=max(over_at, now)))

    async def _try(self, name: str, due: Due) -> None:
        again = True
        try:
            again = not await self._ask(name)
        except BrokerError as error:
            _log.warning("not_reconciled_yet", invocation=name, reason=error.reason)
        finally:
            self.asking.discard(name)
            if again and due.tried < len(PAUSES_S):
                at = self.clock() + PAUSES_S[due.tried]
                self.due[name] = Due(at=at, tried=due.tried + 1)
            else:
                self.due.pop(name, None)

    async def _ask(self, name: str) -> bool:
        """Ask once, unless another broker does just now; whether there is nothing more to ask."""
        async with self.claimed(f"reconcile {name}") as is_mine:
            # Read only once it is had alone: whoever had it before may have settled the call.
            return is_mine and await self._ask_alone(name)

    async def _ask_alone(self, name: str) -> bool:
        invocation = await self.store.find_invocation(name)
        if invocation is None or invocation.state is not InvocationState.UNKNOWN:
            return True
        tool = self._tool(invocation)
        session = await self.store.find_session(invocation.session)
        spec = tool.manifest.reconcile if tool is not None else None
        if tool is None or spec is None or session is None:
            return True
        if why := unfit(spec, self.carrier.control()):
            _log.warning("reconcile_cannot_be_asked", invocation=name, why=why)
            return False
        arguments = spec.asks_with(invocation.call.arguments, invocation=name)
        caller = Caller(session=session, credential="broker")
        asked = await self.previewing.look(
            ToolCall.of(spec.tool, arguments, request_id=""), caller, of=name
        )
        if asked is None or asked.state is not InvocationState.SUCCEEDED or asked.result is None:
            return False
        took_effect = spec.read(json.loads(asked.result))
        if took_effect is None:
            return False
        await self._settle(invocation, tool, asked, took_effect=took_effect)
        return True

    async def _settle(
        self,
        invocation: Invocation,
        tool: RegisteredTool,
        asked: Invocation,
        *,
        took_effect: bool,
    ) -> None:
        message = "The tool was asked: it took effect." if took_effect else _DID_NOT
        after = settled(invocation, took_effect=took_effect, message=message, at=self.clock())
        body: Mapping[str, JsonValue] = {
            "state": after.state.value,
            "asked": asked.name,
            "tool": asked.call.tool,
        }
        entry = EntryDraft(
            kind=EntryKind.CALL_RECONCILED,
            at=after.updated_at,
            actor="broker",
            invocation=after.name,
            session=after.session,
            body=body,
        )
        changes = settling(invocation, after, tool)
        try:
            await self.store.commit(Unit(changes=changes, entries=(entry,)))
        except Conflict:
            return  # a person was faster
        self.events.publish("invocation", after.name)
        self.events.publish("key", after.name)

    def _tool(self, invocation: Invocation) -> RegisteredTool | None:
        control = self.carrier.control()
        return control.tool_at(invocation.call.tool, invocation.tool_revision)


_DID_NOT: Final = "The tool was asked: nothing took effect."


def unfit(spec: ReconcileSpec, control: Control) -> str:
    """Why the tool that a manifest names cannot be asked now; empty where it can."""
    tool = control.tools.get(spec.tool)
    if tool is None:
        return f"{spec.tool} is not registered"
    behaviour = tool.manifest.behaviour
    return misfit(spec, tool.manifest.document, (behaviour.read_only, behaviour.open_world))


def settled(invocation: Invocation, *, took_effect: bool, message: str, at: float) -> Invocation:
    """An UNKNOWN call as it is once somebody knows.

    Raises:
        IllegalTransition: it is not UNKNOWN.
    """
    state = InvocationState.SUCCEEDED if took_effect else InvocationState.FAILED
    return replace(
        invocation,
        state=step(invocation.state, state),
        code="RECONCILED",
        message=message,
        updated_at=at,
        etag=invocation.etag + 1,
    )


def settling(
    before: Invocation, after: Invocation, tool: RegisteredTool | None
) -> tuple[Change, ...]:
    """What is written with it: its keys are free, and whom it reached is known.

    Of a tool that has changed since (None) nobody can say whom it reached: they stay new.
    """
    return (
        MoveInvocation(invocation=after, from_etag=before.etag),
        FreeKeys(invocation=after.name),
        *(counted(after, tool.manifest) if tool is not None else ()),
    )
