"""Attacks by way of the figures: who makes up names fills no memory, and nobody reads contents."""

import json
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from broker.core.lifecycle import InvocationState
from broker.core.unit import Unit
from broker.policy.opinion import denied
from broker.telemetry.counting import Counting
from tests.fakes.decision_point import REVISION, FakeDecisionPoint
from tests.world import OnePolicy, World, world

CANARY = "canary-9c41"
CALLS = 2_000
COST_S_MAX = 0.000_2


def counted(w: World) -> tuple[CollectorRegistry, Counting]:
    registry = CollectorRegistry()
    counting = Counting(registry, control=w.room.current)
    w.store.watch = counting.watch
    return registry, counting


def told(registry: CollectorRegistry) -> str:
    return generate_latest(registry).decode()


async def ask(w: World, tool: str, **arguments: object) -> InvocationState:
    caller = await w.caller()
    w.requests += 1
    invocation = await w.enforcer.invoke(
        caller,
        request_id=f"m{w.requests}",
        tool=tool,
        arguments_json=json.dumps(arguments).encode(),
    )
    return invocation.state


async def test_a_flood_of_made_up_tools_makes_no_new_series(tmp_path: Path):
    """Call a tool of another name each time: each would be a series, kept for ever."""
    async with world(tmp_path) as w:
        registry, _ = counted(w)
        assert await ask(w, "no_such_tool_0") is InvocationState.DENIED
        lines = len(told(registry).splitlines())
        for n in range(1, 20):
            await ask(w, f"no_such_tool_{n}")
        after = told(registry)
    assert len(after.splitlines()) == lines
    assert "no_such_tool" not in after
    assert 'callbroker_decisions_total{effect="DENY",tool="other"} 20.0' in after


async def test_no_word_of_a_call_is_in_a_figure(tmp_path: Path):
    """Put something to read into arguments, and into names, and look for it in the figures."""
    async with world(tmp_path) as w:
        registry, _ = counted(w)
        await ask(w, CANARY)
        await ask(w, "refund", order_id=CANARY, amount_minor=1, currency="EUR")
        done = await ask(w, "refund", order_id="O-1001", amount_minor=1, currency="EUR")
        figures = told(registry)
    assert done is InvocationState.SUCCEEDED
    assert 'callbroker_decisions_total{effect="ALLOW",tool="refund"} 1.0' in figures
    assert 'callbroker_invocations_total{state="SUCCEEDED"} 1.0' in figures
    for word in (CANARY, "O-1001", "customers/", "sessions/", "invocations/"):
        assert word not in figures


async def test_an_engine_that_gives_no_opinion_is_counted(tmp_path: Path):
    """Let the engine err: an operator is to see it, though each call is an ordinary denial."""
    erring = FakeDecisionPoint(denied("POLICY_ERROR", revision=REVISION))
    async with world(tmp_path) as w:
        registry, counting = counted(w)
        w.use(policies=counting.policies(OnePolicy(erring)))
        assert await ask(w, "refund", order_id="O-1001", amount_minor=1, currency="EUR") is (
            InvocationState.DENIED
        )
    assert 'callbroker_policy_failures_total{reason="POLICY_ERROR"} 1.0' in told(registry)


async def test_counting_costs_a_unit_next_to_nothing(tmp_path: Path):
    """Slow every call down by counting it: a tenth of a millisecond would be too much."""
    async with world(tmp_path) as w:
        _, counting = counted(w)
        seen: list[Unit] = []

        class Keeping:
            def __init__(self, unit: Unit) -> None:
                seen.append(unit)

            def __enter__(self) -> None:
                return None

            def __exit__(self, *_: object) -> None:
                return None

        w.store.watch = Keeping
        await ask(w, "refund", order_id="O-1001", amount_minor=1, currency="EUR")
        units = [unit for unit in seen if unit.changes]
    best = min(_cost_s(counting, units) for _ in range(5))
    assert best < COST_S_MAX, f"{best * 1e6:.1f} us"


def _cost_s(counting: Counting, units: list[Unit]) -> float:
    """Of one unit, seconds."""
    begun = time.process_time()
    for _ in range(CALLS):
        for unit in units:
            with counting.watch(unit):
                pass
    return (time.process_time() - begun) / CALLS / len(units)
