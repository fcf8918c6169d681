"""Settings of the pages that would be unsafe are refused, and a link is for this machine alone."""

import dataclasses
from pathlib import Path

import httpx2
import pytest
from pydantic import ValidationError

from broker.config import ConfigurationRefused
from broker.web.application import application
from broker.web.opening import Asked, open_pages
from broker.web.parts import Address
from broker.web.security import origin_of
from broker.web_settings import Oidc, Web
from tests.pages import LINK, site

OIDC = {
    "issuer": "https://login.example.com",
    "client_id": "callbroker",
    "groups": {"desk": ("leads",)},
}
TLS = {"tls_certificate_file": Path("c.pem"), "tls_key_file": Path("k.pem")}


@pytest.mark.parametrize(
    "given",
    [
        {"listen": "0.0.0.0:7401"},
        {"listen": "0.0.0.0:7401", **TLS},
        {"listen": "192.0.2.1:7401"},
        {"listen": "7401"},
        {"url": "http://review.example.com"},
        {"url": "https://review.example.com/pages"},
        {"url": "https://review.example.com?x"},
        {"url": "https://me@review.example.com"},
        {"url": "review.example.com"},
        {"url": "javascript:alert(1)"},
        {"url": "http://127.0.0.1:7401", **TLS},
        {"tls_certificate_file": Path("c.pem")},
        {"oidc": {**OIDC, "issuer": "http://login.example.com"}},
        {"oidc": {**OIDC, "issuer": "https://login.example.com/?x"}},
        {"oidc": {**OIDC, "issuer": "https://login.example.com/#x"}},
        {"oidc": {**OIDC, "issuer": "login.example.com"}},
        {"oidc": {**OIDC, "scopes": ("profile",)}},
        {"oidc": {**OIDC, "groups": {}}},
        {"oidc": {**OIDC, "client_id": ""}},
        {"oidc": {**OIDC, "client_secret": "in the file itself"}},
    ],
    ids=str,
)
def test_what_would_be_unsafe_is_refused(given):
    with pytest.raises(ValidationError):
        Web(**given)


@pytest.mark.parametrize(
    ("given", "has_link"),
    [
        ({}, True),
        ({"url": "http://localhost:7401"}, True),
        ({"url": "https://review.example.com"}, False),
        ({"listen": "192.0.2.1:7401", **TLS}, False),
        ({"listen": ""}, False),
        ({"local_reviewer": ""}, False),
        ({"oidc": Oidc(**OIDC)}, False),
        ({"oidc": Oidc(**OIDC), "local_reviewer": "me"}, True),
        ({"oidc": Oidc(**OIDC), "local_reviewer": "me", "url": "https://r.example.com"}, False),
    ],
    ids=str,
)
def test_a_link_is_for_who_sits_at_this_machine_alone(given, has_link):
    assert Web(**given).has_local_link is has_link


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Review.Example.com/", "https://review.example.com"),
        ("https://review.example.com:443", "https://review.example.com"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("http://127.0.0.1:443", "http://127.0.0.1:443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_an_origin_is_what_browsers_write(url, origin):
    assert origin_of(url) == origin


async def test_over_https_the_cookie_is_bound_to_this_host(tmp_path):
    async with site(tmp_path) as s:
        address = Address(
            origin="https://review.test", is_secure=True, hosts=frozenset({"review.test"})
        )
        app = application(dataclasses.replace(s.parts, address=lambda: address))
        async with httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url="https://review.test",
            headers={"origin": "https://review.test", "sec-fetch-site": "same-origin"},
        ) as browser:
            entered = await browser.post(f"/sign-in/{LINK}")
            kept = entered.headers["set-cookie"]
            assert kept.startswith("__Host-callbroker=")
            assert {"Secure", "HttpOnly", "Path=/"} <= set(kept.split("; "))
            assert "max-age" in entered.headers["strict-transport-security"]
            assert (await browser.get("/")).status_code == 200
            left = await browser.post("/sign-out")
            assert "Secure" in left.headers["set-cookie"]
            assert (await browser.get("/")).status_code == 303


async def test_pages_are_not_served_where_a_file_of_theirs_is_missing(tmp_path):
    async with site(tmp_path) as s:
        p = s.parts
        given = {
            "views": p.views,
            "reviews": p.reviews,
            "handling": p.handling,
            "together": p.together,
            "store": s.world.store,
            "events": p.events,
            "clock": p.clock,
            "refused": frozenset,
        }
        names = {field.name for field in dataclasses.fields(Asked)}
        given |= {name: getattr(p, name) for name in names - set(given)}
        for file in ({"client_secret_file": tmp_path / "none"}, {"ca_file": tmp_path / "none"}):
            web = Web(listen="127.0.0.1:0", oidc=Oidc(**OIDC, **file))
            with pytest.raises(ConfigurationRefused, match=r"web\.oidc"):
                await open_pages(web, Asked(**given), groups=("leads",))


async def test_what_is_over_is_erased_when_pages_open(tmp_path):
    async with site(tmp_path) as s:
        await s.parts.sign_ins.open(s.parts.local.reviewer, how="local")
        s.world.clock.advance(9 * 3600)
        await s.parts.sign_ins.sweep()
        assert await s.world.store.list_sign_ins() == []


async def test_a_link_is_good_for_ten_minutes(tmp_path):
    async with site(tmp_path) as s, s.browser() as browser:
        s.world.clock.advance(599)
        assert (await browser.get(f"/sign-in/{LINK}")).status_code == 200
        s.world.clock.advance(1)
        assert (await browser.get(f"/sign-in/{LINK}")).status_code == 403
        assert (await browser.post(f"/sign-in/{LINK}")).status_code == 403
        assert await s.world.store.list_sign_ins() == []
