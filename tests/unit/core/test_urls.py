"""A value stays where the template put it."""

import pytest

from broker.core.urls import UrlTemplate


@pytest.mark.parametrize(
    ("text", "values", "url"),
    [
        ("https://a.test", {}, "https://a.test/"),
        ("https://A.test:8443/o/{id}", {"id": "O-1"}, "https://a.test:8443/o/O-1"),
        ("http://127.0.0.1:80/o/{id}.json", {"id": 7}, "http://127.0.0.1:80/o/7.json"),
        (
            "https://a.test/o?id={id}&x=1",
            {"id": "c/1&x=2"},
            "https://a.test/o?id=c%2F1%26x%3D2&x=1",
        ),
        ("https://a.test/o/{ids}", {"ids": ["a", "b,c"]}, "https://a.test/o/a,b%2Cc"),
        ("https://a.test/o/{id}", {"id": "ü ?#"}, "https://a.test/o/%C3%BC%20%3F%23"),
        ("https://a.test/o/{flag}", {"flag": True}, "https://a.test/o/true"),
    ],
)
def test_a_template_expands_as_rfc_6570_says(text, values, url):
    assert UrlTemplate.parse(text).expand(values) == url


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a.test/x",
        "http://a.test/x",
        "https://{host}/x",
        "https://user@a.test/x",
        "https://a.test/x#y",
        "https://a.test/{+id}",
        "https://a.test/{id*}",
        "https://a.test/{ID}",
        "https://a.test/{id",
        "https://a.test/../x",
        "https://a.test/%2e%2e/x",
        "https://a.test/a%2Fb",
        "https://a.test//b",
        "https://a.test/a b",
        "https://a.test\\b/c",
        "//a.test/x",
    ],
)
def test_a_template_that_could_lead_elsewhere_is_refused(text):
    with pytest.raises(ValueError, match=r"host|https|RFC|path|encode"):
        UrlTemplate.parse(text)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "%2e%2e",
        "a%2Fb",
        "a\x00b",
        "a\nb",
        None,
        1.5,
        {},
        [],
        ["."],
        [["a"]],
    ],
)
def test_a_value_that_would_change_the_path_is_refused(value):
    with pytest.raises(ValueError, match="value"):
        UrlTemplate.parse("https://a.test/o/{id}").expand({"id": value})


def test_dots_that_only_together_make_a_segment_are_refused():
    with pytest.raises(ValueError, match="path"):
        UrlTemplate.parse("https://a.test/o/.{id}/x").expand({"id": "."})
