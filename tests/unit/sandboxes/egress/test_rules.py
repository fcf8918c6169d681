"""A rule allows what it spells out, with values of the frozen input, and nothing more."""

import pytest

from sandboxes.egress import rules, targets, templates
from sandboxes.egress.refusals import EgressRefused
from sandboxes.profile import EgressRule


def is_allowed(rule: EgressRule, url: str, method: str = "GET", **given) -> bool:
    try:
        return rules.first_match(rules.bind([rule], given), method, targets.read(url)) == rule
    except EgressRefused as refused:
        if refused.code not in {"EGRESS_NOT_LISTED", "EGRESS_TARGET_REFUSED"}:
            raise
        return False


@pytest.mark.parametrize(
    ("host", "path", "url", "allowed"),
    [
        ("a.test", "/x", "https://a.test/x", True),
        ("a.test", "/x", "https://A.test:443/x", True),
        ("A.Test", "/x", "https://a.test/x", True),
        ("a.test", "/x", "https://a.test/x/", False),
        ("a.test", "/x", "https://a.test/X", False),
        ("a.test", "/x", "https://a.test/xy", False),
        ("a.test", "/x", "https://a.test/", False),
        ("a.test", "/x", "http://a.test/x", False),
        ("a.test", "/x", "https://a.test:8443/x", False),
        ("a.test", "/x", "https://b.a.test/x", False),
        ("a.test", "/x", "https://a.test.evil.test/x", False),
        ("a.test", "/a%20b", "https://a.test/a%20b", True),
        ("a.test", "/", "https://a.test", True),
        ("*.a.test", "/", "https://b.a.test/", True),
        ("*.a.test", "/", "https://c.b.a.test/", False),
        ("*.a.test", "/", "https://a.test/", False),
        ("a.test", "/v1/*", "https://a.test/v1/x/y", True),
        ("a.test", "/v1/*", "https://a.test/v1/", True),
        ("a.test", "/v1/*", "https://a.test/v1", False),
        ("a.test", "/v1/*", "https://a.test/v10/x", False),
        ("a.test", "/*", "https://a.test/", True),
    ],
)
def test_host_and_path_match_whole(host: str, path: str, url: str, *, allowed: bool):
    assert is_allowed(EgressRule(host=host, path=path), url) is allowed


def test_a_method_is_on_the_list_or_not():
    rule = EgressRule(host="a.test", methods=("GET", "POST"))
    assert is_allowed(rule, "https://a.test/", "POST")
    assert not is_allowed(rule, "https://a.test/", "DELETE")
    assert not is_allowed(rule, "https://a.test/", "post")


@pytest.mark.parametrize(
    ("query", "url", "allowed"),
    [
        ((), "https://a.test/", True),
        ((), "https://a.test/?q=1", False),
        ((("q", "*"),), "https://a.test/?q=anything", True),
        ((("q", "*"),), "https://a.test/", True),
        ((("q", "*"),), "https://a.test/?q=1&r=2", False),
        ((("q", "fixed"),), "https://a.test/?q=fixed", True),
        ((("q", "fixed"),), "https://a.test/?q=other", False),
        ((("q", "{/word}"),), "https://a.test/?q=two%20words", True),
        ((("q", "{/word}"),), "https://a.test/?q=two+words", True),
        ((("q", "{/word}"),), "https://a.test/?q=other", False),
        ((("q", "{/absent}"),), "https://a.test/?q=x", False),
        ((("q", "{/absent}"),), "https://a.test/", True),
    ],
)
def test_a_parameter_is_named_by_the_rule(query, url: str, *, allowed: bool):
    assert is_allowed(EgressRule(host="a.test", query=query), url, word="two words") is allowed


@pytest.mark.parametrize(
    ("path", "given", "url", "allowed"),
    [
        ("/o/{/order}", {"order": "O-1"}, "https://a.test/o/O-1", True),
        ("/o/{/order}", {"order": "O-1"}, "https://a.test/o/O-2", False),
        ("/o/{/order}", {"order": 17}, "https://a.test/o/17", True),
        ("/o/{/order}.json", {"order": "O-1"}, "https://a.test/o/O-1.json", True),
        ("/o/{/a/b~1c/0}", {"a": {"b/c": ["x"]}}, "https://a.test/o/x", True),
        ("/o/{/order}", {"order": "a b"}, "https://a.test/o/a%20b", True),
        ("/o/{/order}", {"order": "a:b"}, "https://a.test/o/a%3Ab", True),
        ("/{/a}-{/b}/x", {"a": "1", "b": "2"}, "https://a.test/1-2/x", True),
        ("/o/{/order}", {"order": True}, "https://a.test/o/True", False),
        ("/o/{/order}", {"order": 1.5}, "https://a.test/o/1.5", False),
        ("/o/{/order}", {"order": None}, "https://a.test/o/None", False),
        ("/o/{/order}", {"order": {}}, "https://a.test/o/%7B%7D", False),
        ("/o/{/order}", {}, "https://a.test/o/x", False),
        ("/o/{/order}", {"order": ""}, "https://a.test/o/", False),
    ],
)
def test_a_path_takes_values_of_the_input(path: str, given: dict, url: str, *, allowed: bool):
    assert is_allowed(EgressRule(host="a.test", path=path), url, **given) is allowed


@pytest.mark.parametrize(
    ("shop", "url", "allowed"),
    [
        ("north", "https://north.a.test/", True),
        ("north", "https://south.a.test/", False),
        (7, "https://7.a.test/", True),
        ("North", "https://north.a.test/", False),
        ("evil.test", "https://evil.test.a.test/", False),
        ("-x", "https://-x.a.test/", False),
        ("a_b", "https://ab.a.test/", False),
    ],
)
def test_a_host_takes_one_label_of_the_input(shop, url: str, *, allowed: bool):
    assert is_allowed(EgressRule(host="{/shop}.a.test"), url, shop=shop) is allowed


def test_the_first_rule_that_allows_a_request_gives_it_its_credential():
    plain, other = EgressRule(host="a.test"), EgressRule(host="a.test", credential="c")
    bound = rules.bind([plain, other], {})
    assert rules.first_match(bound, "GET", targets.read("https://a.test/")) is plain


def test_a_template_is_split_outside_of_its_pointers():
    assert templates.split("/a/{/b/c}-x/d", "/") == ("", "a", "{/b/c}-x", "d")
    assert templates.split("{/a.b}.c", ".") == ("{/a.b}", "c")


@pytest.mark.parametrize("text", ["{", "}", "{a}", "{}", "{/a~2}", "{/a{/b}}", "x{/a", "\0"])
def test_a_brace_without_a_pointer_is_no_template(text: str):
    assert not templates.is_sound(text)
