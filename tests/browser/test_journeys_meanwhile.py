"""Something happens to a hold while its page is open: the page says what, and decides nothing."""

import re

from playwright.sync_api import expect

from broker.sdk import Refused, Succeeded
from tests.browser.office import Office
from tests.browser.visiting import Visitor
from tests.browser.walking import button, click, open_hold, said, unfold


def test_two_browsers_decide_on_one_hold_and_it_is_decided_once(
    visitor: Visitor, office: Office
) -> None:
    visitor.expect("409")
    with (
        office.session() as agent,
        office.reviewing(visitor) as one,
        office.reviewing(visitor, "lead-2") as another,
    ):
        held = agent.refund()
        for page in (one, another):
            open_hold(page, office.hold_of(held))
        # Both requests are on their way before either is answered.
        another.get_by_label("Why, for the agent").fill("Not this one.")
        button(one, "Approve").evaluate("button => setTimeout(() => button.click(), 1000)")
        button(another, "Reject").evaluate("button => setTimeout(() => button.click(), 1000)")
        told = [said(page) for page in (one, another)]
        office.let_run()
        outcome = office.outcome(held)

        won = [text for text in told if "Nothing was done" not in text]
        assert len(won) == 1, told
        assert isinstance(outcome, Succeeded if "Approved" in won[0] else Refused)
        assert len(office.refunded(agent.customer.orders[0])) == isinstance(outcome, Succeeded)


def test_a_stale_tab_says_what_changed_and_decides_nothing(
    visitor: Visitor, office: Office
) -> None:
    visitor.expect("409")
    with (
        office.session() as agent,
        office.reviewing(visitor, scripts=False) as stale,
        office.reviewing(visitor, "lead-2") as other,
    ):
        held = agent.refund(9000)
        hold = office.hold_of(held)
        for page in (stale, other):
            open_hold(page, hold)
        unfold(other, "Approve less")
        other.get_by_label("amount", exact=False).fill("10.00")
        click(other, "Make it less, and look again")
        expect(other.get_by_role("heading", level=1)).to_contain_text("EUR 10.00")
        click(stale, "Approve")

        assert "Nothing was done." in said(stale)
        assert office.state_of(held) == "HELD"
        assert office.refunded(agent.customer.orders[0]) == []


def test_what_was_withdrawn_meanwhile_is_not_approved(visitor: Visitor, office: Office) -> None:
    visitor.expect("409")
    with office.session() as agent, office.reviewing(visitor, scripts=False) as page:
        held = agent.refund()
        open_hold(page, office.hold_of(held))
        held.cancel()
        click(page, "Approve")

        assert "Nothing was done." in said(page)
        expect(page.locator("main")).to_contain_text("withdrawn")
        assert office.refunded(agent.customer.orders[0]) == []


def test_an_approval_is_for_what_was_previewed(visitor: Visitor, office: Office) -> None:
    """What the payment has left changes between the page and the effect: the hold comes back."""
    with office.session() as agent, office.reviewing(visitor) as page:
        order = agent.customer.orders[0]
        held = agent.refund(5500)
        first = office.hold_of(held)
        open_hold(page, first)
        changes = page.locator("main .changes")
        expect(changes).to_contain_text("EUR 500.00")
        expect(changes).to_contain_text("EUR 445.00")
        office.refund_by_hand(order, 100)
        click(page, "Approve")
        assert "Approved" in said(page)
        row = page.get_by_role("link", name=re.compile(f"Refund EUR 55.00 of order {order}"))
        office.let_run()
        office.until_other_hold(held, first)
        page.goto("/")
        row.click()
        expect(changes).to_contain_text("EUR 499.00")
        expect(changes).to_contain_text("EUR 444.00")
        assert office.refunded(order) == [100]
        click(page, "Approve")
        assert "Approved" in said(page)

        office.let_run()
        assert isinstance(office.outcome(held), Succeeded)
        assert sorted(office.refunded(order)) == [100, 5500]
