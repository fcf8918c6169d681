"""One grammar of requests, and nothing beside it."""

import pytest

from sandboxes.egress import heads
from sandboxes.egress.refusals import EgressRefused

LINE = "POST https://a.test/x HTTP/1.1"


def read(*lines: str) -> heads.Head:
    return heads.read("\r\n".join([*lines, "", ""]).encode("latin-1"))


def refused(*lines: str) -> str:
    with pytest.raises(EgressRefused) as error:
        read(*lines)
    return error.value.code


def test_a_plain_head_is_read():
    head = read(LINE, "Host: a.test", "Content-Length: 12", "Accept:  text/plain ", "X-Empty:")
    assert (head.method, head.target.url, head.length_bytes) == ("POST", "https://a.test/x", 12)
    assert head.fields[2:] == (("accept", "text/plain"), ("x-empty", ""))


def test_only_the_usual_fields_and_those_of_the_rule_go_out():
    head = read(
        LINE, "Host: a.test", "Accept: a", "X-One: 1", "X-Two: 2", "Authorization: x", "Cookie: y"
    )
    assert head.passing(()) == [("accept", "a")]
    extra = ("x-one", "authorization", "cookie", "host", "proxy-authorization")
    assert head.passing(extra) == [("accept", "a"), ("x-one", "1")]


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([""], "EGRESS_MALFORMED"),
        (["GET /x HTTP/1.1", "Host: a.test"], "EGRESS_TARGET_REFUSED"),
        (["GET https://a.test/x HTTP/1.0", "Host: a.test"], "EGRESS_MALFORMED"),
        (["GET https://a.test/x HTTP/2", "Host: a.test"], "EGRESS_MALFORMED"),
        (["GET  https://a.test/x HTTP/1.1", "Host: a.test"], "EGRESS_MALFORMED"),
        (["GET\thttps://a.test/x HTTP/1.1", "Host: a.test"], "EGRESS_MALFORMED"),
        (["GET https://a.test/x", "Host: a.test"], "EGRESS_MALFORMED"),
        (["CONNECT a.test:443 HTTP/1.1", "Host: a.test:443"], "EGRESS_UNSUPPORTED"),
        ([LINE], "EGRESS_MALFORMED"),
        ([LINE, "Host: b.test"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test:80"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Host: a.test"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length: 1", "content-length: 1"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length: +1"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length: 01"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length: 1, 1"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length: -1"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Content-Length:"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Transfer-Encoding: chunked"], "EGRESS_UNSUPPORTED"),
        ([LINE, "Host: a.test", "Transfer-Encoding : chunked"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", " folded"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "X: a\nY: b"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "X: a\rY: b"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "X: a\0b"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "X: \xe9"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "no colon"], "EGRESS_MALFORMED"),
        ([LINE, "Host: a.test", "Upgrade: websocket"], "EGRESS_UNSUPPORTED"),
        ([LINE, "Host: a.test", "Connection: keep-alive, Upgrade"], "EGRESS_UNSUPPORTED"),
        ([LINE, "Host: a.test", "Expect: 100-continue"], "EGRESS_UNSUPPORTED"),
        ([LINE, "Host: a.test", *(f"X-{n}: 1" for n in range(64))], "EGRESS_MALFORMED"),
    ],
)
def test_any_other_head_is_refused(lines: list[str], code: str):
    assert refused(*lines) == code
