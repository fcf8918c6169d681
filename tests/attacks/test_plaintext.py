"""Somebody listens on the network between the broker and what it talks to, or in its place.

Whatever is not surely this machine is spoken to over TLS, or the broker does not start and says
which setting to mend; there is no switch that turns this off.
"""

from typing import Any

import pytest

from broker.config import ConfigurationRefused, Settings, load
from broker.store.addresses import dialect_of

HOOK = {"kind": "webhook", "name": "chat", "secret_file": "s"}
MAIL = {"kind": "mail", "name": "post", "smtp": "mail.example.com:25", "from": "a@b.example"}
OIDC = {"client_id": "c", "groups": {"a": ("b",)}}
JWT = {"audiences": {"agent": "a"}}

PLAIN: dict[str, dict[str, Any]] = {
    "listen": {"listen": "0.0.0.0:7400"},
    "a name that may be anybody": {"listen": "broker.example.com:7400"},
    "web.listen": {"web": {"listen": "192.0.2.1:7401", "url": "https://review.example.com"}},
    "metrics.listen": {"metrics": {"listen": "0.0.0.0:9464"}},
    "web.url": {"web": {"url": "http://review.example.com"}},
    "web.oidc.issuer": {"web": {"oidc": {**OIDC, "issuer": "http://login.example.com"}}},
    "jwt.issuer": {"jwt": [{**JWT, "issuer": "http://login.example.com"}]},
    "jwt.jwks_uri": {
        "jwt": [{**JWT, "issuer": "https://i.example", "jwks_uri": "http://i.example/keys"}]
    },
    "opa_url": {"opa_url": "http://opa.example.com:8181"},
    "opa_url by another way": {"opa_url": "ftp://127.0.0.1/"},
    "sources": {"sources": {"shop": {"url": "http://shop.example.com"}}},
    "sources that look like here": {"sources": {"shop": {"url": "http://127.0.0.1.example.com"}}},
    "sandboxes.nodes": {"sandboxes": {"nodes": ["sandboxes.example.com:7410"]}},
    "notify.webhook.url": {"notify": [{**HOOK, "url": "http://chat.example.com/hook"}]},
    "notify.mail.security": {"notify": [{**MAIL, "to": ["c@d.example"], "security": "none"}]},
    "a clients' authority without TLS": {"tls_client_ca_file": "ca.pem"},
}
HERE: dict[str, dict[str, Any]] = {
    "listen": {"listen": "127.0.0.1:7400"},
    "metrics.listen": {"metrics": {"listen": "127.0.0.1:9464"}},
    "web.oidc.issuer": {"web": {"oidc": {**OIDC, "issuer": "http://127.0.0.1:8080/o"}}},
    "jwt.issuer": {"jwt": [{**JWT, "issuer": "http://localhost:8080"}]},
    "opa_url": {"opa_url": "http://[::1]:8181"},
    "sources": {"sources": {"shop": {"url": "http://127.0.0.1:9000"}}},
    "notify.webhook.url": {"notify": [{**HOOK, "url": "http://127.0.0.1:9000/hook"}]},
}


@pytest.mark.parametrize("setting", PLAIN)
def test_nothing_crosses_a_network_in_the_clear(setting, monkeypatch, tmp_path):
    """I read tokens, and what agents ask, on the way; or answer in the other's place."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationRefused) as refused:
        load(**PLAIN[setting])
    (finding,) = refused.value.findings
    wanted = ("loopback", "needs tls", "https", "tls_")
    assert any(word in finding.lower() for word in wanted), finding


@pytest.mark.parametrize("setting", HERE)
def test_this_machine_is_spoken_to_in_the_clear(setting, monkeypatch, tmp_path):
    """No attack."""
    monkeypatch.chdir(tmp_path)
    assert isinstance(load(**HERE[setting]), Settings)


@pytest.mark.parametrize("mode", ["", "?sslmode=require", "?sslmode=prefer", "?sslmode=verify-ca"])
def test_a_database_elsewhere_is_known_by_its_certificate(mode):
    """I am the server that the broker's whole log and every token's hash go to."""
    with pytest.raises(ValueError, match="verify-full"):
        dialect_of(f"postgresql://broker@db.example.com/broker{mode}")
    assert dialect_of("postgresql://broker@db.example.com/broker?sslmode=verify-full")


def test_two_sections_of_one_issuer_are_refused(monkeypatch, tmp_path):
    """I add a second section for your issuer, with audiences of mine."""
    monkeypatch.chdir(tmp_path)
    twice = [{**JWT, "issuer": "https://i.example"}] * 2
    with pytest.raises(ConfigurationRefused, match="one section"):
        load(jwt=twice)


@pytest.mark.parametrize("other", ["https://i.example/", "https://I.example", "HTTPS://i.example"])
def test_one_issuer_in_two_spellings_is_refused(other, monkeypatch, tmp_path):
    """My agent's token is of one spelling and my sign-in of the other: I approve my own call."""
    monkeypatch.chdir(tmp_path)
    jwt = [{**JWT, "issuer": "https://i.example"}]
    with pytest.raises(ConfigurationRefused, match="two Persons"):
        load(jwt=jwt, web={"oidc": {**OIDC, "issuer": other}})
    with pytest.raises(ConfigurationRefused, match="two Persons"):
        load(jwt=[*jwt, {**JWT, "issuer": other}])
    assert load(jwt=jwt, web={"oidc": {**OIDC, "issuer": "https://i.example"}})


@pytest.mark.parametrize(
    "audiences",
    [{}, {"agent": ""}, {"agent": "a", "admin": "a"}, {"everything": "a"}],
    ids=str,
)
def test_one_audience_is_good_for_one_service(audiences, monkeypatch, tmp_path):
    """I have an operator configure one audience for all services, so that any token opens all."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationRefused):
        load(jwt=[{"issuer": "https://i.example", "audiences": audiences}])


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS1", "PS256"])
def test_an_algorithm_that_is_not_pinned_cannot_be_configured(algorithm, monkeypatch, tmp_path):
    """I have an operator allow an algorithm that I can sign with."""
    monkeypatch.chdir(tmp_path)
    told = {**JWT, "issuer": "https://i.example", "algorithms": [algorithm]}
    with pytest.raises(ConfigurationRefused):
        load(jwt=[told])
