"""A sandbox node without containers: speaks the real protocol on a unix socket, as a test tells it.

    async with sandbox_node(path, manner=obedient) as node:
        runner = SandboxRunner([node.address])

A manner is one conversation, from Reserve to its end; a node's manners are used up from the first
on, and the last one stays.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from sandboxes.v1 import sandboxes_pb2 as pb
from sandboxes.v1 import sandboxes_pb2_grpc as pb_grpc

IMAGE = f"sha256:{'0f' * 32}"
RESULT = b'{"refund_id":"r-1"}'

Requests = AsyncIterator[pb.RunRequest]
Manner = Callable[["FakeNode", Requests, Any], AsyncIterator[pb.RunResponse]]


def digest(name: str) -> str:
    """Of a profile of this name, wherever it is offered."""
    return f"sha256:{name.encode().hex():0>64}"


def profile(name: str, *tightens: str, because: str = "", isolated: bool = True) -> pb.Profile:
    return pb.Profile(
        name=name,
        digest=digest(name),
        available=not because,
        unavailable_because=because,
        tightens=[name, *tightens],
        isolated=isolated,
    )


PROFILES = (
    profile("strict", "compute", "egress"),
    profile("compute"),
    profile("egress", isolated=False),
    profile("gvisor", "strict", "compute", "egress", because="The engine has no runsc."),
)


@dataclass
class FakeNode:
    """What a node is told to be, and what it was asked.

    Attributes:
        manners: of the conversations to come.
        profiles, warm, room, problem: what it tells of itself; warm slots by image and profile.
        result: what the obedient manner ends with.
        reserved, called: what came, in order.
        left: how many conversations have ended, whoever ended them.
        is_silent: it answers no question about itself while this is set.
    """

    address: str
    manners: list[Manner]
    profiles: tuple[pb.Profile, ...] = PROFILES
    warm: dict[tuple[str, str], int] = field(default_factory=dict)
    room: int = 8
    problem: str = ""
    result: pb.Result = field(
        default_factory=lambda: pb.Result(ending=pb.ENDING_ANSWERED, result_json=RESULT)
    )
    reserved: list[pb.Reserve] = field(default_factory=list)
    called: list[pb.Call] = field(default_factory=list)
    left: int = 0
    is_silent: bool = False
    going: asyncio.Event = field(default_factory=asyncio.Event)
    server: Any = None

    def manner(self) -> Manner:
        return self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]

    def ready(self, **changed: Any) -> pb.RunResponse:
        """What it should say to the latest Reserve."""
        reserve = self.reserved[-1]
        known = {p.name: p for p in self.profiles}[reserve.profile]
        given = {
            "run": f"r{len(self.reserved)}",
            "warm": True,
            "profile_digest": known.digest,
            "isolated": known.isolated,
            **changed,
        }
        return pb.RunResponse(ready=pb.Ready(**given))

    async def die(self) -> None:
        """As with SIGKILL: nobody is told anything."""
        await self.server.stop(None)


async def read_reserve(node: FakeNode, requests: Requests) -> None:
    node.reserved.append((await anext(requests)).reserve)


async def read_call(node: FakeNode, requests: Requests) -> None:
    node.called.append((await anext(requests)).call)


async def obedient(node: FakeNode, requests: Requests, context: Any) -> AsyncIterator[Any]:
    """Does what is asked."""
    del context
    await read_reserve(node, requests)
    yield node.ready()
    await read_call(node, requests)
    await node.going.wait()
    yield pb.RunResponse(result=node.result)


def refusing(code: grpc.StatusCode, sentence: str) -> Manner:
    """Gives no place."""

    async def manner(node: FakeNode, requests: Requests, context: Any) -> AsyncIterator[Any]:
        await read_reserve(node, requests)
        await context.abort(code, sentence)
        yield  # never comes to this

    return manner


class Servicer(pb_grpc.SandboxServiceServicer):
    """Joins a `FakeNode` to gRPC."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    async def Run(self, request_iterator, context):  # noqa: N802
        conversation = self._node.manner()(self._node, aiter(request_iterator), context)
        try:
            async for message in conversation:
                yield message
        finally:
            self._node.left += 1

    async def ListProfiles(self, request, context):  # noqa: N802
        del request, context
        return pb.ListProfilesResponse(profiles=self._node.profiles)

    async def CheckHealth(self, request, context):  # noqa: N802
        del request, context
        if self._node.is_silent:
            await asyncio.Event().wait()
        return pb.CheckHealthResponse(
            healthy=not self._node.problem,
            problem=self._node.problem,
            pools=[
                pb.Pool(image=image, profile=name, warm=count)
                for (image, name), count in self._node.warm.items()
            ],
            containers_max=self._node.room,
        )


@contextlib.asynccontextmanager
async def sandbox_node(directory: Path, *manners: Manner, name: str = "node", **told: Any):
    """A running node.

    Args:
        directory: where its socket is; one that is short enough for a socket's path.
        manners: `obedient` unless others are given.
        name: of the socket.
        told: attributes of `FakeNode`.
    """
    node = FakeNode(
        address=f"unix:{directory / name}.sock", manners=list(manners) or [obedient], **told
    )
    node.going.set()
    await serve(node)
    try:
        yield node
    finally:
        await node.server.stop(None)


async def serve(node: FakeNode) -> None:
    """Have it listen, at first or again after it died."""
    node.server = grpc.aio.server()
    pb_grpc.add_SandboxServiceServicer_to_server(Servicer(node), node.server)
    node.server.add_insecure_port(node.address)
    await node.server.start()
