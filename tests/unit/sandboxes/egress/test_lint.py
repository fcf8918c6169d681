"""An operator's mistakes are found before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandboxes.egress import lint
from sandboxes.egress.credentials import Credential
from sandboxes.profile import Egress, EgressRule

SHARED = Credential(name="shared", hosts=("api.example.com", "*.example.com"), file=Path("f"))
OWN = Credential(name="own", hosts=("api.example.com", "*.example.com"), directory=Path("d"))
CREDENTIALS = {"shared": SHARED, "own": OWN}
GOOD = EgressRule(host="api.example.com", path="/v1/items/{/item}")


def findings(rule: EgressRule) -> tuple[str, ...]:
    return lint.findings(Egress(rules=(rule,)), CREDENTIALS)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"host": "*.example.com"},
        {"host": "{/shop}.example.com"},
        {"host": "shop-{/shop}.example.co.uk"},
        {"path": "/v1/*"},
        {"path": "/v1/a%20b"},
        {"query": (("q", "{/word}"), ("page", "*"))},
        {"headers": ("x-api-version",)},
        {"scheme": "http", "port": 80},
        {"credential": "shared"},
        {"credential": "own", "host": "*.example.com"},
        {"credential": "own", "path": "/v1/*"},
    ],
)
def test_a_sound_rule_has_no_findings(changed: dict):
    assert findings(replace(GOOD, **changed)) == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"host": "*"}, "registered name"),
        ({"host": "*.com"}, "registered name"),
        ({"host": "*.co.uk"}, "registered name"),
        ({"host": "{/name}.com"}, "registered name"),
        ({"host": "{/name}"}, "registered name"),
        ({"host": "api.{/name}.com"}, "registered name"),
        ({"host": "api.*.com"}, "whole first label"),
        ({"host": "api*.example.com"}, "whole first label"),
        ({"host": "*.*.example.com"}, "whole first label"),
        ({"host": "{name}.example.com"}, "no pointer"),
        ({"host": "10.0.0.1"}, "address"),
        ({"host": "2130706433"}, "registered name"),
        ({"host": "[::1]"}, "plain host"),
        ({"host": "user@api.example.com"}, "plain host"),
        ({"host": "api.example.com."}, "plain host"),
        ({"host": "b\u00fccher.example"}, "plain host"),
        ({"path": "v1"}, "begins with /"),
        ({"path": "/v1/{item}"}, "belongs to a pointer"),
        ({"path": "/v1/*/x"}, "last segment"),
        ({"path": "/v1*"}, "last segment"),
        ({"path": "/v1/../x"}, "dot segment"),
        ({"path": "/v1//x"}, "empty segment"),
        ({"path": "/v1/%2e%2e/x"}, "dot segment"),
        ({"path": "/v1?q=1"}, "within a segment"),
        ({"query": (("q", "*"), ("q", "1"))}, "name of its own"),
        ({"query": (("q", "{word}"),)}, "no pointer"),
        ({"headers": ("authorization",)}, "never passes"),
        ({"headers": ("x-forwarded-for",)}, "never passes"),
        ({"headers": ("X-Upper",)}, "never passes"),
        ({"port": 0}, "port"),
        ({"port": 70_000}, "port"),
        ({"scheme": "ftp"}, "scheme"),
        ({"methods": ()}, "methods"),
        ({"methods": ("CONNECT",)}, "methods"),
        ({"methods": ("get",)}, "methods"),
        ({"credential": "absent"}, "no credential"),
        ({"credential": "shared", "scheme": "http"}, "https alone"),
        ({"credential": "shared", "host": "*.example.com"}, "wildcard"),
        ({"credential": "shared", "path": "/v1/*"}, "wildcard"),
        ({"credential": "shared", "host": "api.example.org"}, "not for this host"),
        ({"credential": "own", "host": "*.example.org"}, "not for this host"),
    ],
)
def test_a_doubtful_rule_is_a_finding_that_names_it(changed: dict, said: str):
    found = findings(replace(GOOD, **changed))
    assert any(said in finding for finding in found), found
    assert all(finding.startswith("Egress rule 1 (") for finding in found)


@pytest.mark.parametrize(
    "changed",
    [
        {"requests_max": -1},
        {"requests_max": 5_000},
        {"bytes_per_s": 0},
        {"request_deadline_s": 0.0},
        {"request_deadline_s": float("inf")},
        {"request_deadline_s": float("nan")},
        {"private_addresses": ("10.0.0.1/8",)},
        {"private_addresses": ("localhost",)},
        {"private_addresses": ("0.0.0.0/0",)},
        {"private_addresses": ("169.254.169.254/32",)},
        {"private_addresses": ("::/0",)},
    ],
)
def test_caps_and_blocks_mean_something(changed: dict):
    assert lint.findings(replace(Egress(rules=(GOOD,)), **changed), CREDENTIALS)


def test_private_blocks_may_be_opened():
    opened = Egress(rules=(GOOD,), private_addresses=("10.1.0.0/16", "fd00:1::/32", "127.0.0.0/8"))
    assert lint.findings(opened, CREDENTIALS) == ()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"file": None}, "one file or in one directory"),
        ({"directory": Path("d")}, "one file or in one directory"),
        ({"hosts": ()}, "hosts is empty"),
        ({"hosts": ("*",)}, "registered name"),
        ({"hosts": ("{/x}.example.com",)}, "template"),
        ({"header": "X Key"}, "plain ASCII"),
        ({"header": "Host"}, "not be replaced"),
        ({"prefix": "T\r\nX: "}, "plain ASCII"),
    ],
)
def test_a_doubtful_credential_is_a_finding(changed: dict, said: str):
    assert lint.credential_findings(SHARED) == lint.credential_findings(OWN) == ()
    found = lint.credential_findings(replace(SHARED, **changed))
    assert any(said in finding for finding in found), found
    assert all(finding.startswith("Credential shared: ") for finding in found)
