"""A tool with a way out asks for more than the list says, in words that two readers read apart."""

import pytest

from tests.outside_world import HOST, egress, gate, opened, origin, outside, rule

REFUSED = {"EGRESS_NOT_LISTED", "EGRESS_TARGET_REFUSED"}
TRAVERSALS = [
    "/public/../admin",
    "/public/./../admin",
    "/public/%2e%2e/admin",
    "/public/%2E%2E/admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public/%2e%2e%2fadmin",
    "/public/%252e%252e/admin",
    "/public/%252e%252e%252fadmin",
    "/public/..\\admin",
    "/public/..%5cadmin",
    "/public/..;/admin",
    "/public/..%3b/admin",
    "/public/;x=y/../admin",
    "/public//../admin",
    "/public/%c0%ae%c0%ae/admin",
    "/public/%c0%ae%c0%ae%c0%afadmin",
    "/public/%e0%80%ae./admin",
    "/public/%ef%bc%8e%ef%bc%8e/admin",
    "/public/x%ef%bc%8f..%ef%bc%8fadmin",
    "/public/%00/../admin",
    "/public/x%00",
    "/public/x%0d%0aX-Injected:%201",
    "/public/%u002e%u002e/admin",
    "/public/x%3f/../admin",
    "/public/x%23/../admin",
    "/Public/x",
    "//public/x",
    "/./public/x",
    "/public",
]


@pytest.mark.parametrize("path", TRAVERSALS)
async def test_no_spelling_climbs_out_of_an_allowed_path(tmp_path, path: str):
    """The list has /public/*; I write a path that begins so, and that my host reads as /admin."""
    async with opened(tmp_path, path="/public/*") as (tool, host):
        assert (await tool.fetch(host.url("/public/x"))).status == 200
        authority = f"{HOST}:{host.port}"
        said = await tool.says(
            f"GET https://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        )
        requests, _ = await tool.gate.close()
    assert said.split(b" ")[1] in {b"400", b"403"}
    assert [asked.line for asked in host.asked] == ["GET /public/x HTTP/1.1"]
    assert requests[1].code in REFUSED
    assert not requests[1].allowed


async def test_what_my_host_reads_is_what_was_matched(tmp_path):
    """I escape harmless letters, so that the list's reader and my host see different paths."""
    async with opened(
        tmp_path, path="/%61dmin-not/{/x}", query=(("q", "*"),), call={"x": "a b"}
    ) as (tool, host):
        assert await tool.refused(host.url("/admin")) == "EGRESS_NOT_LISTED"
        await tool.fetch(host.url("/%61%64min%2dnot/a%20b?%71=%26x%3d1"))
    assert [asked.line for asked in host.asked] == ["GET /admin-not/a%20b?q=%26x%3D1 HTTP/1.1"]


@pytest.mark.parametrize(
    "value",
    ["../admin", "..", ".", "a/b", "a%2fb", "%2e%2e", "a\\b", "a?x=1", "a#b", "a;b", "", "\u2025"],
)
async def test_a_value_of_the_input_adds_no_structure(tmp_path, value: str):
    """I was asked for an order's number; I give one that turns the rule's path into another."""
    async with opened(tmp_path, path="/orders/{/order}/lines", call={"order": value}) as (
        tool,
        host,
    ):
        for path in (f"/orders/{value}/lines", "/admin/lines", "/lines", "/orders/x/lines"):
            assert await tool.refused(host.url(path)) in REFUSED
    assert host.connections == 0


@pytest.mark.parametrize("value", ["evil.test/", "evil.test#", "evil.test\\", "a.b", "evil.test:1"])
async def test_a_value_of_the_input_adds_no_host(tmp_path, value: str):
    """The shop's name is part of the host; mine ends that host early and begins another."""
    async with opened(tmp_path, host="{/shop}.example.com", call={"shop": value}) as (tool, host):
        for url in (f"https://{value}.example.com:{host.port}/", f"https://evil.test:{host.port}/"):
            assert await tool.refused(url) in REFUSED
        assert tool.outside.resolver.asked == []


async def test_a_rule_without_a_query_lets_none_out(tmp_path):
    """The path is exact, so I put what I stole behind it: ?x=..., or into a fragment."""
    async with opened(tmp_path, path="/v1/rates") as (tool, host):
        for tail in ("?x=c3RvbGVu", "?c3RvbGVu", "#c3RvbGVu", "/c3RvbGVu", "%3Fx=c3RvbGVu"):
            assert await tool.refused(host.url("/v1/rates" + tail)) in REFUSED
        assert (await tool.fetch(host.url("/v1/rates"))).status == 200
    assert len(host.asked) == 1


async def test_a_query_says_only_what_the_call_is_about(tmp_path):
    """The rule allows ?q= with the words of the call; I search for what I stole instead."""
    async with opened(
        tmp_path, path="/search", query=(("q", "{/words}"),), call={"words": "broken lamp"}
    ) as (tool, host):
        for query in ("q=c3RvbGVu", "q=broken+lamp&x=1", "q=broken+lamp&q=2", "Q=broken+lamp"):
            assert await tool.refused(host.url(f"/search?{query}")) in REFUSED
        assert (await tool.fetch(host.url("/search?q=broken+lamp"))).status == 200
    assert [asked.line for asked in host.asked] == ["GET /search?q=broken%20lamp HTTP/1.1"]


async def test_fields_that_are_not_on_the_list_stay_inside(tmp_path):
    """I write what I stole into a field that nobody looks at, or speak for somebody else in one."""
    async with opened(tmp_path) as (tool, host):
        stolen = {
            "X-Stolen": "c3RvbGVu",
            "Cookie": "session=1",
            "Authorization": "Bearer mine",
            "X-Forwarded-For": "127.0.0.1",
            "Forwarded": "for=127.0.0.1",
            "X-HTTP-Method-Override": "DELETE",
            "X-Original-URL": "/admin",
            "Referer": "https://c3RvbGVu.test/",
        }
        assert (await tool.fetch(host.url("/"), headers=stolen)).status == 200
    assert set(host.asked[0].headers) == {"host", "accept-encoding", "connection"}


@pytest.mark.parametrize(
    "said", ["evil.test", f"{HOST}.", f"{HOST}:1", f"{HOST} evil.test", "", "127.0.0.1"]
)
async def test_host_and_target_are_one(tmp_path, said: str):
    """The list reads the target, my host's front reads Host: I name another tenant in there."""
    async with opened(tmp_path) as (tool, host):
        answer = await tool.says(
            f"GET {host.url('/')} HTTP/1.1\r\nHost: {said}\r\n\r\n".encode("latin-1")
        )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert host.connections == 0


HIDDEN = b"GET https://api.example.com/hidden HTTP/1.1\r\nHost: api.example.com\r\n\r\n"


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked\r\nContent-Length: 4",
        "Transfer-Encoding:\x0bchunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nContent-Length: 0",
        "Content-Length: 4, 0",
        "Content-Length: 0x4",
        "Content-Length: 4\r\n Content-Length: 0",
        "Content-Length: 4\nTransfer-Encoding: chunked",
        "X: 1\r\r\nContent-Length: 4",
        "Connection: Content-Length\r\nContent-Length : 4",
        "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings",
        "Expect: 100-continue\r\nContent-Length: 4",
    ],
)
async def test_no_second_request_is_smuggled_behind_a_first(tmp_path, fields: str):
    """Proxy and host disagree on where my first request ends; what is behind it is a second one."""
    async with opened(tmp_path, methods=("POST",), path="/") as (tool, host):
        authority = f"{HOST}:{host.port}"
        head = f"POST https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n\r\n"
        said = await tool.says(head.encode("latin-1") + b"0\r\n\r\n" + HIDDEN)
    assert said.split(b" ")[1] in {b"400", b"501"}
    assert said.count(b"HTTP/1.1 ") == 1
    assert host.connections == 0


async def test_one_connection_is_one_request(tmp_path):
    """I send an allowed request and, behind it in the same breath, one that is not."""
    async with opened(tmp_path, path="/open") as (tool, host):
        authority = f"{HOST}:{host.port}"
        both = b"".join(
            f"GET https://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
            for path in ("/open", "/hidden")
        )
        said = await tool.says(both)
        requests, _ = await tool.gate.close()
    assert said.count(b"HTTP/1.1 ") == 1
    assert [asked.line for asked in host.asked] == ["GET /open HTTP/1.1"]
    assert len(requests) == 1


async def test_there_are_no_tunnels(tmp_path):
    """Through a tunnel I would speak whatever I like, and nobody would read it."""
    async with opened(tmp_path) as (tool, host):
        authority = f"{HOST}:{host.port}"
        said = await tool.says(
            f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
        )
        ((request,), _) = await tool.gate.close()
    assert said.startswith(b"HTTP/1.1 501 ")
    assert (request.method, request.allowed, host.connections) == ("CONNECT", False, 0)


async def test_a_plain_connection_is_not_taken_for_a_safe_one(tmp_path):
    """The rule says https; I ask by http, and read along on the way."""
    async with (
        origin(tls=False) as host,
        gate(tmp_path, egress(rule(host.port)), outside()) as tool,
    ):
        assert await tool.refused(host.url("/", scheme="http")) == "EGRESS_NOT_LISTED"
    assert host.connections == 0


async def test_what_i_ask_for_cannot_forge_the_record(tmp_path):
    """What I ask for is written down and read by people: I put line ends and colours into it."""
    async with opened(tmp_path) as (tool, _):
        await tool.says(b"G\x1b[2J https://\xe2\x80\xae\x1b]0;x\x07/\n2020 ALLOW HTTP/1.1\r\n\r\n")
        ((request,), _) = await tool.gate.close()
    said = request.method + request.host + request.path
    assert said.isascii()
    assert said.isprintable()
    assert (request.allowed, request.code) == (False, "EGRESS_MALFORMED")
