"""Every address of the pages, tried by everybody who has no business there; new ones as well."""

import dataclasses

import pytest

from broker.core.lifecycle import HoldState
from tests.attacks.web.walking import OPEN, requests_of
from tests.pages import LEAD, LINK, site
from tests.world import CUSTOMER, reviewer

SECRET = "My lamp arrived broken at 7 Elm Lane."


def form_of(hold) -> dict[str, str]:
    """Whatever any form of ours carries, as it was rendered."""
    return {
        "etag": str(hold.etag),
        "call_digest": hold.call_digest,
        "reason": "Not today.",
        "hold": f"{hold.name} {hold.etag} {hold.call_digest}",
        "less0": "1.00",
    }


async def waiting_in(s):
    held = await s.world.refund(await s.world.caller(words=(SECRET,)))
    found = await s.world.store.find_hold(held.hold)
    return found[0]


async def endings(s) -> dict[str, str]:
    """Cookies of sign-ins that are no more."""
    out = await s.parts.sign_ins.open(LEAD, how="local")
    await s.parts.sign_ins.end(await s.parts.sign_ins.find(out))
    idle = await s.parts.sign_ins.open(LEAD, how="local")
    s.world.clock.advance(1_801)
    return {"": "", "signed out": out, "idle": idle, "guessed": "A" * 43, "bytes": "\x00é"}


async def test_who_is_not_signed_in_sees_and_does_nothing_anywhere(tmp_path):
    """I have no sign-in, or one that has ended, lapsed or never was, and try every address."""
    async with site(tmp_path) as s:
        cookies = await endings(s)
        s.world.policy.answer = (await _held(s)).answer
        hold = await waiting_in(s)
        for kind, value in cookies.items():
            async with s.browser() as browser:
                header = {"cookie": f"callbroker={value}".encode()} if value else {}
                for method, path, route in requests_of(s, hold):
                    if route in OPEN:
                        continue
                    sent = {"data": form_of(hold)} if method == "POST" else {}
                    answer = await browser.request(method, path, headers=header, **sent)
                    where = f"{kind}: {method} {path}"
                    assert answer.status_code == (401 if method == "POST" else 303), where
                    assert answer.headers.get("location", "/sign-in").startswith("/sign-in"), where
                    assert "Elm Lane" not in answer.text, where
                    assert hold.summary not in answer.text, where
        assert (await s.world.store.find_hold(hold.name)) == (hold, ())


async def test_the_door_says_nothing_of_what_is_behind_it(tmp_path):
    """I read what is open to everybody."""
    async with site(tmp_path) as s, s.browser() as browser:
        s.world.policy.answer = (await _held(s)).answer
        hold = await waiting_in(s)
        for method, path, route in requests_of(s, hold):
            if route in OPEN and path != f"/sign-in/{LINK}":
                answer = await browser.request(method, path)
                for told in ("Elm Lane", hold.summary, CUSTOMER, hold.agent.id, LEAD.name):
                    assert told not in answer.text


@pytest.mark.parametrize(
    "who",
    [
        reviewer("other", "other-desk"),
        reviewer("nobody", "x"),
        reviewer("self", "reviewers", person=CUSTOMER),
        reviewer("owner", "reviewers", person="OWNER"),
    ],
    ids=["of another group", "of no group", "the principal", "the agent's owner"],
)
async def test_whoever_may_not_decide_changes_nothing_by_any_route(tmp_path, who):
    """I am signed in, and the hold is not mine to decide: I asked for it, or am of another desk."""
    async with site(tmp_path) as s:
        if who.name == "owner":
            who = dataclasses.replace(who, person=s.world.agent.person)
        s.world.policy.answer = (await _held(s)).answer
        hold, alike = await waiting_in(s), await waiting_in(s)
        async with await s.signed_in(who) as browser:
            tried = 0
            for method, path, route in requests_of(s, hold):
                if route in OPEN or method != "POST":
                    continue
                tried += 1
                forms = [
                    form_of(hold),
                    {**form_of(hold), "hold": [form_of(h)["hold"] for h in (hold, alike)]},
                ]
                for form in forms:
                    answer = await browser.post(path, data=form)
                    assert answer.status_code < 500, path
            assert tried >= 7
        for one in (hold, alike):
            assert await s.world.store.find_hold(one.name) == (one, ())


async def test_a_name_that_is_nobodys_hold_is_one_page_whatever_it_is(tmp_path):
    """I try names until one answers otherwise, and paths that climb out of where they are."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        hold = await s.waiting()
        number = hold.name.partition("/")[2]
        names = ["x", "0", number[:-1], number.upper() + "0", "%2e%2e", "..%2f..%2fetc", "%00", "é"]
        for name in names:
            for rest in ("", "/step-up"):
                assert (await browser.get(f"/holds/{name}{rest}")).status_code == 404
            for act in ("approve", "reject", "take", "second"):
                answer = await browser.post(f"/holds/{name}/{act}", data=form_of(hold))
                assert answer.status_code == 404
        for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2fpages.py"):
            assert (await browser.get(path)).status_code == 404
        assert (await s.world.store.find_hold(hold.name))[0] == hold


@pytest.mark.parametrize(
    "changed",
    [
        {"etag": "0"},
        {"etag": "2"},
        {"etag": "-1"},
        {"etag": "1.0"},
        {"etag": "\uff11"},
        {"etag": "1" * 5_000},
        {"etag": ""},
        {"etag": None},
        {"call_digest": None},
        {"call_digest": ""},
        {"call_digest": "sha256:" + "0" * 64},
        {"call_digest": "another's"},
    ],
    ids=lambda c: str(c)[:30],
)
async def test_a_forged_or_stale_approval_is_none(tmp_path, changed):
    """I send an approval of what was not shown: another's digest, an older or a guessed etag."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        hold, other = await s.waiting(), await s.waiting(amount_minor=5_000)
        wanted = {k: other.call_digest if v == "another's" else v for k, v in changed.items()}
        sent = {k: v for k, v in {**form_of(hold), **wanted}.items() if v is not None}
        answer = await browser.post(f"/{hold.name}/approve", data=sent)
        assert answer.status_code == 409
        assert await s.world.store.find_hold(hold.name) == (hold, ())


async def test_two_etags_or_digests_in_one_form_pass_nothing_through(tmp_path):
    """I send a field twice, in the hope that two readers take different ones."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        hold, other = await s.waiting(), await s.waiting(amount_minor=5_000)
        for digests in ([hold.call_digest, other.call_digest], [other.call_digest] * 2):
            sent = {**form_of(hold), "call_digest": digests}
            answer = await browser.post(f"/{hold.name}/approve", data=sent)
            assert answer.status_code == 409
        assert (await s.world.store.find_hold(hold.name))[0] == hold


async def test_an_approval_is_not_replayed_after_it_was_taken_back(tmp_path):
    """I recorded the lead's approval, which they took back, and send it again."""
    async with site(tmp_path, take_back_s=10) as s, await s.signed_in() as browser:
        hold = await s.waiting()
        assert (await browser.post(f"/{hold.name}/approve", data=form_of(hold))).status_code == 303
        approved, _ = await s.world.store.find_hold(hold.name)
        assert approved.state is HoldState.APPROVED
        again = form_of(approved)
        assert (await browser.post(f"/{hold.name}/take-back", data=again)).status_code == 303
        for replayed in (form_of(hold), again):
            answer = await browser.post(f"/{hold.name}/approve", data=replayed)
            assert answer.status_code == 409
        back, _ = await s.world.store.find_hold(hold.name)
        assert back.state is HoldState.PENDING


async def test_only_who_approved_takes_it_back(tmp_path):
    """I take a colleague's approval back in their name."""
    async with site(tmp_path, take_back_s=10) as s, await s.signed_in() as browser:
        hold = await s.waiting()
        await browser.post(f"/{hold.name}/approve", data=form_of(hold))
        approved, _ = await s.world.store.find_hold(hold.name)
        async with await s.signed_in(reviewer("other-lead", "reviewers")) as other:
            answer = await other.post(f"/{hold.name}/take-back", data=form_of(approved))
            assert answer.status_code == 409
        assert (await s.world.store.find_hold(hold.name))[0] == approved


async def _held(s):
    """A policy by which refunds wait."""
    await s.waiting(order_id="O-1002")
    return s.world.policy
