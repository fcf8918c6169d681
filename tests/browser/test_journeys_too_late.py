"""A hold whose time is over, on a page that is still open; the clock is this module's own."""

from playwright.sync_api import expect

from tests.browser.office import Office
from tests.browser.visiting import Visitor
from tests.browser.walking import button, click, open_hold, said

OVER_S = 601


def test_a_hold_whose_time_is_over_takes_no_approval(visitor: Visitor, office: Office) -> None:
    visitor.expect("409")
    with office.session() as agent, office.reviewing(visitor, scripts=False) as page:
        held = agent.hold("delete_customer", customer_id=agent.customer.name)
        hold = office.hold_of(held)
        open_hold(page, hold)
        office.clock.ahead_s += OVER_S
        click(page, "Approve")

        assert "Nothing was done." in said(page)
        assert held.wait(timeout_s=60).state == "EXPIRED"
        open_hold(page, hold)
        expect(page.locator("main")).to_contain_text("expired")
        expect(button(page, "Approve")).to_have_count(0)
        assert office.has(agent.customer)


def test_a_link_from_a_mail_opens_what_is_over_too(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.hold("delete_customer", customer_id=agent.customer.name)
        hold = office.hold_of(held)
        office.clock.ahead_s += OVER_S
        held.wait(timeout_s=60)
        open_hold(page, hold)

        expect(page.locator("main")).to_contain_text("The hold is expired")
