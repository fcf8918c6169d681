import asyncio
import socket
from collections.abc import AsyncIterator

import grpc
import pytest

from broker.sdk import (
    Failed,
    Held,
    IllegalTransition,
    LimitExceeded,
    MalformedRequest,
    NotFound,
    NotPermitted,
    OutcomeUnstored,
    Principal,
    Refused,
    RequestIdReused,
    Scope,
    Session,
    Succeeded,
    Unauthenticated,
    Unavailable,
    Unknown,
    connect,
)
from broker.sdk.client import Broker
from broker.sdk.script import State, Step
from broker.sdk.testing import failed, refused, rejected, succeeded, unknown
from tests.fakes.broker_server import BrokerServer, Fault

UNAVAILABLE = Fault(code=grpc.StatusCode.UNAVAILABLE, details="away")
REFUND = {"order_id": "O-1001", "amount_minor": 5500, "reason": "brisé"}


@pytest.fixture
async def broker(server: BrokerServer) -> AsyncIterator[Broker]:
    async with connect(server.address, host_token="h", agent_token="a") as broker:
        yield broker


async def opened(broker: Broker) -> Session:
    mandate = await broker.create_mandate(
        principal="customers/c-204", agent="agents/support", words="Refund it.", scopes=["r:w"]
    )
    return await broker.open_session(mandate)


async def test_a_mandate_carries_what_the_host_says(broker: Broker, server: BrokerServer) -> None:
    mandate = await broker.create_mandate(
        principal=Principal("customers/c-204", groups=("customers",), attributes={"tier": 1}),
        groups=["vip"],
        agent="agents/support",
        context="mediated",
        words=["one", "two"],
        scopes=["orders:read", Scope("refunds:write", {"/currency": ["EUR"]})],
        session_life_s=600,
    )
    await mandate.add_words("three")
    (sent,) = server.script.mandates
    assert sent.principal.id == "customers/c-204"
    assert list(sent.principal.groups) == ["customers", "vip"]
    assert sent.principal.attributes_json == b'{"tier":1}'
    assert sent.context == sent.CONTEXT_MEDIATED
    assert [s.name for s in sent.scopes] == ["orders:read", "refunds:write"]
    assert sent.scopes[1].where_json["/currency"] == '["EUR"]'
    assert sent.session_life.seconds == 600
    assert server.script.words == ["one", "two", "three"]
    assert mandate.secret not in repr(mandate)


async def test_a_mandate_names_the_session_that_it_goes_on_from(
    broker: Broker, server: BrokerServer
) -> None:
    session = await opened(broker)
    await broker.create_mandate(
        principal="customers/c-204", agent="agents/support", parent_session=session.name
    )
    assert [sent.parent_session for sent in server.script.mandates] == ["", session.name]


async def test_each_audience_gets_its_own_token(broker: Broker, server: BrokerServer) -> None:
    session = await opened(broker)
    await session.list_tools()
    tokens = {method: metadata["authorization"] for method, _, metadata in server.seen}
    assert tokens == {
        "CreateMandate": "Bearer h",
        "OpenSession": "Bearer a",
        "ListTools": "Bearer a",
    }


async def test_a_mandate_opens_one_session(broker: Broker) -> None:
    mandate = await broker.create_mandate(principal="p", agent="agents/a")
    await broker.open_session(mandate.secret)
    with pytest.raises(NotFound):
        await broker.open_session(mandate)


async def test_a_revoked_mandate_opens_nothing(broker: Broker) -> None:
    mandate = await broker.create_mandate(principal="p", agent="agents/a")
    await mandate.revoke("the user left")
    with pytest.raises(NotFound):
        await broker.open_session(mandate)


async def test_a_session_closes_itself(broker: Broker, server: BrokerServer) -> None:
    async with await opened(broker) as session:
        pass
    (closed,) = server.seen_of("CloseSession")
    assert (closed.name, closed.secret) == (session.name, session.secret)


async def test_tools_come_with_schemas_over_all_pages(broker: Broker, server: BrokerServer) -> None:
    server.script.steps["read_order"] = [succeeded()]
    server.script.steps["refund"] = [succeeded()]
    tools = await (await opened(broker)).list_tools()
    assert [tool.name for tool in tools] == ["read_order", "refund"]
    assert tools[0].for_model() == {"name": "read_order", "description": "", "input_schema": {}}


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (succeeded({"refund_id": "r1"}), Succeeded),
        (refused("REFUND_NOT_COVERED", "The payment does not cover it."), Refused),
        (rejected("Ask for less."), Refused),
        (Step(state=State.STATE_EXPIRED), Refused),
        (Step(state=State.STATE_CANCELLED), Refused),
        (failed("ORDER_CLOSED", "The order is closed."), Failed),
        (unknown(), Unknown),
        (Step(state=State.STATE_HELD, message="A person decides."), Held),
        (Step(state=State.STATE_RUNNING), Held),
        (Step(state=99), Unknown),  # type: ignore[arg-type]
    ],
)
async def test_every_state_is_one_of_five_outcomes(
    broker: Broker, server: BrokerServer, step: Step, kind: type
) -> None:
    server.script.steps["refund"] = [step]
    outcome = await (await opened(broker)).invoke("refund", REFUND)
    assert type(outcome) is kind or (kind is Held and isinstance(outcome, Held))
    assert outcome.tool == "refund"
    assert outcome.message == step.message
    assert isinstance(outcome.for_model(), str)


async def test_arguments_travel_as_the_json_that_was_meant(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [succeeded(lambda arguments: arguments)]
    session = await opened(broker)
    outcome = await session.invoke("refund", REFUND)
    assert outcome.result == REFUND
    await session.invoke("refund", b'{"a": 1}')
    first, second = server.seen_of("Invoke")
    assert (
        first.arguments_json
        == '{"order_id":"O-1001","amount_minor":5500,"reason":"brisé"}'.encode()
    )
    assert second.arguments_json == b'{"a": 1}'


async def test_the_same_request_id_is_the_same_call(broker: Broker, server: BrokerServer) -> None:
    server.script.steps["refund"] = [succeeded(1), succeeded(2)]
    session = await opened(broker)
    first = await session.invoke("refund", REFUND, request_id="c1")
    again = await session.invoke("refund", REFUND, request_id="c1")
    assert (first.name, first.result) == (again.name, again.result)
    with pytest.raises(RequestIdReused):
        await session.invoke("refund", {}, request_id="c1")


async def test_a_lost_answer_is_asked_for_again_with_the_same_id(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [succeeded(1), succeeded(2)]
    lost = Fault(code=grpc.StatusCode.UNAVAILABLE, details="reset", is_after=True)
    server.faults["Invoke"] = [lost, lost]
    outcome = await (await opened(broker)).invoke("refund", REFUND)
    assert outcome.result == 1
    assert len(server.script.calls) == 1
    assert len({request.request_id for request in server.seen_of("Invoke")}) == 1
    assert len(server.seen_of("Invoke")) == 3


async def test_repetition_is_bounded_and_says_whether_anything_ran(
    broker: Broker, server: BrokerServer
) -> None:
    away = Fault(code=grpc.StatusCode.UNAVAILABLE, reason="POLICY_UNAVAILABLE")
    session = await opened(broker)
    server.faults["Invoke"] = [away] * 99
    with pytest.raises(Unavailable) as nothing:
        await session.invoke("refund", REFUND, deadline_s=0.5)
    assert nothing.value.nothing_ran
    assert nothing.value.reason == "POLICY_UNAVAILABLE"
    server.faults["Invoke"] = [UNAVAILABLE, *[away] * 99]
    with pytest.raises(Unavailable) as perhaps:
        await session.invoke("refund", REFUND, deadline_s=0.5)
    assert not perhaps.value.nothing_ran


async def test_what_is_no_repetition_is_not_repeated(broker: Broker, server: BrokerServer) -> None:
    mandate = await broker.create_mandate(principal="p", agent="agents/a")
    server.faults["AddWords"] = [UNAVAILABLE]
    with pytest.raises(Unavailable):
        await mandate.add_words("again")
    assert len(server.seen_of("AddWords")) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(code=grpc.StatusCode.UNKNOWN, reason="OUTCOME_UNSTORED"), OutcomeUnstored),
        (Fault(code=grpc.StatusCode.UNKNOWN), OutcomeUnstored),
        (Fault(code=grpc.StatusCode.UNAUTHENTICATED), Unauthenticated),
        (Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED"), LimitExceeded),
        (Fault(code=grpc.StatusCode.INVALID_ARGUMENT), MalformedRequest),
    ],
)
async def test_other_errors_are_raised_at_once(
    broker: Broker, server: BrokerServer, fault: Fault, kind: type[Exception]
) -> None:
    session = await opened(broker)
    server.faults["Invoke"] = [fault]
    with pytest.raises(kind):
        await session.invoke("refund", REFUND)
    assert len(server.seen_of("Invoke")) == 1


async def test_a_deadline_is_unavailable_and_promises_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with connect(address, agent_token="a") as broker:
            with pytest.raises(Unavailable) as late:
                await broker._line.now("invocations/i", deadline_s=0.2)
    assert not late.value.nothing_ran


async def test_waiting_for_a_hold_ends_with_the_call(broker: Broker, server: BrokerServer) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD, message="A person decides.")]
    held = await (await opened(broker)).invoke("refund", REFUND)
    assert isinstance(held, Held)
    waiting = asyncio.create_task(held.wait(timeout_s=10))
    await server.until_seen("WatchInvocation")
    await server.settle(held.name, succeeded({"refund_id": "r1"}))
    outcome = await waiting
    assert isinstance(outcome, Succeeded)
    assert outcome.result == {"refund_id": "r1"}


async def test_waiting_ends_at_the_timeout_with_the_call_still_held(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]
    held = await (await opened(broker)).invoke("refund", REFUND)
    assert isinstance(held, Held)
    assert await held.wait(timeout_s=0.2) == held
    assert await held.wait(timeout_s=0) == held


async def test_waiting_outlives_broken_streams_and_a_restart(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]
    held = await (await opened(broker)).invoke("refund", REFUND)
    assert isinstance(held, Held)
    server.faults["WatchInvocation"] = [
        UNAVAILABLE,
        Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED, reason="LIMIT_EXCEEDED"),
    ]
    waiting = asyncio.create_task(held.wait(timeout_s=20))
    await server.until_seen("WatchInvocation", times=3)
    await server.stop()
    server.script.settle(held.name, rejected("Not this one."))
    await server.start()
    outcome = await waiting
    assert isinstance(outcome, Refused)
    assert outcome.message == "Not this one."


async def test_a_wrong_token_ends_the_waiting(broker: Broker, server: BrokerServer) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]
    held = await (await opened(broker)).invoke("refund", REFUND)
    assert isinstance(held, Held)
    server.faults["WatchInvocation"] = [Fault(code=grpc.StatusCode.UNAUTHENTICATED)]
    with pytest.raises(Unauthenticated):
        await held.wait(timeout_s=10)


async def test_a_held_call_is_taken_back_once(broker: Broker, server: BrokerServer) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]
    held = await (await opened(broker)).invoke("refund", REFUND)
    assert isinstance(held, Held)
    assert isinstance(await held.cancel(), Refused)
    with pytest.raises(IllegalTransition):
        await held.cancel()


async def test_any_process_finds_an_invocation_by_name(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD)]
    held = await (await opened(broker)).invoke("refund", REFUND)
    async with connect(server.address, agent_token="a") as other:
        assert (await other.invocation(held.name)).name == held.name
        with pytest.raises(NotFound):
            await other.invocation("invocations/i-99")


async def test_a_wait_for_a_person_travels_with_the_call(
    broker: Broker, server: BrokerServer
) -> None:
    server.script.steps["refund"] = [Step(state=State.STATE_HELD, then=succeeded(1))]
    outcome = await (await opened(broker)).invoke("refund", REFUND, wait_s=1.5)
    assert isinstance(outcome, Succeeded)
    (sent,) = server.seen_of("Invoke")
    assert (sent.hold_wait.seconds, sent.hold_wait.nanos) == (1, 500_000_000)


async def test_a_missing_token_is_named_with_the_command_that_makes_one(
    server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALLBROKER_HOST_TOKEN", raising=False)
    async with connect(server.address, agent_token="a") as broker:
        with pytest.raises(
            Unauthenticated, match=r"CALLBROKER_HOST_TOKEN.*callbroker token create host"
        ):
            await broker.create_mandate(principal="p", agent="agents/a")
    assert server.seen == []


@pytest.mark.parametrize(
    ("code", "kind", "asked"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, Unauthenticated, r"at 127\.0\.0\.1:\d+ .* with "),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted, "with "),
    ],
)
async def test_a_token_that_is_not_taken_is_told_by_its_name(
    broker: Broker,
    server: BrokerServer,
    code: grpc.StatusCode,
    kind: type[Exception],
    asked: str,
) -> None:
    server.faults["CreateMandate"] = [Fault(code=code, details="Not this one.")]
    told = rf"^Not this one\. It was asked {asked}the host token \(CALLBROKER_HOST_TOKEN\)"
    with pytest.raises(kind, match=told):
        await broker.create_mandate(principal="p", agent="agents/a")


async def test_a_broker_that_is_not_there_is_told_by_its_address() -> None:
    async with connect("127.0.0.1:1", agent_token="a") as broker:
        with pytest.raises(Unavailable, match=r"^The broker at 127\.0\.0\.1:1 does not answer: "):
            await broker.invocation("invocations/i")


async def test_a_client_that_was_not_entered_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await connect("127.0.0.1:1", agent_token="a").invocation("invocations/i")


async def test_settings_come_from_the_environment(
    server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLBROKER_ADDRESS", server.address)
    monkeypatch.setenv("CALLBROKER_HOST_TOKEN", "from-the-environment\n")
    async with connect() as broker:
        await broker.create_mandate(principal="p", agent="agents/a")
    assert server.seen[0][2]["authorization"] == "Bearer from-the-environment"


async def test_a_proxy_in_the_environment_sees_no_loopback_plaintext(
    server: BrokerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sets http_proxy would read the tokens of every call to the broker next door."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    async with connect(server.address, host_token="h") as broker:
        await broker.create_mandate(principal="p", agent="agents/a")
