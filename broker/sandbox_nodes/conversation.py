"""One run at one node: Reserve, Ready, Call, Result, and no word more is listened to.

Before Call nothing of the call is at the node, so that whatever goes wrong there costs nothing.
From Call on it may have taken effect, and only a Result says otherwise. What is kept for the call
is given back by ending the stream; the node kills what still runs there.
"""

import asyncio
from typing import Any, Final

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration

from broker.ports import FrozenCall, Lost, NeverStarted, Outcome
from broker.sandbox_nodes.node import Node, sentence
from broker.sandbox_nodes.placement import Place
from broker.sandbox_nodes.reading import Run, outcome_in
from sandboxes.v1 import sandboxes_pb2 as pb

_log = structlog.get_logger(__name__)

READY_GRACE_S: Final = 1.0
RESULT_GRACE_S: Final = 2.0
_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_PASSING: Final = _AWAY | {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}

Stream = Any
"""`grpc.aio.StreamStreamCall`, whose stub types are generic over private names."""


class PlaceRefused(Exception):
    """A node gives no slot; nothing ran. `str` is one sentence, fit to be shown.

    Attributes:
        is_passing: it may give one a moment later.
    """

    def __init__(self, sentence: str, *, is_passing: bool) -> None:
        super().__init__(sentence)
        self.is_passing = is_passing


async def reserve(node: Node, place: Place, *, image: str, wait_s: float) -> "NodeSlot":
    """Have a container ready that nobody else uses.

    Args:
        node: that is asked.
        place: with the profile that it must be under.
        image: digest of what runs in it.
        wait_s: seconds that the node may take.

    Raises:
        PlaceRefused: there is none, or not the one that was asked for.
    """
    node.take((image, place.profile.name))
    stream: Stream = node.stub.Run()
    wanted = pb.Reserve(
        image=image,
        profile=place.profile.name,
        profile_digest=place.profile.digest,
        wait=_duration(wait_s),
    )
    try:
        async with asyncio.timeout(wait_s + READY_GRACE_S):
            await stream.write(pb.RunRequest(reserve=wanted))
            answer = await stream.read()
        ready = _ready(answer, place)
    except TimeoutError:
        stream.cancel()
        node.suspect("It does not answer in time.")
        raise PlaceRefused("It does not answer in time.", is_passing=True) from None
    except grpc.aio.AioRpcError as error:
        if error.code() in _AWAY:
            node.suspect(sentence(error))
        raise PlaceRefused(sentence(error), is_passing=error.code() in _PASSING) from None
    except asyncio.InvalidStateError:
        raise PlaceRefused("It ended the conversation.", is_passing=True) from None
    except BaseException:
        stream.cancel()
        raise
    run = Run(
        node=place.address,
        name=ready.run,
        image=image,
        profile=place.profile,
        warm=ready.warm,
    )
    return NodeSlot(stream=stream, run=run)


class NodeSlot:
    """A container that waits for one call (`ports.Slot`)."""

    def __init__(self, *, stream: Stream, run: Run) -> None:
        """Make one of a conversation in which Ready was said."""
        self._stream = stream
        self._run = run

    async def run(self, call: FrozenCall) -> Outcome:
        """Hand the call over, once, and read how it ended."""
        if self._stream.done():
            return NeverStarted(why="the sandbox node gave its place up before the call")
        try:
            # The node keeps the deadline and tells of it; the grace is for that.
            async with asyncio.timeout(call.deadline_s + RESULT_GRACE_S):
                await self._stream.write(pb.RunRequest(call=_call(call)))
                answer = await self._stream.read()
        except TimeoutError:
            return self._lost("the sandbox node did not keep the deadline")
        except grpc.aio.AioRpcError as error:
            return self._ended_by(error)
        except asyncio.InvalidStateError:
            return self._lost("the sandbox node ended the conversation")
        if answer is grpc.aio.EOF or answer.WhichOneof("message") != "result":
            return self._lost("the sandbox node ended the conversation without a result")
        return outcome_in(answer.result, self._run)

    def release(self) -> None:
        """End the conversation. Twice is harmless."""
        self._stream.cancel()

    def acknowledge(self) -> None:
        """A node keeps nothing of a run that has ended."""

    def _ended_by(self, error: grpc.aio.AioRpcError) -> Outcome:
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            # gRPC itself never says this: the node read the call and did not take it.
            return NeverStarted(why=f"the sandbox node refused the call: {sentence(error)}")
        return self._lost(f"the sandbox node was lost: {sentence(error)}")

    def _lost(self, why: str) -> Lost:
        run = self._run
        return Lost(
            why=why,
            trail={
                "node": run.node,
                "run": run.name,
                "image": run.image,
                "profile": run.profile.name,
                "profile_digest": run.profile.digest,
                "warm": run.warm,
                # Nobody has told what it did.
                "requests_cut": not run.profile.isolated,
            },
        )


def _call(call: FrozenCall) -> pb.Call:
    return pb.Call(
        input_json=call.invocation.call.canonical,
        files=[pb.File(name=file.name, content=file.content) for file in call.files],
        deadline=_duration(call.deadline_s),
        subject=call.principal.id,
    )


def _ready(answer: Any, place: Place) -> pb.Ready:
    """The node's Ready.

    Raises:
        PlaceRefused: it said something else, or is ready with something else.
    """
    if answer is grpc.aio.EOF or answer.WhichOneof("message") != "ready":
        raise PlaceRefused("It ended the conversation.", is_passing=True)
    ready: pb.Ready = answer.ready
    was_decided = (place.profile.digest, place.profile.isolated)
    if not ready.run or (ready.profile_digest, ready.isolated) != was_decided:
        _log.warning(
            "sandbox_node_gave_another_profile",
            node=place.address,
            wanted=place.profile.digest,
            given=ready.profile_digest,
        )
        raise PlaceRefused("It gave another isolation than was decided on.", is_passing=False)
    return ready


def _duration(seconds: float) -> Duration:
    message = Duration()
    message.FromNanoseconds(round(max(seconds, 0.0) * 1_000_000_000))
    return message
