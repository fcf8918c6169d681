"""A broker whose refund tool says beforehand what is left on the payment, and what would be."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.core.holds import Hold
from broker.core.previews import PREVIEW_SUFFIX
from broker.ports import FrozenCall, Outcome, Succeeded
from tests.fakes.decision_point import allow, hold, opinion
from tests.world import REFUND, World, reviewer, world

LEAD = reviewer("lead", "reviewers")
REVIEW = {
    **REFUND["review"],
    "narrowing": {"/amount_minor": "smaller"},
    "preview": {"deadline_s": 0.5},
}


@dataclass(kw_only=True)
class Previewed:
    """A world, and what its tool says.

    Attributes:
        instead: what the tool says in place of the truth.
        asked: every preview that was carried out, in order.
        preview_verdict: what policy says of previews.
    """

    world: World
    instead: Outcome | None = None
    asked: list[FrozenCall] = field(default_factory=list)
    preview_verdict: Any = field(default_factory=allow)

    @property
    def effects(self) -> list[FrozenCall]:
        """What was carried out besides previews."""
        return [call for call in self.world.runner.ran if call not in self.asked]

    def says(self, *lines: dict[str, Any]) -> None:
        """Have the tool say these lines from now on."""
        self.instead = Succeeded(result_json=json.dumps(lines).encode())

    async def held(self, **given: Any) -> Hold:
        """A refund that waits for a person."""
        invocation = await self.world.refund(await self.world.caller(), **given)
        found = await self.world.store.find_hold(invocation.hold)
        assert found is not None, invocation
        return found[0]

    async def again(self, one: Hold) -> Hold:
        """A hold as it is now."""
        found = await self.world.store.find_hold(one.name)
        return found[0]

    async def approve(self, one: Hold) -> Hold:
        """Say yes, and wait for what comes of it."""
        await self.world.reviews.approve(LEAD, one.name, etag=one.etag)
        await self.quiet()
        return await self.again(one)

    async def quiet(self) -> None:
        """Return once nothing is under way."""
        while self.world.own.tasks:
            await asyncio.gather(*self.world.own.tasks, return_exceptions=True)

    def carry_out(self, call: FrozenCall) -> Outcome:
        """The tool, and what it says beforehand."""
        if not call.manifest.name.endswith(PREVIEW_SUFFIX):
            return self.world.shop.refund(call)
        self.asked.append(call)
        if self.instead is not None:
            return self.instead
        arguments = call.invocation.call.arguments
        order = self.world.shop.orders[arguments["order_id"]]
        left = order["captured_minor"] - order["refunded_minor"]
        change = {
            "label": "left on the payment",
            "before_minor": left,
            "after_minor": left - arguments["amount_minor"],
        }
        return Succeeded(result_json=json.dumps([change]).encode())


@contextlib.asynccontextmanager
async def previewed(path: Path, **manifest: Any) -> AsyncGenerator[Previewed]:
    """A broker whose policy holds every refund, and lets every preview be asked."""
    async with world(path) as w:
        yield await telling(w, **manifest)


async def telling(w: World, **manifest: Any) -> Previewed:
    """The same of a world that there is."""
    await w.put_tool({**REFUND, "review": REVIEW, **manifest})
    p = Previewed(world=w)
    w.runner.effect = p.carry_out
    w.policy.answer = lambda question: opinion(
        p.preview_verdict if question["call"]["tool"].endswith(PREVIEW_SUFFIX) else hold("LARGE")
    )
    return p
