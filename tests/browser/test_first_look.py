"""The first minute of somebody who reviews: in by the link, a look round, one decision."""

import re

import pytest
from playwright.sync_api import StorageState, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.desk import Desk
from tests.browser.visiting import DESKTOP, Screen, Theme, Visitor

# The other three, of phone and of dark, join as the pages are designed for them.
LOOKS: tuple[tuple[Screen, Theme], ...] = ((DESKTOP, "light"),)
HOLDS = "main a[href^='/holds/']"


@pytest.fixture(autouse=True)
def at_the_desk(visitor: Visitor, desk: Desk) -> None:
    visitor.base_url = desk.base_url


@pytest.mark.parametrize(("screen", "theme"), LOOKS)
def test_queue_and_hold_can_be_used_by_everybody(
    visitor: Visitor, signed_in: StorageState, screen: Screen, theme: Theme
) -> None:
    with visitor.page(screen=screen, theme=theme, state=signed_in) as page:
        page.goto("/")
        assert_accessible(page)
        page.locator(HOLDS).first.click()
        page.wait_for_url("**/holds/*")
        assert_accessible(page)

        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= screen.width


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without"])
def test_what_is_approved_waits_no_longer(
    visitor: Visitor, signed_in: StorageState, *, scripts: bool
) -> None:
    with visitor.page(scripts=scripts, state=signed_in) as page:
        page.goto("/")
        link = page.locator(HOLDS, has_text=re.compile("^Refund EUR")).first
        where = str(link.get_attribute("href"))
        link.click()
        page.get_by_role("button", name=re.compile("^Approve")).first.click()
        page.wait_for_url(lambda url: not url.endswith("/approve"))
        page.goto("/")

        expect(page.locator(f"main a[href='{where}']")).to_have_count(0)


def test_a_link_lets_in_once(visitor: Visitor, signed_in: StorageState, desk: Desk) -> None:
    """Keep the link that was printed, and use it after the reviewer did."""
    assert signed_in["cookies"]
    visitor.expect("403")
    with visitor.page() as page:
        page.goto(desk.link)

        expect(page.get_by_role("main")).to_contain_text("was used")
        page.goto("/")
        expect(page).to_have_url(re.compile("/sign-in$"))


def test_whom_the_link_has_let_in_is_led_on_by_it(
    visitor: Visitor, signed_in: StorageState, desk: Desk
) -> None:
    with visitor.page(state=signed_in) as page:
        page.goto(desk.link)

        expect(page).to_have_url(f"{desk.base_url}/")
