"""A broker's wire without a broker: real gRPC on loopback, answers by script, faults on demand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
from google.protobuf.message import Message

from broker.sdk.errors import REASON_KEY, BrokerError, IllegalTransition, NotFound, RequestIdReused
from broker.sdk.script import Script, State, Step
from broker.v1 import (
    broker_pb2,
    broker_pb2_grpc,
    host_pb2_grpc,
    worker_pb2,
    worker_pb2_grpc,
)

_CODES = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    RequestIdReused: grpc.StatusCode.ALREADY_EXISTS,
    IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """How the next call of an RPC goes wrong.

    Attributes:
        is_after: the broker has acted on it, and only the answer is lost.
    """

    code: grpc.StatusCode
    details: str = ""
    reason: str = ""
    is_after: bool = False


@dataclass(slots=True)
class Connected:
    """A worker's stream as the broker has it."""

    hello: worker_pb2.WorkerHello
    context: Any
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hand_over(self, handover: worker_pb2.Handover) -> None:
        async with self.writing:
            await self.context.write(worker_pb2.ConnectResponse(handover=handover))

    async def tell(self, *servers: "BrokerServer") -> None:
        """Names the brokers that live."""
        async with self.writing:
            await self.context.write(worker_pb2.ConnectResponse(brokers=_live(servers)))

    async def acknowledge(self, answer: worker_pb2.WorkerAnswer) -> None:
        acknowledged = worker_pb2.AnswerAcknowledged(
            invocation=answer.invocation, fencing_token=answer.fencing_token
        )
        async with self.writing:
            await self.context.write(worker_pb2.ConnectResponse(acknowledged=acknowledged))


class BrokerServer:
    """Use it as `async with BrokerServer() as server`."""

    def __init__(
        self, credentials: grpc.ServerCredentials | None = None, *, name: str = "brokers/b-1"
    ) -> None:
        self.name = name
        self.live: tuple[BrokerServer, ...] = ()
        self.loads: asyncio.Queue[int] = asyncio.Queue()
        self.script = Script()
        self.faults: dict[str, list[Fault]] = {}
        self.seen: list[tuple[str, Message, dict[str, str]]] = []
        self.changed = asyncio.Condition()
        self.workers: asyncio.Queue[Connected] = asyncio.Queue()
        self.answers: asyncio.Queue[worker_pb2.WorkerAnswer] = asyncio.Queue()
        self.drained = asyncio.Event()
        self.hello_fault: Fault | None = None
        self.is_acknowledging = True
        self.alter: Callable[[Any], None] | None = None
        self.port = 0
        self._credentials = credentials
        self._server: grpc.aio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def seen_of(self, method: str) -> list[Any]:
        return [request for name, request, _ in self.seen if name == method]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts, again on the same port after a stop."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        servicer: Any = _Servicer(self)
        host_pb2_grpc.add_HostServiceServicer_to_server(servicer, self._server)
        broker_pb2_grpc.add_BrokerServiceServicer_to_server(servicer, self._server)
        worker_pb2_grpc.add_WorkerServiceServicer_to_server(servicer, self._server)
        address = f"127.0.0.1:{self.port}"
        if self._credentials is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, self._credentials)
        await self._server.start()

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(None)

    async def saw(self, method: str, request: Message, metadata: dict[str, str]) -> None:
        self.seen.append((method, request, metadata))
        async with self.changed:
            self.changed.notify_all()

    async def until_seen(self, method: str, *, times: int = 1) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: len(self.seen_of(method)) >= times)

    async def settle(self, name: str, step: Step) -> None:
        """Decides a held call while somebody watches."""
        self.script.settle(name, step)
        async with self.changed:
            self.changed.notify_all()


class _Servicer:
    def __init__(self, server: BrokerServer) -> None:
        self._server = server

    async def _answer(self, request: Message, context: Any) -> Any:
        return await self._told(request, context, lambda: self._server.script.answer(request))

    async def CreateArtefact(self, requests: Any, context: Any) -> Any:  # noqa: N802 - as below
        parts = [request async for request in requests]
        return await self._told(parts[0], context, lambda: self._server.script.take(parts))

    async def ReadArtefact(self, request: Any, context: Any) -> Any:  # noqa: N802 - as below
        give = self._server.script.give
        for part in await self._told(request, context, lambda: list(give(request))):
            if self._server.alter is not None:
                self._server.alter(part)
            yield part

    async def _told(self, request: Message, context: Any, answered: Callable[[], Any]) -> Any:
        method = type(request).__name__.removesuffix("Request")
        metadata = {key: str(value) for key, value in context.invocation_metadata()}
        await self._server.saw(method, request, metadata)
        faults = self._server.faults.get(method)
        fault = faults.pop(0) if faults else None
        if fault is not None and not fault.is_after:
            await _abort(context, fault)
        try:
            answer = answered()
        except BrokerError as error:
            await _abort(
                context,
                Fault(
                    code=_CODES.get(type(error), grpc.StatusCode.INVALID_ARGUMENT),
                    details=str(error),
                    reason=error.reason,
                ),
            )
        if fault is not None:
            await _abort(context, fault)
        return answer

    CreateMandate = AddWords = RevokeSession = _answer
    OpenSession = CloseSession = ListTools = Invoke = GetInvocation = CancelInvocation = _answer
    ListArtefacts = GetArtefact = ReportOutcome = _answer

    async def WatchInvocation(  # noqa: N802 - gRPC names its methods
        self, request: broker_pb2.WatchInvocationRequest, context: Any
    ) -> AsyncIterator[broker_pb2.WatchInvocationResponse]:
        await self._server.saw("WatchInvocation", request, {})
        if faults := self._server.faults.get("WatchInvocation"):
            await _abort(context, faults.pop(0))
        for invocation in self._server.script.watch(request.name):
            yield broker_pb2.WatchInvocationResponse(invocation=invocation)
        while True:
            get = broker_pb2.GetInvocationRequest(name=request.name)
            invocation = self._server.script.get(get).invocation
            if invocation.state not in {State.STATE_HELD, State.STATE_RUNNING}:
                yield broker_pb2.WatchInvocationResponse(invocation=invocation)
                return
            async with self._server.changed:
                await self._server.changed.wait()

    async def Connect(self, _: object, context: Any) -> None:  # noqa: N802 - as above
        hello = (await context.read()).hello
        if self._server.hello_fault is not None:
            await _abort(context, self._server.hello_fault)
        live = _live(self._server.live) if self._server.live else None
        welcome = worker_pb2.WorkerWelcome(
            worker="workers/w-1", broker=self._server.name, brokers=live
        )
        await context.write(worker_pb2.ConnectResponse(welcome=welcome))
        connected = Connected(hello, context)
        self._server.workers.put_nowait(connected)
        reading = asyncio.create_task(self._read(connected))
        ended = asyncio.create_task(connected.ended.wait())
        try:
            await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reading.cancel()
            ended.cancel()

    async def _read(self, connected: Connected) -> None:
        while (request := await connected.context.read()) is not grpc.aio.EOF:
            match request.WhichOneof("message"):
                case "answer":
                    self._server.answers.put_nowait(request.answer)
                    if self._server.is_acknowledging:
                        await connected.acknowledge(request.answer)
                case "draining":
                    self._server.drained.set()
                case "load":
                    self._server.loads.put_nowait(request.load.elsewhere)


def _live(servers: Iterable[BrokerServer]) -> worker_pb2.LiveBrokers:
    return worker_pb2.LiveBrokers(
        brokers=[worker_pb2.BrokerAddress(broker=s.name, address=s.address) for s in servers]
    )


async def _abort(context: Any, fault: Fault) -> None:
    trailing = ((REASON_KEY, fault.reason.encode().decode()),) if fault.reason else ()
    await context.abort(fault.code, fault.details, trailing)
