"""Where a call's time goes, told as spans, without a word of what was in it.

Ports are wrapped, so that no stage of a call knows of being told of. A name is told only where it
is one that operators gave or the broker made: what an agent or a tool made up is not. What an agent
says of its own trace is a link beside the call's, and decides nothing.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.unit import AddInvocation, MoveInvocation, Unit
from broker.ports import (
    Clock,
    Facts,
    Policies,
    Runner,
)
from broker.telemetry.spans import Attribute, Draw, Kind, Span, Trace
from broker.telemetry.told import (
    current,
    facts_told,
    policies_told,
    runner_told,
    stage,
    under_way,
)

Watch = Callable[[Unit], AbstractContextManager[None]]
Answered = Callable[[str, str], None]
"""Is told the name of the record that answers, and its state."""
Link = tuple[int, int]

CODES_MAX: Final = 8
"""Of one decision."""

# `gen_ai.*` are names of the GenAI conventions, which are still in development.
_RPC: Final[Mapping[str, Attribute]] = {
    "rpc.system": "grpc",
    "rpc.service": "broker.v1.BrokerService",
    "rpc.method": "Invoke",
    "gen_ai.operation.name": "execute_tool",
}


class Tracing:
    """Tells of calls. For one event loop."""

    def __init__(
        self,
        give: Callable[[Sequence[Span]], None],
        *,
        ratio: float,
        control: Callable[[], Control],
        clock: Clock,
        draw: Draw = secrets.randbits,
    ) -> None:
        """Make one.

        Args:
            give: takes what is to be told; never waits, never fails.
            ratio: of all calls, how many are told of; from 0 to 1.
            control: what is in force, for which names are registered.
            clock: POSIX seconds.
            draw: random numbers of so many bits.
        """
        self._give = give
        self._ratio = ratio
        self._control = control
        self._clock = clock
        self._draw = draw

    @contextlib.contextmanager
    def asked(self, tool: str, *, link: Link | None = None) -> Iterator[Answered]:
        """Around a request to have a call carried out; what it hands over is told the answer.

        Args:
            tool: as it was asked for, whatever that is.
            link: what the agent says that its request is part of.
        """
        trace = self._new()
        registered = tool if tool in self._control().tools else ""
        trace.about.update(_RPC)
        if registered:
            trace.about["gen_ai.tool.name"] = registered

        def answered(invocation: str, state: str) -> None:
            trace.about.update({"gen_ai.tool.call.id": invocation, "callbroker.state": state})
            if trace.invocation != invocation:
                trace.about["callbroker.repeated"] = True

        name = f"invoke {registered}" if registered else "invoke"
        with current(trace), trace.first(name, Kind.SERVER) as span:
            span.link = link
            yield answered

    @contextlib.contextmanager
    def again(self, invocation: Invocation) -> Iterator[None]:
        """Around what goes on with a call that was recorded before, such as an approved one."""
        trace = self._new()
        trace.about.update(self._of(invocation))
        with current(trace), trace.first("resume", Kind.INTERNAL, under=invocation.name):
            yield

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around a part of the call that is under way; nothing where none is."""
        return stage(name)

    def watching(self, inner: Watch) -> Watch:
        """Around the commit of a unit, beside what watches it already."""

        @contextlib.contextmanager
        def watch(unit: Unit) -> Iterator[None]:
            change = _change(unit)
            if change is None:
                with inner(unit):
                    yield
                return
            moved = change.invocation
            with stage("record", instead=lambda: self._of_name(moved.name)) as span:
                with inner(unit):
                    yield
                span.attributes["callbroker.state"] = moved.state.value
                self._recorded(moved, is_new=isinstance(change, AddInvocation))

        return watch

    def policies(self, policies: Policies) -> Policies:
        """The same, told of."""
        return policies_told(policies)

    def facts(self, facts: Facts) -> Facts:
        """The same, told of."""
        return facts_told(facts)

    def runner(self, runner: Runner) -> Runner:
        """The same, told of."""
        return runner_told(runner, self._of_name)

    def _new(self) -> Trace:
        return Trace(ratio=self._ratio, now=self._clock(), draw=self._draw, give=self._give)

    def _of_name(self, invocation: str) -> Trace:
        """For what is done about a call while no request for it is under way here."""
        trace = self._new()
        trace.goes_on_with(invocation)
        return trace

    def _recorded(self, invocation: Invocation, *, is_new: bool) -> None:
        trace = under_way()
        if trace is None or invocation.is_preview:
            return
        if is_new and not trace.invocation:
            trace.is_of(invocation.name)
        if trace.invocation == invocation.name and trace.is_kept:
            trace.about.update(self._of(invocation))

    def _of(self, invocation: Invocation) -> dict[str, Attribute]:
        """What may be told of a call: ids, names that operators gave, codes, revisions."""
        control, decision = self._control(), invocation.decision
        about: dict[str, Attribute] = {
            "gen_ai.tool.call.id": invocation.name,
            "gen_ai.conversation.id": invocation.session,
            "callbroker.state": invocation.state.value,
            "callbroker.attempt": invocation.attempt,
            "callbroker.control.revision": invocation.control_revision,
        }
        if invocation.call.tool in control.tools:
            about["gen_ai.tool.name"] = invocation.call.tool
        if invocation.agent in control.agents:
            about["gen_ai.agent.id"] = invocation.agent
        if decision is not None:
            about["callbroker.decision.effect"] = decision.effect.name
            # Not the invocation's own code: where a tool failed, that is a word of the tool's.
            codes = dict.fromkeys(reason.code for reason in decision.reasons)
            about["callbroker.decision.codes"] = tuple(codes)[:CODES_MAX]
        named = {
            "callbroker.tool.revision": invocation.tool_revision,
            "callbroker.policy.revision": invocation.policy_revision,
            "callbroker.hold": invocation.hold,
        }
        return about | {key: name for key, name in named.items() if name}


def _change(unit: Unit) -> AddInvocation | MoveInvocation | None:
    """The first by which a call comes to a state."""
    for change in unit.changes:
        if isinstance(change, AddInvocation | MoveInvocation):
            return change
    return None
