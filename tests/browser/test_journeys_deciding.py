"""What reviewers do with a hold, in a browser, against a broker with everything around it."""

import re

from playwright.sync_api import Page, expect

from broker.sdk import Refused, Succeeded, SyncHeld
from tests.browser.office import Office
from tests.browser.visiting import Visitor


def keys(page: Page, *pressed: str) -> None:
    """Press keys one after the other, once the page has been there long enough to be seen."""
    page.wait_for_function("performance.now() > 600")
    for key in pressed:
        page.keyboard.press(key)


def test_what_is_approved_runs_and_the_waiting_agent_has_its_result(
    visitor: Visitor, office: Office
) -> None:
    with office.session() as agent, office.reviewing(visitor) as page:
        held = agent.refund(5500)
        page.goto("/")
        page.get_by_role("link", name="Refund EUR 55.00").click()
        page.get_by_role("button", name=re.compile("^Approve a")).click()
        expect(page.get_by_role("status").filter(has_text="Approved")).to_be_visible()
        outcome = held.wait(timeout_s=30)

        assert isinstance(outcome, Succeeded)
        assert office.refunded(agent.customer.orders[0]) == [5500]
