"""Another page in the reviewer's browser: it sends, frames, loads and names what is not its own."""

import itertools

import pytest

from broker.core.credentials import CredentialClass
from broker.identity import new_token
from tests.attacks.web.walking import requests_of
from tests.pages import LINK, ORIGIN, site

FORGED = [
    {"sec-fetch-site": "cross-site", "origin": "https://evil.test"},
    {"sec-fetch-site": "same-site", "origin": "http://evil.review.test"},
    {"sec-fetch-site": "none", "origin": ORIGIN},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
    {"sec-fetch-site": "same-origin", "origin": "https://evil.test"},
    {"sec-fetch-site": "same-origin", "origin": "null"},
    {"sec-fetch-site": "", "origin": ORIGIN},
    {"origin": "null"},
    {"origin": "https://review.test"},
    {"origin": "http://review.test:80"},
    {"origin": "http://review.test.evil.test"},
    {"origin": ""},
    {},
]


def bare(browser):
    """The same browser, of which nothing says where it is."""
    for name in ("origin", "sec-fetch-site"):
        browser.headers.pop(name, None)
    return browser


@pytest.mark.parametrize("headers", FORGED, ids=str)
async def test_a_form_of_another_page_does_nothing(tmp_path, headers):
    """My page posts an approval, with the right etag and digest, from the lead's browser."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        sent = {"etag": "1", "call_digest": waiting.call_digest, "reason": "x"}
        bare(browser)
        for act in ("approve", "reject", "take", "second"):
            answer = await browser.post(f"/{waiting.name}/{act}", data=sent, headers=headers)
            assert answer.status_code == 403
        assert (await browser.post("/sign-out", headers=headers)).status_code == 403
        assert (await browser.post(f"/sign-in/{LINK}", headers=headers)).status_code == 403
        assert (await s.world.store.find_hold(waiting.name))[0] == waiting
        assert len(await s.world.store.list_sign_ins()) == 1


async def test_an_old_browser_that_says_its_origin_alone_may_act(tmp_path):
    """Nobody attacks: not every browser sends fetch metadata."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        sent = {"etag": "1", "call_digest": waiting.call_digest}
        bare(browser)
        answer = await browser.post(
            f"/{waiting.name}/approve", data=sent, headers={"origin": ORIGIN}
        )
        assert answer.status_code == 303


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_nothing_but_a_form_does_anything(tmp_path, method):
    """I put what a form would send into a link, an image's address or another method."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        before = await s.world.store.counts()
        sent = {"etag": "1", "call_digest": waiting.call_digest, "reason": "x"}
        for _, path, _ in requests_of(s, waiting):
            if path.startswith("/live"):
                continue
            answer = await browser.request(method, path, params={**sent, "_method": "POST"})
            assert answer.status_code < 500
        assert (await s.world.store.find_hold(waiting.name))[0] == waiting
        assert await s.world.store.counts() == before
        assert len(await s.world.store.list_sign_ins()) == 1
        assert s.parts.local.digest


async def test_no_page_is_framed_kept_or_run_by_another(tmp_path):
    """I frame the page under mine, have a proxy keep it, and put a script into it."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        seen = [
            await browser.request(method, path)
            for method, path, _ in requests_of(s, waiting)
            if not path.startswith("/live")
        ]
        seen += [
            await browser.get("/no-such-page"),
            await browser.get("/", headers={"host": "evil.test"}),
            await browser.post("/sign-out", headers={"origin": "https://evil.test"}),
            await browser.post(f"/{waiting.name}/approve", content=b"x" * 70_000),
            await browser.get(f"/{waiting.name}", headers={"authorization": "Basic eDp5"}),
        ]
        assert {one.status_code for one in seen} >= {200, 303, 401, 403, 404} - {401}
        for answer in seen:
            policy = dict(
                part.strip().partition(" ")[::2]
                for part in answer.headers["content-security-policy"].split(";")
            )
            assert policy["default-src"] == "'none'"
            assert policy["frame-ancestors"] == "'none'"
            assert policy["base-uri"] == "'none'"
            assert policy["form-action"] == policy["script-src"] == "'self'"
            assert policy["style-src"] == policy["connect-src"] == "'self'"
            assert answer.headers["x-frame-options"] == "DENY"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert answer.headers["referrer-policy"] in {"same-origin", "no-referrer"}
            assert "server" not in answer.headers
            assert "access-control-allow-origin" not in answer.headers


async def test_a_page_that_fails_is_sealed_as_well(tmp_path):
    """I make a page fail, as what is said then may come without any of that."""

    async def fails(*_):
        raise RuntimeError("<script>alert(1)</script>")

    async with site(tmp_path) as s, await s.signed_in() as browser:
        s.parts.views.queue = fails
        answer = await browser.get("/")
        assert answer.status_code == 500
        assert "alert" not in answer.text
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
        {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "embed"},
        {"sec-fetch-site": "cross-site"},
    ],
    ids=str,
)
async def test_no_page_is_loaded_into_another(tmp_path, headers):
    """I load the queue as an image, script or frame, and learn from how long it takes."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        for path in ("/", f"/{waiting.name}", "/live", "/sign-in"):
            assert (await browser.get(path, headers=headers)).status_code == 403


async def test_a_link_in_a_mail_opens_a_page(tmp_path):
    """Nobody attacks: somebody follows a link to a hold."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        bare(browser)
        followed = {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        }
        assert (await browser.get(f"/{waiting.name}", headers=followed)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "review.test.evil.test",
        "review.test:8080",
        "127.0.0.1",
        "localhost",
        "review.test@evil.test",
        "review.test,evil.test",
        "",
    ],
)
async def test_a_name_that_leads_here_for_an_attack_is_no_name_of_ours(tmp_path, host):
    """My page's name resolves to your loopback address by now, and so its scripts read yours."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        for path in ("/", "/sign-in", f"/sign-in/{LINK}", "/static/style.css"):
            answer = await browser.get(path, headers={"host": host})
            assert answer.status_code == 403
        forged = {"host": host, "origin": f"http://{host}"}
        assert (await browser.post("/sign-out", headers=forged)).status_code == 403


async def test_headers_of_a_proxy_say_nothing(tmp_path):
    """I say in X-Forwarded-* and Forwarded that I am the page's name, or somebody at it."""
    async with site(tmp_path) as s, s.browser() as browser:
        forged = {
            "host": "evil.test",
            "x-forwarded-host": "review.test",
            "x-forwarded-for": "127.0.0.1",
            "forwarded": "host=review.test;for=127.0.0.1",
            "x-original-url": "/",
            "x-http-method-override": "GET",
            "remote-user": "lead",
            "x-remote-user": "lead",
        }
        assert (await browser.get("/", headers=forged)).status_code == 403
        del forged["host"]
        assert (await browser.get("/", headers=forged)).headers["location"] == "/sign-in"


async def test_two_cookies_of_our_name_are_none(tmp_path):
    """From a page on another port of the machine I set a second cookie of the same name."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        mine = "A" * 43
        theirs = browser.cookies["callbroker"]
        browser.cookies.clear()
        pairs = [f"callbroker={theirs}", f"callbroker={mine}"]
        for order in itertools.permutations(pairs):
            answer = await browser.get("/", headers={"cookie": "; ".join(order)})
            assert answer.headers["location"] == "/sign-in"
            split = [("cookie", one) for one in order]
            answer = await browser.get("/", headers=split)
            assert answer.headers["location"] == "/sign-in"
        alone = await browser.get("/", headers={"cookie": f"a=b; callbroker={theirs};c"})
        assert alone.status_code == 200


async def test_a_cookie_is_ours_alone(tmp_path):
    """I read the cookie by a script, on a sister domain or over plain HTTP."""
    async with site(tmp_path) as s, s.browser() as browser:
        answer = await browser.post(f"/sign-in/{LINK}")
        kept = answer.headers["set-cookie"].lower()
        assert "httponly" in kept
        assert "samesite=lax" in kept
        assert "path=/" in kept
        assert "domain" not in kept


@pytest.mark.parametrize("credential_class", list(CredentialClass))
async def test_a_token_of_the_broker_opens_no_page_whatever_it_is_put_into(
    tmp_path, credential_class
):
    """I have an agent's, worker's, host's, operator's, auditor's or reviewer's token."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        token = new_token(credential_class)
        signed_in = f"callbroker={browser.cookies['callbroker']}"
        browser.cookies.clear()
        for method, path, _ in requests_of(s, waiting):
            for placed in (
                {"headers": {"authorization": f"Bearer {token}", "cookie": signed_in}},
                {"headers": {"authorization": token}},
                {"headers": {"cookie": f"callbroker={token}"}},
                {"headers": {"cookie": f"{signed_in}; token={token}"}},
                {"headers": {"cookie": signed_in}, "params": {"access_token": token}},
            ):
                answer = await browser.request(method, path, **placed)
                assert answer.status_code == 403, (method, path, placed)
            if method == "POST" and not path.startswith("/sign-"):
                sent = {"token": token, "etag": "1", "call_digest": waiting.call_digest}
                assert (await browser.post(path, data=sent)).status_code == 401
        assert (await s.world.store.find_hold(waiting.name))[0] == waiting
