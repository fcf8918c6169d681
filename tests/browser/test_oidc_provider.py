"""The identity provider that sign-ins are tried against conforms where the broker relies on it."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import KeySet
from playwright.sync_api import Page

from broker.app import system_clock
from tests.browser.accessibility import assert_accessible
from tests.browser.oidc_provider import OidcProvider
from tests.browser.visiting import Visitor
from tests.browser.webhook_receiver import serving

BACK = '<!doctype html><html lang="en"><title>Back</title><link rel="icon" href="data:,">Back'


class Flow:
    """A client of the provider, as the broker would be one, without its checks."""

    def __init__(self, provider: OidcProvider, back: str) -> None:
        self.provider, self.back = provider, back
        self.verifier, self.nonce = generate_token(48), generate_token()
        self.codes: list[str] = []

    def sign_in(self, page: Page) -> None:
        """Fill in the sign-in page, and take what comes back."""
        self.provider.sign_in(page, "lead-1")
        self.take(page)

    def take(self, page: Page) -> None:
        """Keep the code, or what the provider says instead of one."""
        page.wait_for_url(f"{self.back}?**")
        asked = parse_qs(urlsplit(page.url).query)
        self.codes += asked.get("code", asked.get("error", []))

    def ask(self, page: Page, **more: str) -> None:
        """Go to the provider's door."""
        query = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.back,
            "scope": "openid profile",
            "state": "s",
            "nonce": self.nonce,
            "code_challenge": create_s256_code_challenge(self.verifier),
            "code_challenge_method": "S256",
            **more,
        }
        wanted = {name: value for name, value in query.items() if value}
        page.goto(f"{self.provider.issuer}/authorize/?{urlencode(wanted)}")

    def redeem(self, *, verifier: str = "") -> httpx2.Response:
        return httpx2.post(
            f"{self.provider.issuer}/token/",
            auth=(self.provider.client_id, self.provider.client_secret),
            data={
                "grant_type": "authorization_code",
                "code": self.codes[-1],
                "redirect_uri": self.back,
                "code_verifier": verifier or self.verifier,
            },
        )

    def claims(self) -> dict[str, Any]:
        """What the ID token says; its signature is the provider's."""
        keys = httpx2.get(f"{self.provider.issuer}/.well-known/jwks.json").json()
        token = self.redeem().json()["id_token"]
        return jwt.decode(token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims


class Back(BaseHTTPRequestHandler):
    """Where the provider sends a visitor back to."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(BACK.encode())

    def log_message(self, *_: object) -> None:
        """A test has nothing to say to the console."""


@pytest.fixture(scope="module")
def back() -> Iterator[str]:
    with serving(Back) as port:
        yield f"http://127.0.0.1:{port}/back"


@pytest.fixture
def flow(oidc_provider: OidcProvider, back: str) -> Flow:
    oidc_provider.set_clock(ahead_s=0)  # whatever a broker's clock was before
    oidc_provider.put_client("http://127.0.0.1/back")
    oidc_provider.put_user("lead-1", groups=["support-leads", "staff"], full_name="First Lead")
    return Flow(oidc_provider, back)


def test_a_sign_in_at_the_provider_says_who_it_was_and_when(visitor: Visitor, flow: Flow) -> None:
    begun = system_clock()
    with visitor.page() as page:
        flow.ask(page)
        assert_accessible(page)
        flow.sign_in(page)
    claims = flow.claims()

    assert (claims["iss"], claims["sub"]) == (flow.provider.issuer, "lead-1")
    assert (claims["aud"], claims["nonce"]) == (flow.provider.client_id, flow.nonce)
    assert (claims["groups"], claims["name"]) == (["staff", "support-leads"], "First Lead")
    assert begun - 1 <= claims["auth_time"] <= system_clock() + 1


def test_the_provider_asks_again_only_where_that_is_asked_for(visitor: Visitor, flow: Flow) -> None:
    with visitor.page() as page:
        flow.ask(page)
        flow.sign_in(page)
        for asked in ({}, {"max_age": "3600"}):
            flow.ask(page, **asked)
            flow.take(page)
        for asked in ({"prompt": "login"}, {"max_age": "0"}, {"max_age": "0", "prompt": "login"}):
            flow.ask(page, **asked)
            assert page.get_by_label("Password").is_visible()
            flow.sign_in(page)

    assert len(set(flow.codes)) == 6


def test_the_provider_keeps_pkce_and_single_use(visitor: Visitor, flow: Flow) -> None:
    with visitor.page() as page:
        flow.ask(page)
        flow.sign_in(page)
        wrong = flow.redeem(verifier=generate_token(48))
        right, again = flow.redeem(), flow.redeem()
        flow.ask(page, code_challenge="", code_challenge_method="")
        flow.take(page)

    assert [wrong.status_code, right.status_code, again.status_code] == [400, 200, 400]
    assert flow.codes[-1] == "invalid_request"


def test_the_provider_lies_where_a_test_tells_it_to(visitor: Visitor, flow: Flow) -> None:
    with visitor.page() as page:
        flow.ask(page)
        flow.sign_in(page)
        with flow.provider.lying({"nonce": "another", "auth_time": 1}):
            lied = flow.claims()
        flow.ask(page)
        flow.take(page)

    assert (lied["nonce"], lied["auth_time"]) == ("another", 1)
    assert flow.claims()["nonce"] == flow.nonce
