"""A tool with a way out tries to get where nobody meant it to: into the node's own networks."""

import pytest

from tests.outside_world import (
    HOST,
    Names,
    egress,
    gate,
    opened,
    origin,
    outside,
    raw,
    rule,
    saying,
)

PUBLIC = "93.184.215.14"


async def refused_for(tmp_path, *answers, **given):
    """What a name that answers so gets, and how often it was looked up."""
    names = Names({HOST: answers})
    async with origin() as host:
        way_out = egress(rule(host.port), **given)
        async with gate(tmp_path, way_out, outside(names=names)) as tool:
            code = await tool.refused(host.url("/"))
            ((request,), _) = await tool.gate.close()
    assert (request.allowed, request.address, request.code) == (False, "", code)
    assert host.connections == 0
    return code, len(names.asked)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fd00:ec2::254", "::ffff:169.254.169.254", "100.100.100.200"],
)
async def test_a_name_of_mine_does_not_lead_to_the_clouds_metadata(tmp_path, address: str):
    """A name on the list is mine; I point it at the metadata service, to be given its keys."""
    code, _ = await refused_for(tmp_path, [address])
    assert code == "EGRESS_ADDRESS_REFUSED"


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.5", "192.168.1.1", "::1", "fe80::1"])
async def test_a_name_of_mine_does_not_lead_inside(tmp_path, address: str):
    """I point a name on the list at a service that listens for this machine or network alone."""
    code, _ = await refused_for(tmp_path, [address], private_addresses=())
    assert code == "EGRESS_ADDRESS_REFUSED"


async def test_an_inner_address_among_public_ones_refuses_the_name(tmp_path):
    """I hide one inner address among public ones, and wait until it is that one's turn."""
    answer = [PUBLIC, "127.0.0.1", PUBLIC]
    code, _ = await refused_for(tmp_path, answer, private_addresses=())
    assert code == "EGRESS_ADDRESS_REFUSED"


async def test_a_name_that_changes_after_it_was_checked_changes_nothing(tmp_path):
    """My name says a harmless address when it is checked, and an inner one when it is used."""
    names = Names({HOST: [["127.0.0.2"], ["127.0.0.1"]]})
    async with origin(address="0.0.0.0") as host:
        way_out = egress(rule(host.port), private_addresses=("127.0.0.2/32",))
        async with gate(tmp_path, way_out, outside(names=names)) as tool:
            await tool.fetch(host.url("/"))
            assert await tool.refused(host.url("/")) == "EGRESS_ADDRESS_REFUSED"
            requests, _ = await tool.gate.close()
    assert [asked.address for asked in host.asked] == ["127.0.0.2"]
    assert [request.address for request in requests] == ["127.0.0.2", ""]
    assert len(names.asked) == 2


async def test_a_connection_that_ends_at_once_is_not_made_again(tmp_path):
    """My host takes the connection and drops it: the client behind the proxy tries again by itself,
    looks the name up again, and this time I answer with an inner address."""
    names = Names({HOST: [["127.0.0.2"], ["127.0.0.1"]]})
    async with origin(address="0.0.0.0") as host:
        host.script = raw(b"")
        way_out = egress(rule(host.port), private_addresses=("127.0.0.2/32",))
        async with gate(tmp_path, way_out, outside(names=names)) as tool:
            assert await tool.refused(host.url("/")) == "EGRESS_ANSWER_BROKEN"
    assert (host.connections, len(names.asked)) == (1, 1)


async def test_the_nodes_own_public_address_is_no_way_in(tmp_path):
    """The node's services listen on its public address too, and trust who comes from there."""
    names = Names({HOST: [[PUBLIC]]})
    async with origin() as host:
        beyond = outside(names=names, is_own=lambda address: str(address) == PUBLIC)
        async with gate(tmp_path, egress(rule(host.port)), beyond) as tool:
            assert await tool.refused(host.url("/")) == "EGRESS_ADDRESS_REFUSED"


@pytest.mark.parametrize(
    "authority",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "%31%32%37.0.0.1",
        "\u2460\u2461\u2466.0.0.1",
        "user@127.0.0.1",
    ],
)
async def test_an_address_in_any_spelling_is_no_host(tmp_path, authority: str):
    """I name the address itself, in a spelling that the list's reader does not take for one."""
    async with opened(tmp_path, host="127.0.0.1.example.com") as (tool, host):
        names = tool.outside.resolver
        request = f"GET https://{authority}:{host.port}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n"
        said = await tool.says(request.encode())
    assert said.startswith(b"HTTP/1.1 400 ")
    assert (host.connections, names.asked) == (0, [])


@pytest.mark.parametrize(
    "location",
    ["https://evil.test/", "http://127.0.0.1/", "//evil.test/", "file:///etc/passwd", "/inner"],
)
async def test_a_redirect_is_the_tools_to_follow_and_is_checked_anew(tmp_path, location: str):
    """My host, on the list, redirects to where I really want to go: the proxy follows for me."""
    async with opened(tmp_path, path="/start") as (tool, host):
        host.script = saying(b"", f"Location: {location}", status="302 Found")
        answer = await tool.fetch(host.url("/start"))
        assert (answer.status, answer.headers["location"]) == (302, location)
        assert len(host.asked) == 1
        followed = host.url(location) if location == "/inner" else location
        code = await tool.refused(followed if ":" in followed[:6] else "https:" + followed)
    assert code in {"EGRESS_NOT_LISTED", "EGRESS_TARGET_REFUSED"}
    assert len(host.asked) == 1


async def test_what_leads_nowhere_is_not_even_looked_up(tmp_path):
    """I write what I stole into labels of a name of mine, and read it in my name server's log."""
    async with opened(tmp_path) as (tool, _):
        for name in ("c3RvbGVu.evil.test", f"c3RvbGVu.{HOST}", f"{HOST}.evil.test"):
            assert await tool.refused(f"https://{name}/") == "EGRESS_NOT_LISTED"
        assert tool.outside.resolver.asked == []


async def test_a_wildcard_gives_no_room_for_names_within_names(tmp_path):
    """The list has *.example.com: I write page after page into labels below it."""
    async with opened(tmp_path, host="*.example.com") as (tool, host):
        assert (await tool.fetch(host.url("/"))).status == 200
        for name in ("a.b.example.com", "a.b.c.example.com", "example.com", ".example.com"):
            code = await tool.refused(f"https://{name}:{host.port}/")
            assert code in {"EGRESS_NOT_LISTED", "EGRESS_TARGET_REFUSED"}
        assert tool.outside.resolver.asked == [HOST]


async def test_the_environment_names_no_other_proxy(tmp_path, monkeypatch):
    """Somebody set HTTPS_PROXY on the node, to see everything that leaves it."""
    async with origin() as mine, opened(tmp_path) as (tool, host):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{mine.port}")
        assert (await tool.fetch(host.url("/"))).status == 200
    assert (mine.connections, host.connections) == (0, 1)


async def test_the_client_behind_the_proxy_has_no_memory(tmp_path):
    """I set a cookie, so that a later request of somebody else's is one of my session."""
    async with opened(tmp_path, host="*.example.com") as (tool, host):
        host.script = saying(b"", "Set-Cookie: session=mine; Domain=example.com")
        for _ in range(2):
            assert "set-cookie" not in (await tool.fetch(host.url("/"))).headers
    assert not any("cookie" in asked.headers for asked in host.asked)
