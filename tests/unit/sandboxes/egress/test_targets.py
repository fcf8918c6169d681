"""A target is read once; what goes out is spelled from what was read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.egress import targets
from sandboxes.egress.refusals import EgressRefused
from sandboxes.egress.targets import Target

_NAMES = st.text(alphabet="abcxyz019", min_size=1, max_size=8)
_TEXT = st.text(alphabet="aZ09-._~ é:@&=+$,!'()*", min_size=1, max_size=12)
_SEGMENTS = _TEXT.filter(lambda text: text not in {".", ".."})


@pytest.mark.parametrize(
    ("spelled", "sent"),
    [
        ("https://api.example.com", "https://api.example.com/"),
        ("https://API.Example.COM:443/a", "https://api.example.com/a"),
        ("http://api.example.com:80/a", "http://api.example.com/a"),
        ("https://api.example.com:8443/a/", "https://api.example.com:8443/a/"),
        ("https://api.example.com/%61%2db", "https://api.example.com/a-b"),
        ("https://api.example.com/caf%c3%a9", "https://api.example.com/caf%C3%A9"),
        ("https://api.example.com/a%20b?q=x+y", "https://api.example.com/a%20b?q=x%20y"),
        ("https://api.example.com/a?q=%2Fx&r=", "https://api.example.com/a?q=%2Fx&r="),
        ("https://api.example.com/a?q=b==", "https://api.example.com/a?q=b%3D%3D"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://a-1.example.com/%3Aid@x", "https://a-1.example.com/:id@x"),
    ],
)
def test_one_target_has_one_spelling_on_its_way_out(spelled: str, sent: str):
    assert targets.read(spelled).url == sent


@pytest.mark.parametrize(
    "spelled",
    [
        "",
        "/a",
        "api.example.com/a",
        "//api.example.com/a",
        "ftp://api.example.com/a",
        "HTTPS://api.example.com/a",
        "https:api.example.com/a",
        "https:///a",
        "https://api.example.com/" + "a" * 9000,
        "https://api.example.com:/a",
        "https://api.example.com:0443/a",
        "https://api.example.com:0/a",
        "https://api.example.com:65536/a",
        "https://api.example.com/a?q",
        "https://api.example.com/a?",
        "https://api.example.com/a?=b",
        "https://api.example.com/a?q=1&&r=2",
        "https://api.example.com/a?q=1&q=2",
        "https://api.example.com/a?q=1&%71=2",
        "https://api.example.com/a?q=1;r=2",
        "https://api.example.com/a?q=%00",
        "https://api.example.com/a?q=%0d%0aHost:x",
        "https://api.example.com/%",
        "https://api.example.com/%4",
        "https://api.example.com/%zz",
        "https://api.example.com/a b",
        "https://api.example.com/\u00e9",
        "https://" + "a" * 64 + ".example.com/",
        "https://" + "a." * 127 + "com/",
    ],
)
def test_what_is_no_plain_url_is_refused(spelled: str):
    with pytest.raises(EgressRefused) as refused:
        targets.read(spelled)
    assert refused.value.code == "EGRESS_TARGET_REFUSED"


@given(
    host=st.lists(_NAMES, min_size=2, max_size=4).map(lambda labels: ".".join([*labels, "test"])),
    port=st.integers(1, 65_535),
    segments=st.lists(_SEGMENTS, min_size=1, max_size=4),
    query=st.dictionaries(_TEXT, _TEXT, max_size=3),
)
def test_what_is_sent_reads_back_as_what_was_matched(host, port, segments, query):
    target = Target(
        scheme="https",
        host=host,
        port=port,
        segments=tuple(segments),
        query=tuple(query.items()),
    )
    assert targets.read(target.url) == target


@given(st.text(alphabet="https:/.@%2eEfF5cC#?&=;\\[]0x1a-", max_size=60))
def test_whatever_is_read_has_no_structure_left_in_its_parts(rest: str):
    try:
        target = targets.read("https://api.example.com" + rest)
    except EgressRefused:
        return
    assert target.host.endswith(".com") or "." in target.host
    assert not {".", ".."} & set(target.segments)
    assert not any(set(segment) & set("/\\%;?#") for segment in target.segments)
    assert targets.read(target.url) == target
