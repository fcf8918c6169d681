"""What reviewers do with a hold, in a browser, against a broker with everything around it."""

import re

from playwright.sync_api import Page, expect

from broker.sdk import Refused, Succeeded
from tests.browser.office import Office
from tests.browser.visiting import PHONE, Visitor
from tests.browser.walking import button, click, go, look, open_hold, press, said, tap, unfold

# How wide a button is with each of these texts as what is left.
_WIDTHS = """(button, texts) => texts.map((text) => {
  button.querySelector("[data-countdown]").textContent = text;
  return button.getBoundingClientRect().width;
})"""


def test_what_is_approved_runs_and_the_waiting_agent_has_its_result(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(5500)
        page.goto("/")
        page.get_by_role("link", name="Refund EUR 55.00").click()
        click(page, "Approve")
        assert "Approved" in said(page)
        office.let_run()
        outcome = office.outcome(held)

        assert isinstance(outcome, Succeeded)
        assert office.refunded(agent.customer.orders[0]) == [5500]


def test_the_reason_of_a_rejection_reaches_the_agent(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(5500)
        open_hold(page, office.hold_of(held))
        page.get_by_label("Why, for the agent").fill("Ask which of the two lamps it was.")
        click(page, "Reject")
        page.wait_for_url(re.compile("after="))
        office.let_run()
        outcome = office.outcome(held)

        assert "Rejected" in said(page)
        assert isinstance(outcome, Refused)
        assert "Ask which of the two lamps it was." in outcome.for_model()
        assert office.refunded(agent.customer.orders[0]) == []


def test_a_rejection_needs_a_reason(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        hold = office.hold_of(agent.refund())
        open_hold(page, hold)
        look(page)
        click(page, "Reject")

        assert page.url.endswith(hold)
        assert page.evaluate("document.activeElement.id") == "reason"


def test_all_of_it_is_done_without_a_mouse(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=4)
    with office.session(customer) as agent, office.reviewing(visitor) as page:
        amounts = (5100, 5200, 5300, 5400)
        helds = [
            agent.refund(amount, order=order)
            for amount, order in zip(amounts, customer.orders, strict=True)
        ]
        page.goto("/")
        press(page, "j", "j", "k")
        focused = page.evaluate("document.activeElement.textContent")
        assert "EUR 51.00" in focused
        go(page, "Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 51.00")
        assert page.evaluate("document.activeElement.tagName") == "BODY"  # and not a button

        go(page, "t")
        expect(page.locator("main")).to_contain_text("taken by you until")
        go(page, "g")
        expect(page.locator("main")).not_to_contain_text("taken by you until")

        go(page, "a")  # and the next one opens
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 52.00")
        go(page, "u")  # the first is taken back, and shown
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 51.00")
        go(page, "a")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 52.00")

        press(page, "r")
        page.keyboard.type("The user did not ask for this.")
        go(page, "Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 53.00")

        press(page, "e", "Control+a")
        page.keyboard.type("12.50")
        go(page, "Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 12.50")
        go(page, "a")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 54.00")

        go(page, "s")
        expect(page.locator("main")).to_contain_text("SECOND_REVIEW")
        go(page, "q")
        assert page.url == f"{office.base_url}/"

        office.let_run()
        ended = [office.outcome(held) for held in helds[:3]]
        assert [type(one) for one in ended] == [Succeeded, Refused, Succeeded]
        assert [office.refunded(order) for order in customer.orders] == [[5100], [], [1250], []]


def test_a_key_that_is_pressed_twice_decides_once(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=2)
    with office.session(customer) as agent, office.reviewing(visitor) as page:
        helds = [agent.refund(5500, order=order) for order in customer.orders]
        open_hold(page, office.hold_of(helds[0]))
        look(page)
        with page.expect_navigation():
            page.keyboard.press("a")
        page.keyboard.press("a")  # at once, on the hold that has opened

        expect(page.locator("main")).to_contain_text("expires in")
        office.let_run()
        assert office.outcome(helds[0]).state == "SUCCEEDED"
        assert office.state_of(helds[1]) == "HELD"


def test_no_key_decides_while_a_reason_is_written(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund()
        open_hold(page, office.hold_of(held))
        press(page, "r", "a", "s", "t", "e")

        expect(page.get_by_label("Why, for the agent")).to_have_value("aste")
        assert office.state_of(held) == "HELD"


def test_less_than_was_asked_runs_and_the_agent_is_told(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(9000)
        open_hold(page, office.hold_of(held))
        unfold(page, "Approve less")
        page.get_by_label("amount", exact=False).fill("40.00")
        click(page, "Make it less, and look again")

        main = page.locator("main")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Refund EUR 40.00")
        expect(main).to_contain_text("EUR 90.00")
        click(page, "Approve")
        page.wait_for_url(re.compile("after="))
        office.let_run()
        outcome = office.outcome(held)

        assert isinstance(outcome, Succeeded)
        assert (outcome.arguments["amount_minor"], outcome.asked) == (
            4000,
            {**outcome.arguments, "amount_minor": 9000},
        )
        assert "4000 instead of 9000" in outcome.for_model()
        assert office.refunded(agent.customer.orders[0]) == [4000]


def test_more_than_was_asked_is_never_offered(visitor: Visitor, office: Office) -> None:
    visitor.expect("4(00|09|22)")
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(9000)
        open_hold(page, office.hold_of(held))
        unfold(page, "Approve less")
        page.get_by_label("amount", exact=False).fill("90.01")
        click(page, "Make it less, and look again")

        assert "Nothing was done." in said(page)
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 90.00")
        assert office.state_of(held) == "HELD"


def test_alike_holds_are_approved_together(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        helds = [
            agent.hold("send_mail", to=["glass@example.net"], subject=subject, body="A lamp.")
            for subject in ("First", "Second", "Third")
        ]
        page.goto("/")
        page.get_by_role("link", name="Decide 3 together").click()
        for subject in ("First", "Second", "Third"):
            expect(page.get_by_role("table")).to_contain_text(subject)
        page.get_by_role("checkbox").nth(2).uncheck()
        click(page, "Approve those ticked")
        expect(page.get_by_role("heading", level=1)).to_have_text("2 of 2 decided")
        office.let_run()
        ended = [office.outcome(held) for held in helds[:2]]

        assert [type(one) for one in ended] == [Succeeded, Succeeded]
        assert office.state_of(helds[2]) == "HELD"


def test_alike_holds_are_rejected_with_one_reason_and_their_sum_was_shown(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        helds = [agent.refund(amount) for amount in (5100, 5200, 5300)]
        page.goto("/")
        page.get_by_role("link", name="Decide 3 together").click()
        for amount in ("EUR 51.00", "EUR 52.00", "EUR 53.00", "EUR 156.00"):
            expect(page.get_by_role("table")).to_contain_text(amount)
        page.get_by_label("Why, for the agent").fill("One refund does.")
        click(page, "Reject those ticked")
        expect(page.get_by_role("heading", level=1)).to_have_text("3 of 3 decided")
        office.let_run()
        ended = [office.outcome(held) for held in helds]

        assert {type(one) for one in ended} == {Refused}
        assert all("One refund does." in one.for_model() for one in ended)


def test_an_approval_is_taken_back_before_it_runs(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund()
        open_hold(page, office.hold_of(held))
        click(page, "Approve")
        click(page, "Take it back")
        expect(page.locator("main")).to_contain_text("expires in")

        assert office.state_of(held) == "HELD"
        assert office.refunded(agent.customer.orders[0]) == []


def test_the_button_that_takes_back_holds_still_while_it_counts_down(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund()
        open_hold(page, office.hold_of(held))
        click(page, "Approve")
        widths = button(page, "Take it back").evaluate(_WIDTHS, ["10 s", "9 s", "1 s", "88 s"])

        assert len(set(widths)) == 1


def test_a_second_is_asked_for_and_both_are_needed(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as first:
        held = agent.refund()
        open_hold(first, office.hold_of(held))
        click(first, "Ask a second")
        expect(first.locator("main")).to_contain_text("2 of support-leads needed, 0 given")
        click(first, "Approve")
        first.wait_for_url(re.compile("after="))
        assert "another is needed" in said(first)
        assert office.state_of(held) == "HELD"
        with office.reviewing(visitor, "lead-2") as second:
            open_hold(second, office.hold_of(held))
            expect(second.locator("main")).to_contain_text("2 of support-leads needed, 1 given")
            click(second, "Approve")
            second.wait_for_url(re.compile("after="))

        office.let_run()
        assert isinstance(office.outcome(held), Succeeded)


def test_what_one_has_taken_another_does_not_approve(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as first:
        hold = office.hold_of(agent.refund())
        open_hold(first, hold)
        click(first, "Take")
        expect(first.locator("main")).to_contain_text("taken by you until")
        with office.reviewing(visitor, "lead-2") as second:
            open_hold(second, hold)
            expect(second.locator("main")).to_contain_text("lead-1 is looking at this")
            expect(button(second, "Approve")).to_have_count(0)
            expect(button(second, "Reject")).to_have_count(1)
            click(first, "Give back")
            expect(first.locator("main")).not_to_contain_text("taken by you")
            second.reload()
            expect(button(second, "Approve")).to_have_count(1)


def test_whoever_may_not_decide_is_told_why_and_has_no_buttons(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor, "clerk-1") as page:
        open_hold(page, office.hold_of(agent.refund()))

        expect(page.locator("main")).to_contain_text("You cannot decide on this.")
        expect(page.locator("main").get_by_role("button")).to_have_count(0)


def test_a_phone_does_for_all_of_it(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=2)
    with (
        office.session(customer) as agent,
        office.reviewing(visitor, screen=PHONE) as page,
    ):
        helds = [agent.refund(5500, order=order) for order in customer.orders]
        page.goto("/")
        page.get_by_role("link", name="Refund EUR 55.00").first.tap()
        expect(page.locator("main")).to_contain_text("expires in")
        assert _overflow(page) == 0
        look(page)
        tap(page, "Approve")
        page.wait_for_url(re.compile("after="))
        assert "Approved" in said(page)
        assert _overflow(page) == 0
        page.get_by_label("Why, for the agent").fill("Not this one.")
        look(page)
        tap(page, "Reject")
        page.wait_for_url(re.compile(r"\?after="))
        office.let_run()
        states = {type(office.outcome(held)) for held in helds}

        assert states == {Succeeded, Refused}
        assert _overflow(page) == 0


def test_buttons_are_large_enough_for_thumbs(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor, screen=PHONE) as page:
        open_hold(page, office.hold_of(agent.refund()))
        for one in page.locator("main .deciding").get_by_role("button").all():
            box = one.bounding_box()
            assert box is None or box["height"] >= 44, one.inner_text()


def test_everything_is_done_without_scripts(visitor: Visitor, office: Office) -> None:
    customer = office.customer(orders=4)
    with office.session(customer) as agent, office.reviewing(visitor, scripts=False) as page:
        helds = [agent.refund(5500, order=order) for order in customer.orders]
        holds = [office.hold_of(held) for held in helds]
        open_hold(page, holds[0])
        click(page, "Approve")
        assert "Approved" in said(page)
        click(page, "Take it back")
        expect(page.get_by_role("heading", level=1)).to_contain_text(customer.orders[0])
        click(page, "Approve")
        assert "Approved" in said(page)

        open_hold(page, holds[1])
        page.get_by_label("Why, for the agent").fill("Not this one.")
        click(page, "Reject")
        assert "Rejected" in said(page)

        open_hold(page, holds[2])
        click(page, "Take")
        expect(page.locator("main")).to_contain_text("taken by you until")
        click(page, "Give back")
        unfold(page, "Approve less")
        page.get_by_label("amount", exact=False).fill("1.00")
        click(page, "Make it less, and look again")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Refund EUR 1.00")
        click(page, "Approve")
        assert "Approved" in said(page)

        open_hold(page, holds[3])
        click(page, "Ask a second")
        expect(page.locator("main")).to_contain_text("2 of support-leads needed")
        office.let_run()
        ended = [office.outcome(held) for held in helds[:3]]

        assert [type(one) for one in ended] == [Succeeded, Refused, Succeeded]
        assert [office.refunded(order) for order in customer.orders] == [[5500], [], [100], []]


def _overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
