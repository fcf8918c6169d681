"""A sandbox node as tests use it: in this process or in one of its own, and a client for it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc

from sandboxes import main, settings
from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc

DEADLINE_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True)
class Turned:
    """What a refusal said."""

    code: grpc.StatusCode
    reason: str
    message: str


class NodeClient:
    """Speaks to one node."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(address, options=options)
        self.stub = sandboxes_pb2_grpc.SandboxServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.channel.close()

    async def run(
        self, image: str, given: Mapping[str, Any] | bytes = b"{}", **how: Any
    ) -> pb.Result:
        """One run that is not refused, but where the engine is too busy to answer for a moment."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                ended = await self.attempt(image, given, **how)
                if not isinstance(ended, Turned) or ended.reason != "ENGINE_UNAVAILABLE":
                    break
                await asyncio.sleep(POLL_S)
        assert isinstance(ended, pb.Result), ended
        return ended

    async def refusal(
        self, image: str, given: Mapping[str, Any] | bytes = b"{}", **how: Any
    ) -> Turned:
        """One run that is refused."""
        ended = await self.attempt(image, given, **how)
        assert isinstance(ended, Turned), ended
        return ended

    async def attempt(
        self,
        image: str,
        given: Mapping[str, Any] | bytes = b"{}",
        *,
        files: Sequence[pb.File] = (),
        deadline_s: float = 10.0,
        hold_s: float = 0.0,
        **reserve: Any,
    ) -> pb.Result | Turned:
        """One run; `hold_s` between reservation and call."""
        call = self.stub.Run(timeout=DEADLINE_S)
        try:
            ready = await self.ready(call, image, **reserve)
            if isinstance(ready, Turned):
                return ready
            await asyncio.sleep(hold_s)
            await call.write(ask(given, files=files, deadline_s=deadline_s))
            return await _read(call, "result")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # it ended before all was said
            return await turned(call)

    async def ready(
        self,
        call: Any,
        image: str,
        *,
        profile: str = "strict",
        wait_s: float = 20.0,
        digest: str = "",
    ) -> pb.Ready | Turned:
        """Reserve on an open stream."""
        wanted = pb.Reserve(image=image, profile=profile, profile_digest=digest)
        wanted.wait.FromNanoseconds(int(wait_s * 1e9))
        await call.write(pb.RunRequest(reserve=wanted))
        return await _read(call, "ready")

    async def health(self) -> pb.CheckHealthResponse:
        return await self.stub.CheckHealth(pb.CheckHealthRequest(), timeout=DEADLINE_S)

    async def until(self, wanted: Any, within_s: float = DEADLINE_S) -> pb.CheckHealthResponse:
        """Health, once `wanted` of it is true."""
        async with asyncio.timeout(within_s):
            while True:
                health = await self.health()
                if wanted(health):
                    return health
                await asyncio.sleep(POLL_S)


def ask(
    given: Mapping[str, Any] | bytes = b"{}",
    *,
    files: Sequence[pb.File] = (),
    deadline_s: float = 10.0,
) -> pb.RunRequest:
    """A call; the input as a value, or as the bytes that are sent."""
    input_json = given if isinstance(given, bytes) else json.dumps(given).encode()
    call = pb.Call(input_json=input_json, files=files)
    call.deadline.FromNanoseconds(int(deadline_s * 1e9))
    return pb.RunRequest(call=call)


async def turned(call: Any) -> Turned:
    """How an RPC was refused."""
    trailing = dict(list(await call.trailing_metadata() or ()))
    reason = trailing.get("callbroker-reason", "")
    return Turned(await call.code(), str(reason), await call.details())


async def _read(call: Any, kind: str) -> Any:
    try:
        message = await call.read()
    except grpc.aio.AioRpcError:
        return await turned(call)
    if message is grpc.aio.EOF:
        return await turned(call)
    assert message.WhichOneof("message") == kind, message
    return getattr(message, kind)


@contextlib.asynccontextmanager
async def settled(engine_url: str, state: Path, **given: Any) -> AsyncIterator[str]:
    """Address of a node in this process."""
    configured = settings.load(engine=engine_url, state=state, stop_within_s=0, **given)
    async with main.serving(configured) as address:
        yield address


@contextlib.asynccontextmanager
async def serving(engine_url: str, state: Path, **given: Any) -> AsyncIterator[NodeClient]:
    """A client of a node in this process."""
    async with settled(engine_url, state, **given) as address, NodeClient(address) as client:
        yield client


class NodeProcess:
    """`callbroker sandboxd` as a process of its own."""

    COMMAND = (sys.executable, "-m", "broker.command", "sandboxd")

    def __init__(self, engine_url: str, state: Path, **variables: str) -> None:
        self.state = state
        self.address = f"unix:{state}/sandboxd.sock"
        self.environment = {
            **os.environ,
            "CALLBROKER_SANDBOXD_ENGINE": engine_url,
            "CALLBROKER_SANDBOXD_STATE": str(state),
            **{f"CALLBROKER_SANDBOXD_{name.upper()}": value for name, value in variables.items()},
        }
        self.process: asyncio.subprocess.Process | None = None
        self.log = state.with_suffix(".log")

    @property
    def node_id(self) -> str:
        """Of its state directory."""
        return (self.state / "node_id").read_text("utf-8").strip()

    async def start(self) -> None:
        """Start it, and return once it serves."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.COMMAND,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        async with asyncio.timeout(DEADLINE_S):
            while not self._listens():
                assert self.process.returncode is None, self.log.read_text("utf-8")
                await asyncio.sleep(POLL_S)

    def _listens(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asked, contextlib.suppress(OSError):
            asked.settimeout(1.0)
            asked.connect(self.address.removeprefix("unix:"))
            return True
        return False

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()
