"""Pages that people sign in to at a provider, and the way there and back, without a browser."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from broker.core.decision import HoldTerms
from broker.core.holds import Hold
from tests.fakes.decision_point import hold, opinion
from tests.fakes.oidc import FakeProvider
from tests.pages import Site, fields, site

HIGH = HoldTerms(reviewers=("reviewers",), decide_within_s=600, run_within_s=300, step_up=True)
COOKIE = "callbroker"


@dataclass(kw_only=True)
class Desk:
    """A site and its provider."""

    site: Site
    provider: FakeProvider

    async def go(self, browser: httpx2.AsyncClient, path: str = "/sign-in/begin") -> str:
        """To the provider's door; returns its address."""
        answer = await browser.get(path)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    async def come_back(self, browser: httpx2.AsyncClient, back: str) -> httpx2.Response:
        """From the provider: open the link, and send on what its page carries."""
        parts = urlsplit(back)
        page = await browser.get(f"{parts.path}?{parts.query}")
        assert page.status_code == 200
        return await browser.post("/sign-in/return", data=fields(page.text))

    async def sign_in(
        self, browser: httpx2.AsyncClient, user: str = "lead", **told: Any
    ) -> httpx2.Response:
        """The whole way."""
        return await self.come_back(
            browser, self.provider.visit(await self.go(browser), user, **told)
        )

    @contextlib.asynccontextmanager
    async def signed_in(
        self, user: str = "lead", **told: Any
    ) -> AsyncGenerator[httpx2.AsyncClient]:
        """The browser of somebody who has gone it."""
        async with self.site.browser() as browser:
            assert (await self.sign_in(browser, user, **told)).status_code == 303
            yield browser

    async def high(self, **refund: Any) -> Hold:
        """A refund that waits for somebody who steps up."""
        self.site.world.policy.answer = opinion(hold("LARGE", HIGH))
        held = await self.site.world.refund(await self.site.world.caller(), **refund)
        found = await self.site.world.store.find_hold(held.hold)
        return found[0]


@contextlib.asynccontextmanager
async def desk(path: Path) -> AsyncGenerator[Desk]:
    """A broker whose reviewers sign in at a provider."""
    fake = FakeProvider()
    async with site(path, provider=fake.provider()) as s:
        fake.clock = s.world.clock
        yield Desk(site=s, provider=fake)
