"""A tool with a way out tries to exhaust the node, or to outlive its call."""

import asyncio
import contextlib
import os
import socket
import time

import pytest

from sandboxes.egress.proxy import CONNECTIONS_MAX, EgressGate
from sandboxes.entry.egress_client import EgressRefused
from tests.outside_world import HOST, egress, gate, opened, origin, outside, raw, rule, saying

GIB = 1 << 30


async def test_a_gigabyte_is_refused_by_its_length(tmp_path):
    """My host announces a gigabyte: the node keeps it all, or spends its line on it."""
    async with opened(tmp_path) as (tool, host):
        host.script = raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        assert await tool.refused(host.url("/")) == "EGRESS_RECEIVED_TOO_MUCH"
        ((request,), _) = await tool.gate.close()
    assert request.received_bytes == 0


async def test_a_gigabyte_that_is_not_announced_is_cut(tmp_path):
    """My host does not say how much will come, and does not stop."""
    async with opened(tmp_path, received_bytes_max=200_000) as (tool, host):
        host.script = endless
        assert await tool.refused(host.url("/")) == "EGRESS_CUT"
        async with asyncio.timeout(10):
            await host.hung_up.wait()
        assert await tool.refused(host.url("/")) == "EGRESS_CUT"
        requests, _ = await tool.gate.close()
    assert {request.code for request in requests} == {"EGRESS_RECEIVED_TOO_MUCH"}
    assert sum(request.received_bytes for request in requests) <= 200_000


async def endless(_, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)  # or nobody hears that the other side hung up


async def test_the_share_is_one_for_requests_side_by_side(tmp_path):
    """Eight requests at once, each within the cap, and together far over it."""
    async with opened(tmp_path, received_bytes_max=100_000) as (tool, host):
        host.script = saying(b"x" * 30_000)
        asked = [tool.fetch(host.url("/")) for _ in range(CONNECTIONS_MAX)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        requests, _ = await tool.gate.close()
    assert sum(isinstance(answer, EgressRefused) for answer in answers) >= 5
    assert sum(request.received_bytes for request in requests) <= 100_000


async def test_bytes_pass_at_the_profiles_rate(tmp_path):
    """I fetch as fast as the line allows, and nobody else gets a share of it."""
    async with opened(tmp_path, bytes_per_s=200_000) as (tool, host):
        host.script = saying(b"x" * 150_000)
        begun = time.perf_counter()
        await tool.fetch(host.url("/"))
        took_s = time.perf_counter() - begun
    assert took_s > 0.4  # 150 000 bytes at that rate, but for a quarter of a second's burst


@pytest.mark.parametrize(
    "begins", [b"HTTP/1.1 200 ", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nx"]
)
async def test_a_host_that_drips_does_not_hold_the_run(tmp_path, begins: bytes):
    """My host sends a byte now and then: no single wait is long, and all together never end."""

    async def dripping(_, writer) -> None:
        writer.write(begins)
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with opened(tmp_path, request_deadline_s=0.4) as (tool, host):
        host.script = dripping
        begun = time.perf_counter()
        assert await tool.refused(host.url("/")) in {"EGRESS_TOO_LATE", "EGRESS_CUT"}
        assert time.perf_counter() - begun < 3
        ((request,), _) = await tool.gate.close()
        async with asyncio.timeout(10):
            await host.hung_up.wait()
    assert request.code == "EGRESS_TOO_LATE"


async def test_a_body_that_drips_never_goes_out(tmp_path):
    """I promise a body, and send it so slowly that host and proxy wait for me."""
    async with opened(tmp_path, methods=("POST",), request_deadline_s=0.3) as (tool, host):
        authority = f"{HOST}:{host.port}"
        said = await tool.says(
            f"POST https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n"
            "Content-Length: 100\r\n\r\nonly this".encode()
        )
        ((request,), _) = await tool.gate.close()
    assert said.startswith(b"HTTP/1.1 504 ")
    assert (request.allowed, host.connections) == (False, 0)


async def test_an_answer_that_i_do_not_read_waits_outside(tmp_path):
    """I ask for much and read nothing: the node keeps it for me."""
    async with opened(tmp_path, request_deadline_s=0.5) as (tool, host):
        sent = 0

        async def counted(_, writer) -> None:
            nonlocal sent
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                await asyncio.sleep(0)
                sent += 65_536

        host.script = counted
        authority = f"{HOST}:{host.port}"
        _, writer = await asyncio.open_unix_connection(str(tool.socket), limit=1)
        writer.write(f"GET https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            await host.hung_up.wait()
        ((request,), _) = await tool.gate.close()
        writer.transport.abort()
    assert request.code == "EGRESS_TOO_LATE"
    assert request.received_bytes < 4 << 20
    assert sent < 16 << 20  # buffers of kernels and streams, and no more


@pytest.mark.parametrize("head", [b"G", b"GET " + b"a" * 100_000, b"X: y\r\n" * 20_000])
async def test_a_head_that_does_not_end_is_not_kept(tmp_path, head: bytes):
    """I send a request's head without an end, and the proxy keeps all of it."""
    async with opened(tmp_path) as (tool, host):
        reader, writer = await asyncio.open_unix_connection(str(tool.socket))
        with contextlib.suppress(ConnectionError):
            writer.write(head)
            writer.write_eof()
            async with asyncio.timeout(10):
                said = await reader.read()
            assert said.startswith(b"HTTP/1.1 400 ")
        writer.transport.abort()
        ((request,), _) = await tool.gate.close()
    assert (request.code, host.connections) == ("EGRESS_MALFORMED", 0)


async def test_a_thousand_connections_take_no_more_than_a_few(tmp_path):
    """Each connection of mine costs the node a file: I open as many as I can."""
    async with opened(tmp_path) as (tool, host):
        kept = [socket.socket(socket.AF_UNIX) for _ in range(200)]
        try:
            for each in kept:
                each.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    each.connect(str(tool.socket))
            async with asyncio.timeout(10):
                while sum(map(is_open, kept)) > CONNECTIONS_MAX:
                    await asyncio.sleep(0.01)
        finally:
            for each in kept:
                each.close()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(EgressRefused):
                    assert (await tool.fetch(host.url("/"))).status == 200
                    break


def is_open(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


async def test_a_bomb_is_handed_on_as_it_came(tmp_path):
    """My host's answer is a kilobyte that becomes a gigabyte in whoever opens it."""
    async with opened(tmp_path) as (tool, host):
        host.script = saying(b"\x1f\x8b" + b"\0" * 1000, "Content-Encoding: gzip")
        answer = await tool.fetch(host.url("/"))
        ((request,), _) = await tool.gate.close()
    assert len(answer.body) == request.received_bytes == 1002


async def test_nothing_passes_before_the_call(tmp_path):
    """I am started before anybody calls me, and use the time: every import of mine asks outside."""
    async with origin() as host, gate(tmp_path, None, outside()) as tool:
        for _ in range(20):
            assert await tool.refused(host.url("/")) == "EGRESS_CLOSED"
        tool.gate.open(egress(rule(host.port), requests_max=1), b"{}", "")
        assert (await tool.fetch(host.url("/"))).status == 200
        requests, is_cut = await tool.gate.close()
    assert host.connections == 1
    assert [request.code for request in requests] == ["EGRESS_CLOSED"] * 16 + [""]
    assert is_cut


async def test_nothing_passes_after_the_answer(tmp_path):
    """I answer, and what I left running goes on asking: on a new connection, or on an old one."""
    async with opened(tmp_path) as (tool, host):
        early = socket.socket(socket.AF_UNIX)
        early.connect(str(tool.socket))
        asked = asyncio.create_task(tool.fetch(host.url("/")))
        await asked
        await tool.gate.close()
        authority = f"{HOST}:{host.port}"
        with contextlib.suppress(OSError):
            early.sendall(
                f"GET https://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()
            )
        early.close()
        assert await tool.refused(host.url("/")) == "EGRESS_NONE"
    assert host.connections == 1


async def test_what_is_under_way_at_the_answer_is_cut(tmp_path):
    """I begin a request, answer, and have the request go on without me."""
    async with opened(tmp_path) as (tool, host):
        host.script = endless_slowly
        asked = asyncio.create_task(tool.refused(host.url("/")))
        async with asyncio.timeout(10):
            while not host.asked:
                await asyncio.sleep(0.005)
        begun = time.perf_counter()
        ((request,), _) = await tool.gate.close()
        assert time.perf_counter() - begun < 1
        async with asyncio.timeout(10):
            await host.hung_up.wait()
            assert await asked == "EGRESS_CUT"
    assert (request.allowed, request.code) == (True, "EGRESS_CUT")


async def endless_slowly(_, writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_another_runs_socket_has_another_runs_list(tmp_path):
    """I find the socket of a run beside mine, whose list is longer."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    async with (
        origin() as host,
        gate(tmp_path / "a", egress(rule(host.port)), outside()) as theirs,
        gate(tmp_path / "b", egress(), outside()) as mine,
    ):
        assert (await theirs.fetch(host.url("/"))).status == 200
        assert await mine.refused(host.url("/")) == "EGRESS_NOT_LISTED"
        requests, _ = await theirs.gate.close()
        assert len(requests) == 1


async def test_a_stranger_at_the_socket_is_hung_up_on(tmp_path):
    """I am another container, or another user of the machine, and reached this run's socket."""
    async with origin() as host:
        way_out = egress(rule(host.port))
        async with gate(tmp_path, way_out, outside(), peer_uid=os.geteuid() + 1) as tool:
            assert await tool.refused(host.url("/")) == "EGRESS_CUT"
            requests, _ = await tool.gate.close()
        async with gate(tmp_path, way_out, outside(), peer_uid=os.geteuid()) as tool:
            assert (await tool.fetch(host.url("/"))).status == 200
    assert requests == ()


async def test_the_sockets_place_is_closed_to_other_users(tmp_path):
    """I am another user of the machine, and look for sockets below the node's directory."""
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError):
        await EgressGate(tmp_path / "gate", outside()).start()
    assert list(tmp_path.iterdir()) == []
