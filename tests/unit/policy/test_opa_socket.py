"""What is not plainly a whole answer of HTTP/1.1 is none, however it is cut."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from broker.core.errors import PolicyUnavailable
from broker.policy import opa_socket
from broker.policy.opa_socket import OpaFailed, OverSocket, _read

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n[1,2,34]"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\n[1,\r\n5\r\n2,34]\r\n0\r\n\r\n"
)
WHOLE = (200, b"application/json", b"[1,2,34]")


@contextlib.asynccontextmanager
async def served(*pieces, times=1):
    """A server that answers each request with these pieces, one write each."""
    connections = []

    async def answer(reader, writer):
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            for _ in range(times):
                await reader.readuntil(b"[]")
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    with tempfile.TemporaryDirectory(prefix="opa-") as directory:
        server = await asyncio.start_unix_server(answer, Path(directory) / "socket")
        client = OverSocket(Path(directory) / "socket", token="t")
        try:
            yield client, connections
        finally:
            await client.close_connection()
            for writer in connections:
                writer.close()
            server.close()
            await server.wait_closed()
            await asyncio.sleep(0)


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED])
def test_an_answer_is_one_only_once_it_is_whole(answer):
    for cut in range(len(answer)):
        assert _read(bytearray(answer[:cut])) is None
    assert _read(bytearray(answer)) == WHOLE


@pytest.mark.parametrize(
    "odd",
    [
        LENGTH + b"x",
        CHUNKED + b"x",
        LENGTH.replace(b"HTTP/1.1", b"HTTP/1.0"),
        LENGTH.replace(b"200", b"2000"),
        LENGTH.replace(b"Content-Length: 8", b"Content-Length: +8"),
        LENGTH.replace(b"Content-Length: 8", b"Content-Length: 8\r\nContent-Length: 8"),
        LENGTH.replace(b"Content-Length: 8", b"Content-Length : 8"),
        LENGTH.replace(b"Content-Length: 8\r\n", b""),
        LENGTH.replace(b"Content-Length: 8", b"Content-Length: 99999999999"),
        CHUNKED.replace(b"chunked", b"gzip"),
        CHUNKED.replace(b"chunked", b"chunked\r\nContent-Length: 8"),
        CHUNKED.replace(b"\r\n3\r\n", b"\r\n-3\r\n"),
        CHUNKED.replace(b"\r\n3\r\n[1,", b"\r\n2\r\n[1,"),
        b"x" * (opa_socket.HEAD_BYTES_MAX + 1),
    ],
)
def test_what_is_odd_is_no_answer(odd):
    with pytest.raises(ValueError, match=r".*"):
        _read(bytearray(odd))


@given(st.binary(max_size=200), st.integers(0, len(CHUNKED)))
def test_no_bytes_are_more_than_an_answer_or_a_refusal(noise, at):
    heard = bytearray(CHUNKED[:at] + noise + CHUNKED[at:])
    try:
        answer = _read(heard)
    except (ValueError, IndexError):
        return
    assert answer is None or answer[0] <= 999


@pytest.mark.parametrize("pieces", [(LENGTH,), (LENGTH[:20], LENGTH[20:]), (CHUNKED,)])
async def test_a_connection_is_kept_for_the_next_question(pieces):
    async with served(*pieces, times=3) as (client, connections):
        for _ in range(3):
            assert await client.post("/", b"[]") == [1, 2, 34]
        assert len(connections) == 1


async def test_what_follows_an_answer_unasked_is_answered_to_nobody():
    async with served(LENGTH, LENGTH) as (client, connections):
        with contextlib.suppress(OpaFailed):  # if both came as one
            assert await client.post("/", b"[]") == [1, 2, 34]
        async with asyncio.timeout(5):
            while client._all:
                await asyncio.sleep(0.001)
        assert client._idle == []
        assert len(connections) == 1


async def test_what_follows_an_answer_unasked_is_no_part_of_the_next_one():
    """Both are read before whoever asked is awake, as a loop does that reads all there is."""
    async with served() as (client, connections):
        asked = asyncio.ensure_future(client.post("/", b"[]"))
        async with asyncio.timeout(5):
            while not connections:
                await asyncio.sleep(0.001)
            (connection,) = client._all
            connection.data_received(LENGTH)
            connection.data_received(LENGTH[:-1])
            assert await asked == [1, 2, 34]
            while client._all:
                await asyncio.sleep(0.001)
        assert client._idle == []


async def test_a_question_that_is_given_up_closes_its_connection():
    async with served(times=1) as (client, connections):
        asked = asyncio.ensure_future(client.post("/", b"[]"))
        async with asyncio.timeout(5):
            while not connections:
                await asyncio.sleep(0.001)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        async with asyncio.timeout(5):
            while client._all:
                await asyncio.sleep(0.001)


def test_it_speaks_on_the_loop_that_the_broker_runs_on():
    async def ask():
        async with served(LENGTH, times=2) as (client, connections):
            answers = [await client.post("/", b"[]") for _ in range(2)]
            return answers, len(connections)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(ask()) == ([[1, 2, 34]] * 2, 1)


async def test_once_closed_nobody_is_asked():
    async with served(LENGTH) as (client, connections):
        await client.close_connection()
        with pytest.raises(PolicyUnavailable):
            await client.post("/", b"[]")
        assert not await client.check_health()
        assert connections == []
