"""What a whole call cannot cost less than: the same bytes by gRPC, to a worker, to disk, to OPA.

Each floor does one thing of a call with nothing around it, on the same machine, loop and release.
"""

import asyncio
import contextlib
import json
import os
import socket
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from broker.policy.bundle import PolicyBundle
from broker.policy.opa_process import SupervisedOpa
from broker.v1 import broker_pb2, broker_pb2_grpc
from tests.benchmarks import bare, processors
from tests.benchmarks.guarded_echo import free_port, listens, process, until
from tests.benchmarks.plain_desk import CALL_DEADLINE_S, Desk
from tests.fakes.policy_trees import opa

IDLE_S = 0.001
_PATH = b"/v1/data/broker/decision/decision?strict-builtin-errors=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """Each gives the seconds that it took.

    Attributes:
        echo: gRPC alone; E.
        hop: gRPC, and to a worker and back; E + W.
        append: a record to disk; F.
        policy: OPA's raw round trip; O.
        record_bytes, question_bytes: the sizes of what is written and asked.
        server: the process that answers echo and hop.
    """

    echo: Callable[[], Awaitable[float]]
    hop: Callable[[], Awaitable[float]]
    append: Callable[[], Awaitable[float]]
    policy: Callable[[], Awaitable[float]]
    record_bytes: int
    question_bytes: int
    server: int


@contextlib.asynccontextmanager
async def floors(desk: Desk, directory: Path) -> AsyncIterator[Floors]:
    """Floors of the same bytes as a call of this desk, which is made for that."""
    answer = (await desk.call()).SerializeToString()
    path = directory / "answer"
    path.write_bytes(answer)
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            process("tests.benchmarks.bare", "server", str(port), str(path))
        )
        await until(lambda: listens(f"127.0.0.1:{port}"))
        worker = await stack.enter_async_context(
            process("tests.benchmarks.bare", "worker", str(port))
        )
        processors.pin(server, processors.SERVER)
        processors.pin(worker, processors.OTHERS)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        invoke = broker_pb2_grpc.BrokerServiceStub(channel).Invoke
        record, question, kept = await asyncio.to_thread(_recorded, desk.database)
        point = await SupervisedOpa.start(PolicyBundle.from_bytes(kept), opa=opa())
        stack.push_async_callback(point.close)
        processors.pin(point.process_id or 0, processors.OTHERS)
        raw = stack.enter_context(_RawOpa(point, question))
        file = os.open(directory / "appended", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        stack.callback(os.close, file)
        written = b"x" * record

        async def append() -> float:
            await asyncio.sleep(IDLE_S)
            return _timed(lambda: (os.write(file, written), os.fdatasync(file)))

        async def policy() -> float:
            return _timed(raw.ask)

        yield Floors(
            echo=lambda: _asked(invoke, desk, ""),
            hop=lambda: _asked(invoke, desk, bare.HOP),
            append=append,
            policy=policy,
            record_bytes=record,
            question_bytes=len(question),
            server=server,
        )


async def _asked(invoke: Any, desk: Desk, prefix: str) -> float:
    caller = desk.callers[0]
    request = caller.request()
    request.request_id = prefix + request.request_id
    begun_s = time.perf_counter()
    answer = await invoke(request, metadata=caller.metadata, timeout=CALL_DEADLINE_S)
    took_s = time.perf_counter() - begun_s
    assert isinstance(answer, broker_pb2.InvokeResponse)
    return took_s


def _timed(work: Callable[[], object]) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s


def _recorded(database: Path) -> tuple[int, bytes, bytes]:
    """Bytes of a call's half of the log, the question of a call, and the policy in force."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        sizes = connection.execute(
            "SELECT length(e.entry) + coalesce(length(c.body), 0) FROM audit_entries e "
            "LEFT JOIN audit_contents c ON c.entry = e.id WHERE e.invocation <> ''"
        ).fetchall()
        contents = [
            json.loads(body)
            for (body,) in connection.execute("SELECT body FROM audit_contents")
            if b'"question"' in body
        ]
        (kept,) = connection.execute(
            "SELECT body FROM documents WHERE kind = 'policy' ORDER BY at DESC LIMIT 1"
        ).fetchone()
    question = next(one["question"] for one in contents if one.get("question"))
    return sum(size for (size,) in sizes) // 2, json.dumps(question).encode(), bytes(kept)


class _RawOpa(contextlib.AbstractContextManager["_RawOpa"]):
    """One kept connection, one request at a time, nothing read but how long the answer is."""

    def __init__(self, point: SupervisedOpa, question: bytes) -> None:
        child = point._child
        assert child is not None
        client = child.opa._client
        body = b'{"input":%b}' % question
        self._request = (
            b"POST %b HTTP/1.1\r\nHost: opa\r\nAuthorization: %b\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        ) % (_PATH, client.headers["Authorization"].encode(), len(body), body)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(child._folder / "socket"))
        assert b'"ALLOW"' in self.ask()

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self) -> bytes:
        """One round trip."""
        self._socket.sendall(self._request)
        heard = b""
        while True:
            heard += self._socket.recv(65_536)
            head, _, body = heard.partition(b"\r\n\r\n")
            lowered = head.lower()
            if b"content-length:" in lowered:
                length = int(lowered.partition(b"content-length:")[2].split(b"\r\n")[0])
                if len(body) >= length:
                    return body
            elif body.endswith(b"0\r\n\r\n"):
                return body
