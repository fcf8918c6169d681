"""A broker in this process whose calls are told of, asked as through the door."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

from broker.core.calls import Caller, Invocation
from broker.telemetry.spans import Span
from broker.telemetry.tracing import Tracing
from tests.world import World


def hang_on(w: World, give: Callable[[Sequence[Span]], None], *, ratio: float = 1.0) -> Tracing:
    """Have this broker's calls told of."""
    tracing = Tracing(
        give,
        ratio=ratio,
        control=w.room.current,
        clock=w.clock,
        draw=random.Random(7).getrandbits,
    )
    w.store.watch = tracing.watching(w.store.watch)
    w.store.watch_look_up = lambda: tracing.stage("look_up")
    w.use(
        policies=tracing.policies(w.parts.policies),
        facts=tracing.facts(w.parts.facts),
        runner=tracing.runner(w.parts.runner),
        again=tracing.again,
    )
    return tracing


async def ask(
    w: World,
    tracing: Tracing,
    caller: Caller,
    tool: str = "refund",
    request_id: str = "",
    **given: Any,
) -> Invocation:
    """A call, as it comes through the door."""
    arguments = {"order_id": "O-1001", "amount_minor": 1, "currency": "EUR", **given}
    w.requests += 1
    with tracing.asked(tool) as answered:
        invocation = await w.enforcer.invoke(
            caller,
            request_id=request_id or f"t{w.requests}",
            tool=tool,
            arguments_json=json.dumps(arguments).encode(),
        )
        answered(invocation.name, invocation.state.value)
    return invocation
