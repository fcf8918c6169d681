"""Every page, in both themes and at both widths: everybody can use it, and nothing complains."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.office import Asking, Office
from tests.browser.visiting import DESKTOP, PHONE, Screen, Theme, Visitor
from tests.browser.walking import open_hold, unfold

LOOKS: tuple[tuple[Screen, Theme], ...] = tuple(
    itertools.product((DESKTOP, PHONE), ("light", "dark"))
)
"""Every look that a page has."""

Look = Callable[[str], None]


@pytest.fixture(scope="module")
def busy(office: Office) -> Iterator[Asking]:
    """A queue with something of every kind: money, mails, long values, what is high, alike ones."""
    customer = office.customer(orders=2)
    with office.session(customer, words="My lamp broke. Please refund it. " * 20) as agent:
        agent.refund(5500, reason="crushed in transit")
        agent.refund(6500, reason="crushed in transit")
        agent.refund(25_000, order=customer.orders[1])
        agent.hold("send_mail", to=["glass@example.net"], subject="A lamp", body="Long. " * 200)
        agent.hold("delete_customer", customer_id=customer.name)
        office.reject(office.hold_of(agent.hold("cancel_order", order_id=customer.orders[0])))
        yield agent


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0].name}-{look[1]}")
def looking(
    visitor: Visitor, office: Office, request: pytest.FixtureRequest
) -> Iterator[tuple[Page, Look]]:
    """A page in one of LOOKS, and what looks at an address in it."""
    screen, theme = request.param
    with office.reviewing(visitor, screen=screen, theme=theme) as page:

        def look(address: str) -> None:
            page.goto(address)
            _assert_usable(page)

        yield page, look


def test_the_pages_that_decide_can_be_used_by_everybody(
    busy: Asking, looking: tuple[Page, Look], office: Office
) -> None:
    page, look = looking
    look("/")
    unfold(page, "Filter")
    page.locator("#keys summary").click()
    _assert_usable(page)
    holds = page.locator("#rows .row a")
    addresses = [str(one.get_attribute("href")) for one in holds.all()]
    together = str(page.get_by_role("link", name="Decide 2 together").get_attribute("href"))
    assert len(addresses) == 5
    for address in (*addresses, together, "/?mine=1", "/?tool=none"):
        look(address)
    open_hold(page, addresses[0].lstrip("/"))
    for folded in page.locator("main details > summary").all():
        folded.click()
    _assert_usable(page)
    assert busy.office is office


def test_the_pages_that_look_back_can_be_used_by_everybody(
    busy: Asking, looking: tuple[Page, Look]
) -> None:
    page, look = looking
    look("/")
    for link in [str(one.get_attribute("href")) for one in page.locator("nav a").all()]:
        look(link)
    look(f"/{busy.session.name}")
    page.goto("/history")
    decided = page.locator("main a[href^='/holds/']").first
    look(str(decided.get_attribute("href")))
    look(str(page.get_by_role("link", name="Whole story").get_attribute("href")))


def test_a_page_that_is_not_there_says_so_in_its_own_look(
    visitor: Visitor, looking: tuple[Page, Look]
) -> None:
    visitor.expect("404")
    page, look = looking
    for address in ("/nowhere", "/holds/00000000-0000-7000-8000-000000000000"):
        look(address)
        expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_a_hold_is_judged_without_scrolling_on_a_laptop(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        agent.session.invoke("read_mail", {"mail_id": "m-88"})
        agent.session.invoke("read_order", {"order_id": agent.customer.orders[0]})
        held = agent.refund(5500, reason="crushed in transit")
        open_hold(page, office.hold_of(held))
        for shown in (
            page.get_by_role("heading", level=1),
            page.get_by_text("Why it stopped"),
            page.get_by_text("captured"),
            page.get_by_text("Before this"),
            page.get_by_role("button", name="Approve"),
            page.get_by_role("button", name="Reject"),
        ):
            box = shown.first.bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= DESKTOP.height, shown


def _assert_usable(page: Page) -> None:
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, page.url
