"""What pages say can be read at a glance: no word is broken, nothing cut, and reasons are told."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.office import Asking, Office
from tests.browser.visiting import DESKTOP, PHONE, Screen, Visitor
from tests.browser.walking import click, open_hold, said, unfold
from tests.browser.wording import assert_readable

TABLET = Screen("tablet", 820, 1180, touch=True)
HALF = Screen("half", 1100, 800)
"""A window beside another: the narrowest in which lists are tables."""
NAMES = "-" + "of-the-second-shop-" * 4 + "x" * 40


@pytest.fixture(scope="module")
def busy(office: Office) -> Iterator[Asking]:
    """Something in every list: alike ones that wait, and each way in which a hold is over."""
    customer = office.customer(orders=2)
    with office.session(customer, words="My lamp broke. Please refund it.") as agent:
        agent.session.invoke("read_order", {"order_id": customer.orders[0]})
        office.reject(office.hold_of(agent.hold("cancel_order", order_id=customer.orders[0])))
        less = agent.refund(9000, order=customer.orders[1])
        office.make_less(office.hold_of(less), 4000, reason="Only the shade was broken.")
        for amount in (5500, 6500, 7500):
            agent.refund(amount, reason="crushed in transit")
        yield agent


@pytest.mark.parametrize("screen", [PHONE, TABLET, HALF, DESKTOP], ids=lambda screen: screen.name)
def test_no_word_of_any_page_is_broken(
    busy: Asking, visitor: Visitor, office: Office, screen: Screen
) -> None:
    with office.reviewing(visitor, screen=screen) as page:
        page.goto("/")
        assert_readable(page)
        holds = [str(one.get_attribute("href")) for one in page.locator("#rows .row a").all()]
        pages = [str(one.get_attribute("href")) for one in page.locator("nav a").all()]
        for address in (*holds, *pages, _together(page), f"/{busy.session.name}"):
            page.goto(address)
            assert_readable(page)
        page.goto("/history")
        page.get_by_role("link", name="Whole story").first.click()
        page.get_by_role("link", name="Explain").click()
        assert_readable(page)


@pytest.mark.parametrize("screen", [PHONE, TABLET, HALF, DESKTOP], ids=lambda screen: screen.name)
def test_a_name_as_long_as_any_makes_no_list_wider_than_the_screen(
    visitor: Visitor, office: Office, screen: Screen
) -> None:
    customer = office.customer(named=NAMES)
    with office.session(customer) as agent, office.reviewing(visitor, screen=screen) as page:
        cancelled = agent.hold("cancel_order", order_id=customer.orders[0])
        office.reject(office.hold_of(cancelled))
        for amount in (5700, 5800):
            agent.refund(amount)
        page.goto("/")
        together = page.locator(".alike", has_text=customer.name).get_by_role("link")
        for address in (str(together.get_attribute("href")), "/history", "/sessions", "/audit"):
            page.goto(address)
            expect(page.locator("main")).to_contain_text("x" * 40 if "audit" not in address else "")
            assert_readable(page)


def test_on_a_phone_each_of_those_alike_is_a_card_that_says_all_of_it(
    busy: Asking, visitor: Visitor, office: Office
) -> None:
    with office.reviewing(visitor, screen=PHONE) as page:
        page.goto("/")
        page.goto(_together(page))
        cards = page.locator(".together tbody tr")
        expect(cards).to_have_count(3)
        for amount, card in zip(("55", "65", "75"), cards.all(), strict=True):
            told = card.inner_text()
            for each in (
                f"Refund EUR {amount}.00 of order {busy.customer.orders[0]}",
                busy.customer.name,
                "A large or repeated refund is decided by a person.",
                "REFUND_NEEDS_PERSON",
                "left on the payment",
            ):
                assert each in told
            assert _box(card)["height"] < PHONE.height / 3
            assert _box(card.get_by_role("rowheader"))["width"] > PHONE.width * 2 / 3
        assert page.locator(".scroll").evaluate("it => it.scrollWidth - it.clientWidth") <= 0
        expect(page.locator(".together tfoot")).to_contain_text("EUR 195.00")


def test_what_was_decided_before_is_a_word_and_no_card(
    busy: Asking, visitor: Visitor, office: Office
) -> None:
    with office.reviewing(visitor) as page:
        page.goto("/")
        page.locator("#rows .row a", has_text="EUR 75.00").click()
        effect = page.locator(".earlier .effect", has_text="HOLD").first
        assert _box(effect)["height"] < 24
    assert busy.office is office


def test_numbers_of_decisions_stand_beside_their_words_on_a_phone(
    busy: Asking, visitor: Visitor, office: Office
) -> None:
    with office.reviewing(visitor, screen=PHONE) as page:
        page.goto("/sessions")
        row = page.get_by_role("row").filter(has=page.locator(f"a[href='/{busy.session.name}']"))
        held = row.locator(".decided", has_text="HOLD")
        assert re.fullmatch(r"HOLD\s+\d+", held.inner_text())
        assert _box(held)["x"] > PHONE.width / 3


def test_history_says_who_made_a_call_less_and_why(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        first, second = agent.refund(9000), agent.refund(8000)
        office.make_less(office.hold_of(first), 4000, reason="Only the <b>shade</b> was broken.")
        less = office.hold_of(first)
        open_hold(page, office.hold_of(second))
        unfold(page, "Approve less")
        page.get_by_label("amount", exact=False).fill("30.00")
        click(page, "Make it less, and look again")
        expect(page.get_by_role("heading", level=1)).to_contain_text("EUR 30.00")

        page.goto("/history?state=VOID")
        by_terminal, by_page = (
            _decided(page, f"EUR {amount}.00 of order {agent.customer.orders[0]}")
            for amount in (90, 80)
        )
        expect(by_terminal).to_contain_text("made less by lead-3")
        expect(by_terminal.locator(".fenced")).to_have_text("┊Only the <b>shade</b> was broken.┊")
        expect(by_page).to_contain_text("made less by lead-1")
        by_terminal.get_by_role("link", name="made less").click()
        page.wait_for_url(f"**/{less}")


def test_history_says_why_what_was_approved_did_not_run(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        order = agent.customer.orders[0]
        held = agent.refund(5500)
        first = office.hold_of(held)
        open_hold(page, first)
        office.refund_by_hand(order, 100)
        click(page, "Approve")
        assert "Approved" in said(page)
        office.let_run()
        office.until_other_hold(held, first)

        page.goto("/history?state=VOID")
        row = _decided(page, f"EUR 55.00 of order {order}")
        expect(row).to_contain_text("approved by lead-1")
        expect(row).to_contain_text("what was shown had changed")


def _together(page: Page) -> str:
    return str(page.get_by_role("link", name="Decide 3 together").get_attribute("href"))


def _decided(page: Page, what: str) -> Locator:
    return page.locator("main tbody tr", has_text=what)


def _box(shown: Locator) -> dict[str, float]:
    box = shown.bounding_box()
    assert box is not None
    return {name: float(box[name]) for name in ("x", "y", "width", "height")}
