"""Signing in as somebody else: forged tokens, foreign states, and sign-ins that are passed on."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt

from broker.core.calls import Person
from broker.core.control_rows import credential_row
from broker.core.credentials import CredentialClass
from tests.attacks.web.signing import COOKIE, desk
from tests.fakes.oidc import CLIENT, EC_KEY, ISSUER, KEY, OTHER_KEY
from tests.pages import ORIGIN, fields
from tests.world import NOW, credential


def encoded(part: Any) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unsigned(claims: dict[str, Any]) -> str:
    return f"{encoded({'alg': 'none'})}.{encoded(claims)}."


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    """HS256 under what everybody can fetch, in the hope that it is taken for a shared secret."""
    signed = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims)}"
    mac = hmac.digest(KEY.as_pem(private=False), signed.encode(), hashlib.sha256)
    return f"{signed}.{encoded(mac)}"


def signed_by_a_stranger(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS256", "kid": "one"}, claims, OTHER_KEY)


def with_its_own_key(claims: dict[str, Any]) -> str:
    header = {"alg": "RS256", "jwk": OTHER_KEY.as_dict(private=False)}
    return jwt.encode(header, claims, OTHER_KEY)


def altered(claims: dict[str, Any]) -> str:
    head, _, signature = jwt.encode({"alg": "RS256", "kid": "one"}, claims, KEY).split(".")
    return f"{head}.{encoded({**claims, 'sub': 'admin'})}.{signature}"


def with_another_algorithm(claims: dict[str, Any]) -> str:
    return jwt.encode({"alg": "RS512", "kid": "one"}, claims, KEY, algorithms=["RS512"])


@pytest.mark.parametrize(
    "token",
    [
        unsigned,
        signed_with_the_public_key,
        signed_by_a_stranger,
        with_its_own_key,
        altered,
        with_another_algorithm,
        lambda _: "",
        lambda _: "a.b.c",
        lambda _: "x" * 100_000,
    ],
)
async def test_a_token_that_the_provider_has_not_signed_signs_nobody_in(tmp_path, token):
    """I sit between broker and provider, or am the provider's neighbour, and write the token."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        d.provider.token = token
        answer = await d.sign_in(browser)
        assert answer.status_code == 403
        assert COOKIE not in browser.cookies
        assert await d.site.world.store.list_sign_ins() == []


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://login.test"},
        {"iss": f"{ISSUER}/"},
        {"iss": None},
        {"aud": "another client"},
        {"aud": ["another client"]},
        {"aud": [CLIENT, "another client"]},
        {"aud": [CLIENT, "another client"], "azp": "another client"},
        {"aud": "another client", "azp": CLIENT},
        {"aud": ["another client"], "azp": CLIENT},
        {"aud": None},
        {"azp": "another client"},
        {"nonce": "of another visit"},
        {"nonce": None},
        {"nonce": ["of another visit"]},
        {"exp": NOW - 61},
        {"exp": None},
        {"exp": "2999-01-01"},
        {"exp": True},
        {"iat": NOW + 3600},
        {"iat": None},
        {"nbf": NOW + 3600},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "lead\u202e"},
        {"sub": "lead "},
        {"sub": "x" * 300},
    ],
    ids=str,
)
async def test_a_token_for_another_time_place_or_person_signs_nobody_in(tmp_path, claims):
    """I have a token that the provider did sign: for another client, visit, hour, or for nobody."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        d.provider.claims = claims
        answer = await d.sign_in(browser)
        assert answer.status_code == 403
        assert await d.site.world.store.list_sign_ins() == []


@pytest.mark.parametrize(
    ("token", "keys"),
    [
        (
            lambda c: jwt.encode({"alg": "ES256", "kid": "ec"}, c, EC_KEY),
            [KEY.as_dict(private=False), EC_KEY.as_dict(private=False)],
        ),
        (lambda c: jwt.encode({"alg": "RS256"}, c, KEY), [KEY.as_dict(private=False)]),
    ],
)
async def test_whom_the_provider_vouches_for_is_let_in(tmp_path, token, keys):
    """Nobody attacks: what the tests above refuse is refused for its flaw alone."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        d.provider.token, d.provider.keys = token, keys
        assert (await d.sign_in(browser)).headers["location"] == "/"
        (one,) = await d.site.world.store.list_sign_ins()
        assert one.reviewer.person == Person(issuer=ISSUER, subject="lead")
        assert one.reviewer.groups == ("reviewers",)


def short_key() -> tuple[dict[str, str], Callable[[dict[str, Any]], str]]:
    """A key of 1024 bits as a provider publishes it, and who signs with it."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)
    number = key.public_key().public_numbers().n.to_bytes(128)

    def token(claims: dict[str, Any]) -> str:
        signed = f"{encoded({'alg': 'RS256', 'kid': 'one'})}.{encoded(claims)}"
        return f"{signed}.{encoded(key.sign(signed.encode(), PKCS1v15(), SHA256()))}"

    return {"kty": "RSA", "kid": "one", "n": encoded(number), "e": "AQAB"}, token


async def test_keys_that_are_no_signing_keys_verify_nothing(tmp_path):
    """I have the provider publish a secret that I know, a key for other things, and a short one."""
    secret = {"kty": "oct", "kid": "s", "k": encoded(b"k" * 32), "alg": "HS256"}
    short, signed = short_key()
    async with desk(tmp_path) as d, d.site.browser() as browser:
        d.provider.keys = [secret, {**KEY.as_dict(private=False), "use": "enc"}]
        assert (await d.sign_in(browser)).status_code == 503
        d.provider.keys, d.provider.token = [short], signed
        assert (await d.sign_in(browser)).status_code == 503
        assert await d.site.world.store.list_sign_ins() == []


async def test_new_keys_are_fetched_and_a_forger_does_not_make_us_fetch_for_ever(tmp_path):
    """I send token after token of a key that nobody knows, so that the provider is flooded."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        assert (await d.sign_in(browser)).status_code == 303
        d.provider.token = signed_by_a_stranger
        for _ in range(5):
            assert (await d.sign_in(browser)).status_code == 403
        assert d.provider.asked.count("/realm/keys") == 1
        d.provider.keys = [OTHER_KEY.as_dict(private=False)]
        d.site.world.clock.advance(61)
        assert (await d.sign_in(browser)).status_code == 303


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://elsewhere.test"},
        {"token_endpoint": "http://login.test/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"jwks_uri": "https://login.test:port/keys"},
        {"token_endpoint": "https://[login.test/token"},
    ],
    ids=str,
)
async def test_a_provider_that_names_other_places_is_none(tmp_path, lie):
    """I answer for the provider's discovery document, and lead secrets and browsers to me."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        d.provider.metadata = lie
        answer = await browser.get("/sign-in/begin")
        assert answer.status_code == 503
        assert "location" not in answer.headers


async def test_an_answer_of_another_issuer_is_none(tmp_path):
    """I am a second provider that the user also knows, and mix my answer into the first one's."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        for mix in (lambda b: b.replace("login.test", "evil.test"), lambda b: b.split("&iss")[0]):
            back = d.provider.visit(await d.go(browser))
            answer = await d.come_back(browser, mix(back))
            assert answer.status_code == 403


async def test_a_state_is_good_once_in_one_browser_and_for_a_while(tmp_path):
    """I have the victim's browser end a sign-in that I began, replay one, or guess a state."""
    async with desk(tmp_path) as d, d.site.browser() as mine, d.site.browser() as theirs:
        back = d.provider.visit(await d.go(mine))
        await d.go(theirs)
        assert (await d.come_back(theirs, back)).status_code == 401
        assert COOKIE not in theirs.cookies
        assert (await d.come_back(mine, back)).status_code == 303
        assert (await d.come_back(mine, back)).status_code == 401
        late = d.provider.visit(await d.go(mine))
        d.site.world.clock.advance(600)
        assert (await d.come_back(mine, late)).status_code == 401
        for guess in ("", "x", "A" * 400, "A" * 3000, "é", "%00"):
            sent = {"code": "code-0", "state": guess, "iss": ISSUER}
            assert (await mine.post("/sign-in/return", data=sent)).status_code == 401


async def test_the_way_back_changes_nothing_until_our_own_page_sends_it_on(tmp_path):
    """I let a mail scanner or the victim's prefetch open the link that comes back."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        parts = urlsplit(d.provider.visit(await d.go(browser)))
        for method in ("GET", "HEAD"):
            page = await browser.request(method, f"{parts.path}?{parts.query}")
            assert page.status_code == 200
        assert await d.site.world.store.list_sign_ins() == []
        assert len(d.provider.visits) == 1
        answer = await browser.post(
            "/sign-in/return",
            data={k: v[0] for k, v in parse_qs(parts.query).items()},
            headers={"origin": "https://evil.test", "sec-fetch-site": "cross-site"},
        )
        assert answer.status_code == 403
        assert await d.site.world.store.list_sign_ins() == []


async def test_what_comes_back_is_shown_as_text(tmp_path):
    """I write markup into every parameter of the way back."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        bad = '"><script>alert(1)</script>'
        page = await browser.get(
            "/sign-in/return", params=dict.fromkeys(("code", "state", "iss", "error"), bad)
        )
        assert "<script>alert" not in page.text
        assert fields(page.text).keys() == {"code", "state", "iss", "error"}


async def test_a_sign_in_is_made_anew_and_the_one_before_ends(tmp_path):
    """I put a cookie of my choosing, or my own sign-in, into the victim's browser beforehand."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        browser.cookies.set(COOKIE, "chosen-by-me", domain="review.test")
        await d.sign_in(browser)
        first = browser.cookies[COOKIE]
        assert first != "chosen-by-me"
        assert len(first) >= 43
        await d.sign_in(browser)
        second = browser.cookies[COOKIE]
        assert second != first
        assert len(await d.site.world.store.list_sign_ins()) == 1
        async with d.site.browser() as old:
            old.cookies.set(COOKIE, first)
            assert (await old.get("/")).headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    "told",
    [
        {"groups": []},
        {"groups": ["Refund-Desk"]},
        {"groups": ["reviewers"]},
        {"groups": {"refund-desk": True}},
        {"groups": None},
        {"groups": 7},
        {"groups": ["refund-desk"] * 1_001},
    ],
    ids=lambda told: str(told)[:40],
)
async def test_who_is_in_no_group_of_the_settings_is_not_let_in(tmp_path, told):
    """I work at the company and can sign in, but nobody has made me a reviewer."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        answer = await d.sign_in(browser, **told)
        assert answer.status_code == 403
        assert "in no group" in answer.text
        assert await d.site.world.store.list_sign_ins() == []


async def test_a_name_of_the_providers_is_bounded_and_shows(tmp_path):
    """I call myself by a name that turns the line around, or by one that fills the page."""
    async with desk(tmp_path) as d:
        for name in ("lead\u202e-2", "x" * 5_000, "", "a\nb", 7):
            async with d.signed_in(preferred_username=name):
                newest = (await d.site.world.store.list_sign_ins())[0]
                assert newest.reviewer.name == "lead"


NEXT = [
    "https://evil.test/",
    "//evil.test",
    "/\\evil.test",
    "\\\\evil.test",
    "/%5cevil.test",
    "/holds/x\r\nset-cookie: callbroker=mine",
    "javascript:alert(1)",
    "holds/x",
    "/@evil.test:80/" + "a" * 400,
    "/ /evil.test",
    "/\t/evil.test",
]


@pytest.mark.parametrize("path", NEXT)
async def test_signing_in_leads_to_our_own_pages_alone(tmp_path, path):
    """I send a link to the sign-in that goes on to my page, which looks like yours."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        answer = await browser.get("/sign-in/begin", params={"next": path})
        back = d.provider.visit(answer.headers["location"])
        entered = await d.come_back(browser, back)
        where = urlsplit(entered.headers["location"])
        assert (where.scheme, where.netloc) == ("", "")
        assert entered.headers["location"].startswith("/")
        assert entered.headers["location"][1:2] not in {"/", "\\"}
        assert "set-cookie" not in where.path


async def test_signing_in_goes_on_to_the_page_that_was_asked_for(tmp_path):
    """Nobody attacks: the link of a mail opens its hold once one is signed in."""
    async with desk(tmp_path) as d, d.site.browser() as browser:
        waiting = await d.site.waiting()
        asked = await browser.get(f"/{waiting.name}")
        door = await browser.get(asked.headers["location"])
        assert f"next=/{waiting.name}" in door.text
        back = d.provider.visit(await d.go(browser, f"/sign-in/begin?next=/{waiting.name}"))
        entered = await d.come_back(browser, back)
        assert entered.headers["location"] == f"/{waiting.name}"


async def test_what_is_sent_along_tells_the_provider_nothing_of_ours(tmp_path):
    """I read the provider's log, for what waits here and for whom."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        waiting = await d.high()
        door = await d.go(browser, f"/{waiting.name}/step-up")
        assert door.startswith(f"{ISSUER}/authorize?")
        query = {k: v[0] for k, v in parse_qs(urlsplit(door).query).items()}
        assert query["redirect_uri"] == f"{ORIGIN}/sign-in/return"
        assert (query["code_challenge_method"], query["response_type"]) == ("S256", "code")
        assert waiting.name not in door
        assert browser.cookies[COOKIE] not in door


async def test_whoever_was_dismissed_is_nobody_on_the_pages_too(tmp_path):
    """My identity was revoked; my page is still open, and my provider lets me in as ever."""
    async with desk(tmp_path) as d, d.signed_in() as browser:
        waiting, world = await d.site.waiting(), d.site.world
        (mine,) = await d.site.parts.sign_ins.good()
        row = credential(CredentialClass.REVIEWER, "lead", person="lead", groups=("reviewers",))
        identity = str(mine.reviewer.person)
        await world.put(credential_row(replace(row, identity=identity, revoked_at=NOW)))

        sent = {"etag": "1", "call_digest": waiting.call_digest, "reason": "x"}
        answer = await browser.post(f"/{waiting.name}/approve", data=sent)
        assert answer.status_code == 401
        assert not await d.site.parts.sign_ins.recheck(mine)
        async with d.site.browser() as another:
            assert (await d.sign_in(another)).status_code == 403
            assert COOKIE not in another.cookies
        assert (await world.store.find_hold(waiting.name))[0] == waiting
