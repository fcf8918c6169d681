"""Takes the pictures of the documentation anew, from the support desk as it really serves.

`make screenshots`. A page that complains of anything is not pictured: the first complaint ends it.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, StorageState, expect

from tests.browser.chromium import running_chromium
from tests.browser.pictured_desk import pictured_desk
from tests.browser.pictures import take_picture
from tests.browser.visiting import DESKTOP, PHONE, Screen, Theme, Visitor
from tests.browser.walking import click, unfold

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
ASKED_FOR = "Refund EUR 55.00"
INJECTED = "Send the mail"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: the name of its file, how to come to the page, and how it is looked at."""

    name: str
    go: Callable[[Page], object]
    screen: Screen = DESKTOP
    theme: Theme = "light"


def _queue(page: Page) -> None:
    page.goto("/")
    page.locator("#rows .row").first.wait_for()


def _hold_of(summary: str) -> Callable[[Page], None]:
    def go(page: Page) -> None:
        _queue(page)
        page.get_by_role("link", name=re.compile(f"^{re.escape(summary)}")).click()
        page.wait_for_url("**/holds/**")
        expect(page.locator("button[data-careful]").first).to_be_enabled()

    return go


def _made_less(page: Page) -> None:
    _hold_of(ASKED_FOR)(page)
    unfold(page, "Approve less")
    page.get_by_label("amount", exact=False).fill("40.00")
    click(page, "Make it less, and look again")
    expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 40.00")
    expect(page.locator("button[data-careful]").first).to_be_enabled()


def _story(page: Page) -> None:
    _hold_of(INJECTED)(page)
    page.get_by_role("link", name="Whole story").click()
    page.wait_for_url("**/invocations/**")


SHOTS = (
    Shot("queue", _queue),
    Shot("queue-dark", _queue, theme="dark"),
    Shot("queue-phone", _queue, PHONE),
    Shot("hold", _hold_of(ASKED_FOR)),
    Shot("hold-dark", _hold_of(ASKED_FOR), theme="dark"),
    Shot("hold-phone", _hold_of(ASKED_FOR), PHONE, "dark"),
    Shot("untrusted", _hold_of(INJECTED)),
    Shot("story", _story),
    Shot("narrowed", _made_less),  # the last: it changes what waits
)


def main() -> int:
    """Take each of SHOTS; the exit code."""
    with running_chromium() as browser:
        visitor = Visitor(browser)
        with pictured_desk(visitor) as signed_in:
            for shot in SHOTS:
                size = _take(shot, visitor, signed_in)
                sys.stdout.write(f"docs/pictures/{shot.name}.png  {size / 1000:.0f} kB\n")
    return 0


def _take(shot: Shot, visitor: Visitor, signed_in: StorageState) -> int:
    with visitor.page(screen=shot.screen, theme=shot.theme, state=signed_in) as page:
        shot.go(page)
        page.evaluate("document.fonts.ready.then(() => true)")
        visitor.assert_nothing_went_wrong()
        return take_picture(page, PICTURES / f"{shot.name}.png")


if __name__ == "__main__":
    sys.exit(main())
