"""A page that is open says what has happened since, and moves nothing that somebody is at."""

import re

from playwright.sync_api import Page, expect

from tests.browser.office import Office
from tests.browser.visiting import Visitor
from tests.browser.walking import click, ended_stream, open_hold, open_live, press

ROWS = "#rows .row:not(.gone)"


def test_a_hold_appears_in_an_open_queue_by_itself(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        open_live(page, "/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("0 waiting")
        agent.refund(5500)
        row = page.locator(ROWS, has_text=agent.customer.orders[0])
        expect(row).to_be_visible()

        expect(page.get_by_role("heading", level=1)).to_contain_text("1 waiting")
        expect(page).to_have_title(re.compile("^1 waiting"))
        expect(page.get_by_role("status")).to_contain_text("has come in")


def test_a_row_that_is_decided_elsewhere_turns_grey_where_it_is(
    visitor: Visitor, office: Office
) -> None:
    customer = office.customer(orders=3)
    with office.session(customer) as agent, office.reviewing(visitor) as page:
        helds = [agent.refund(5500, order=order) for order in customer.orders]
        open_live(page, "/")
        press(page, "j", "j")
        where = _focused(page)
        office.reject(office.hold_of(helds[0]))
        office.reject(office.hold_of(helds[1]))
        expect(page.locator("#rows .row.gone")).to_have_count(2)

        assert _focused(page) == where
        assert page.locator("#rows .row").count() == 3
        expect(page.get_by_role("heading", level=1)).to_contain_text("1 waiting")


def test_the_row_that_has_the_focus_never_moves(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=6)
    with office.session(customer) as agent, office.reviewing(visitor) as page:
        # A refund is over after four hours, this after a day: what is new belongs above it.
        agent.hold("cancel_order", order_id=customer.orders[0])
        open_live(page, "/")
        press(page, "j")
        before = _focused(page)
        for order in customer.orders:
            agent.refund(5500, order=order)
        link = page.get_by_role("link", name=re.compile("6 new above"))
        expect(link).to_be_visible()

        assert _focused(page) == before
        link.click()
        expect(page.locator(ROWS)).to_have_count(7)


def test_filters_keep_what_is_looked_for(visitor: Visitor, office: Office) -> None:
    first, second = office.customer(), office.customer()
    with (
        office.session(first) as one,
        office.session(second) as another,
        office.reviewing(visitor) as page,
    ):
        one.refund(5500)
        one.hold("send_mail", to=["glass@example.net"], subject="Lamps", body="A lamp.")
        another.refund(9000)
        page.goto("/")
        expect(page.locator(ROWS)).to_have_count(3)
        press(page, "/")
        page.get_by_label("Tool").select_option("refund")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.locator(ROWS)).to_have_count(2)
        page.get_by_label("Amount at least").fill("60")
        page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator(ROWS)).to_contain_text("EUR 90.00")
        page.get_by_role("link", name="Show all").click()
        page.get_by_text("Filter", exact=True).first.click()
        page.get_by_label("For whom").fill(first.name)
        with page.expect_response("**/live"):
            page.get_by_role("button", name="Filter", exact=True).click()
        expect(page.locator(ROWS)).to_have_count(2)
        another.refund(7000)  # which the filter does not want
        one.refund(6000)
        expect(page.locator(ROWS)).to_have_count(3)
        expect(page.locator(ROWS, has_text="EUR 70.00")).to_have_count(0)


def test_mine_is_what_i_can_decide_and_nobody_else_has(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=2)
    with (
        office.session(customer) as agent,
        office.reviewing(visitor) as page,
        office.reviewing(visitor, "lead-2") as other,
        office.reviewing(visitor, "clerk-1") as clerk,
    ):
        holds = [office.hold_of(agent.refund(5500, order=order)) for order in customer.orders]
        open_hold(other, holds[0])
        click(other, "Take")
        expect(other.locator("main")).to_contain_text("taken by you")
        page.goto("/")
        expect(page.locator(ROWS)).to_have_count(2)
        expect(page.locator(ROWS, has_text="taken by lead-2")).to_have_count(1)
        page.get_by_role("link", name=re.compile("^Mine")).click()
        expect(page.locator(ROWS)).to_have_count(1)
        clerk.goto("/?mine=1")
        expect(clerk.locator(ROWS)).to_have_count(0)


def test_an_open_hold_says_that_it_has_changed_and_does_not_change_itself(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        hold = office.hold_of(agent.refund(5500))
        open_live(page, f"/{hold}")
        before = page.locator("article").inner_text()
        office.reject(hold)
        expect(page.get_by_role("alert")).to_contain_text("rejected")

        assert page.locator("article").inner_text() == before
        page.get_by_role("link", name="Show it as it is now").click()
        expect(page.locator("main")).to_contain_text("The hold is rejected")


def test_signing_out_ends_what_is_live_in_another_tab(visitor: Visitor, office: Office) -> None:
    visitor.expect("40[13]")
    visitor.base_url = office.base_url
    with visitor.page() as page, office.session() as agent:
        office.sign_in(page, "lead-2")
        expect(page).to_have_url(f"{office.base_url}/")
        other = page.context.new_page()
        open_live(other, "/")
        with ended_stream(other):
            page.get_by_role("button", name="Sign out").click()
        agent.refund(5500)
        other.wait_for_timeout(1_000)  # far longer than what is live takes

        expect(other.locator(ROWS)).to_have_count(0)
        other.reload()
        expect(other).to_have_url(re.compile("/sign-in"))


def _focused(page: Page) -> tuple[str, float]:
    """What has the focus, and how far from the top it is."""
    text, top = page.evaluate(
        "[document.activeElement.textContent, document.activeElement.getBoundingClientRect().top]"
    )
    return str(text), float(top)
