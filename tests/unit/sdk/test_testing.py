import pytest

from broker.sdk import (
    Call,
    Failed,
    Held,
    IllegalTransition,
    MalformedRequest,
    NotFound,
    Refused,
    RequestIdReused,
    Succeeded,
    SyncHeld,
    ToolFailed,
    Unknown,
    Worker,
)
from broker.sdk.client import Session
from broker.sdk.testing import (
    ScriptedBroker,
    failed,
    invoke_tool,
    refused,
    rejected,
    succeeded,
    unknown,
)


async def opened(broker: ScriptedBroker) -> Session:
    mandate = await broker.create_mandate(
        principal="customers/c-204", agent="agents/support", words="Please refund it."
    )
    return await broker.open_session(mandate)


async def test_a_script_answers_in_order_and_the_last_step_stays() -> None:
    async with ScriptedBroker() as broker:
        broker.answer("refund", succeeded(1), refused("TOO_MUCH", "Too much."), failed("F", "No."))
        session = await opened(broker)
        kinds = [type(await session.invoke("refund", {"n": n})) for n in range(4)]
    assert kinds == [Succeeded, Refused, Failed, Failed]
    assert [call.arguments for call in broker.calls] == [{"n": n} for n in range(4)]
    assert broker.words == ["Please refund it."]


async def test_what_is_not_scripted_is_refused() -> None:
    broker = ScriptedBroker()
    outcome = await (await opened(broker)).invoke("refund", {})
    assert isinstance(outcome, Refused)
    assert outcome.code == "TOOL_UNAVAILABLE"


async def test_a_result_may_depend_on_the_arguments() -> None:
    broker = ScriptedBroker().answer("double", succeeded=lambda arguments: arguments["n"] * 2)
    assert (await (await opened(broker)).invoke("double", {"n": 21})).result == 42


async def test_a_hold_goes_on_as_soon_as_somebody_waits() -> None:
    broker = ScriptedBroker().hold("refund", "A person decides.", then=succeeded({"id": "r1"}))
    held = await (await opened(broker)).invoke("refund", {})
    assert isinstance(held, Held)
    assert held.message == "A person decides."
    assert (await held.wait()).result == {"id": "r1"}
    assert isinstance(await broker.invocation(held.name), Succeeded)


async def test_a_hold_that_nobody_decides_stays_held_and_takes_no_time() -> None:
    broker = ScriptedBroker().hold("refund", "A person decides.")
    held = await (await opened(broker)).invoke("refund", {})
    assert isinstance(held, Held)
    assert await held.wait(timeout_s=86_400) == held
    broker.settle(held.name, rejected("Not this one."))
    outcome = await held.wait(timeout_s=1)
    assert isinstance(outcome, Refused)
    assert outcome.message == "Not this one."


async def test_a_held_call_is_taken_back_by_hand_or_with_its_session() -> None:
    broker = ScriptedBroker().hold("refund", "A person decides.")
    async with await opened(broker) as session:
        first = await session.invoke("refund", {})
        assert isinstance(first, Held)
        assert isinstance(await first.cancel(), Refused)
        with pytest.raises(IllegalTransition):
            await first.cancel()
        second = await session.invoke("refund", {})
    assert isinstance(await broker.invocation(second.name), Refused)
    with pytest.raises(NotFound):
        await session.invoke("refund", {})


async def test_request_ids_count_as_with_a_broker() -> None:
    broker = ScriptedBroker().answer("refund", succeeded(1), succeeded(2))
    session = await opened(broker)
    first = await session.invoke("refund", {"a": 1, "b": 2}, request_id="c1")
    assert await session.invoke("refund", b'{"b":2,"a":1}', request_id="c1") == first
    for tool, arguments in (("refund", {"a": True, "b": 2}), ("other", {"a": 1, "b": 2})):
        with pytest.raises(RequestIdReused):
            await session.invoke(tool, arguments, request_id="c1")
    assert len(broker.calls) == 1


@pytest.mark.parametrize("arguments", [b"{", b"[]", b"\xff"])
async def test_bytes_that_are_no_object_are_malformed(arguments: bytes) -> None:
    broker = ScriptedBroker().answer("refund")
    session = await opened(broker)
    with pytest.raises(MalformedRequest):
        await session.invoke("refund", arguments)


async def test_tools_are_listed_with_what_was_said_of_them() -> None:
    broker = ScriptedBroker().answer("b").offer("a", description="Reads.", read_only=True)
    tools = await (await opened(broker)).list_tools()
    assert [(tool.name, tool.description, tool.read_only) for tool in tools] == [
        ("a", "Reads.", True),
        ("b", "", False),
    ]


def test_the_blocking_client_runs_on_the_same_script() -> None:
    broker = ScriptedBroker().answer("refund", unknown()).fail("pay", "NO", "No money.")
    broker.hold("mail", "A person decides.", then=succeeded("sent")).refuse("delete", "NO", "No.")
    with broker.sync as blocking:
        mandate = blocking.create_mandate(principal="p", agent="agents/a")
        with blocking.open_session(mandate) as session:
            assert isinstance(session.invoke("refund", {}), Unknown)
            assert isinstance(session.invoke("pay", {}), Failed)
            assert isinstance(session.invoke("delete", {}), Refused)
            assert session.invoke("mail", {}, wait_s=1).result == "sent"
            held = session.invoke("mail", {})
            assert isinstance(held, SyncHeld)
            assert held.wait().result == "sent"
    assert [call.tool for call in broker.calls] == ["refund", "pay", "delete", "mail", "mail"]


async def test_a_workers_function_is_called_as_the_broker_would() -> None:
    worker = Worker()

    @worker.tool("refund")
    async def refund(call: Call, *, amount_minor: int) -> dict[str, str]:
        if amount_minor > 100:
            raise ToolFailed("TOO_MUCH", "Too much.")
        return {"key": call.invocation, "principal": call.principal}

    @worker.tool("read")
    def read(order_id: str) -> list[str]:
        return [order_id]

    result = await invoke_tool(worker, "refund", {"amount_minor": 5}, principal="customers/c-204")
    assert result == {"key": "invocations/i-1", "principal": "customers/c-204"}
    assert await invoke_tool(worker, "read", {"order_id": "O-1"}) == ["O-1"]
    with pytest.raises(ToolFailed, match="TOO_MUCH: Too much"):
        await invoke_tool(worker, "refund", {"amount_minor": 500})
    with pytest.raises(TypeError):
        await invoke_tool(worker, "refund", {"amount": 5})
    with pytest.raises(KeyError):
        await invoke_tool(worker, "other", {})
