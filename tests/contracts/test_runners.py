"""What runners promise to the broker: workers, agents' own processes, and the fake one."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from broker.core.calls import Invocation
from broker.core.errors import BrokerError
from broker.core.manifest import ToolManifest
from broker.ports import (
    Asker,
    Failed,
    FrozenCall,
    Lost,
    NeverStarted,
    Outcome,
    Runner,
    Succeeded,
)
from broker.tools.caller import CallerHub
from broker.tools.worker import Answer, Connection, Handover, WorkerHub
from tests.attacks.worker_hub import WORKER, offer
from tests.fakes.runner import FakeRunner
from tests.world import REFUND, World, world

PAID = Succeeded(result_json=b'{"refund_id":"r-1"}')
ASKER = Asker(session="sessions/s", request_id="r")
TAKER = "taker-of-a-process"
Answering = Callable[[FrozenCall, Outcome | None], Awaitable[None]]


@dataclass
class Subject:
    """A runner, and who carries its calls out: with None, they are taken and never answered."""

    runner: Runner
    answering: Answering
    world: World
    manifest: ToolManifest

    async def call(self, number: int = 1, *, deadline_s: float = 5.0) -> FrozenCall:
        asked = await self.world.refund(await self.world.caller(), request_id=f"r{number}")
        invocation: Invocation = replace(asked, name=f"invocations/{number}")
        return FrozenCall(
            invocation=invocation,
            manifest=self.manifest,
            principal=(await self.world.caller()).principal,
            fencing_token=f"token-{number}",
            deadline_s=deadline_s,
        )


async def _of_worker(w: World, stack: contextlib.AsyncExitStack) -> tuple[Runner, Answering]:
    hub = WorkerHub(control=w.room.current, store=w.store, clock=w.clock, ids=w.ids)
    connection: Connection = hub.connect(WORKER, offer())
    stack.callback(connection.close)

    async def answer(call: FrozenCall, outcome: Outcome | None) -> None:
        async for message in connection.handovers():
            if isinstance(message, Handover) and outcome is not None:
                said = Answer(
                    invocation=call.invocation.name,
                    fencing_token=call.fencing_token,
                    outcome=outcome,
                )
                await connection.answer(said)
            return

    return hub, answer


async def _of_caller(w: World, stack: contextlib.AsyncExitStack) -> tuple[Runner, Answering]:
    hub = CallerHub(control=w.room.current, clock=w.clock)
    stack.enter_context(hub.present(ASKER))

    async def answer(call: FrozenCall, outcome: Outcome | None) -> None:
        opened = await hub.opened(call.invocation.name)
        assert opened is not None
        assert hub.take(opened, TAKER) is not None
        if outcome is not None:
            assert hub.count(opened, outcome, said=repr(outcome).encode())

    return hub, answer


MADE: dict[str, Any] = {"worker": _of_worker, "caller": _of_caller}


@pytest.fixture(params=sorted(MADE))
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Subject]:
    async with world(tmp_path) as w, contextlib.AsyncExitStack() as stack:
        runner, answering = await MADE[request.param](w, stack)
        manifest = await w.put_tool(REFUND)
        yield Subject(runner=runner, answering=answering, world=w, manifest=manifest)


async def _run(subject: Subject, call: FrozenCall, outcome: Outcome | None) -> Outcome:
    slot = await subject.runner.reserve(subject.manifest, profile="", wait_s=1.0, asker=ASKER)
    running = asyncio.create_task(slot.run(call))
    await subject.answering(call, outcome)
    try:
        return await running
    finally:
        slot.release()
        slot.release()
        slot.acknowledge()


@pytest.mark.parametrize("said", [PAID, Failed(code="NO", message="No."), Lost(why="who knows")])
async def test_what_is_answered_is_the_outcome(subject: Subject, said: Outcome):
    ended = await _run(subject, await subject.call(), said)
    assert type(ended) is type(said)
    assert not isinstance(said, Succeeded) or ended.result_json == PAID.result_json


async def test_silence_is_lost_by_the_deadline(subject: Subject):
    ended = await _run(subject, await subject.call(deadline_s=0.1), None)
    assert isinstance(ended, Lost)


async def test_what_nobody_took_never_started(subject: Subject):
    slot = await subject.runner.reserve(subject.manifest, profile="", wait_s=1.0, asker=ASKER)
    assert isinstance(await slot.run(await subject.call(deadline_s=0.1)), NeverStarted)
    slot.release()


async def test_a_place_that_is_given_back_unused_is_free_again(subject: Subject):
    for _ in range(100):
        slot = await subject.runner.reserve(subject.manifest, profile="", wait_s=1.0, asker=ASKER)
        slot.release()
        slot.release()
    assert isinstance(await _run(subject, await subject.call(), PAID), Succeeded)


async def test_where_nobody_is_left_there_is_no_place(tmp_path: Path):
    async with world(tmp_path) as w:
        manifest = await w.put_tool(REFUND)
        for runner in (
            WorkerHub(control=w.room.current, store=w.store, clock=w.clock, ids=w.ids),
            CallerHub(control=w.room.current, clock=w.clock),
            FakeRunner(free=0),
        ):
            with pytest.raises(BrokerError):
                await runner.reserve(manifest, profile="", wait_s=0.01, asker=ASKER)
