"""What somebody sees who starts the desk: a page's address, holds, and an agent that goes on."""

import queue
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Page, Request, StorageState, expect

from examples.support_desk.records import Records
from tests.browser.desk import Desk, desk_in
from tests.browser.visiting import Visitor
from tests.browser.walking import click
from tests.desk_process import desk_process

RELEASED_S = 60.0


@dataclass(kw_only=True)
class Show:
    """The desk as it runs in a terminal: `lines` is what it says from now on."""

    desk: Desk
    state: StorageState
    lines: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def says(self, pattern: str) -> str:
        """The next line in which this is."""
        end = time.monotonic() + RELEASED_S
        while (left := end - time.monotonic()) > 0:
            line = self.lines.get(timeout=left)
            if re.search(pattern, line):
                return line
        raise AssertionError(pattern)


@pytest.fixture(scope="module")
def show(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    state = tmp_path_factory.mktemp("desk") / "desk"
    with desk_process(state) as (process, told):
        desk = desk_in(told, state)
        visiting = Visitor(browser)
        running = Show(desk=desk, state=desk.sign_in(visiting))
        assert process.stdout is not None
        lines = process.stdout

        def read() -> None:
            for line in lines:
                running.lines.put(line)

        reading = threading.Thread(target=read, daemon=True)
        reading.start()
        yield running
        process.terminate()
        reading.join(timeout=RELEASED_S)


def test_the_desk_says_where_its_page_is_and_what_waits(show: Show) -> None:
    assert re.search(r"^Review +http://127\.0\.0\.1:\d+/sign-in/\S+", show.desk.said, re.MULTILINE)
    found = re.search(r"(\d+) wait for a person", show.desk.said)
    assert found is not None
    assert int(found[1]) >= 3


def test_somebody_new_decides_rightly_on_all_of_it_and_opens_no_page_twice(
    visitor: Visitor, show: Show
) -> None:
    """Five holds, of which one is what the customer asked for.

    The newcomer reads the user's words, what the call reaches and where that comes from, and says
    yes only where the words have it and no stranger does. Each hold is opened once: what it takes
    is on its page, and the next one opens by itself.
    """
    opened: list[str] = []
    visitor.base_url = show.desk.base_url
    with visitor.page(state=show.state) as page:
        page.on("request", lambda request: _note(request, opened))
        page.goto("/")
        waiting = page.locator("#rows .row").count()
        page.locator("#rows .row a").first.click()
        decided: dict[str, bool] = {}
        for _ in range(waiting):
            heading = page.get_by_role("heading", level=1).inner_text()
            decided[heading] = is_asked_for = _is_what_the_user_asked_for(page)
            if is_asked_for:
                click(page, "Approve")
            else:
                page.get_by_label("Why, for the agent").fill("The user did not ask for this.")
                click(page, "Reject")
            page.wait_for_url(re.compile(r"\?after="))
        expect(page.get_by_role("heading", level=1)).to_contain_text("0 wait")

    assert waiting == len(decided) == 5
    assert [what for what, yes in decided.items() if yes] == [
        "Refund EUR 55.00 of order O-1001 to card ending 0017"
    ]
    assert len(opened) == len(set(opened)) == waiting
    released = show.says("O-1001")
    assert "refund" in released
    shop = Records(path=show.desk.state / "shop.db")
    paid = shop.rows("SELECT amount_minor FROM refunds WHERE order_id = 'O-1001'")
    assert sorted(int(row["amount_minor"]) for row in paid) == [5500, 6000]


def _note(request: Request, opened: list[str]) -> None:
    found = re.search(r"/holds/[0-9a-f-]{36}(?:\?|$)", request.url)
    if request.is_navigation_request() and request.method == "GET" and found:
        opened.append(found[0].rstrip("?"))


def _is_what_the_user_asked_for(page: Page) -> bool:
    """What a page says to somebody who has read docs/approve.md and nothing else."""
    words = page.locator(".story div", has=page.locator("dt", has_text="words")).first.inner_text()
    reached = page.locator("table.asked tr", has=page.locator(".tag.target"))
    targets = [one.strip(" ┊") for one in reached.locator("td.asked").all_inner_texts()]
    has_strangers = reached.get_by_text("UNTRUSTED").count() > 0
    return not has_strangers and all(target in words for target in targets)
