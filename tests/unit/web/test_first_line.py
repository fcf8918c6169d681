"""From the one-time link to a decision, without a script."""

from broker.core.lifecycle import HoldState
from tests.pages import LINK, fields, site


async def test_a_link_signs_in_once_and_what_waits_is_approved_as_it_was_shown(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting()
        async with s.browser() as browser:
            assert (await browser.get(f"/sign-in/{LINK}")).status_code == 200
            entered = await browser.post(f"/sign-in/{LINK}")
            assert (entered.status_code, entered.headers["location"]) == (303, "/")
            queue = await browser.get("/")
            assert f'href="/{waiting.name}"' in queue.text
            shown = await browser.get(f"/{waiting.name}")
            done = await browser.post(f"/{waiting.name}/approve", data=fields(shown.text))
            assert done.status_code == 303
        async with s.browser() as another:
            assert (await another.post(f"/sign-in/{LINK}")).status_code == 403
        after, _ = await s.world.store.find_hold(waiting.name)
        assert after.state is HoldState.CLAIMED


async def test_an_approval_of_something_else_is_no_approval(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting()
        async with await s.signed_in() as browser:
            shown = fields((await browser.get(f"/{waiting.name}")).text)
            for changed in ({"call_digest": "sha256:00"}, {"etag": "7"}, {"call_digest": ""}):
                sent = await browser.post(f"/{waiting.name}/approve", data={**shown, **changed})
                assert sent.status_code == 409
        assert (await s.world.store.find_hold(waiting.name))[0] == waiting


async def test_nobody_who_is_not_signed_in_is_shown_anything(tmp_path):
    async with site(tmp_path) as s:
        waiting = await s.waiting()
        async with s.browser() as browser:
            asked = {
                "/": "/sign-in",
                "/live": "/sign-in",
                f"/{waiting.name}": f"/sign-in?next=/{waiting.name}",
            }
            for path, door in asked.items():
                answer = await browser.get(path)
                assert (answer.status_code, answer.headers["location"]) == (303, door)
            sent = await browser.post(f"/{waiting.name}/reject", data={"reason": "x", "etag": "1"})
            assert sent.status_code == 401
