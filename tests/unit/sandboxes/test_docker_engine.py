"""Docker's API as it should not be: absent, hanging, dripping, refusing."""

import asyncio
import contextlib
import gc
import json
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sandboxes.docker_engine import DockerEngine
from sandboxes.docker_stream import DockerStream
from sandboxes.engine import EngineRefused, EngineUnavailable, NotThere

DEADLINE_S = 10.0


@pytest.fixture
def path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="cb-") as made:
        yield Path(made) / "engine.sock"


class _Answering(BaseHTTPRequestHandler):
    """Gives one answer to all requests but those for its version."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def do_any(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        version = self.path.endswith("/version")
        said = json.dumps({"ApiVersion": "1.41"} if version else self.server.body).encode()
        self.send_response(200 if version else self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_DELETE = do_any  # noqa: N815 - as http.server looks for them

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "test"


class _Server(socketserver.ThreadingUnixStreamServer):
    asked: list[str]
    status: int
    body: object


@contextlib.contextmanager
def answering(path: Path, status: int = 200, body: object = None) -> Iterator[list[str]]:
    """An engine that gives one answer to everything."""
    with _Server(str(path), _Answering) as server:
        server.asked, server.status, server.body = [], status, body
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield server.asked
        finally:
            server.shutdown()
            serving.join()


@contextlib.contextmanager
def hanging(path: Path) -> Iterator[None]:
    """An engine that takes connections and says nothing."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(32)
        yield


async def test_an_absent_engine_is_told_by_its_path(path: Path) -> None:
    engine = DockerEngine(f"unix://{path}")

    with pytest.raises(EngineUnavailable, match="no such file"):
        await engine.ping()
    await engine.close()


async def test_a_socket_that_nobody_serves_is_told(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
    engine = DockerEngine(f"unix://{path}")

    with pytest.raises(EngineUnavailable, match="refused"):
        await engine.ping()
    await engine.close()


@pytest.mark.parametrize("there", [True, False])
async def test_where_nobody_answers_no_connection_is_left_open(path: Path, *, there: bool) -> None:
    """An engine that is killed between two questions: each that finds it gone costs nothing."""
    if there:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(path))
    engine = DockerEngine(f"unix://{path}")
    for _ in range(5):
        with pytest.raises(EngineUnavailable):
            await engine.ping()
    await engine.close()

    gc.collect()  # a socket that was left open warns here, which fails the test


async def test_a_connection_that_comes_when_nobody_waits_for_it_is_closed(path: Path) -> None:
    engine = DockerEngine(f"unix://{path}")
    ours, theirs = socket.socketpair()
    begun = threading.Event()
    done = threading.Event()

    def slow(_: object) -> socket.socket:
        begun.set()
        done.wait(DEADLINE_S)
        return ours

    with theirs, answering(path):
        waiting = asyncio.create_task(engine._call("attach", DEADLINE_S, slow))
        await asyncio.to_thread(begun.wait, DEADLINE_S)
        waiting.cancel()
        await asyncio.wait((waiting,))
        done.set()
        assert await asyncio.to_thread(theirs.recv, 1) == b""
        await engine.close()


async def test_an_engine_on_its_way_out_is_told_from_one_that_answers(path: Path) -> None:
    """Docker closes its socket first and ends containers next, and answers all the while on
    connections that it has: whoever reads there how a container ended reads the engine's doing.
    """
    version = {"ApiVersion": "1.41"}
    engine = DockerEngine(f"unix://{path}")
    with answering(path, body=version):
        await engine.ping()
        path.unlink()  # noqa: ASYNC240 - a test's own folder
        with pytest.raises(EngineUnavailable):
            await engine.ping()
    await engine.close()


@pytest.mark.parametrize("url", ["tcp://127.0.0.1:2375", "http://example.com", "/run/docker.sock"])
def test_an_engine_elsewhere_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="unix://"):
        DockerEngine(url)


async def test_an_engine_that_hangs_holds_each_call_to_its_deadline_and_then_fails_at_once(
    path: Path,
) -> None:
    with hanging(path):
        engine = DockerEngine(f"unix://{path}", threads=2, patience=0.05)
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        told = await asyncio.gather(*(engine.ping() for _ in range(6)), return_exceptions=True)
        took_s = loop.time() - started_s
    await engine.close()

    assert [type(each) for each in told] == [EngineUnavailable] * 6
    assert took_s < 2


async def test_once_every_thread_hangs_the_next_call_fails_without_waiting(path: Path) -> None:
    with hanging(path):
        engine = DockerEngine(f"unix://{path}", threads=2)
        engine._hung = 2
        with pytest.raises(EngineUnavailable, match="2 calls to it wait"):
            await engine.ping()
        engine._hung = 0
    await engine.close()


async def test_what_it_refuses_is_told_in_its_own_words_on_one_clean_line(path: Path) -> None:
    message = {"message": "no\n such\x1b[31m option " + "x" * 9_999}
    with answering(path, 400, message):
        engine = DockerEngine(f"unix://{path}")
        with pytest.raises(EngineRefused) as refused:
            await engine.create("n", {"Image": "sha256:0"})
        await engine.close()

    told = str(refused.value)
    assert told.startswith("no such\N{REPLACEMENT CHARACTER}[31m option")
    assert "\n" not in told
    assert len(told) <= 500


async def test_what_is_gone_is_no_error_to_kill_or_remove_and_one_to_ask_about(path: Path) -> None:
    with answering(path, 404, {"message": "No such container"}):
        engine = DockerEngine(f"unix://{path}")
        await engine.kill("gone")
        await engine.remove("gone")
        with pytest.raises(NotThere):
            await engine.state("gone")
        await engine.close()


async def test_what_does_not_run_is_no_error_to_kill(path: Path) -> None:
    with answering(path, 409, {"message": "is not running"}):
        engine = DockerEngine(f"unix://{path}")
        await engine.kill("ended")
        await engine.remove("being removed")
        await engine.close()


async def test_an_error_of_the_engines_own_is_no_success(path: Path) -> None:
    with answering(path, 500, {"message": "cannot kill"}):
        engine = DockerEngine(f"unix://{path}")
        for asking in (engine.kill("c"), engine.remove("c"), engine.start("c")):
            with pytest.raises(EngineRefused, match="cannot kill"):
                await asking
        await engine.close()


async def test_a_container_id_is_no_path(path: Path) -> None:
    with answering(path, 404, {"message": "no"}) as asked:
        engine = DockerEngine(f"unix://{path}")
        await engine.remove("../images/x?force=1#")
        await engine.close()

    assert asked[-1].startswith("/v1.41/containers/..%2Fimages") or "%3F" in asked[-1]


def frame(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", kind, len(data)) + data


@pytest.mark.parametrize("piece", [1, 3, 8, 9, 1000])
async def test_a_stream_is_unpacked_whatever_the_pieces(piece: int) -> None:
    ours, theirs = socket.socketpair()
    stream = DockerStream(ours)
    sent = frame(1, b"one") + frame(2, b"") + frame(2, b"errors") + frame(1, b"t" * 500)
    with theirs:
        theirs.settimeout(0)
        loop = asyncio.get_running_loop()

        async def drip() -> None:
            for start in range(0, len(sent), piece):
                await loop.sock_sendall(theirs, sent[start : start + piece])
            theirs.shutdown(socket.SHUT_WR)

        dripping = asyncio.create_task(drip())
        said = {1: b"", 2: b""}
        while (got := await stream.receive()) is not None:
            said[got[0]] += got[1]
        await dripping
    stream.close()

    assert said == {1: b"one" + b"t" * 500, 2: b"errors"}


async def test_what_has_come_or_ended_unread_is_pending() -> None:
    ours, theirs = socket.socketpair()
    stream = DockerStream(ours)
    quiet = stream.pending()
    theirs.send(frame(1, b"x"))
    spoken = stream.pending()
    read = await stream.receive()
    again = stream.pending()
    theirs.close()
    ended = stream.pending()
    stream.close()

    assert (quiet, spoken, read, again, ended) == (False, True, (1, b"x"), False, True)
    assert stream.pending()


async def test_writing_to_a_stream_that_ended_is_told() -> None:
    ours, theirs = socket.socketpair()
    stream = DockerStream(ours)
    theirs.close()

    with pytest.raises(EngineUnavailable):
        await stream.send(b"x")
    stream.close()
