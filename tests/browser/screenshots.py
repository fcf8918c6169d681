"""Takes the pictures of the documentation anew, from the support desk as it really serves.

`make screenshots`. A page that complains of anything is not pictured: the first complaint ends it.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Page, StorageState

from tests.browser.chromium import running_chromium
from tests.browser.desk import running_desk
from tests.browser.pictures import take_picture
from tests.browser.visiting import DESKTOP, PHONE, Screen, Theme, Visitor

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture: the name of its file, how to come to the page, and how it is looked at."""

    name: str
    go: Callable[[Page], object]
    screen: Screen = DESKTOP
    theme: Theme = "light"


def _queue(page: Page) -> None:
    page.goto("/")
    page.locator("a[href^='/holds/']").first.wait_for()


def _hold(page: Page) -> None:
    _queue(page)
    page.locator("a[href^='/holds/']").first.click()
    page.wait_for_url("**/holds/**")


SHOTS = (
    Shot("queue", _queue),
    Shot("queue-dark", _queue, theme="dark"),
    Shot("queue-phone", _queue, PHONE),
    Shot("hold", _hold),
    Shot("hold-dark", _hold, theme="dark"),
    Shot("hold-phone", _hold, PHONE, "dark"),
)


def main() -> int:
    """Take each of SHOTS; the exit code."""
    with (
        tempfile.TemporaryDirectory(prefix="desk-") as state,
        running_desk(Path(state, "desk")) as desk,
        running_chromium() as browser,
    ):
        visitor = Visitor(browser)
        signed_in = desk.sign_in(visitor)
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
