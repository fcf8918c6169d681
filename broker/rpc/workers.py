"""WorkerService: hello first, then calls go down and answers come up, until one side has enough.

What a worker says of a tool's failure reaches a model, so it is brought into bounds here; it is
never refused, because a worker repeats an answer until it is taken.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, assert_never

import grpc

from broker.core.arguments import JsonValue, MalformedJson, parse_object
from broker.core.errors import MalformedRequest
from broker.core.limits import SCHEMA_BYTES_MAX, TOOL_MESSAGE_CHARACTERS_MAX
from broker.core.previews import PREVIEW_SUFFIX
from broker.ports import Failed, Lost, NeverStarted, Outcome, Succeeded
from broker.rpc.convert import malformed, require_text, timestamp
from broker.rpc.door import authenticated
from broker.tools.worker import (
    SLOTS_MAX,
    Acknowledgement,
    Answer,
    BrokersTold,
    Connection,
    Declined,
    Handover,
    Load,
    Offer,
    ToolOffer,
    WorkerHub,
)
from broker.v1 import worker_pb2, worker_pb2_grpc

HELLO_WITHIN_S: Final = 10.0
TOOLS_MAX: Final = 1_000
_CODE: Final = re.compile(r"[A-Z][A-Z0-9_]{0,62}", re.ASCII)
_FAILED: Final = "TOOL_FAILED"


class WorkerServicer(worker_pb2_grpc.WorkerServiceServicer):
    """Joins a worker's stream to the `WorkerHub`."""

    def __init__(
        self, *, hub: WorkerHub, instance: str, hello_within_s: float = HELLO_WITHIN_S
    ) -> None:
        """Make one.

        Args:
            hub: takes workers in.
            instance: name of this broker, for the worker's log.
            hello_within_s: seconds that a worker has to say who it is.
        """
        self._hub = hub
        self._instance = instance
        self._hello_within_s = hello_within_s

    async def Connect(
        self,
        request_iterator: AsyncIterator[worker_pb2.ConnectRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[worker_pb2.ConnectResponse]:
        """One stream for as long as the worker lives."""
        requests = aiter(request_iterator)
        connection = self._hub.connect(authenticated(), await self._hello(requests))
        receiving = asyncio.create_task(_receive(connection, requests))
        try:
            yield worker_pb2.ConnectResponse(welcome=self._welcome(connection))
            async for message in connection.handovers():
                yield _sent(message)
            await receiving
        finally:
            connection.close()
            receiving.cancel()
            await asyncio.wait({receiving})

    def _welcome(self, connection: Connection) -> worker_pb2.WorkerWelcome:
        told = self._hub.brokers
        return worker_pb2.WorkerWelcome(
            worker=connection.name,
            broker=self._instance,
            brokers=_brokers(told) if told is not None else None,
        )

    async def _hello(self, requests: AsyncIterator[worker_pb2.ConnectRequest]) -> Offer:
        try:
            async with asyncio.timeout(self._hello_within_s):
                first = await anext(requests)
        except (TimeoutError, StopAsyncIteration):
            first = worker_pb2.ConnectRequest()
        if first.WhichOneof("message") != "hello":
            raise malformed(
                "hello", f"A worker says hello first, within {self._hello_within_s:.0f} s."
            )
        return _offer(first.hello)


async def _receive(
    connection: Connection, requests: AsyncIterator[worker_pb2.ConnectRequest]
) -> None:
    """Take what the worker says until it has said all; then the connection is over."""
    try:
        async for request in requests:
            match request.WhichOneof("message"):
                case "answer":
                    await connection.answer(_answer(request.answer))
                case "draining":
                    connection.drain()
                case "load":
                    connection.load(Load(elsewhere=request.load.elsewhere))
                case _:
                    raise MalformedRequest("A worker says hello once, and then only answers.")
    finally:
        connection.close()


def _offer(hello: worker_pb2.WorkerHello) -> Offer:
    if not 0 < hello.slots <= SLOTS_MAX:
        raise malformed("hello.slots", f"A worker has 1 to {SLOTS_MAX} slots.")
    if not 0 < len(hello.tools) <= TOOLS_MAX:
        raise malformed("hello.tools", f"A worker implements 1 to {TOOLS_MAX} tools.")
    if len({tool.name for tool in hello.tools}) != len(hello.tools):
        raise malformed("hello.tools", "A tool is offered once.")
    return Offer(slots=hello.slots, tools=tuple(_tool(tool) for tool in hello.tools))


def _tool(tool: worker_pb2.ToolOffer) -> ToolOffer:
    require_text(tool.name, field="hello.tools.name")
    result, told = tool.result_schema_json, tool.preview_result_schema_json
    preview: ToolOffer | None = None
    if tool.preview_parameters_schema_json:
        preview = ToolOffer(
            name=f"{tool.name}{PREVIEW_SUFFIX}",
            parameters_schema=_schema(tool.preview_parameters_schema_json),
            result_schema=_schema(told) if told else None,
        )
    return ToolOffer(
        name=tool.name,
        parameters_schema=_schema(tool.parameters_schema_json),
        result_schema=_schema(result) if result else None,
        preview=preview,
    )


def _schema(data: bytes) -> Mapping[str, JsonValue]:
    try:
        return parse_object(data, bytes_max=SCHEMA_BYTES_MAX)
    except MalformedJson as wrong:
        raise malformed("hello.tools", str(wrong)) from None


def _answer(answer: worker_pb2.WorkerAnswer) -> Answer:
    require_text(answer.invocation, field="answer.invocation")
    require_text(answer.fencing_token, field="answer.fencing_token")
    return Answer(
        invocation=answer.invocation,
        fencing_token=answer.fencing_token,
        outcome=_outcome(answer),
    )


def _outcome(answer: worker_pb2.WorkerAnswer) -> Outcome:
    match answer.WhichOneof("outcome"):
        case "result_json":
            return Succeeded(result_json=answer.result_json)
        case "failure":
            code = answer.failure.code
            return Failed(
                code=code if _CODE.fullmatch(code) else _FAILED,
                message=answer.failure.message[:TOOL_MESSAGE_CHARACTERS_MAX],
            )
        case "not_started":
            return NeverStarted(why=answer.not_started[:TOOL_MESSAGE_CHARACTERS_MAX])
        case "declined":
            return Declined(why=answer.declined[:TOOL_MESSAGE_CHARACTERS_MAX])
        case "unknown":
            return Lost(why=answer.unknown[:TOOL_MESSAGE_CHARACTERS_MAX])
        case _:
            return Lost(why="the worker's answer says nothing")


def _sent(message: Handover | Acknowledgement | BrokersTold) -> worker_pb2.ConnectResponse:
    match message:
        case Handover():
            return worker_pb2.ConnectResponse(handover=_handover(message))
        case Acknowledgement():
            return worker_pb2.ConnectResponse(
                acknowledged=worker_pb2.AnswerAcknowledged(
                    invocation=message.invocation, fencing_token=message.fencing_token
                )
            )
        case BrokersTold():
            return worker_pb2.ConnectResponse(brokers=_brokers(message))
        case _:
            assert_never(message)


def _brokers(told: BrokersTold) -> worker_pb2.LiveBrokers:
    return worker_pb2.LiveBrokers(
        brokers=[
            worker_pb2.BrokerAddress(broker=one.broker, address=one.address) for one in told.brokers
        ]
    )


def _handover(handover: Handover) -> worker_pb2.Handover:
    frozen = handover.call
    invocation = frozen.invocation
    return worker_pb2.Handover(
        invocation=invocation.name,
        fencing_token=frozen.fencing_token,
        tool=invocation.call.tool,
        tool_revision=frozen.manifest.revision,
        arguments_json=invocation.call.canonical,
        digest=invocation.call.digest,
        principal=frozen.principal.id,
        agent=invocation.agent,
        session=invocation.session,
        deadline=timestamp(handover.deadline_at),
        attempt=invocation.attempt,
        principal_groups=frozen.principal.groups,
        traceparent=frozen.traceparent,
    )
