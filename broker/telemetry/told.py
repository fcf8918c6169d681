"""Ports that are told of: each act of a call is a span of the trace that its task has.

What is asked in a task of no traced call is asked all the same, and told of only where it names its
call.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from broker.core.arguments import JsonValue
from broker.core.calls import Fact, Principal, Session
from broker.core.decision import Opinion
from broker.core.manifest import ToolManifest
from broker.policy import company
from broker.policy.opinion import NO_OPINION
from broker.ports import (
    Asker,
    DecisionPoint,
    Facts,
    Failed,
    FrozenCall,
    Lost,
    NeverStarted,
    Outcome,
    Policies,
    Runner,
    Slot,
    Succeeded,
)
from broker.telemetry.spans import Kind, Span, Trace

TOOL_ERROR: Final = "tool_error"
LOST: Final = "lost"
NEVER_STARTED: Final = "never_started"
_TOLD_RUNNER: Final = "worker"
"""What operators run themselves: neither containers nor agents are told of a trace."""

_trace: ContextVar[Trace | None] = ContextVar("trace", default=None)


def under_way() -> Trace | None:
    """That of the call which this task is about."""
    return _trace.get()


@contextlib.contextmanager
def current(trace: Trace) -> Iterator[None]:
    """All that is done in the block, and by tasks that begin in it, is about this call."""
    token = _trace.set(trace)
    try:
        yield
    finally:
        _trace.reset(token)


def stage(
    name: str, kind: Kind = Kind.INTERNAL, *, instead: Callable[[], Trace] | None = None
) -> AbstractContextManager[Span]:
    """Of the call that is under way in this task, else of the trace that is given instead."""
    trace = _trace.get()
    if trace is None and instead is not None:
        trace = instead()
    if trace is None:
        return contextlib.nullcontext(Span(name=name, begun_ns=0))
    return trace.stage(name, kind)


def policies_told(inner: Policies) -> Policies:
    """The same, told of."""
    return _ToldPolicies(inner)


def facts_told(inner: Facts) -> Facts:
    """The same, told of."""
    return _ToldFacts(inner)


def runner_told(inner: Runner, of_name: Callable[[str], Trace]) -> Runner:
    """The same, told of; `of_name` makes the trace of an invocation where the task has none."""
    return _ToldRunner(inner, of_name)


class _ToldPolicies:
    def __init__(self, inner: Policies) -> None:
        self._inner = inner

    def at(self, revision: str) -> DecisionPoint:
        return _ToldPoint(self._inner.at(revision))


class _ToldPoint:
    def __init__(self, inner: DecisionPoint) -> None:
        self._inner = inner

    @property
    def revision(self) -> str:
        return self._inner.revision

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        with stage("evaluate", Kind.CLIENT) as span, company.told() as together:
            opinion = await self._inner.evaluate(question, deadline_s=deadline_s)
            span.attributes["callbroker.policy.revision"] = opinion.policy_revision
            if together.rounds:
                span.attributes["callbroker.policy.group"] = together.questions
                span.attributes["callbroker.policy.rounds"] = together.rounds
            for verdict in opinion.verdicts:
                if verdict.code in NO_OPINION:
                    span.error, span.is_failure = verdict.code, True
        return opinion

    async def is_answering(self) -> bool:
        return await self._inner.is_answering()

    async def close(self) -> None:
        await self._inner.close()


class _ToldFacts:
    def __init__(self, inner: Facts) -> None:
        self._inner = inner

    async def gather(
        self,
        manifest: ToolManifest,
        *,
        arguments: Mapping[str, JsonValue],
        principal: Principal,
        session: Session,
    ) -> Mapping[str, Fact]:
        with stage("facts", Kind.CLIENT) as span:
            facts = await self._inner.gather(
                manifest, arguments=arguments, principal=principal, session=session
            )
            span.attributes["callbroker.facts"] = len(facts)
            span.attributes["callbroker.facts.failed"] = sum(bool(f.error) for f in facts.values())
        return facts


class _ToldRunner:
    def __init__(self, inner: Runner, of_name: Callable[[str], Trace]) -> None:
        self._inner = inner
        self._of_name = of_name

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str,
        wait_s: float,
        asker: Asker | None = None,
    ) -> Slot:
        with stage("reserve") as span:
            span.attributes["callbroker.runner"] = manifest.runner
            slot = await self._inner.reserve(manifest, profile=profile, wait_s=wait_s, asker=asker)
        return _ToldSlot(slot, self._of_name)


class _ToldSlot:
    def __init__(self, inner: Slot, of_name: Callable[[str], Trace]) -> None:
        self._inner = inner
        self._of_name = of_name

    async def run(self, call: FrozenCall) -> Outcome:
        invocation = call.invocation
        trace = _trace.get() or self._of_name(invocation.name)
        with trace.stage("execute", Kind.CLIENT) as span:
            span.attributes["callbroker.runner"] = call.manifest.runner
            span.attributes["callbroker.attempt"] = invocation.attempt
            if invocation.is_preview:
                span.attributes["callbroker.preview"] = True
            elif call.manifest.runner == _TOLD_RUNNER and trace.invocation == invocation.name:
                call = replace(call, traceparent=trace.parent_of(span))
            outcome = await self._inner.run(call)
            span.error, span.is_failure = _ended(outcome)
        return outcome

    def release(self) -> None:
        self._inner.release()

    def acknowledge(self) -> None:
        self._inner.acknowledge()


def _ended(outcome: Outcome) -> tuple[str, bool]:
    """`error.type` of how a tool ended, and whether nobody knows what it did."""
    match outcome:
        case Succeeded():
            return "", False
        case Failed():
            return TOOL_ERROR, False  # its own code and words stay where they are
        case Lost():
            return LOST, True
        case NeverStarted():
            return NEVER_STARTED, False
