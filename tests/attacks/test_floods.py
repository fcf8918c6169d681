"""Attacks by quantity: what one agent asks, slowly, wrongly or at once, is to keep the others out.

No test asks how fast the others are served: a flood is held back until they have been, which only
comes to an end where no place of theirs depends on it.
"""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from broker.core import limits
from broker.core.calls import Caller, Invocation
from broker.core.control_rows import credential_row
from broker.core.credentials import CredentialClass
from broker.core.decision import Opinion
from broker.core.errors import LimitExceeded, MalformedRequest, PolicyUnavailable
from broker.core.fairness import FAIR, Share
from broker.core.lifecycle import InvocationState
from broker.core.manifest import parse
from broker.enforcer.asking import QUESTIONS, Asking
from broker.enforcer.enforcer import CALLS
from broker.facts.gatherer import LOOK_UPS, Gatherer
from broker.fairness.queue import NoPlace, Places
from tests.fakes.decision_point import REVISION, allow, hold, opinion
from tests.store_values import session
from tests.world import REFUND, OnePolicy, World, credential, reviewer, world

FLOOD = "agents/flood"
MANY = 64
WITHIN_S = 30.0
SLOW = Share(calls_max=2, calls_per_s=1.0, bytes_per_s=1_000.0)


class StuckFor:
    """Implements `ports.DecisionPoint`: questions of one agent are answered once it is let go."""

    def __init__(self, agent: str) -> None:
        self.agent = agent
        self.let_go = asyncio.Event()
        self.stuck = 0

    @property
    def revision(self) -> str:
        return REVISION

    async def evaluate(self, question: Mapping[str, Any], *, deadline_s: float) -> Opinion:
        del deadline_s
        if question["agent"]["id"] == self.agent:
            self.stuck += 1
            await self.let_go.wait()
        return opinion(allow())

    async def is_answering(self) -> bool:
        return True

    async def close(self) -> None:
        self.let_go.set()


@contextlib.asynccontextmanager
async def two_agents(path: Path) -> AsyncIterator[tuple[World, Caller, Caller]]:
    """A broker, a session of an agent that floods it, and one of an agent that does not."""
    async with world(path) as w:
        honest = await w.caller()
        mine, w.agent = w.agent, credential(CredentialClass.AGENT, FLOOD, person="somebody")
        await w.put(credential_row(w.agent))
        await w.grant(FLOOD, "refunds:write")
        # Nothing that calls would share by what they do.
        await w.put_tool(limits={}, exclusive=[])
        flood = await w.caller()
        w.agent = mine
        w.shop.orders |= {f"O-4{n:03}": dict(w.shop.orders["O-1002"]) for n in range(MANY)}
        yield w, flood, honest


async def call(w: World, by: Caller, order: str = "O-1002", *, body: bytes = b"") -> Invocation:
    w.requests += 1
    arguments = (
        body or json.dumps({"order_id": order, "amount_minor": 1, "currency": "EUR"}).encode()
    )
    return await w.enforcer.invoke(
        by, request_id=f"f{w.requests}", tool="refund", arguments_json=arguments
    )


async def begun(w: World, flood: Caller) -> list[asyncio.Task[Invocation]]:
    """The flood, as far as it gets."""
    calls = [asyncio.create_task(call(w, flood, f"O-4{n:03}")) for n in range(MANY)]
    for _ in range(200):
        await asyncio.sleep(0)
    return calls


def fair(w: World, **bounds: Any) -> None:
    w.use(fairness=dataclasses.replace(FAIR, **bounds))


async def test_slow_questions_of_one_agent_keep_no_other_waiting(tmp_path: Path):
    """Send 64 questions that the engine does not get done with, and none of them ever ends."""
    async with two_agents(tmp_path) as (w, flood, honest):
        point = StuckFor(FLOOD)
        w.use(policies=OnePolicy(point))
        calls = await begun(w, flood)
        async with asyncio.timeout(WITHIN_S):
            while not point.stuck:
                await asyncio.sleep(0.01)
            done = [await call(w, honest) for _ in range(5)]
        assert {one.state for one in done} == {InvocationState.SUCCEEDED}
        assert not any(task.done() for task in calls)
        point.let_go.set()
        ended = await asyncio.gather(*calls)
        assert {one.state for one in ended} == {InvocationState.SUCCEEDED}


async def test_calls_that_fill_every_place_leave_places_for_others(tmp_path: Path):
    """Fill every place that my agent can have, with calls that are stuck in a look-up."""
    async with two_agents(tmp_path) as (w, flood, honest):
        stuck = asyncio.Event()
        gather = w.shop.gather

        async def slow(manifest: Any, *, arguments: Any, principal: Any, session: Any) -> Any:
            if session.agent.id == FLOOD:
                await stuck.wait()
            return await gather(manifest, arguments=arguments, principal=principal, session=session)

        w.shop.gather = slow  # type: ignore[method-assign]
        calls = await begun(w, flood)
        async with asyncio.timeout(WITHIN_S):
            assert (await call(w, honest)).state is InvocationState.SUCCEEDED
        assert w.enforcer.places.taken < MANY
        stuck.set()
        await asyncio.gather(*calls)


async def test_nonsense_is_not_answered_as_fast_as_it_can_be_asked(tmp_path: Path):
    """Have the broker's loop for myself with what is refused at once, 64 at a time.

    Each takes less than a call does and makes room for the next: with as many places as anybody,
    I have most of the processor.
    """
    async with two_agents(tmp_path) as (w, flood, honest):
        loop = asyncio.get_running_loop()

        async def nonsense(number: int) -> None:
            if number % 2:
                with pytest.raises(MalformedRequest):
                    await call(w, flood, body=b'{"order_id":')
            else:
                refused = await call(w, flood, body=b'{"order_id":1}')
                assert refused.state is InvocationState.DENIED

        async def others() -> None:
            while True:
                assert (await call(w, honest)).state is InvocationState.SUCCEEDED

        others_call = asyncio.create_task(others())
        await call(w, honest)
        began = loop.time()
        async with asyncio.timeout(WITHIN_S):
            await asyncio.gather(*(nonsense(number) for number in range(MANY)))
        took_s = loop.time() - began
        others_call.cancel()
        at_once = CALLS.crowd_max // 2
        assert took_s >= (MANY // at_once - 1) * limits.REFUSED_PAUSE_S


class Filling:
    """A store during whose first answer to a session all its places are taken."""

    def __init__(self, inner: Any, session: str, fill: Callable[[], Awaitable[None]]) -> None:
        self.inner = inner
        self.session = session
        self.fill = fill
        self.filled = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def find_request(self, session: str, request_id: str) -> Any:
        if session == self.session:
            await self.fill()
            self.filled.set()
        return await self.inner.find_request(session, request_id)


async def test_who_may_not_call_a_tool_keeps_nobody_from_its_keys(tmp_path: Path):
    """Name somebody's order without the scope for it, and wait with its turn for a place."""
    async with two_agents(tmp_path) as (w, _, honest), contextlib.AsyncExitStack() as taken:
        await w.put_tool(limits={})
        mine, w.agent = w.agent, credential(CredentialClass.AGENT, FLOOD, person="somebody")
        stranger = await w.caller(scopes=())
        w.agent = mine

        async def fill() -> None:
            with contextlib.suppress(NoPlace):
                while True:
                    place = w.enforcer.places.place(FLOOD, stranger.principal.id, within_s=0.01)
                    await taken.enter_async_context(place)

        store = Filling(w.store, stranger.session.name, fill)
        w.use(store=store)
        waiting = asyncio.create_task(call(w, stranger))
        await store.filled.wait()
        await asyncio.sleep(0)
        async with asyncio.timeout(1.0):
            await call(w, honest)
        assert not waiting.done()
        await taken.aclose()
        assert (await waiting).state is InvocationState.DENIED


async def test_of_one_source_a_connection_is_left_for_others():
    """Look up what takes for ever, in as many calls as the source has connections."""

    class Stuck:
        def __init__(self) -> None:
            self.let_go = asyncio.Event()
            self.stuck = 0

        def refuses(self, spec: Any) -> str:
            del spec
            return ""

        async def look_up(self, spec: Any, parameters: Any, *, rows_max: int) -> list[Any]:
            del spec, rows_max
            if parameters["id"] == "O-4000":
                self.stuck += 1
                await self.let_go.wait()
            return [{"customer_id": "c", "captured_minor": 1, "refunded_minor": 0}]

        async def close(self) -> None:
            self.let_go.set()

    source = Stuck()
    gatherer = Gatherer({"shop": source})
    document = {**REFUND, "facts": {"order": {**REFUND["facts"]["order"], "deadline_s": 10}}}
    manifest = parse(document)

    async def gather(agent: str, order: str) -> Any:
        of = session_of(agent)
        arguments = {"order_id": order}
        return await gatherer.gather(
            manifest, arguments=arguments, principal=of.principal, session=of
        )

    flood = [asyncio.create_task(gather(FLOOD, "O-4000")) for _ in range(MANY)]
    while source.stuck < LOOK_UPS.alone_max:
        await asyncio.sleep(0)
    for _ in range(3):
        found = await gather("agents/honest", "O-1002")
        assert not found["order"].error
    assert source.stuck == LOOK_UPS.alone_max
    source.let_go.set()
    assert not any(found["order"].error for found in await asyncio.gather(*flood))


def session_of(agent: str) -> Any:
    made = session()
    return dataclasses.replace(made, agent=dataclasses.replace(made.agent, id=agent))


async def test_who_waits_too_long_for_the_engine_is_not_decided(tmp_path: Path):
    """Have a call run undecided, because the engine is too busy to be asked about it."""
    async with two_agents(tmp_path) as (w, flood, _):
        point = StuckFor(FLOOD)
        places = Places(most=2, alone_max=1, crowd_max=1, waiting_max=1)
        asking = Asking(places)
        first = asyncio.create_task(
            asking.opinion(point, {"agent": {"id": FLOOD}}, agent=flood.agent.id)
        )
        second = asyncio.create_task(
            asking.opinion(point, {"agent": {"id": FLOOD}}, agent=flood.agent.id)
        )
        await asyncio.sleep(0)
        with pytest.raises(PolicyUnavailable):
            await asking.opinion(point, {"agent": {"id": FLOOD}}, agent=flood.agent.id)
        point.let_go.set()
        assert await first == await second
        assert QUESTIONS.alone_max < QUESTIONS.most
        assert w.policy.asked == []


async def test_erring_floods_are_refused_and_others_served(tmp_path: Path):
    """Send 64 at once of bytes that are no JSON, megabytes, and tools that are not there."""
    async with two_agents(tmp_path) as (w, flood, honest):
        bodies = [
            b"{" * 50_000,
            b'{"order_id":"' + b"x" * 200_000 + b'"}',
            b"[]",
            b'{"a":1e999}',
        ]
        calls = [
            asyncio.create_task(call(w, flood, body=bodies[n % len(bodies)])) for n in range(MANY)
        ]
        async with asyncio.timeout(WITHIN_S):
            done = [await call(w, honest) for _ in range(5)]
        assert {one.state for one in done} == {InvocationState.SUCCEEDED}
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert not any(isinstance(e, Invocation) and e.state != "DENIED" for e in ended)


@pytest.mark.parametrize("who", ["agent", "principal", "session"])
async def test_who_asks_too_fast_is_told_when_to_come_again(tmp_path: Path, who: str):
    """Ask faster than I may, hoping that the broker gets slow for everybody or forgets to look."""
    async with two_agents(tmp_path) as (w, flood, honest):
        fair(w, **{who: dataclasses.replace(SLOW, calls_max=100)})
        refused: list[LimitExceeded] = []
        for _ in range(8):
            try:
                await call(w, flood)
            except LimitExceeded as error:
                refused.append(error)
        assert refused
        assert all(float(error.metadata["retry_after_s"]) > 0 for error in refused)
        page = await w.store.find_request(flood.session.name, "f8")
        assert page is None
        if who != "principal":
            assert (await call(w, honest)).state is InvocationState.SUCCEEDED
        w.clock.advance(5.0)
        assert (await call(w, flood)).state is InvocationState.SUCCEEDED


@pytest.mark.parametrize("who", ["agent", "principal", "session"])
async def test_no_more_are_under_way_than_may_be(tmp_path: Path, who: str):
    """Ask, hang up, and ask again: what I left behind goes on, and counts as mine."""
    async with two_agents(tmp_path) as (w, flood, honest):
        fair(w, **{who: dataclasses.replace(SLOW, calls_per_s=1_000.0, bytes_per_s=1e6)})
        w.runner.going.clear()
        left = [asyncio.create_task(call(w, flood, f"O-400{n}")) for n in range(2)]
        async with asyncio.timeout(WITHIN_S):
            while (await w.store.counts()).running < 2:
                await asyncio.sleep(0.01)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        with pytest.raises(LimitExceeded):
            await call(w, flood, "O-4003")
        other = asyncio.create_task(call(w, honest))
        if who == "principal":
            with pytest.raises(LimitExceeded):
                await other
        w.runner.going.set()
        if who != "principal":
            assert (await other).state is InvocationState.SUCCEEDED


@pytest.mark.parametrize("whose", ["agent", "principal"])
async def test_so_many_calls_wait_for_people_and_no_more(tmp_path: Path, whose: str):
    """Bury the one hold that matters under thousands, or fill the disk with what waits."""
    async with two_agents(tmp_path) as (w, flood, honest):
        fair(w, **{f"holds_of_{whose}_max": 3})
        w.policy.answer = opinion(hold())
        done = await asyncio.gather(
            *(call(w, flood, f"O-400{n}") for n in range(9)), return_exceptions=True
        )
        held = [one for one in done if isinstance(one, Invocation)]
        assert [one.state for one in held] == [InvocationState.HELD] * 3
        refused = [one for one in done if isinstance(one, LimitExceeded)]
        assert len(refused) == 6
        assert {error.metadata["retry_after_s"] for error in refused} == {"60.000"}
        assert len(await w.store.open_holds_of(flood.session.name)) == 3
        if whose == "agent":
            assert (await call(w, honest)).state is InvocationState.HELD
        hold_of = (await w.store.find_hold(held[0].hold))[0]
        await w.reviews.reject(
            reviewer("lea", "reviewers"), held[0].hold, etag=hold_of.etag, reason="No."
        )
        assert (await call(w, flood, "O-4050")).state is InvocationState.HELD
