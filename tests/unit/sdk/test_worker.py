"""A worker's function gets what it takes, and what becomes of it is told as it was."""

import asyncio
import json
import threading
from dataclasses import dataclass
from datetime import UTC
from typing import Any, TypedDict

import pytest

from broker.sdk import Call, Change, ToolFailed, Worker
from tests.fakes.broker_server import BrokerServer
from tests.unit.sdk.carrying import answered, carried, connected, handover


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

    assert refund.previewer is not None
    assert refund.previewer.function is changes
    assert refund.reconciler is found
    assert (refund.name, refund.__name__, refund.__doc__) == ("refund", "refund", "Returns money.")
    with pytest.raises(ValueError, match="already"):
        worker.tool("refund")(found)


async def test_a_preview_is_offered_with_its_tool_and_carried_out_by_its_own_name(
    server: BrokerServer, worker: Worker
) -> None:
    @worker.tool("refund")
    def refund(order_id: str, amount_minor: int) -> str:
        pytest.fail(f"it refunded {amount_minor} of {order_id}")

    @refund.preview
    def changes(call: Call, *, amount_minor: int, **_: object) -> list[Change]:
        return [
            Change("left", before_minor=100, after_minor=100 - amount_minor, currency="EUR"),
            Change("tool", before=None, after=call.tool),
        ]

    offer = refund.offer()
    assert json.loads(offer.preview_parameters_schema_json)["required"] == ["amount_minor"]
    assert json.loads(offer.preview_result_schema_json)["type"] == "array"
    arguments = '{"order_id":"O-1","amount_minor":30}'
    answer = await carried(server, worker, handover("refund.preview", arguments))
    assert json.loads(answer.result_json) == [
        {"label": "left", "before_minor": 100, "after_minor": 70, "currency": "EUR"},
        {"label": "tool", "before": None, "after": "refund.preview"},
    ]


@pytest.mark.parametrize("told", [None, "text", [1], [{"label": "x"}], Change("alone")])
async def test_a_preview_that_is_no_list_of_changes_says_nothing(
    server: BrokerServer, worker: Worker, told: object
) -> None:
    @worker.tool("refund")
    def refund(order_id: str) -> str:
        return order_id

    @refund.preview
    async def changes(order_id: str) -> Any:
        assert order_id
        return told

    answer = await carried(server, worker, handover("refund.preview", '{"order_id":"O-1"}'))
    assert "list of Change" in answer.unknown


def test_a_tool_has_one_preview_and_a_change_one_kind_of_value() -> None:
    @Worker().tool("refund")
    def refund(order_id: str) -> str:
        return order_id

    refund.preview(refund.function)
    with pytest.raises(ValueError, match="already"):
        refund.preview(refund.function)
    with pytest.raises(ValueError, match="not of both"):
        Change("left", before="much", after_minor=1)


def test_a_tool_without_its_name_is_told_how_to_give_one() -> None:
    worker = Worker()
    with pytest.raises(TypeError, match=r'^give the tool\'s name: @worker\.tool\("refund"\)$'):

        @worker.tool  # type: ignore[arg-type]  # what is tested
        def refund(order_id: str) -> str:
            return order_id

    with pytest.raises(TypeError, match=r'@worker\.tool\("pay"\)'):
        worker.tool(None)  # type: ignore[arg-type]  # what is tested
    assert worker.tools == {}


def test_a_failures_code_is_a_code() -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE"):
        ToolFailed("order closed", "The order is closed.")


@pytest.mark.parametrize("slots", [0, 1001])
def test_slots_are_bounded(slots: int) -> None:
    with pytest.raises(ValueError, match="slots"):
        Worker(slots=slots)
