"""The review pages over a broker in one process, asked as a browser asks them, without one."""

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from broker.core.holds import Hold, Reviewer
from broker.sign_ins import SignIns
from broker.web.application import application
from broker.web.parts import Address, LocalLink, WebParts
from tests.fakes.decision_point import hold, opinion
from tests.world import World, reviewer, world

ORIGIN = "http://review.test"
LINK = "one-time"
LEAD = reviewer("lead", "reviewers")


@dataclass(kw_only=True)
class Site:
    """Pages, and the broker behind them."""

    world: World
    parts: WebParts
    app: Any

    def browser(self) -> httpx2.AsyncClient:
        """Somebody's browser: keeps cookies, follows nothing by itself."""
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url=ORIGIN,
            headers={"origin": ORIGIN, "sec-fetch-site": "same-origin"},
        )

    async def signed_in(self, who: Reviewer = LEAD) -> httpx2.AsyncClient:
        """The browser of somebody who is signed in."""
        browser = self.browser()
        browser.cookies.set("callbroker", await self.parts.sign_ins.open(who, how="local"))
        return browser

    async def waiting(self, **refund: Any) -> Hold:
        """A refund that waits."""
        self.world.policy.answer = opinion(hold("LARGE"))
        held = await self.world.refund(await self.world.caller(), **refund)
        found = await self.world.store.find_hold(held.hold)
        return found[0]


@contextlib.asynccontextmanager
async def site(path: Path, *, take_back_s: float = 0.0, **given: Any) -> AsyncGenerator[Site]:
    """Pages over a broker whose customer may refund their own orders."""
    async with world(path) as w:
        parts = WebParts(
            views=w.views,
            reviews=w.reviews,
            handling=w.handling,
            together=w.together,
            sign_ins=SignIns(store=w.store, clock=w.clock),
            events=w.events,
            clock=w.clock,
            address=lambda: Address(
                origin=ORIGIN, is_secure=False, hosts=frozenset({"review.test"})
            ),
            take_back_s=take_back_s,
            local=LocalLink(
                reviewer=LEAD,
                digest=hashlib.sha256(LINK.encode()).digest(),
                expires_at=w.clock() + 600,
            ),
            **given,
        )
        yield Site(world=w, parts=parts, app=application(parts))


def fields(page: str) -> dict[str, str]:
    """What the page's forms carry along unseen."""
    return dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', page))
