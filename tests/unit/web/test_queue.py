"""What waits, as it is listed, filtered and told live."""

import asyncio
import re

import pytest

from broker.web.queue import moved
from tests.pages import LEAD, site
from tests.world import reviewer

OTHER = reviewer("other", "reviewers")


def listed(page):
    """Names of the holds of a page, in its order."""
    return re.findall(r'data-name="(holds/[^"]+)"', page)


async def test_a_row_says_what_how_much_for_whom_and_why(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting(amount_minor=5_500)
        async with await s.signed_in() as browser:
            page = (await browser.get("/")).text
        assert listed(page) == [waiting.name]
        for text in ("EUR 55.00", "customers/c-204", "agents/support-assistant", "LARGE"):
            assert text in page
        assert "<title>1 waiting · Callbroker</title>" in page


async def test_a_filter_leaves_the_rest_out_and_what_it_does_not_understand_does_not_filter(
    tmp_path,
):
    async with site(tmp_path) as s:
        small = await s.waiting(amount_minor=500)
        large = await s.waiting(amount_minor=5_500, order_id="O-1002")
        async with await s.signed_in() as browser:
            for query, found in (
                ("amount=50", [large.name]),
                ("amount=NaN&age=x", [small.name, large.name]),
                ("amount=1e999999999", []),
                ("tool=refund&age=10", []),
                ("tool=<script>", []),
                ("principal=customers/c-204&mine=1", [small.name, large.name]),
            ):
                page = await browser.get(f"/?{query}")
                assert (page.status_code, listed(page.text)) == (200, found), query
                assert "<script>" not in page.text


async def test_mine_is_what_one_may_decide_on_now(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting()
        async with await s.signed_in(OTHER) as browser:
            assert listed((await browser.get("/?mine=1")).text) == [waiting.name]
            await s.parts.handling.take(LEAD, waiting.name)
            assert listed((await browser.get("/?mine=1")).text) == []
            page = (await browser.get("/")).text
            assert "taken by lead" in page
        async with await s.signed_in(reviewer("x", "others")) as browser:
            assert listed((await browser.get("/?mine=1")).text) == []


async def test_a_row_by_itself_is_as_it_is_now_and_says_whether_the_filter_wants_it(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting(amount_minor=500)
        async with await s.signed_in() as browser:
            row = (await browser.get(f"/rows?hold={waiting.name}&amount=50")).text
            assert listed(row) == [waiting.name]
            assert 'data-shown="0"' in row
            await s.parts.reviews.reject(OTHER, waiting.name, etag=1, reason="No.")
            row = (await browser.get(f"/rows?hold={waiting.name}&hold=holds/none")).text
            assert listed(row) == [waiting.name]
            assert 'class="row gone"' in row
            assert "rejected" in row


@pytest.mark.parametrize("path", ["/", "/rows?hold=x", "/together?alike=x"])
async def test_a_hold_that_was_decided_waits_no_more(tmp_path, path):
    async with site(tmp_path) as s:
        waiting = await s.waiting()
        await s.parts.reviews.reject(OTHER, waiting.name, etag=1, reason="No.")
        async with await s.signed_in() as browser:
            assert waiting.name not in (await browser.get(path)).text


async def test_the_stream_names_a_hold_that_has_just_opened(tmp_path):
    async with site(tmp_path) as s:
        names = moved(s.parts)
        assert await anext(names) == ": open\n\n"
        waiting = await s.waiting()
        async with asyncio.timeout(5):
            assert await anext(names) == f"event: hold\ndata: {waiting.name}\n\n"
        await names.aclose()


async def test_who_comes_from_a_decision_is_told_what_came_of_it_and_nobody_else_is(tmp_path):
    async with site(tmp_path, take_back_s=10.0) as s:
        waiting = await s.waiting()
        await s.parts.reviews.approve(LEAD, waiting.name, etag=1, take_back_s=10.0)
        after = waiting.name.removeprefix("holds/")
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/?after={after}")).text
            assert "Approved." in page
            assert f'action="/{waiting.name}/take-back"' in page
            for nothing in ("", "x", "../audit", "x" * 300):
                assert 'class="flash"' not in (await browser.get(f"/?after={nothing}")).text
        async with await s.signed_in(OTHER) as browser:
            assert 'class="flash"' not in (await browser.get(f"/?after={after}")).text
