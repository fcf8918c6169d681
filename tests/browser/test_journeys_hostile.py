"""Whatever an agent, a tool or a stranger writes is text, on every page and in every browser."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.browser.office import Asking, Office
from tests.browser.visiting import Visitor
from tests.browser.walking import click, open_live

PAYLOADS: Final = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg/onload=alert(3)>',
    "'-alert(4)-'",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "javascript:alert(5)",
    "</textarea></title></style><script>alert(6)</script>",
    '<a href="/sign-out" hx-get="/sign-out" hx-trigger="load">x</a>',
    '<form action="/holds/x/approve" method="post"><button autofocus>Approve</button></form>',
    '<div hx-on:click="alert(7)" hx-sse:connect="/elsewhere">x</div>',
    "<base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
    "\u202eevorppA\u202c\u200b\u2066",
)
ELSEWHERE: Final = ("evil.example", "/elsewhere")


@pytest.fixture(scope="module")
def hostile(office: Office) -> Iterator[Asking]:
    """Calls with a payload in every field that an agent can fill, and words that are one."""
    payload = " ".join(PAYLOADS)
    with office.session(words=payload[:900]) as agent:
        # A stranger's mail with all of them, which the session has read.
        office.shop.write(
            """INSERT INTO mails (id, customer_id, sender, subject, body)
               VALUES ('m-666', :who, 'x@evil.example', :payload, :payload)""",
            who=agent.customer.name,
            payload=payload,
        )
        agent.session.invoke("read_mail", {"mail_id": "m-666"})
        agent.session.invoke("read_order", {"order_id": PAYLOADS[0], PAYLOADS[1]: PAYLOADS[2]})
        for one in PAYLOADS:
            agent.hold("send_mail", to=["a@example.net", one], subject=one, body=payload)
        for at, one in enumerate(PAYLOADS[:4]):
            agent.refund(5500 + at, reason=one)
        yield agent


@pytest.fixture
def wary(visitor: Visitor, office: Office) -> Iterator[Page]:
    """A page on which a dialog, or a request to anywhere else, fails the test."""
    happened: list[str] = []

    def opened(dialog: Dialog) -> None:
        happened.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    with office.reviewing(visitor) as page:
        page.on("dialog", opened)
        page.on(
            "request",
            lambda request: happened.extend(
                request.url for one in ELSEWHERE if one in request.url.partition("?")[0]
            ),
        )
        page.on("popup", lambda other: happened.append(f"window: {other.url}"))
        yield page
    assert happened == []


def test_no_page_runs_what_it_shows(hostile: Asking, wary: Page) -> None:
    wary.goto("/")
    expect(wary.locator("#rows .row")).to_have_count(len(PAYLOADS) + 4)
    links = wary.locator("#rows .row a")
    addresses = [str(link.get_attribute("href")) for link in links.all()]
    together = [
        str(link.get_attribute("href"))
        for link in wary.get_by_role("link", name=re.compile("together$")).all()
    ]
    more = ["/history", f"/{hostile.session.name}", "/sessions", "/agents", "/quality"]
    for address in (*addresses, *together, *more):
        wary.goto(address)
        _assert_inert(wary)
        for folded in wary.locator("main details > summary").all():
            folded.click()
        _assert_inert(wary)


def test_what_comes_in_live_is_text_too(hostile: Asking, wary: Page) -> None:
    open_live(wary, "/")
    before = wary.locator("#rows .row").count()
    late = hostile.hold(
        "send_mail", to=["late@example.net"], subject=" ".join(PAYLOADS[:7])[:190], body="A lamp."
    )
    expect(wary.locator("#rows .row")).to_have_count(before + 1)
    _assert_inert(wary)

    late.cancel()
    expect(wary.locator("#rows .row.gone")).to_have_count(1)
    _assert_inert(wary)


def test_a_reason_that_a_reviewer_types_is_text_too(
    hostile: Asking, wary: Page, office: Office
) -> None:
    held = hostile.hold("send_mail", to=["r@example.net"], subject="Plain", body="A lamp.")
    hold = office.hold_of(held)
    wary.goto(f"/{hold}")
    wary.get_by_label("Why, for the agent").fill(" ".join(PAYLOADS[:6]))
    click(wary, "Reject")
    wary.wait_for_url(re.compile("after="))
    for address in (f"/{hold}", f"/{held.name}", "/history"):
        wary.goto(address)
        _assert_inert(wary)


def test_turned_and_invisible_letters_are_shown_as_what_they_are(
    hostile: Asking, wary: Page
) -> None:
    del hostile
    wary.goto("/")
    shown = wary.locator("main").inner_text()

    assert not re.search("[\u200b\u202a-\u202e\u2066-\u2069]", shown)
    assert re.search("202e", shown, re.IGNORECASE)


def _assert_inert(page: Page) -> None:
    """Nothing of PAYLOADS has become an element, an attribute that acts, or a link."""
    found = page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((element) => [
          ...(element.matches("main script, main img, main svg, base, iframe, object, embed")
            ? [element.outerHTML] : []),
          ...[...element.attributes].filter((a) =>
            /^on/i.test(a.name) || a.name === "autofocus" || a.name === "style"
            || a.name.startsWith("hx-on") || /^\\s*javascript:/i.test(a.value)
            || (a.name.startsWith("hx-sse") && a.value !== "/live")
            || (["href", "action", "formaction", "src"].includes(a.name)
                && !/^[\\/?#]/.test(a.value) && new URL(a.value, location).origin !== origin),
          ).map((a) => `${a.name}=${a.value}`),
        ])"""
    )
    assert found == [], page.url
