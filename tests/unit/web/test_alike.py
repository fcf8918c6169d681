"""Alike holds on one page: what differs, what it comes to, and each decided as it was shown."""

import html
import re

from broker.core.lifecycle import HoldState
from broker.web.alike import compare
from tests.hold_views import view
from tests.pages import LEAD, site
from tests.unit.web.test_one_hold import now, refund
from tests.world import reviewer

OTHER = reviewer("other", "reviewers")


def ticked(page):
    return [html.unescape(one) for one in re.findall(r'name="one" value="([^"]+)"', page)]


def link(page):
    return html.unescape(re.search(r'href="(/together\?alike=[^"]+)"', page)[1])


def test_what_all_share_is_said_once_and_whatever_differs_of_each():
    common = {"order_id": "O-1001", "currency": "EUR"}
    compared = compare(
        [
            view({**common, "amount_minor": 100, "reason": "a"}, words=("Please.",)),
            view({**common, "amount_minor": 250}, words=("Please.",)),
        ]
    )
    assert {name: told.text for name, told in compared.shared} == {
        "order id": "O-1001",
        "currency": "EUR",
        "the user's words": "Please.",
    }
    assert compared.names == ("amount", "reason")
    assert [told and told.text for told in compared.ones[0].differing] == ["EUR 1.00", "a"]
    assert [told and told.text for told in compared.ones[1].differing] == ["EUR 2.50", None]
    assert compared.sums == ("EUR 3.50",)


async def test_alike_holds_are_approved_together_and_one_that_has_moved_is_left(tmp_path):
    async with site(tmp_path, take_back_s=10.0) as s:
        holds = [await refund(s) for _ in range(3)]
        async with await s.signed_in() as browser:
            page = (await browser.get(link((await browser.get("/")).text))).text
            assert "EUR 165.00" in page
            assert len(ticked(page)) == 3
            await s.parts.handling.take(OTHER, holds[1].name)
            answer = await browser.post("/together/approve", data={"one": ticked(page)})
            assert "2 of 3 decided" in answer.text
            assert "Left as it is." in answer.text
        states = [(await now(s, one)).state for one in holds]
        assert states == [HoldState.APPROVED, HoldState.PENDING, HoldState.APPROVED]


async def test_alike_holds_are_rejected_each_with_the_reason(tmp_path):
    async with site(tmp_path) as s:
        holds = [await refund(s) for _ in range(2)]
        async with await s.signed_in() as browser:
            page = (await browser.get(link((await browser.get("/")).text))).text
            sent = {"one": ticked(page), "reason": ""}
            without = await browser.post("/together/reject", data=sent)
            assert "0 of 2 decided" in without.text
            done = await browser.post("/together/reject", data={**sent, "reason": "Nobody asked."})
            assert "2 of 2 decided" in done.text
        for one in holds:
            assert (await now(s, one)).state is HoldState.REJECTED


async def test_what_the_page_did_not_show_is_not_decided(tmp_path):
    async with site(tmp_path) as s:
        holds = [await refund(s) for _ in range(2)]
        async with await s.signed_in() as browser:
            shown = ticked((await browser.get(link((await browser.get("/")).text))).text)
            for sent in (
                [],
                shown[:1],
                [shown[0], shown[0]],
                ["x", "y"],
                [one.replace("sha256:", "sha256:0") for one in shown],
                [re.sub(r" \d+ ", " 9 ", one) for one in shown],
                [re.sub(r" sha256:.*", " ", one) for one in shown],
            ):
                await browser.post("/together/approve", data={"one": sent})
                for one in holds:
                    assert await now(s, one) == one


async def test_enter_in_the_reason_does_not_approve(tmp_path):
    async with site(tmp_path) as s:
        for _ in range(2):
            await refund(s)
        async with await s.signed_in() as browser:
            page = (await browser.get(link((await browser.get("/")).text))).text
        assert re.findall(r'formaction="/together/(\w+)"', page)[0] == "reject"
        assert LEAD.name in page
