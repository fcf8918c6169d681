import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypedDict

import grpc
import pytest

from broker.sdk import Call, Change, ToolFailed, Unauthenticated, Unavailable, Worker, WorkerRefused
from broker.v1 import worker_pb2
from tests.fakes.broker_server import BrokerServer, Connected, Fault

numbers = count(1)


@pytest.fixture
async def server() -> AsyncIterator[BrokerServer]:
    async with BrokerServer() as server:
        yield server


@pytest.fixture
def worker(server: BrokerServer) -> Worker:
    return Worker(server.address, "w", slots=2, drain_s=0.05)


def handover(tool: str, arguments: str = "{}", *, deadline_s: float = 10.0) -> worker_pb2.Handover:
    number = next(numbers)
    message = worker_pb2.Handover(
        invocation=f"invocations/i-{number}",
        fencing_token=f"token-{number}",
        tool=tool,
        arguments_json=arguments.encode(),
        principal="customers/c-204",
        principal_groups=["customers"],
        agent="agents/support",
        session="sessions/s-1",
        attempt=1,
    )
    message.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=deadline_s))  # noqa: TID251
    return message


async def connected(server: BrokerServer) -> Connected:
    async with asyncio.timeout(10):
        return await server.workers.get()


async def answered(server: BrokerServer) -> worker_pb2.WorkerAnswer:
    async with asyncio.timeout(10):
        return await server.answers.get()


async def carried(
    server: BrokerServer, worker: Worker, handed: worker_pb2.Handover
) -> worker_pb2.WorkerAnswer:
    async with worker.serving():
        await (await connected(server)).hand_over(handed)
        answer = await answered(server)
    assert (answer.invocation, answer.fencing_token) == (handed.invocation, handed.fencing_token)
    return answer


@dataclass
class Refunded:
    refund_id: str
    parts: list["Part"]


@dataclass
class Part:
    amount_minor: int


class Line(TypedDict):
    sku: str


async def test_a_worker_says_what_it_implements(server: BrokerServer, worker: Worker) -> None:
    @worker.tool("refund")
    async def refund(call: Call, *, order_id: str, amount_minor: int = 0) -> Refunded: ...

    @worker.tool("ping")
    def ping(): ...

    async with worker.serving():
        hello = (await connected(server)).hello
    assert hello.slots == 2
    assert [tool.name for tool in hello.tools] == ["refund", "ping"]
    assert hello.tools[0].parameters_schema_json == (
        b'{"type":"object","additionalProperties":false,"required":["order_id"],"properties":'
        b'{"order_id":{"type":"string"},"amount_minor":{"type":"integer"}}}'
    )
    assert b'"refund_id"' in hello.tools[0].result_schema_json
    assert hello.tools[1].result_schema_json == b""


async def test_an_async_tool_gets_the_call_and_its_arguments(
    server: BrokerServer, worker: Worker
) -> None:
    calls: list[tuple[Call, dict[str, Any]]] = []

    @worker.tool("refund")
    async def refund(call: Call, *, order_id: str, **others: object) -> Refunded:
        calls.append((call, {"order_id": order_id, **others}))
        return Refunded("r1", [Part(100)])

    handed = handover("refund", '{"order_id":"O-1","reason":"crushed"}')
    answer = await carried(server, worker, handed)
    assert answer.result_json == b'{"refund_id":"r1","parts":[{"amount_minor":100}]}'
    ((call, arguments),) = calls
    assert arguments == {"order_id": "O-1", "reason": "crushed"}
    assert call.invocation == handed.invocation
    assert call.principal == "customers/c-204"
    assert call.principal_groups == ("customers",)
    assert call.deadline == handed.deadline.ToDatetime(UTC)


async def test_a_plain_tool_runs_in_a_thread(server: BrokerServer, worker: Worker) -> None:
    @worker.tool("read")
    def read(lines: list[Line], total: float) -> dict[str, Any]:
        return {"thread": threading.current_thread().name, "lines": lines, "total": repr(total)}

    answer = await carried(server, worker, handover("read", '{"lines":[{"sku":"s"}],"total":1}'))
    assert b'"thread":"callbroker-tool_0","lines":[{"sku":"s"}],"total":"1.0"' in answer.result_json


async def test_nothing_is_a_result_too(server: BrokerServer, worker: Worker) -> None:
    @worker.tool("touch")
    async def touch() -> None: ...

    assert (await carried(server, worker, handover("touch"))).result_json == b"null"


async def test_a_tools_own_failure_reaches_the_model(server: BrokerServer, worker: Worker) -> None:
    @worker.tool("refund")
    def refund() -> None:
        raise ToolFailed("ORDER_CLOSED", "The order is closed." + "x" * 2000)

    answer = await carried(server, worker, handover("refund"))
    assert answer.failure.code == "ORDER_CLOSED"
    assert answer.failure.message.startswith("The order is closed.")
    assert len(answer.failure.message) == 1000


@pytest.mark.parametrize(
    "error",
    [ValueError("password is hunter2"), SystemExit(1), KeyboardInterrupt(), StopIteration("x")],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_any_other_error_is_unknown(
    server: BrokerServer, worker: Worker, error: BaseException, *, is_async: bool
) -> None:
    def fail() -> None:
        raise error

    async def fail_later() -> None:
        if isinstance(error, KeyboardInterrupt):
            raise KeyboardInterrupt
        raise error

    worker.tool("refund")(fail_later if is_async else fail)
    answer = await carried(server, worker, handover("refund"))
    assert answer.WhichOneof("outcome") == "unknown"


@pytest.mark.parametrize("result", [{1, 2}, float("nan"), "x" * 1_100_000, "\ud800", object()])
async def test_a_result_that_cannot_be_told_is_unknown_for_it_ran(
    server: BrokerServer, worker: Worker, result: object
) -> None:
    @worker.tool("refund")
    async def refund() -> Any:
        return result

    answer = await carried(server, worker, handover("refund"))
    assert answer.WhichOneof("outcome") == "unknown"


async def test_an_errors_text_with_lone_surrogates_still_gives_an_answer(
    server: BrokerServer, worker: Worker
) -> None:
    @worker.tool("refund")
    async def refund(*, is_failure: bool) -> None:
        if is_failure:
            raise ToolFailed("ODD", "\ud800")
        raise ValueError("\ud800")

    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handover("refund", '{"is_failure":true}'))
        assert (await answered(server)).failure.message == "?"
        await stream.hand_over(handover("refund", '{"is_failure":false}'))
        assert (await answered(server)).unknown == "ValueError: ?"


@pytest.mark.parametrize(
    ("tool", "arguments", "deadline_s"),
    [
        ("other", "{}", 10.0),
        ("refund", '{"order_id":"O-1","extra":1}', 10.0),
        ("refund", "{}", 10.0),
        ("refund", "[]", 10.0),
        ("refund", "not json", 10.0),
        ("refund", '{"call":1,"order_id":"O-1"}', 10.0),
        ("refund", '{"order_id":"O-1"}', -1.0),
    ],
)
async def test_what_does_not_fit_is_never_started(
    server: BrokerServer, worker: Worker, tool: str, arguments: str, deadline_s: float
) -> None:
    @worker.tool("refund")
    async def refund(call: Call, order_id: str) -> None:
        pytest.fail(f"{call} ran for {order_id}")

    answer = await carried(server, worker, handover(tool, arguments, deadline_s=deadline_s))
    assert answer.WhichOneof("outcome") == "not_started"


async def test_a_late_async_tool_is_cancelled_and_unknown(
    server: BrokerServer, worker: Worker
) -> None:
    cancelled = asyncio.Event()

    @worker.tool("slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    answer = await carried(server, worker, handover("slow", deadline_s=0.1))
    assert "deadline" in answer.unknown
    assert cancelled.is_set()


async def test_a_late_thread_is_unknown_and_what_waits_behind_it_never_starts(
    server: BrokerServer,
) -> None:
    release = threading.Event()
    worker = Worker(server.address, "w", slots=1)

    @worker.tool("slow")
    def slow() -> None:
        release.wait(10)

    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handover("slow", deadline_s=0.1))
        assert "deadline" in (await answered(server)).unknown
        await stream.hand_over(handover("slow", deadline_s=0.1))
        assert "thread" in (await answered(server)).not_started
        release.set()


async def test_a_second_delivery_does_not_run_twice(server: BrokerServer, worker: Worker) -> None:
    """The broker sends a call again because it cannot know whether the first one arrived."""
    runs = 0
    release = asyncio.Event()
    server.is_acknowledging = False

    @worker.tool("refund")
    async def refund() -> int:
        nonlocal runs
        runs += 1
        await release.wait()
        return runs

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        await stream.hand_over(handed)  # while it runs
        release.set()
        first = await answered(server)
        await stream.hand_over(handed)  # after it has ended
        assert await answered(server) == first
        await stream.acknowledge(first)
        await stream.hand_over(handed)  # after the broker has the answer
        again = handover("refund")
        await stream.hand_over(again)
        assert (await answered(server)).fencing_token == again.fencing_token
        await stream.acknowledge(worker_pb2.WorkerAnswer(fencing_token=again.fencing_token))
    assert first.result_json == b"1"
    assert runs == 2


async def test_an_answer_outlives_its_stream(server: BrokerServer, worker: Worker) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> str:
        await release.wait()
        return "done"

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        await stream.hand_over(handover("other"))
        await answered(server)  # so that the first has arrived
        await server.stop()
        release.set()
        await server.start()
        answer = await answered(server)
        assert (answer.fencing_token, answer.result_json) == (handed.fencing_token, b'"done"')


async def test_an_answer_is_sent_until_it_is_acknowledged(
    server: BrokerServer, worker: Worker
) -> None:
    server.is_acknowledging = False

    @worker.tool("refund")
    async def refund() -> str:
        return "done"

    handed = handover("refund")
    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handed)
        first = await answered(server)
        stream.ended.set()
        stream = await connected(server)
        assert await answered(server) == first
        await stream.acknowledge(first)
        server.is_acknowledging = True
        await stream.hand_over(handover("refund"))
        await answered(server)
        stream.ended.set()
        await connected(server)
        assert server.answers.empty()


async def test_more_than_its_slots_is_not_started(server: BrokerServer, worker: Worker) -> None:
    release = asyncio.Event()

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    async with worker.serving():
        stream = await connected(server)
        for _ in range(3):
            await stream.hand_over(handover("refund"))
        assert "slot" in (await answered(server)).not_started
        release.set()


async def test_a_stopping_worker_lets_go_of_what_does_not_end(
    server: BrokerServer, worker: Worker
) -> None:
    @worker.tool("refund")
    async def refund() -> None:
        await asyncio.Event().wait()

    async with worker.serving():
        stream = await connected(server)
        await stream.hand_over(handover("refund"))
        await stream.hand_over(handover("other"))
        await answered(server)
    assert server.drained.is_set()
    assert "stopped" in (await answered(server)).unknown


async def test_a_stopping_worker_ends_what_it_has_and_what_was_on_its_way(
    server: BrokerServer,
) -> None:
    release = asyncio.Event()
    worker = Worker(server.address, "w")

    @worker.tool("refund")
    async def refund() -> None:
        await release.wait()

    await worker.start()
    stream = await connected(server)
    await stream.hand_over(handover("refund"))
    stopping = asyncio.create_task(worker.stop())
    async with asyncio.timeout(10):
        await server.drained.wait()
    await stream.hand_over(handover("refund"))
    release.set()
    assert (await answered(server)).result_json == b"null"
    assert (await answered(server)).result_json == b"null"
    await stopping


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "callbroker token create worker"),
        (grpc.StatusCode.PERMISSION_DENIED, "names these tools: refund"),
        (grpc.StatusCode.FAILED_PRECONDITION, "functions and manifests agree"),
    ],
)
async def test_a_refused_hello_says_what_to_change(
    server: BrokerServer, worker: Worker, code: grpc.StatusCode, hint: str
) -> None:
    worker.tool("refund")(lambda: None)
    server.hello_fault = Fault(code=code, details="refund: the manifest wants order_id.")
    with pytest.raises(WorkerRefused, match=hint) as refused:
        await worker.start()
    assert "the manifest wants order_id." in str(refused.value)


async def test_a_broker_that_is_away_is_waited_for(server: BrokerServer, worker: Worker) -> None:
    await server.stop()
    with pytest.raises(Unavailable):
        await worker.start(timeout_s=0.2)
    starting = asyncio.create_task(worker.start())
    await server.start()
    async with asyncio.timeout(10):
        await starting
    await worker.stop()


async def test_a_worker_serves_once_at_a_time(server: BrokerServer, worker: Worker) -> None:
    for _ in range(2):
        async with worker.serving():
            await connected(server)
            with pytest.raises(RuntimeError, match="already"):
                await worker.start()


async def test_a_missing_token_ends_the_start(
    server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_WORKER_TOKEN", raising=False)
    with pytest.raises(Unauthenticated, match="CALLBROKER_WORKER_TOKEN"):
        await Worker(server.address).start()


async def test_run_ends_with_a_signal(server: BrokerServer, worker: Worker) -> None:
    running = asyncio.create_task(worker._run())
    await (await connected(server)).hand_over(handover("other"))
    await answered(server)  # so that it has seen the welcome
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await running
    assert server.drained.is_set()


async def test_run_ends_when_the_broker_no_longer_takes_the_worker(
    server: BrokerServer, worker: Worker
) -> None:
    running = asyncio.create_task(worker._run())
    stream = await connected(server)
    server.hello_fault = Fault(code=grpc.StatusCode.PERMISSION_DENIED, details="Revoked.")
    stream.ended.set()
    with pytest.raises(WorkerRefused, match="Revoked"):
        async with asyncio.timeout(10):
            await running


def test_a_tool_is_still_a_function_and_keeps_its_companions() -> None:
    worker = Worker()

    @worker.tool("refund")
    def refund(call: Call, *, amount_minor: int) -> int:
        """Returns money."""
        assert call
        return amount_minor

    @refund.preview
    def changes(call: Call, *, amount_minor: int) -> list[Change]:
        assert call
        return [Change("left", before_minor=100, after_minor=100 - amount_minor)]

    @refund.reconcile
    def found(call: Call) -> int | None:
        assert call

    assert refund.previewer is changes
    assert refund.reconciler is found
    assert (refund.name, refund.__name__, refund.__doc__) == ("refund", "refund", "Returns money.")
    with pytest.raises(ValueError, match="already"):
        worker.tool("refund")(found)


def test_a_failures_code_is_a_code() -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE"):
        ToolFailed("order closed", "The order is closed.")


@pytest.mark.parametrize("slots", [0, 1001])
def test_slots_are_bounded(slots: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        Worker(slots=slots)
