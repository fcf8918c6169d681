"""What reviewers make of a held call, over the wire: its agent is told by stream and SDK."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from broker.core.credentials import CredentialClass
from broker.sdk import Held, Refused, Succeeded, connect
from broker.v1 import broker_pb2, review_pb2, types_pb2
from tests.fakes.decision_point import hold, opinion
from tests.unit.rpc.asking import held
from tests.world import AGENT, CUSTOMER, REFUND, TERMS

BY_AGENT, REVIEWER = CredentialClass.AGENT, CredentialClass.REVIEWER
Invocation = types_pb2.Invocation
NARROWABLE = {
    **REFUND,
    "targets": ["/order_id"],
    "review": {**REFUND["review"], "narrowing": {"/amount_minor": "smaller"}},
}
WITHIN_S = 10.0


async def shown(broker: Any, name: str) -> review_pb2.Hold:
    request = review_pb2.GetHoldRequest(name=name)
    return (await broker.review.GetHold(request, metadata=broker.by(REVIEWER))).hold


async def narrow(broker: Any, one: review_pb2.Hold, **changes: str) -> review_pb2.Hold:
    request = review_pb2.NarrowHoldRequest(
        name=one.name,
        etag=one.etag,
        changes_json={f"/{name}": value for name, value in changes.items()},
    )
    return (await broker.review.NarrowHold(request, metadata=broker.by(REVIEWER))).hold


async def approve(broker: Any, one: review_pb2.Hold, **given: Any) -> review_pb2.Hold:
    request = review_pb2.ApproveHoldRequest(
        name=one.name, etag=one.etag, call_digest=one.call_digest, **given
    )
    return (await broker.review.ApproveHold(request, metadata=broker.by(REVIEWER))).hold


def watching(broker: Any, name: str) -> AsyncIterator[Any]:
    request = broker_pb2.WatchInvocationRequest(name=name)
    return aiter(broker.broker.WatchInvocation(request, metadata=broker.by(BY_AGENT)))


async def test_the_agent_sees_that_its_call_is_less_and_then_what_ran(broker):
    await broker.world.put_tool(NARROWABLE)
    waiting = await held(broker)
    watched = watching(broker, waiting.name)
    async with asyncio.timeout(WITHIN_S):
        first = (await anext(watched)).invocation
        less = await narrow(broker, await shown(broker, waiting.hold), amount_minor="4000")
        second = (await anext(watched)).invocation
        await approve(broker, less)
        last = [change.invocation async for change in watched][-1]
    assert (first.state, first.asked_arguments_json) == (Invocation.STATE_HELD, b"")
    assert (second.state, second.hold) == (Invocation.STATE_HELD, less.name)
    assert int(second.etag) == int(first.etag) + 1
    for told in (second, last):
        assert json.loads(told.arguments_json)["amount_minor"] == 4_000
        assert told.asked_arguments_json == first.arguments_json
        assert told.digest == less.call_digest != first.digest
    assert last.state == Invocation.STATE_SUCCEEDED


async def test_a_narrowed_hold_tells_its_reviewer_what_is_there_instead_of_what(broker):
    await broker.world.put_tool(NARROWABLE)
    waiting = await held(broker)
    one = await shown(broker, waiting.hold)
    assert dict(one.narrowing) == {"/amount_minor": "smaller"}
    less = await narrow(broker, one, amount_minor="4000")
    assert (less.narrows, less.etag) == (one.name, "1")
    assert json.loads(less.asked_arguments_json)["amount_minor"] == 5_500
    assert {a.pointer: a.rendered for a in less.arguments}["/amount_minor"] == "EUR 40.00"
    assert less.summary != one.summary
    assert {r.code for r in less.requirements} == {"NEEDS_PERSON", "NARROWED"}
    assert (await shown(broker, one.name)).state == review_pb2.Hold.STATE_VOID


async def test_the_agent_sees_a_rejection_of_less_with_its_reason(broker):
    await broker.world.put_tool(NARROWABLE)
    waiting = await held(broker)
    watched = watching(broker, waiting.name)
    async with asyncio.timeout(WITHIN_S):
        await anext(watched)
        less = await narrow(broker, await shown(broker, waiting.hold), amount_minor="4000")
        await broker.review.RejectHold(
            review_pb2.RejectHoldRequest(name=less.name, etag=less.etag, reason="Not even that."),
            metadata=broker.by(REVIEWER),
        )
        last = [change.invocation async for change in watched][-1]
    assert (last.state, last.message) == (Invocation.STATE_REJECTED, "Not even that.")
    assert last.code == "REJECTED"


async def test_what_is_shuffled_among_reviewers_moves_nothing_for_the_agent(broker):
    waiting = await held(broker)
    by = broker.by(REVIEWER)
    await broker.review.TakeHold(review_pb2.TakeHoldRequest(name=waiting.hold), metadata=by)
    await broker.review.GiveBackHold(review_pb2.GiveBackHoldRequest(name=waiting.hold), metadata=by)
    approved = await approve(broker, await shown(broker, waiting.hold), take_back_s=30)
    assert approved.state == review_pb2.Hold.STATE_APPROVED
    back = await broker.review.TakeBackApproval(
        review_pb2.TakeBackApprovalRequest(name=waiting.hold, etag=approved.etag), metadata=by
    )
    assert back.hold.state == review_pb2.Hold.STATE_PENDING
    found = await broker.broker.GetInvocation(
        broker_pb2.GetInvocationRequest(name=waiting.name), metadata=broker.by(BY_AGENT)
    )
    assert found.invocation == waiting


@pytest.mark.parametrize(
    ("amount", "code"),
    [
        ("5500", grpc.StatusCode.INVALID_ARGUMENT),
        ("4000.5", grpc.StatusCode.INVALID_ARGUMENT),
        ("5.5e3", grpc.StatusCode.INVALID_ARGUMENT),
        ("true", grpc.StatusCode.INVALID_ARGUMENT),
        ('"4000"', grpc.StatusCode.INVALID_ARGUMENT),
        ("4000 ,1", grpc.StatusCode.INVALID_ARGUMENT),
        ("NaN", grpc.StatusCode.INVALID_ARGUMENT),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
        ("9" * 400, grpc.StatusCode.INVALID_ARGUMENT),
        ("0", grpc.StatusCode.FAILED_PRECONDITION),  # less, and refused by the schema
    ],
)
async def test_what_is_no_less_is_refused_over_the_wire_and_changes_nothing(broker, amount, code):
    await broker.world.put_tool(NARROWABLE)
    waiting = await held(broker)
    before = await shown(broker, waiting.hold)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await narrow(broker, before, amount_minor=amount)
    assert refused.value.code() is code
    assert await shown(broker, waiting.hold) == before


async def test_a_stale_etag_takes_back_narrows_and_asks_for_nothing(broker):
    await broker.world.put_tool(NARROWABLE)
    waiting = await held(broker)
    before = await shown(broker, waiting.hold)
    by = broker.by(REVIEWER)
    stale = {"name": waiting.hold, "etag": "999"}
    for asked in (
        broker.review.NarrowHold(
            review_pb2.NarrowHoldRequest(**stale, changes_json={"/amount_minor": "1"}), metadata=by
        ),
        broker.review.AskSecondReview(review_pb2.AskSecondReviewRequest(**stale), metadata=by),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asked
        assert refused.value.code() is grpc.StatusCode.ABORTED
    assert await shown(broker, waiting.hold) == before


async def test_the_sdk_tells_the_model_what_really_ran(broker):
    await broker.world.put_tool(NARROWABLE)
    broker.world.policy.answer = opinion(hold(terms=TERMS))
    tokens = {
        "host_token": broker.tokens[CredentialClass.HOST],
        "agent_token": broker.tokens[BY_AGENT],
    }
    asked = {"order_id": "O-1001", "amount_minor": 5_500, "currency": "EUR"}
    async with asyncio.timeout(WITHIN_S), connect(f"127.0.0.1:{broker.port}", **tokens) as client:
        mandate = await client.create_mandate(
            principal=CUSTOMER, groups=["customers"], agent=AGENT, scopes=["refunds:write"]
        )
        session = await client.open_session(mandate)
        waits = await session.invoke("refund", asked, request_id="r-1")
        assert isinstance(waits, Held)
        one = await shown(broker, (await broker.world.store.find_invocation(waits.name)).hold)
        less = await narrow(broker, one, amount_minor="4000")
        still = await session.invoke("refund", asked, request_id="r-1")
        assert isinstance(still, Held)
        assert still.for_model().startswith(
            "A reviewer made this less than was asked: /amount_minor 4000 instead of 5500.\nHeld: "
        )
        await approve(broker, less)
        done = await waits.wait(timeout_s=5)
        assert isinstance(done, Succeeded)
        assert done.for_model() == (
            "A reviewer approved less than was asked: /amount_minor 4000 instead of 5500.\n"
            '{"refund_id":"r-1"}'
        )
        other = await session.invoke("refund", {**asked, "amount_minor": 1}, request_id="r-2")
        assert isinstance(other, Held)
        again = await shown(broker, (await broker.world.store.find_invocation(other.name)).hold)
        await broker.review.RejectHold(
            review_pb2.RejectHoldRequest(name=again.name, etag=again.etag, reason="Enough."),
            metadata=broker.by(REVIEWER),
        )
        refused = await other.wait(timeout_s=5)
        assert isinstance(refused, Refused)
        assert refused.for_model().startswith("Rejected by a reviewer: Enough.")
