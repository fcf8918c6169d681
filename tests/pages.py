"""The review pages over a broker in one process, asked as a browser asks them, without one."""

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from broker.administration.looking import Looking
from broker.core.control_rows import POLICY
from broker.core.holds import Hold, Reviewer
from broker.core.unit import AddDocument, Unit
from broker.ports import Explainer
from broker.reviews.browsing import Browse
from broker.reviews.stories import Stories
from broker.sign_ins import SignIns
from broker.web.application import application
from broker.web.parts import Address, LocalLink, WebParts
from broker.web.records import Records
from tests.fakes.decision_point import REVISION, hold, opinion
from tests.fakes.explainer import FakeExplainer
from tests.fakes.policy_room import FakeBundle, FakePolicyRoom
from tests.offices import administration
from tests.world import World, reviewer, world

ORIGIN = "http://review.test"
LINK = "one-time"
POLICY_KEPT = FakeBundle(files=(("test/test.rego", "package test"),))
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
async def site(
    path: Path, *, take_back_s: float = 0.0, explainer: Explainer | None = None, **given: Any
) -> AsyncGenerator[Site]:
    """Pages over a broker whose customer may refund their own orders."""
    async with world(path) as w:
        kept = AddDocument(digest=REVISION, kind=POLICY, at=w.clock(), body=POLICY_KEPT.to_bytes())
        await w.store.commit(Unit(changes=(kept,), entries=()))
        parts = WebParts(
            views=w.views,
            reviews=w.reviews,
            handling=w.handling,
            together=w.together,
            records=records(w, explainer or FakeExplainer()),
            sign_ins=SignIns(
                store=w.store, clock=w.clock, refused=lambda: w.room.current().bindings.refused
            ),
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


def records(w: World, explainer: Explainer) -> Records:
    """What pages read besides what waits."""
    offices = administration(
        w.store,
        w.room,
        FakePolicyRoom(),
        clock=w.clock,
        explainer=explainer,
    )
    control = w.room.current
    return Records(
        browse=Browse(store=w.store, browsing=w.store, control=control, clock=w.clock),
        stories=Stories(store=w.store, control=control),
        looking=Looking(
            changes=offices.changes,
            policies=offices.policies,
            shadow=offices.shadow,
            recorded=offices.recorded,
            explaining=offices.explaining,
            browsing=w.store,
            about=offices.overview.about,
        ),
    )


def fields(page: str) -> dict[str, str]:
    """What the page's forms carry along unseen."""
    return dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', page))
