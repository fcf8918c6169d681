"""Somebody who looks at pages, and to whom everything that goes wrong in them is a failure."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    StorageState,
)

Theme = Literal["light", "dark"]


@dataclass(frozen=True, slots=True)
class Screen:
    """What somebody looks at pages on; sizes in CSS pixels."""

    name: str
    width: int
    height: int
    touch: bool = False


DESKTOP = Screen("desktop", 1280, 800)
PHONE = Screen("phone", 390, 844, touch=True)
PATIENCE_MS = 30_000
"""For what a page does by itself; how long it takes is for the benchmark to say."""


@dataclass
class Visitor:
    """Opens pages, each in a profile of its own, and keeps what went wrong in any of them.

    Attributes:
        problems: messages of the console that are errors or warnings (whatever a content security
            policy stopped is one), scripts that failed, requests without an answer, and answers
            from 400 on.
    """

    browser: Browser
    base_url: str | None = None
    problems: list[str] = field(default_factory=list)
    _allowed: list[re.Pattern[str]] = field(default_factory=list)

    @contextlib.contextmanager
    def page(
        self,
        *,
        screen: Screen = DESKTOP,
        theme: Theme = "light",
        scripts: bool = True,
        still: bool = True,
        state: StorageState | None = None,
    ) -> Iterator[Page]:
        """A fresh page until the block ends; signed in nowhere but where `state` says so.

        Args:
            screen: what it is looked at on.
            theme: what the visitor prefers.
            scripts: whether scripts run.
            still: whether the visitor prefers that nothing moves.
            state: what `page.context.storage_state()` gave of another page.
        """
        context = self.browser.new_context(
            base_url=self.base_url,
            viewport={"width": screen.width, "height": screen.height},
            has_touch=screen.touch,
            is_mobile=screen.touch,
            device_scale_factor=2 if screen.touch else 1,
            color_scheme=theme,
            reduced_motion="reduce" if still else "no-preference",
            java_script_enabled=scripts,
            locale="en-GB",
            timezone_id="UTC",
            storage_state=state,
        )
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", self._watch)
        try:
            yield context.new_page()
        finally:
            context.close()

    def expect(self, pattern: str) -> None:
        """Let problems pass that a test provokes: those in which this regular expression is."""
        self._allowed.append(re.compile(pattern))

    def assert_nothing_went_wrong(self) -> None:
        """Raise AssertionError with every problem that was not expected."""
        found = [p for p in self.problems if not any(a.search(p) for a in self._allowed)]
        assert found == []

    def _watch(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            where = message.location.get("url", "")
            self.problems.append(f"console: {message.text} ({where})")

    def _failed(self, request: Request) -> None:
        # Whoever leaves a page ends its live updates and whatever else it was still loading.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"request: {request.failure} {request.method} {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            asked = response.request
            self.problems.append(f"answer: {response.status} {asked.method} {asked.url}")


def first_paint_ms(page: Page) -> float:
    """From the start of the navigation until anything of the page that it shows was to be seen."""
    entry = "performance.getEntriesByName('first-contentful-paint')[0]"
    page.wait_for_function(f"() => {entry} !== undefined")
    return float(page.evaluate(f"() => {entry}.startTime"))
