"""Who gets in, by way of a real provider, and what a fresh sign-in is good for."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible
from tests.browser.office import Office
from tests.browser.visiting import Visitor
from tests.browser.walking import button, click, ended_stream, open_hold, open_live, said

HIGH_MINOR = 25_000


@pytest.fixture
def stranger(visitor: Visitor, office: Office) -> Iterator[Page]:
    """A page of somebody who is signed in nowhere."""
    visitor.base_url = office.base_url
    with visitor.page() as page:
        yield page


def test_a_link_to_a_hold_leads_by_way_of_the_provider_to_that_hold(
    stranger: Page, office: Office
) -> None:
    with office.session() as agent:
        hold = office.hold_of(agent.refund())
        stranger.goto(f"/{hold}")
        expect(stranger).to_have_url(re.compile("/sign-in"))
        assert_accessible(stranger)
        stranger.get_by_role("link", name="Sign in at").click()
        office.sign_in_there(stranger, "lead-1")

        expect(stranger).to_have_url(f"{office.base_url}/{hold}")
        expect(stranger.locator("header")).to_contain_text("lead-1")


def test_whoever_is_in_no_group_that_reviews_is_told_so_and_sees_nothing(
    visitor: Visitor, stranger: Page, office: Office
) -> None:
    visitor.expect("403")
    office.sign_in(stranger, "visitor-1")
    expect(stranger.locator("main")).to_contain_text("in no group that reviews here")
    stranger.goto("/")

    expect(stranger).to_have_url(re.compile("/sign-in"))


def test_without_scripts_the_way_back_has_a_button(visitor: Visitor, office: Office) -> None:
    visitor.base_url = office.base_url
    with visitor.page(scripts=False) as page:
        office.sign_in(page, "lead-1")
        page.get_by_role("button", name="Go on").click()

        expect(page).to_have_url(f"{office.base_url}/")


def test_whoever_signs_out_is_out_also_by_the_back_button(stranger: Page, office: Office) -> None:
    with office.session() as agent:
        hold = office.hold_of(agent.refund())
        office.sign_in(stranger, "lead-1")
        expect(stranger).to_have_url(f"{office.base_url}/")
        open_hold(stranger, hold)
        stranger.get_by_role("button", name="Sign out").click()
        expect(stranger).to_have_url(re.compile("/sign-in"))
        stranger.go_back()

        expect(stranger).to_have_url(re.compile("/sign-in"))
        expect(stranger.get_by_role("button", name="Approve")).to_have_count(0)


def test_what_is_high_takes_a_fresh_sign_in_which_is_spent_once(
    visitor: Visitor, stranger: Page, office: Office
) -> None:
    customer = office.customer(orders=2)
    visitor.expect("403")
    with office.session(customer) as agent:
        helds = [agent.refund(HIGH_MINOR, order=order) for order in customer.orders]
        first, second = (office.hold_of(held) for held in helds)
        office.sign_in(stranger, "lead-1")
        expect(stranger).to_have_url(f"{office.base_url}/")
        expect(stranger.locator("#rows")).to_contain_text("fresh sign-in")
        open_hold(stranger, first)
        expect(button(stranger, "Approve")).to_have_count(0)
        stranger.get_by_role("link", name="Sign in afresh to approve").click()
        office.sign_in_there(stranger, "lead-1")  # who is signed in there, and is asked again
        expect(stranger).to_have_url(f"{office.base_url}/{first}")

        # It is for this hold: another still wants one of its own.
        other = stranger.context.new_page()
        open_hold(other, second)
        expect(button(other, "Approve")).to_have_count(0)
        stranger.bring_to_front()
        click(stranger, "Approve")
        assert "Approved" in said(stranger)
        click(stranger, "Take it back")
        expect(button(stranger, "Approve")).to_have_count(0)  # it was spent
        stranger.get_by_role("link", name="Sign in afresh to approve").click()
        office.sign_in_there(stranger, "lead-1")
        click(stranger, "Approve")
        assert "Approved" in said(stranger)

        expect(button(other, "Approve")).to_have_count(0)
        assert office.state_of(helds[1]) == "HELD"


def test_somebody_elses_fresh_sign_in_confirms_nothing(
    visitor: Visitor, stranger: Page, office: Office
) -> None:
    visitor.expect("403")
    with office.session() as agent:
        held = agent.refund(HIGH_MINOR)
        office.sign_in(stranger, "lead-1")
        expect(stranger).to_have_url(f"{office.base_url}/")
        open_hold(stranger, office.hold_of(held))
        stranger.get_by_role("link", name="Sign in afresh to approve").click()
        office.sign_in_there(stranger, "lead-2")
        expect(stranger.locator("main")).to_contain_text("Somebody else signed in")
        open_hold(stranger, office.hold_of(held))

        expect(button(stranger, "Approve")).to_have_count(0)
        expect(stranger.locator("header")).to_contain_text("lead-1")


def test_what_is_high_is_rejected_without_one(visitor: Visitor, office: Office) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(HIGH_MINOR)
        open_hold(page, office.hold_of(held))
        page.get_by_label("Why, for the agent").fill("Far too much.")
        click(page, "Reject")

        assert "Rejected" in said(page)
        office.let_run()
        assert office.outcome(held).state == "REJECTED"


def test_a_page_of_somebody_whose_sign_in_was_revoked_stops_being_live(
    visitor: Visitor, stranger: Page, office: Office
) -> None:
    visitor.expect("40[13]")
    office.sign_in(stranger, "lead-1")
    expect(stranger).to_have_url(f"{office.base_url}/")
    open_live(stranger, "/")
    with ended_stream(stranger):
        office.revoke_newest_sign_in()
    with office.session() as agent:
        agent.refund()
        stranger.wait_for_timeout(1_000)  # far longer than what is live takes

        expect(stranger.locator("#rows .row")).to_have_count(0)
        door = stranger.get_by_role("link", name="You are signed out: sign in")
        expect(door).to_be_visible()
        door.click()
        expect(stranger).to_have_url(re.compile("/sign-in"))
