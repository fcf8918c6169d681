"""The stream of a worker: hello, then calls come down and answers go up, one writer at a time.

On every new stream the answers that nobody has acknowledged are sent first. The order between an
answer and its acknowledgement is all that matters; a lost message is made good by the next stream.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

import grpc

from broker.sdk.attempts import Attempts
from broker.sdk.configuration import Settings
from broker.sdk.errors import (
    BrokerError,
    CallerError,
    LimitExceeded,
    NotPermitted,
    Unauthenticated,
    Unavailable,
    WorkerRefused,
)
from broker.sdk.patience import HELLO_DEADLINE_S, pauses
from broker.sdk.transport import open_channel, told
from broker.v1 import worker_pb2, worker_pb2_grpc

LOG: Final = logging.getLogger("callbroker.worker")


class WorkerStream:
    """Connected whenever it can be.

    Attributes:
        welcomed: set while the broker has taken the worker.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hello: worker_pb2.WorkerHello,
        attempts: Attempts,
        take: Callable[[worker_pb2.Handover], worker_pb2.WorkerAnswer | None],
    ) -> None:
        self.welcomed = asyncio.Event()
        self._settings = settings
        self._hello = hello
        self._attempts = attempts
        self._take = take
        self._outbox: asyncio.Queue[worker_pb2.ConnectRequest | None] | None = None
        self._changed = asyncio.Event()
        self._is_finishing = False

    def send(self, request: worker_pb2.ConnectRequest) -> None:
        """Sends if connected; an answer that cannot go now is kept and goes on the next stream."""
        if self._outbox is not None:
            self._outbox.put_nowait(request)

    def finish(self) -> bool:
        """Says goodbye once all is sent; False where there is nobody to say it to."""
        self._is_finishing = True
        if self._outbox is not None:
            self._outbox.put_nowait(None)
        return self._outbox is not None

    async def settled(self) -> None:
        """Returns once no answer waits for its acknowledgement."""
        while self._attempts.unacknowledged:
            self._changed.clear()
            await self._changed.wait()

    async def serve(self) -> None:
        """Connects, again and again.

        Raises:
            WorkerRefused: the broker refused the hello for a reason that stays.
        """
        metadata = self._settings.metadata("worker")
        channel = open_channel(self._settings)
        stub: Any = worker_pb2_grpc.WorkerServiceStub(channel)
        try:
            pause = pauses()
            while True:
                try:
                    await self._connection(stub.Connect(metadata=metadata))
                except BrokerError as error:
                    if not self.welcomed.is_set():
                        self._give_up_if_refused(error)
                    LOG.warning("%s It is tried again.", _sentence(error))
                if self._is_finishing:
                    return
                if self.welcomed.is_set():
                    pause = pauses()
                    self.welcomed.clear()
                await asyncio.sleep(next(pause))
        finally:
            await channel.close()

    async def _connection(self, stream: Any) -> None:
        """One stream from hello to its end."""
        writing: asyncio.Task[None] | None = None
        try:
            await self._greet(stream)
            self._outbox = asyncio.Queue()
            for answer in self._attempts.unacknowledged:
                self.send(worker_pb2.ConnectRequest(answer=answer))
            writing = asyncio.create_task(_write(stream, self._outbox))
            self.welcomed.set()
            while (response := await stream.read()) is not grpc.aio.EOF:
                self._receive(response)
        except grpc.aio.AioRpcError as error:
            raise told(error, self._settings, "worker") from None
        finally:
            self._outbox = None
            stream.cancel()
            if writing is not None:
                writing.cancel()
                await asyncio.wait({writing})

    async def _greet(self, stream: Any) -> None:
        try:
            async with asyncio.timeout(HELLO_DEADLINE_S):
                with contextlib.suppress(asyncio.InvalidStateError):  # it has ended: read says why
                    await stream.write(worker_pb2.ConnectRequest(hello=self._hello))
                response = await stream.read()
        except TimeoutError:
            raise Unavailable("The broker did not answer the hello.") from None
        if response is grpc.aio.EOF or response.WhichOneof("message") != "welcome":
            raise Unavailable("The broker did not answer the hello.")
        LOG.info("%s is connected to %s", response.welcome.worker, response.welcome.broker)

    def _receive(self, response: worker_pb2.ConnectResponse) -> None:
        match response.WhichOneof("message"):
            case "handover":
                if answer := self._take(response.handover):
                    self.send(worker_pb2.ConnectRequest(answer=answer))
            case "acknowledged":
                self._attempts.acknowledge(response.acknowledged.fencing_token)
                self._changed.set()
            case _:  # a message of a later release
                LOG.warning("the broker said something that this release does not know")

    def _give_up_if_refused(self, error: BrokerError) -> None:
        if not isinstance(error, CallerError) or isinstance(error, LimitExceeded):
            return
        names = ", ".join(tool.name for tool in self._hello.tools) or "none"
        match error:
            case Unauthenticated():
                hint = "`callbroker token create worker` makes another."
            case NotPermitted():
                hint = f"Use a worker token that names these tools: {names}."
            case _:
                hint = (
                    "Make functions and manifests agree; `callbroker tools put` puts manifests in "
                    "force."
                )
        told_so = f"The broker refused this worker: {_sentence(error)} {hint}"
        raise WorkerRefused(told_so) from None


def _sentence(error: BrokerError) -> str:
    """What others worded may end without a full stop, and another sentence follows."""
    text = str(error)
    return text if text.endswith((".", "…", ")")) else f"{text}."


async def _write(stream: Any, outbox: "asyncio.Queue[worker_pb2.ConnectRequest | None]") -> None:
    """The one writer of a stream; when the stream has ended, the reader says why."""
    with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        while (request := await outbox.get()) is not None:
            await stream.write(request)
        await stream.done_writing()
