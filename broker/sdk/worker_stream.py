"""One stream of a worker: hello, then calls come down and answers go up, one writer at a time.

On every new stream the answers that its broker has not acknowledged are sent first. The order
between an answer and its acknowledgement is all that matters; a lost message is made good by the
next stream.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeGuard

import grpc

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


class Heard(Protocol):
    """What a stream is kept for."""

    def joined(
        self, stream: "WorkerStream", brokers: worker_pb2.LiveBrokers | None
    ) -> Sequence[worker_pb2.WorkerAnswer]:
        """A broker has taken the worker; the answers that are to go there first."""

    def brokers(self, live: worker_pb2.LiveBrokers) -> None:
        """Brokers have come or gone."""

    def take(
        self, handover: worker_pb2.Handover, stream: "WorkerStream"
    ) -> worker_pb2.WorkerAnswer | None:
        """A call to carry out; the answer where there is one already."""

    def acknowledged(self, fencing_token: str) -> None:
        """An answer need not be kept any longer."""

    def refused(self, stream: "WorkerStream", error: CallerError) -> None:
        """A broker refuses the worker for a reason that stays; raises to end the stream."""


class WorkerStream:
    """Connected to one address whenever it can be.

    Attributes:
        welcomed: set while the broker has taken the worker.
        broker: the instance that took it last.
        counts_load: whether that one is told of the calls of others.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hello: worker_pb2.WorkerHello,
        heard: Heard,
    ) -> None:
        self.welcomed = asyncio.Event()
        self.broker = ""
        self.counts_load = False
        self._settings = settings
        self._hello = hello
        self._heard = heard
        self._outbox: asyncio.Queue[worker_pb2.ConnectRequest | None] | None = None
        self._is_finishing = False

    @property
    def address(self) -> str:
        """Where the broker is."""
        return self._settings.address

    @property
    def is_connected(self) -> bool:
        """Whether a broker has the worker by this stream now."""
        return self._outbox is not None

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

    async def serve(self) -> None:
        """Connects, again and again.

        Raises:
            WorkerRefused: as `Heard.refused` does.
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
                    if not self.welcomed.is_set() and is_lasting(error):
                        self._heard.refused(self, error)
                    LOG.warning("%s It is tried again.", sentence(error))
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
            welcome = await self._greet(stream)
            self._outbox = asyncio.Queue()
            self.broker = welcome.broker
            self.counts_load = welcome.HasField("brokers")
            brokers = welcome.brokers if self.counts_load else None
            for answer in self._heard.joined(self, brokers):
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

    async def _greet(self, stream: Any) -> worker_pb2.WorkerWelcome:
        try:
            async with asyncio.timeout(HELLO_DEADLINE_S):
                with contextlib.suppress(asyncio.InvalidStateError):  # it has ended: read says why
                    await stream.write(worker_pb2.ConnectRequest(hello=self._hello))
                response = await stream.read()
        except TimeoutError:
            raise Unavailable("The broker did not answer the hello.") from None
        if response is grpc.aio.EOF or response.WhichOneof("message") != "welcome":
            raise Unavailable("The broker did not answer the hello.")
        welcome: worker_pb2.WorkerWelcome = response.welcome
        LOG.info("%s is connected to %s", welcome.worker, welcome.broker)
        return welcome

    def _receive(self, response: worker_pb2.ConnectResponse) -> None:
        match response.WhichOneof("message"):
            case "handover":
                if answer := self._heard.take(response.handover, self):
                    self.send(worker_pb2.ConnectRequest(answer=answer))
            case "acknowledged":
                self._heard.acknowledged(response.acknowledged.fencing_token)
            case "brokers":
                self._heard.brokers(response.brokers)
            case _:  # a message of a later release
                LOG.warning("the broker said something that this release does not know")


def is_lasting(error: BrokerError) -> TypeGuard[CallerError]:
    """Whether a refusal stays until somebody mends what it is for."""
    return isinstance(error, CallerError) and not isinstance(error, LimitExceeded)


def refusal(error: CallerError, hello: worker_pb2.WorkerHello) -> WorkerRefused:
    """What to tell whoever runs a worker that is not taken."""
    names = ", ".join(tool.name for tool in hello.tools) or "none"
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
    return WorkerRefused(f"The broker refused this worker: {sentence(error)} {hint}")


def sentence(error: BrokerError) -> str:
    """What others worded may end without a full stop, and another sentence follows."""
    text = str(error)
    return text if text.endswith((".", "…", ")")) else f"{text}."


async def _write(stream: Any, outbox: "asyncio.Queue[worker_pb2.ConnectRequest | None]") -> None:
    """The one writer of a stream; when the stream has ended, the reader says why."""
    with contextlib.suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
        while (request := await outbox.get()) is not None:
            await stream.write(request)
        await stream.done_writing()
