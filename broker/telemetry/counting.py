"""Counts what was recorded, by names that operators gave: what agents make up is never a label.

What is told of calls is read off each unit once it is written, so that no stage of a call knows of
being counted, and a figure never says what the log does not. A name that nobody registered, and
whatever comes after the first thousand, is counted as `other`.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from broker.core.arguments import JsonValue
from broker.core.audit import EntryKind
from broker.core.calls import Invocation
from broker.core.control import Control
from broker.core.decision import Effect, Opinion
from broker.core.errors import BrokerError, PolicyUnavailable
from broker.core.lifecycle import TERMINAL, HoldState, InvocationState
from broker.core.unit import AddInvocation, MoveHold, MoveInvocation, Unit
from broker.policy.opinion import NO_OPINION
from broker.ports import DecisionPoint, Policies
from broker.telemetry.tally import Tally

OTHER: Final = "other"
NAMES_MAX: Final = 1_000
"""Values of one label beside OTHER."""

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALLS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_PEOPLE: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0)
_EFFECTS: Final = {
    InvocationState.DENIED: Effect.DENY.name,
    InvocationState.HELD: Effect.HOLD.name,
    InvocationState.RUNNING: Effect.ALLOW.name,
}


class Counting:
    """Hears of units and of answers of the policy engine. For one event loop."""

    def __init__(self, registry: CollectorRegistry, *, control: Callable[[], Control]) -> None:
        """Make one; `control` is what is in force, for which names are registered."""
        self._control = control
        self._seen: dict[str, set[str]] = {}
        self._decisions = Counter(
            "callbroker_decisions",
            "Calls decided at first sight.",
            ("effect", "tool"),
            registry=registry,
        )
        self._denials = Counter(
            "callbroker_denials", "Calls denied at first sight.", ("agent",), registry=registry
        )
        self._codes = Counter(
            "callbroker_denial_codes", "Denials, by their code.", ("code",), registry=registry
        )
        self._states = Counter(
            "callbroker_invocations", "Calls that came to a state.", ("state",), registry=registry
        )
        self._decide_s = Histogram(
            "callbroker_decision_seconds",
            "From asking to the record of the decision.",
            buckets=_FAST,
            registry=registry,
        )
        self._call_s = Histogram(
            "callbroker_call_seconds",
            "From asking to the record of the outcome, of calls that waited for nobody.",
            buckets=_CALLS,
            registry=registry,
        )
        self._people_s = Histogram(
            "callbroker_hold_decided_seconds",
            "From a hold's opening to its approval or rejection.",
            buckets=_PEOPLE,
            registry=registry,
        )
        self._refused = Counter(
            "callbroker_requests_refused",
            "Requests turned away, once written down.",
            ("reason",),
            registry=registry,
        )
        self._commit_s = Histogram(
            "callbroker_store_commit_seconds",
            "From handing a unit in to its commit.",
            buckets=_FAST,
            registry=registry,
        )
        self._commit_failures = Counter(
            "callbroker_store_commit_failures",
            "Units that were not written, or nobody knows.",
            ("reason",),
            registry=registry,
        )
        self._policy_s = Histogram(
            "callbroker_policy_seconds",
            "Until the policy engine has answered.",
            buckets=_FAST,
            registry=registry,
        )
        self._policy_failures = Counter(
            "callbroker_policy_failures",
            "Questions to the policy engine without an opinion.",
            ("reason",),
            registry=registry,
        )

    @contextmanager
    def watch(self, unit: Unit) -> Iterator[None]:
        """Around the commit of a unit."""
        begun = time.perf_counter()
        try:
            yield
        except BrokerError as error:
            self._commit_failures.labels(error.reason).inc()
            raise
        self._commit_s.observe(time.perf_counter() - begun)
        self._told(unit)

    def policies(self, policies: Policies) -> Policies:
        """The same, watched."""
        return _WatchedPolicies(policies, self)

    async def asked(
        self, point: DecisionPoint, question: Mapping[str, JsonValue], *, deadline_s: float
    ) -> Opinion:
        """The answer of a decision point."""
        begun = time.perf_counter()
        try:
            opinion = await point.evaluate(question, deadline_s=deadline_s)
        except PolicyUnavailable as away:
            self._policy_failures.labels(away.reason).inc()
            raise
        self._policy_s.observe(time.perf_counter() - begun)
        for verdict in opinion.verdicts:
            if verdict.code in NO_OPINION:
                self._policy_failures.labels(verdict.code).inc()
        return opinion

    def _told(self, unit: Unit) -> None:
        at = unit.entries[0].at if unit.entries else 0.0
        for change in unit.changes:
            match change:
                case AddInvocation(invocation=invocation) if not invocation.is_preview:
                    self._decided(invocation, at)
                case MoveInvocation(invocation=invocation) if not invocation.is_preview:
                    self._moved(invocation)
                case MoveHold(hold=hold) if hold.state in {HoldState.APPROVED, HoldState.REJECTED}:
                    self._people_s.observe(max(at - hold.created_at, 0.0))
                case _:
                    pass
        for entry in unit.entries:
            if entry.kind in {EntryKind.REQUEST_REFUSED, EntryKind.REQUEST_MALFORMED}:
                reason = self._name("reason", str(entry.body.get("reason", OTHER)))
                self._refused.labels(reason).inc(_count(entry.body))

    def _decided(self, invocation: Invocation, at: float) -> None:
        effect = _EFFECTS.get(invocation.state)
        if effect is None:
            return
        control = self._control()
        tool = invocation.call.tool
        tool = self._name("tool", tool) if tool in control.tools else OTHER
        self._decisions.labels(effect, tool).inc()
        self._states.labels(invocation.state.value).inc()
        self._decide_s.observe(max(at - invocation.created_at, 0.0))
        if effect == Effect.DENY.name:
            agent = invocation.agent
            agent = self._name("agent", agent) if agent in control.agents else OTHER
            self._denials.labels(agent).inc()
            self._codes.labels(self._name("code", invocation.code or OTHER)).inc()

    def _moved(self, invocation: Invocation) -> None:
        self._states.labels(invocation.state.value).inc()
        if invocation.state in TERMINAL and not invocation.hold:
            self._call_s.observe(max(invocation.updated_at - invocation.created_at, 0.0))

    def _name(self, label: str, name: str) -> str:
        seen = self._seen.setdefault(label, set())
        if name in seen:
            return name
        if len(seen) >= NAMES_MAX:
            return OTHER
        seen.add(name)
        return name


class CountedSpans(Collector):
    """What became of the spans that were told."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[CounterMetricFamily]:
        """As they stand."""
        exported = CounterMetricFamily(
            "callbroker_spans_exported", "Spans that their receiver took.", self._tally.exported
        )
        yield exported
        dropped = CounterMetricFamily(
            "callbroker_spans_dropped", "Spans that nobody took.", labels=("reason",)
        )
        for reason, count in self._tally.dropped.items():
            dropped.add_metric((reason,), count)
        yield dropped


class _WatchedPolicies:
    """Policies whose answers are timed."""

    def __init__(self, inner: Policies, counting: Counting) -> None:
        self._inner = inner
        self._counting = counting

    def at(self, revision: str) -> DecisionPoint:
        return _WatchedPoint(self._inner.at(revision), self._counting)


class _WatchedPoint:
    def __init__(self, inner: DecisionPoint, counting: Counting) -> None:
        self._inner = inner
        self._counting = counting

    @property
    def revision(self) -> str:
        return self._inner.revision

    async def evaluate(self, question: Mapping[str, JsonValue], *, deadline_s: float) -> Opinion:
        return await self._counting.asked(self._inner, question, deadline_s=deadline_s)

    async def is_answering(self) -> bool:
        return await self._inner.is_answering()

    async def close(self) -> None:
        await self._inner.close()


def _count(body: Mapping[str, JsonValue]) -> int:
    count = body.get("count", 1)
    return count if isinstance(count, int) and count > 0 else 1
