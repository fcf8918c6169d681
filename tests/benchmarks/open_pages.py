"""Live pages as browsers keep them open: python -m tests.benchmarks.open_pages ADDRESS COUNT.

Reads a cookie for every EACH of them from standard input. Each keeps a stream, and asks for a
hold's row when it is told of one, as soon after that as `live.js` does. Says READY once all are
open; ends with its standard input.
"""

import asyncio
import random
import sys
from urllib.parse import urlencode, urlsplit

EACH = 8  # streams of one sign-in, which is the most that the broker has
TOGETHER_S = 0.12
AGAIN_S = 0.5


async def _stay(address: str, cookie: str, opened: asyncio.Semaphore) -> None:
    while True:
        reader, writer = await _ask(address, "/live", cookie, accept="text/event-stream")
        status = (await reader.readline()).split()[1]
        if status != b"429":  # those that were open before may be about to end
            break
        writer.close()
        await asyncio.sleep(AGAIN_S)
    assert status == b"200", status
    opened.release()
    try:
        async for line in reader:
            if line.startswith(b"data: holds/"):
                name = line[6:].decode().strip()
                await asyncio.sleep(random.random() * TOGETHER_S)
                await _row(address, cookie, name)
    finally:
        writer.close()


async def _row(address: str, cookie: str, name: str) -> None:
    reader, writer = await _ask(address, f"/rows?{urlencode({'hold': name})}", cookie)
    await reader.read()
    writer.close()


async def _ask(
    address: str, path: str, cookie: str, accept: str = "text/html"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: callbroker={cookie}\r\n"
        f"Accept: {accept}\r\nSec-Fetch-Site: same-origin\r\nConnection: close\r\n\r\n"
    )
    writer.write(request.encode())
    await writer.drain()
    return reader, writer


async def _main(address: str, count: int, cookies: list[str]) -> None:
    opened = asyncio.Semaphore(0)
    stays = [
        asyncio.create_task(_stay(address, cookies[number // EACH], opened))
        for number in range(count)
    ]
    for _ in stays:
        await asyncio.wait_for(opened.acquire(), 60)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for stay in stays:
        stay.cancel()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), sys.stdin.readline().split()))
