"""What a reviewer's hands do on a page, with patience for what pages do by themselves."""

import contextlib
import re
from collections.abc import Iterator

from playwright.sync_api import Locator, Page, expect

# Keys and buttons that decide wait until a page has been there long enough to be seen.
_SEEN = """() => {
  const [shown] = performance.getEntriesByType("navigation");
  return shown.domContentLoadedEventEnd > 0
    && performance.now() - shown.domContentLoadedEventEnd > 700;
}"""


def look(page: Page) -> None:
    """Wait as long as somebody needs in order to see what is there."""
    page.wait_for_function(_SEEN)


def press(page: Page, *keys: str) -> None:
    """Press keys that stay on the page."""
    look(page)
    for key in keys:
        page.keyboard.press(key)


def go(page: Page, key: str) -> None:
    """Press a key that leads to another page, or to this one anew."""
    look(page)
    with page.expect_navigation():
        page.keyboard.press(key)


def open_hold(page: Page, hold: str) -> None:
    """Open one hold's page by its address."""
    page.goto(f"/{hold}")
    expect(page.locator("main")).to_contain_text("Where the value came from")


def open_live(page: Page, address: str) -> None:
    """Open a page, and wait until it hears of what happens."""
    with page.expect_response("**/live"):
        page.goto(address)


@contextlib.contextmanager
def ended_stream(page: Page) -> Iterator[None]:
    """What is done in the block ends the page's stream, soon after it at the latest."""
    with page.expect_response(lambda answer: answer.url.endswith("/live") and answer.status == 401):
        yield


def button(page: Page, name: str) -> Locator:
    """The page's own button of this name; its key stands beside it where there is a keyboard."""
    named = re.compile(rf"^{re.escape(name)}( [a-z]| [0-9]+ s)*$")
    return page.locator("main").get_by_role("button", name=named)


def click(page: Page, name: str) -> None:
    """Click it, as soon as it can be."""
    button(page, name).click()


def tap(page: Page, name: str) -> None:
    """Touch it, as soon as it can be."""
    button(page, name).tap()


def unfold(page: Page, name: str) -> None:
    """Open what is folded under this name."""
    page.locator("main summary", has_text=name).click()


def said(page: Page) -> str:
    """What the page says came of the last act; waits until it says anything."""
    flash = page.locator(".flash, .problem").first
    expect(flash).to_be_visible()
    return flash.inner_text()
