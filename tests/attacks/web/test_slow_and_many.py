"""Keeping everybody else out: slow requests, huge ones, guesses, endless streams."""

import asyncio
import contextlib
import dataclasses
import time

import httpx2
import pytest

from broker.web.application import application
from broker.web.listener import HEAD_BYTES_MAX, Listener, Waits
from broker.web.parts import Address
from broker.web.rates import EACH_MAX, Rates
from broker.web.security import BODY_BYTES_MAX, Guard
from broker.web.streams import Streams
from tests.pages import LEAD, ORIGIN, site
from tests.world import NOW

QUICK = Waits(head_s=0.3, idle_s=1, write_s=0.5)
DEADLINE_S = 10


@contextlib.asynccontextmanager
async def served(app, waits: Waits = QUICK):
    """An application behind a real socket; yields its port."""
    listener = Listener(app, waits=waits)
    try:
        yield await listener.start("127.0.0.1:0")
    finally:
        await listener.stop()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What comes until the other side hangs up."""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            return await reader.read()
    return b""


async def small(_scope, _receive, send):
    """A page of no interest."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    )
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: review.test\r\nX-A: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT",
    ],
)
async def test_whoever_never_ends_a_head_is_cut_off(sent):
    """I open a connection and send one byte every so often, a thousand times over."""
    async with served(small) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while sent:
                    await asyncio.sleep(0.05)
                    writer.write(b"a")
                    await writer.drain()

        dripping = asyncio.create_task(drip())
        await ends(reader)
        dripping.cancel()
        writer.close()


async def test_whoever_takes_nothing_of_an_answer_is_cut_off():
    """I ask for the longest page and never read it, so that it is kept for me for ever."""
    gone = asyncio.Event()

    async def endless(_scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await _or_now(receive)) != "http.disconnect":
            part = {"type": "http.response.body", "body": b"x" * 65_536, "more_body": True}
            await send(part)
        gone.set()

    async with served(endless) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await gone.wait()
        writer.close()
        del reader


async def _or_now(receive) -> str:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            return (await receive())["type"]
    return ""


async def test_a_head_that_is_too_long_is_refused():
    """I send headers until the broker's memory is full."""
    async with served(small) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nX-A: " + b"a" * 4 * HEAD_BYTES_MAX)
            await writer.drain()
        assert (await ends(reader)).startswith(b"HTTP/1.1 4")
        writer.close()


async def test_an_honest_browser_is_served_beside_them():
    """Nobody attacks on this connection; two hundred others do."""
    async with served(small) as port:
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/")).text == "ok"
        for _, writer in slow:
            writer.close()


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path):
    """I say that I send a form, and send its first half."""
    async with site(tmp_path) as s:
        guarded = Guard(s.app, parts=s.parts, body_s=0.2)
        async with served(guarded) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                b"POST /sign-out HTTP/1.1\r\nHost: review.test\r\nOrigin: %b\r\n"
                b"Content-Length: 100\r\n\r\nhalf" % ORIGIN.encode()
            )
            assert (await ends(reader)).startswith(b"HTTP/1.1 408")
            writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": str(BODY_BYTES_MAX + 1)},
        {"content-length": "9" * 40},
        {"content-length": "-1"},
        {"content-length": "1e3"},
        {"content-length": "+5"},
        {"transfer-encoding": "chunked"},
    ],
    ids=str,
)
async def test_a_body_that_is_too_long_or_says_no_length_is_not_read(tmp_path, headers):
    """I send a form of a gigabyte, or one whose end I do not tell."""
    async with site(tmp_path) as s:
        app = application(s.parts)
        read = False

        async def receive():
            nonlocal read
            read = True
            return {"type": "http.request", "body": b"x", "more_body": False}

        answers: list[dict] = []

        async def send(message):
            answers.append(message)

        fields = {"host": "review.test", "origin": ORIGIN, **headers}
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/sign-out",
            "query_string": b"",
            "headers": [(k.encode(), v.encode()) for k, v in fields.items()],
            "client": ("127.0.0.1", 1),
        }
        await app(scope, receive, send)
        assert (answers[0]["status"], read) == (403, False)


async def test_a_form_of_a_thousand_fields_or_with_files_is_refused(tmp_path):
    """I send fields by the thousand, and files that are kept on your disk."""
    async with site(tmp_path) as s, await s.signed_in() as browser:
        waiting = await s.waiting()
        many = {f"f{n}": "x" for n in range(1_000)}
        assert (await browser.post(f"/{waiting.name}/approve", data=many)).status_code == 400
        files = {"etag": ("etag.txt", b"1"), "reason": ("a", b"x" * 1_000)}
        answer = await browser.post(f"/{waiting.name}/reject", files=files)
        assert answer.status_code in {400, 409}
        assert (await s.world.store.find_hold(waiting.name))[0] == waiting


async def test_guesses_are_slow_and_others_still_sign_in(tmp_path):
    """I try one-time links as fast as I can."""
    async with site(tmp_path) as s, s.browser() as mine, await s.signed_in() as lead:
        for n in range(EACH_MAX):
            assert (await mine.post(f"/sign-in/guess-{n}")).status_code == 403
        refused = await mine.post("/sign-in/one-time")
        assert refused.status_code == 429
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        forwarded = {"x-forwarded-for": "192.0.2.7", "forwarded": "for=192.0.2.7"}
        assert (await mine.get("/sign-in/one-time", headers=forwarded)).status_code == 429
        assert (await lead.get("/")).status_code == 200
        elsewhere = httpx2.ASGITransport(app=s.app, client=("192.0.2.9", 1))
        async with httpx2.AsyncClient(transport=elsewhere, base_url=ORIGIN) as other:
            assert (await other.get("/sign-in/one-time")).status_code == 200
        s.world.clock.advance(61)
        assert (await mine.get("/sign-in/one-time")).status_code == 200


def test_tries_are_counted_by_network_and_in_all():
    """I have a thousand addresses, of one IPv6 network or of many."""
    rates = Rates(window_s=60, each_max=2, all_max=6)
    assert [rates.wait_s(f"2001:db8::{n}", now=NOW) for n in range(1, 4)] == [0, 0, 60]
    assert [rates.wait_s("::ffff:192.0.2.1", now=NOW), rates.wait_s("192.0.2.1", now=NOW)] == [0, 0]
    assert rates.wait_s("192.0.2.1", now=NOW) == 60
    assert [rates.wait_s(f"192.0.2.{n}", now=NOW + 20) for n in (2, 3, 4)] == [0, 0, 40]
    assert rates.wait_s("192.0.2.4", now=NOW + 61) == 0
    assert rates.wait_s("192.0.2.4", now=NOW - 9_000) == 0  # a clock that was set back


async def test_a_stream_ends_soon_after_its_sign_in(tmp_path):
    """I am signed out, or my time is over, and keep the tab open that still listens."""
    async with site(tmp_path) as s:
        parts = dataclasses.replace(s.parts, streams=Streams(recheck_s=0.1))
        parts = dataclasses.replace(parts, address=_at(address := []))
        async with served(application(parts)) as port:
            address.append(f"127.0.0.1:{port}")
            for end in ("revoked", "idle"):
                secret = await s.parts.sign_ins.open(LEAD, how="local")
                busy = asyncio.create_task(_keep_busy(s))
                async with (
                    httpx2.AsyncClient(base_url=f"http://{address[0]}") as browser,
                    browser.stream(
                        "GET", "/live", headers={"cookie": f"callbroker={secret}"}
                    ) as stream,
                ):
                    assert (stream.status_code, parts.streams.count) == (200, 1)
                    begun = time.monotonic()
                    if end == "revoked":
                        await s.parts.sign_ins.end(await s.parts.sign_ins.find(secret))
                    else:
                        s.world.clock.advance(1_801)
                    async with asyncio.timeout(DEADLINE_S):
                        async for _ in stream.aiter_raw():
                            pass
                    assert time.monotonic() - begun < 5
                busy.cancel()
        assert parts.streams.count == 0


async def test_one_sign_in_has_few_streams_and_all_have_a_bounded_number(tmp_path):
    """I open live pages until nobody else gets one."""
    async with site(tmp_path) as s:
        parts = dataclasses.replace(
            s.parts, streams=Streams(each_max=2, all_max=3), address=_at(address := [])
        )
        async with served(application(parts)) as port:
            address.append(f"127.0.0.1:{port}")
            secrets = [await s.parts.sign_ins.open(LEAD, how="local") for _ in range(3)]
            async with (
                httpx2.AsyncClient(base_url=f"http://{address[0]}") as browser,
                contextlib.AsyncExitStack() as stack,
            ):
                seen = []
                for who in (0, 0, 0, 1, 2):
                    opening = browser.stream(
                        "GET", "/live", headers={"cookie": f"callbroker={secrets[who]}"}
                    )
                    answer = await stack.enter_async_context(opening)
                    seen.append(answer.status_code)
                assert seen == [200, 200, 429, 200, 429]
            async with asyncio.timeout(DEADLINE_S):
                while parts.streams.count:
                    await asyncio.sleep(0.01)


def _at(address: list[str]):
    return lambda: Address(
        origin=f"http://{address[0]}", is_secure=False, hosts=frozenset({address[0]})
    )


async def _keep_busy(s) -> None:
    """Names without end, so that the stream is never idle."""
    count = 0
    while True:
        count += 1
        s.world.events.publish("hold", f"holds/{count}")
        await asyncio.sleep(0.01)
