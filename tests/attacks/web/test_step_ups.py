"""Approving what policy marks high without having shown, just now and for this, who one is."""

import asyncio

import pytest

from broker.core.lifecycle import HoldState
from tests.attacks.web.signing import COOKIE, Desk, desk
from tests.fakes.oidc import ISSUER
from tests.pages import Site, fields
from tests.world import NOW, reviewer


async def step_up(d: Desk, browser, hold, user: str = "lead", **told):
    back = d.provider.visit(await d.go(browser, f"/{hold.name}/step-up"), user, **told)
    return await d.come_back(browser, back)


async def approve(browser, hold, **changed):
    sent = {"etag": str(hold.etag), "call_digest": hold.call_digest, **changed}
    return await browser.post(f"/{hold.name}/approve", data=sent)


async def state(s: Site, hold) -> HoldState:
    return (await s.world.store.find_hold(hold.name))[0].state


async def test_a_fresh_sign_in_is_asked_for_and_lets_one_approve_once(tmp_path):
    """I approve without one; then with one that was used; then nobody attacks."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        first, second = await d.high(), await d.high(amount_minor=2_000)
        assert (await approve(browser, first)).status_code == 403
        door = await d.go(browser, f"/{first.name}/step-up")
        assert "prompt=login" in door
        assert "max_age=0" in door
        assert (await step_up(d, browser, first)).headers["location"] == f"/{first.name}"
        assert (await approve(browser, second)).status_code == 403
        assert (await approve(browser, first)).status_code == 303
        assert (await approve(browser, first)).status_code in {403, 409}
        assert await state(d.site, first) is HoldState.CLAIMED
        assert await state(d.site, second) is HoldState.PENDING


async def test_a_step_up_of_one_hold_does_not_serve_another(tmp_path):
    """I have a lead step up for a lamp, and approve the house with it."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        lamp, house = await d.high(), await d.high(amount_minor=6_000)
        twin = await d.high()
        assert (twin.etag, twin.call_digest) == (lamp.etag, lamp.call_digest)
        await step_up(d, browser, lamp)
        assert (await approve(browser, house)).status_code == 403
        assert (await approve(browser, twin)).status_code == 403
        changed = await approve(browser, house, call_digest=lamp.call_digest)
        assert changed.status_code == 409
        assert await state(d.site, house) is HoldState.PENDING


async def test_a_step_up_is_void_once_the_hold_has_changed(tmp_path):
    """I change the hold after the lead has stepped up for what was shown."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        await step_up(d, browser, hold)
        await browser.post(f"/{hold.name}/take")
        taken, _ = await d.site.world.store.find_hold(hold.name)
        assert taken.etag > hold.etag
        assert (await approve(browser, hold)).status_code == 409
        assert (await approve(browser, taken)).status_code == 403
        assert await state(d.site, hold) is HoldState.PENDING


async def test_a_hold_that_changed_while_one_was_away_is_looked_at_again(tmp_path):
    """I change the hold while the lead types a password."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        door = await d.go(browser, f"/{hold.name}/step-up")
        await browser.post(f"/{hold.name}/take")
        answer = await d.come_back(browser, d.provider.visit(door))
        assert answer.status_code == 409
        taken, _ = await d.site.world.store.find_hold(hold.name)
        assert (await approve(browser, taken)).status_code == 403


@pytest.mark.parametrize(
    "claims",
    [
        {"auth_time": NOW - 61},
        {"auth_time": NOW - 3600},
        {"auth_time": NOW + 3600},
        {"auth_time": None},
        {"auth_time": "now"},
        {"auth_time": True},
    ],
    ids=str,
)
async def test_a_sign_in_of_earlier_is_no_step_up(tmp_path, claims):
    """I sit down at a desk whose owner is away and signed in at the provider."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        d.provider.claims = claims
        assert (await step_up(d, browser, hold)).status_code == 403
        assert (await approve(browser, hold)).status_code == 403
        assert await state(d.site, hold) is HoldState.PENDING


async def test_somebody_else_does_not_step_up_in_their_place(tmp_path):
    """I sit at somebody's open page and step up as myself, who am a reviewer too."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        answer = await step_up(d, browser, hold, "another-lead")
        assert (answer.status_code, "Somebody else" in answer.text) == (403, True)
        assert (await approve(browser, hold)).status_code == 403


async def test_a_step_up_belongs_to_the_sign_in_that_asked(tmp_path):
    """I begin a step-up, let the lead end it in their browser or in a later sign-in, and use it."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        door = await d.go(browser, f"/{hold.name}/step-up")
        async with d.signed_in() as theirs:
            assert (await d.come_back(theirs, d.provider.visit(door))).status_code == 401
        door = await d.go(browser, f"/{hold.name}/step-up")
        await d.sign_in(browser)
        assert (await d.come_back(browser, d.provider.visit(door))).status_code == 403
        assert (await approve(browser, hold)).status_code == 403


async def test_a_step_up_that_is_replayed_or_late_is_none(tmp_path):
    """I send the way back of a step-up that was used once more, or use one after its time."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        back = d.provider.visit(await d.go(browser, f"/{hold.name}/step-up"))
        assert (await d.come_back(browser, back)).status_code == 303
        d.site.world.clock.advance(121)
        assert (await approve(browser, hold)).status_code == 403
        assert (await d.come_back(browser, back)).status_code == 401
        assert (await approve(browser, hold)).status_code == 403


async def test_a_step_up_ends_with_its_sign_in(tmp_path):
    """I step up, am signed out, and sign in again the short way."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        await step_up(d, browser, hold)
        await browser.post("/sign-out")
        await d.sign_in(browser)
        assert (await approve(browser, hold)).status_code == 403


async def test_who_has_lost_a_group_meanwhile_does_not_step_up(tmp_path):
    """I was taken out of the group this morning, and my sign-in of before goes on."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        assert (await step_up(d, browser, hold, groups=["other-desk"])).status_code == 403
        assert (await approve(browser, hold)).status_code == 403


async def test_two_approvals_at_once_share_no_step_up(tmp_path):
    """I press Approve twice at the same moment."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        await step_up(d, browser, hold)
        answers = await asyncio.gather(*(approve(browser, hold) for _ in range(4)))
        assert sum(one.status_code == 303 for one in answers) == 1
        _, reviews = await d.site.world.store.find_hold(hold.name)
        assert sum(one.counted for one in reviews) == 1


async def test_the_link_of_this_machine_is_no_fresh_sign_in(tmp_path):
    """I have the one-time link of `serve`, and no account at the provider."""
    async with desk(tmp_path) as d, await d.site.signed_in() as browser:
        hold = await d.high()
        answer = await browser.get(f"/{hold.name}/step-up")
        assert (answer.status_code, "web.oidc" in answer.text) == (403, True)
        assert (await approve(browser, hold)).status_code == 403


async def test_only_those_who_may_decide_are_sent_to_step_up(tmp_path):
    """I may not decide on this hold, nobody asks for a step-up, or it was decided."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        plain, hold = await d.site.waiting(), await d.high(amount_minor=2_000)
        assert (await browser.get(f"/{plain.name}/step-up")).status_code == 409
        assert (await browser.get("/holds/none/step-up")).status_code == 404
        async with d.signed_in("other", groups=["other-desk"]) as other:
            assert (await other.get(f"/{hold.name}/step-up")).status_code == 403
        page = fields((await browser.get(f"/{hold.name}")).text)
        await browser.post(
            f"/{hold.name}/reject", data={**page, "etag": str(hold.etag), "reason": "No."}
        )
        assert (await browser.get(f"/{hold.name}/step-up")).status_code == 409


async def test_no_step_up_is_taken_for_a_sign_in(tmp_path):
    """I end a step-up in a browser that is signed in no more, to be let in by it."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        hold = await d.high()
        door = await d.go(browser, f"/{hold.name}/step-up")
        await browser.post("/sign-out")
        answer = await d.come_back(browser, d.provider.visit(door))
        assert answer.status_code == 401
        assert COOKIE not in browser.cookies


async def test_the_agents_owner_steps_up_for_nothing(tmp_path):
    """I own the agent, am a reviewer too, and can sign in as fresh as you like."""
    async with desk(tmp_path) as d:
        owner = d.site.world.agent.person
        browser = await d.site.signed_in(reviewer("owner", "reviewers", person=owner.subject))
        async with browser:
            hold = await d.high()
            assert (await browser.get(f"/{hold.name}/step-up")).status_code == 403
            assert ISSUER not in (await browser.get(f"/{hold.name}/step-up")).text
