"""A runner in memory: does what a test tells it to, and counts what really ran."""

import asyncio
from collections.abc import Callable

from broker.core.errors import RunnerUnavailable
from broker.core.manifest import ToolManifest
from broker.ports import Asker, FrozenCall, Outcome, Runner, Slot, Succeeded

Effect = Callable[[FrozenCall], Outcome]


class FakeRunner:
    """Implements `ports.Runner`.

    Attributes:
        effect: what carrying a call out does and answers; tests replace it.
        free: places that nobody has.
        going: while clear, calls that were handed over do not end.
        ran: every call that was carried out, in order.
        instead: who has calls carried out in its place.
        acknowledged: how many outcomes were said to be recorded.
    """

    def __init__(self, effect: Effect | None = None, *, free: int = 100) -> None:
        self.effect = effect or (lambda call: Succeeded(result_json=call.invocation.call.canonical))
        self.free = free
        self.going = asyncio.Event()
        self.going.set()
        self.ran: list[FrozenCall] = []
        self.acknowledged = 0
        self.instead: Runner | None = None

    async def reserve(
        self,
        manifest: ToolManifest,
        *,
        profile: str,
        wait_s: float,
        asker: Asker | None = None,
    ) -> Slot:
        if self.instead is not None:
            return await self.instead.reserve(manifest, profile=profile, wait_s=wait_s, asker=asker)
        if not self.free:
            raise RunnerUnavailable(f"No worker for {manifest.name} is free.")
        self.free -= 1
        return FakeSlot(self)


class FakeSlot:
    """Implements `ports.Slot`."""

    def __init__(self, runner: FakeRunner) -> None:
        self._runner = runner
        self._released = False

    async def run(self, call: FrozenCall) -> Outcome:
        await self._runner.going.wait()
        self._runner.ran.append(call)
        return self._runner.effect(call)

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._runner.free += 1

    def acknowledge(self) -> None:
        self._runner.acknowledged += 1
