"""A broker whose refunds are carried out at sandbox nodes, of which a test plays each."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from broker.core.calls import Invocation
from broker.core.decision import Obligation
from broker.ports import Runner
from broker.sandbox_nodes.runner import SandboxRunner
from broker.tools.runners import Runners
from tests.fakes.decision_point import allow, opinion
from tests.fakes.sandbox_node import IMAGE
from tests.world import REFUND, World, world

SANDBOXED = {
    **REFUND,
    "runner": "sandbox",
    "sandbox": {"image": IMAGE, "profile": "compute"},
    "deadline_s": 5,
}


@contextlib.asynccontextmanager
async def sandbox_world(
    path: Path,
    *addresses: str,
    interval_s: float = 0.05,
    away_wait_s: float = 2.0,
    **changed: object,
) -> AsyncIterator[tuple[World, SandboxRunner]]:
    """A broker with these nodes, polled so often; `changed` is the tool's manifest's."""
    async with world(path) as w:
        runner = SandboxRunner(addresses, interval_s=interval_s, away_wait_s=away_wait_s)
        await runner.start()
        runners: dict[str, Runner] = {"worker": w.runner, "sandbox": runner}
        w.use(runner=Runners(runners), offered=runner.offered)
        await w.put_tool({**SANDBOXED, **changed})
        try:
            yield w, runner
        finally:
            await w.own.drain(within_s=5.0)
            await runner.close()


def tightened(w: World, *profiles: str) -> None:
    """Have policy allow everything under these isolations."""
    obligations = tuple(
        Obligation(kind="profile", family="test", parameters={"profile": name}) for name in profiles
    )
    w.policy.answer = opinion(allow(), obligations=obligations)


async def entry_of(w: World, invocation: Invocation, kind: str) -> dict[str, Any]:
    """A call's last entry of this kind, contents included."""
    entries = await w.store.entries(invocation.name)
    return dict([one for one in entries if one["kind"] == kind][-1])
