"""Pages over a real broker's parts, and a real provider in a process of its own: in, out, and lies.

The provider signs what it says; a test has it say something else. Journeys in a browser are in
tests/browser.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from broker.app import system_clock
from broker.core.calls import Person
from broker.core.lifecycle import HoldState
from broker.web.oidc import Provider
from broker.web.providers import Terms
from tests.attacks.web.signing import HIGH
from tests.browser.oidc_provider import PASSWORD, OidcProvider, serving_oidc
from tests.fakes.decision_point import hold, opinion
from tests.pages import ORIGIN, fields, site


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with serving_oidc() as served:
        served.put_client(f"{ORIGIN}/sign-in/return")
        served.put_user("lead-1", groups=["refund-desk"])
        served.put_user("lead-2", groups=["refund-desk"])
        served.put_user("clerk-1", groups=["lunch"])
        yield served


def asked(provider: OidcProvider, **given: Any) -> Provider:
    terms = {
        "issuer": provider.issuer,
        "client_id": provider.client_id,
        "client_secret": provider.client_secret,
        "groups": {"refund-desk": ("reviewers",)},
    }
    return Provider(Terms(**{**terms, **given}), clock=system_clock)


def at_provider(door: str, user: str) -> str:
    """Somebody's visit there, from the door until they are sent back."""
    with httpx2.Client(trust_env=False, timeout=20) as there:
        answer = there.get(door)
        for _ in range(8):
            where = answer.headers.get("location", "")
            if where.startswith(ORIGIN):
                return where
            if where:
                answer = there.get(urljoin(str(answer.url), where))
                continue
            form = dict(
                re.findall(r'name="(csrfmiddlewaretoken|next)" value="([^"]*)"', answer.text)
            )
            form["next"] = form["next"].replace("&amp;", "&")
            sent = {**form, "username": user, "password": PASSWORD}
            answer = there.post(str(answer.url), data=sent, headers={"referer": str(answer.url)})
    raise AssertionError(f"the provider sent nobody back: {answer.status_code}")


async def sign_in(browser: httpx2.AsyncClient, user: str, begin: str = "/sign-in/begin"):
    door = (await browser.get(begin)).headers["location"]
    page = await browser.get(at_provider(door, user))
    return await browser.post("/sign-in/return", data=fields(page.text))


async def test_a_person_of_the_provider_signs_in_and_steps_up(tmp_path, provider):
    async with site(tmp_path, provider=asked(provider)) as s, s.browser() as browser:
        s.world.clock.now = system_clock()
        assert (await sign_in(browser, "lead-1")).headers["location"] == "/"
        (one,) = await s.world.store.list_sign_ins()
        assert one.reviewer.person == Person(issuer=provider.issuer, subject="lead-1")
        assert (one.reviewer.name, one.reviewer.groups) == ("lead-1", ("reviewers",))
        s.world.policy.answer = opinion(hold("LARGE", HIGH))
        held = await s.world.refund(await s.world.caller())
        waiting, _ = await s.world.store.find_hold(held.hold)
        sent = {"etag": "1", "call_digest": waiting.call_digest}
        assert (await browser.post(f"/{waiting.name}/approve", data=sent)).status_code == 403
        begin = f"/{waiting.name}/step-up"
        assert (await sign_in(browser, "lead-2", begin)).status_code == 403
        assert (await sign_in(browser, "lead-1", begin)).status_code == 303
        assert (await browser.post(f"/{waiting.name}/approve", data=sent)).status_code == 303
        after, _ = await s.world.store.find_hold(waiting.name)
        assert after.state is HoldState.CLAIMED


async def test_a_person_in_no_group_of_ours_stays_outside(tmp_path, provider):
    async with site(tmp_path, provider=asked(provider)) as s, s.browser() as browser:
        answer = await sign_in(browser, "clerk-1")
        assert (answer.status_code, "in no group" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "https://login.example.com"},
        {"exp": 1},
        {"sub": ""},
        {"iat": 9_999_999_999},
    ],
    ids=str,
)
async def test_what_the_provider_signs_for_something_else_lets_nobody_in(tmp_path, provider, lie):
    async with site(tmp_path, provider=asked(provider)) as s, s.browser() as browser:
        with provider.lying(lie):
            assert (await sign_in(browser, "lead-1")).status_code == 403
        assert await s.world.store.list_sign_ins() == []


@pytest.mark.parametrize("secret", ["a wrong one", ""])
async def test_a_broker_that_is_not_the_client_gets_nobody(tmp_path, provider, secret):
    mistaken = asked(provider, client_secret=secret)
    async with site(tmp_path, provider=mistaken) as s, s.browser() as browser:
        assert (await sign_in(browser, "lead-1")).status_code == 403
        assert await s.world.store.list_sign_ins() == []


async def test_a_provider_that_is_away_is_said_to_be(tmp_path, provider):
    gone = asked(provider, issuer="http://127.0.0.1:9/o")
    async with site(tmp_path, provider=gone) as s, s.browser() as browser:
        answer = await browser.get("/sign-in/begin")
        assert (answer.status_code, "cannot be reached" in answer.text) == (503, True)
        assert (await browser.get("/sign-in")).status_code == 200
