"""One hold on its page: what may be done there, by whom, and what is said when it is not done."""

import dataclasses
import re

import pytest

from broker.core.lifecycle import HoldState
from broker.core.retention import EraseCalls
from broker.core.unit import EndSession
from tests import store_values as v
from tests.fakes.decision_point import TERMS, hold, opinion
from tests.pages import fields, site
from tests.world import REFUND, reviewer

OTHER = reviewer("other", "reviewers")
STRANGER = reviewer("stranger", "elsewhere")
NARROWABLE = {
    **REFUND,
    "arguments": {
        **REFUND["arguments"],
        "properties": {
            **REFUND["arguments"]["properties"],
            "reason": {"type": "string", "maxLength": 2_000},
        },
    },
    "targets": ["/order_id"],
    "review": {**REFUND["review"], "narrowing": {"/amount_minor": "smaller"}},
}


async def refund(s, reason="", terms=TERMS, **given):
    """A refund that waits, with a reason of the agent's own."""
    await s.world.put_tool(NARROWABLE)
    s.world.policy.answer = opinion(hold("LARGE", terms))
    arguments = f'{{"order_id":"O-1001","amount_minor":5500,"currency":"EUR","reason":"{reason}"}}'
    s.world.requests += 1
    held = await s.world.enforcer.invoke(
        await s.world.caller(**given),
        request_id=f"x{s.world.requests}",
        tool="refund",
        arguments_json=arguments.encode(),
    )
    found = await s.world.store.find_hold(held.hold)
    return found[0]


async def now(s, one):
    found = await s.world.store.find_hold(one.name)
    return found[0]


def acts(page):
    """What the page's forms would do."""
    return set(re.findall(r'action="/holds/[^/"]+/([a-z-]+)"', page))


async def test_the_next_hold_opens_after_a_decision_and_says_what_came_of_the_last(tmp_path):
    async with site(tmp_path, take_back_s=10.0) as s:
        first, second = await refund(s), await refund(s)
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{first.name}")).text
            assert "1 of 2" in page
            done = await browser.post(f"/{first.name}/approve", data=fields(page))
            after = first.name.removeprefix("holds/")
            assert done.headers["location"] == f"/{second.name}?after={after}"
            following = (await browser.get(done.headers["location"])).text
            assert "Approved." in following
            assert f'action="/{first.name}/take-back"' in following
            etag = re.search(rf'{first.name}/take-back">\s*<input[^>]*value="(\d+)"', following)[1]
            back = await browser.post(f"/{first.name}/take-back", data={"etag": etag})
            assert back.headers["location"] == f"/{first.name}"
        assert (await now(s, first)).state is HoldState.PENDING


async def test_after_the_last_one_the_queue_opens(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            sent = {"etag": "1", "reason": "Nobody asked for it."}
            done = await browser.post(f"/{one.name}/reject", data=sent)
            assert done.headers["location"] == f"/?after={one.name.removeprefix('holds/')}"
            assert (
                "Rejected; the agent is told why."
                in (await browser.get(done.headers["location"])).text
            )
        assert (await now(s, one)).state is HoldState.REJECTED


async def test_what_changed_meanwhile_decides_nothing_and_is_shown_as_it_is_now(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            stale = fields((await browser.get(f"/{one.name}")).text)
            await s.parts.handling.take(OTHER, one.name)
            answer = await browser.post(f"/{one.name}/approve", data=stale)
            assert answer.status_code == 409
            assert "Nothing was done." in answer.text
            assert "other is looking at this" in answer.text
            assert acts(answer.text) == {"reject"}
            moved = await browser.get(f"/{one.name}/moved?etag=1")
            assert "other has taken it" in moved.text
            same = await browser.get(f"/{one.name}/moved?etag={(await now(s, one)).etag}")
            assert (same.status_code, same.text) == (204, "")
        assert (await now(s, one)).state is HoldState.PENDING


async def test_who_may_not_decide_is_told_why_and_offered_nothing(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in(STRANGER) as browser:
            page = (await browser.get(f"/{one.name}")).text
            assert "You cannot decide on this." in page
            assert acts(page) == set()


async def test_a_long_value_is_opened_before_an_approval_also_by_who_writes_the_form_oneself(
    tmp_path,
):
    async with site(tmp_path) as s:
        one = await refund(s, reason="long " * 100)
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{one.name}")).text
            assert "(500 characters)" in page
            (key,) = re.findall(r'name="opened" value="([^"]+)" form="approve" required', page)
            for opened in ([], ["v0"], [f"{key}x"]):
                answer = await browser.post(
                    f"/{one.name}/approve", data={**fields(page), "opened": opened}
                )
                assert answer.status_code == 409
                assert "Open what is cut" in answer.text
            sent = {**fields(page), "opened": [key]}
            assert (await browser.post(f"/{one.name}/approve", data=sent)).status_code == 303
        assert (await now(s, one)).state is HoldState.CLAIMED


async def test_less_is_approved_by_amounts_as_they_are_shown(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{one.name}")).text
            assert 'name="less0" inputmode="decimal" value="55.00"' in page
            done = await browser.post(f"/{one.name}/narrow", data={"etag": "1", "less0": "40"})
            assert done.status_code == 303
            less = (await browser.get(done.headers["location"])).text
            assert "EUR 40.00" in less
            assert "<del>" in less
            assert "EUR 55.00" in less
            assert "NARROWED" in less
        assert (await now(s, one)).state is not HoldState.PENDING


@pytest.mark.parametrize("typed", ["56", "55", "-1", "40.001", "4e1", "", "40,00", "x", "1" * 30])
async def test_what_is_not_less_changes_nothing(tmp_path, typed):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            sent = {"etag": "1", "less0": typed}
            answer = await browser.post(f"/{one.name}/narrow", data=sent)
            assert answer.status_code in {400, 409}
            assert "Nothing was done." in answer.text
        assert await now(s, one) == one


async def test_a_hold_that_is_high_leads_to_a_fresh_sign_in(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s, terms=dataclasses.replace(TERMS, step_up=True))
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{one.name}")).text
            assert f'href="/{one.name}/step-up"' in page
            assert "approve" not in acts(page)
            answer = await browser.post(
                f"/{one.name}/approve", data={"etag": "1", "call_digest": one.call_digest}
            )
            assert answer.status_code == 403
        assert (await now(s, one)).state is HoldState.PENDING


async def test_a_second_reviewer_is_asked_for_and_the_first_yes_waits_for_the_next(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            assert (
                await browser.post(f"/{one.name}/second", data={"etag": "1"})
            ).status_code == 303
            page = (await browser.get(f"/{one.name}")).text
            assert "SECOND_REVIEW" in page
            await browser.post(f"/{one.name}/approve", data=fields(page))
            page = (await browser.get(f"/{one.name}")).text
            assert "Your yes counts; another reviewer is needed." in page
            assert acts(page) == {"take-back"}


async def test_take_and_give_back(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            await browser.post(f"/{one.name}/take")
            page = (await browser.get(f"/{one.name}")).text
            assert "taken by you until" in page
            assert "give-back" in acts(page)
            assert "take" not in acts(page)
            await browser.post(f"/{one.name}/give-back")
            assert "take" in acts((await browser.get(f"/{one.name}")).text)


async def test_approve_never_has_the_focus_and_no_form_is_sent_by_getting_a_page(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s)
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{one.name}")).text
            assert "autofocus" not in page
            for name in acts(page):
                assert (await browser.get(f"/{one.name}/{name}")).status_code in {404, 405}
        assert await now(s, one) == one


async def test_nothing_of_an_agents_becomes_markup(tmp_path):
    async with site(tmp_path) as s:
        hostile = "<script>alert(1)</script>"
        one = await refund(s, reason=hostile, words=(hostile,))
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{one.name}")).text
        assert hostile not in page
        assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 2


async def test_what_the_agent_did_before_is_told_with_what_was_untrusted_in_it(tmp_path):
    async with site(tmp_path) as s:
        caller = await s.world.caller()
        s.world.policy.answer = opinion(hold("LARGE"))
        await s.world.refund(caller)
        held = await s.world.refund(caller)
        async with await s.signed_in() as browser:
            page = (await browser.get(f"/{held.hold}")).text
        assert "HOLD" in page
        assert "Nothing: this is" not in page


async def test_a_hold_that_is_erased_says_since_when_and_by_whom(tmp_path):
    async with site(tmp_path) as s:
        one = await refund(s, reason="Something private.")
        async with await s.signed_in() as browser:
            waits = (await browser.get(f"/{one.name}")).text
            assert "Something private." in waits
            assert "erased" not in waits
            await s.world.reviews.reject(OTHER, one.name, etag=one.etag, reason="N")
            session = await s.world.store.find_session(one.session)
            await s.world.store.commit(
                v.unit(
                    EndSession(name=session.name, state="CLOSED"),
                    EraseCalls(
                        session=session.name,
                        invocations=(one.invocation,),
                        at=1_800_086_400.0,
                        by="operator-7",
                    ),
                )
            )
            page = (await browser.get(f"/{one.name}")).text
            history = (await browser.get("/history")).text
        told = " ".join(re.sub(r"<[^>]*>", "", history).split())
        assert "Erased 2027-01-16 08:00Z by operator-7" in told
        assert "Something private." not in page
        shown = " ".join(re.sub(r"<[^>]*>", "", page).split())
        assert "was erased on 2027-01-16 08:00Z by operator-7." in shown
        assert "What was asked is erased." in shown
        assert "None were told." not in shown
        assert "It takes no arguments." not in shown
        assert "<title>refund" in page
