"""A day of a small broker: read, write, hold, approve, reject, take back, narrow, let expire.

`live` is the day, `settle` is the next one: a new instance over the same files recovers, sweeps and
goes on until nothing more comes of itself.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.core.calls import Caller, Invocation
from broker.core.control_rows import credential_row
from broker.core.decision import HoldTerms, Opinion
from broker.core.errors import BrokerError
from broker.core.holds import Hold
from broker.core.lifecycle import HoldState, InvocationState
from broker.ports import FrozenCall, HoldQuery, Outcome, Succeeded
from broker.store import SqlStore, load_or_create
from tests.crash.ledger import Ledger
from tests.crash.points import PointedPort, PointedRunner, Points
from tests.fakes.decision_point import allow, hold, opinion
from tests.stores import open_store
from tests.world import (
    AGENT,
    NOW,
    ONCE,
    REFUND,
    FakeClock,
    World,
    build,
    policy_in_force,
    reviewer,
)

LEAD = reviewer("lead", "reviewers")
URL_FILE = "url"
LARGE_MINOR = 5_000
SHORT_MINOR = 9_999
SHORT = HoldTerms(reviewers=("reviewers",), decide_within_s=60, run_within_s=60)
NEXT_DAY = NOW + 400.0
ROUND_S = 30.0
ROUNDS = 5

REVIEW = {**REFUND["review"], "narrowing": {"/amount_minor": "smaller"}}
ACTING: Mapping[str, Any] = {**REFUND, "facts": {}, "scopes": [{"name": "refunds:write"}]}
TOOLS: tuple[Mapping[str, Any], ...] = (
    {**ACTING, "name": "refund", "behaviour": ONCE, "review": REVIEW},
    {**ACTING, "name": "pay", "review": REVIEW},
    {
        **ACTING,
        "name": "look",
        "behaviour": {
            "read_only": True,
            "destructive": False,
            "idempotent": True,
            "open_world": False,
        },
        "limits": {},
        "exclusive": [],
    },
)
IDEMPOTENT = frozenset({"pay", "look"})

Change = Callable[[World, Ledger], None]


@dataclass(kw_only=True)
class Day:
    """One life of a broker over a directory."""

    path: Path
    world: World
    ledger: Ledger

    async def ask(
        self, caller: Caller, tool: str, order: str, amount_minor: int, *, request_id: str
    ) -> Invocation:
        """One call."""
        given = {"order_id": order, "amount_minor": amount_minor, "currency": "EUR"}
        return await self.world.enforcer.invoke(
            caller, request_id=request_id, tool=tool, arguments_json=json.dumps(given).encode()
        )

    async def hold_of(self, one: Invocation) -> Hold:
        """The hold of a call, as it is."""
        found = await self.world.store.find_hold(one.hold)
        assert found is not None, one
        return found[0]

    async def approve(self, one: Hold) -> None:
        """Say yes, and wait for what comes of it."""
        await self.world.reviews.approve(LEAD, one.name, etag=one.etag)
        await self.quiet()

    async def quiet(self) -> None:
        """Return once nothing is under way."""
        while self.world.own.tasks:
            await asyncio.gather(*self.world.own.tasks, return_exceptions=True)

    async def sweep(self) -> None:
        """One round, and all that it begins."""
        await self.world.recovery.sweep_once()
        await self.quiet()


async def make(path: Path) -> None:
    """A directory with a database in which tools and grants are in force."""
    async with _open(path, NOW, "brokers/0") as store:
        world = await build(store, FakeClock(), owner="brokers/0")
        await world.put(policy_in_force(), credential_row(world.agent))
        for tool in TOOLS:
            await world.put_tool(tool)
        await world.grant("groups/customers", "refunds:write")
        await world.grant(AGENT, "refunds:write")


def make_once(path: Path) -> None:
    """The same, for those who have no event loop."""
    asyncio.run(make(path))


def copy(made: Path, to: Path, *, url: str = "") -> None:
    """The same directory anew; with a database of its own elsewhere where a url is given."""
    shutil.copytree(made, to)
    if url:
        (to / URL_FILE).write_text(url)


def postgres_url(path: Path) -> str | None:
    """The address of the directory's database; None where that is a file in it."""
    told = path / URL_FILE
    return told.read_text() if told.exists() else None


@contextlib.asynccontextmanager
async def day(
    path: Path, points: Points, *, owner: str, now: float, change: Change | None = None
) -> AsyncGenerator[Day]:
    """A broker over a directory, every port of which has crash points."""
    async with _open(path, now, owner) as store:
        world = await build(store, FakeClock(now), owner=owner)
        ledger = Ledger(
            path=path / "ledger.jsonl",
            database=postgres_url(path) or path / "broker.db",
            known_keys=IDEMPOTENT,
            point=points.at,
        )
        world.policy.answer = _policy
        world.runner.effect = _tools(ledger)
        world.use(
            store=PointedPort(store, points, "store"),
            facts=PointedPort(world.shop, points, "facts"),
            runner=PointedRunner(world.runner, points),
        )
        if change is not None:
            change(world, ledger)
        yield Day(path=path, world=world, ledger=ledger)


async def live(one: Day) -> None:
    """The day, from the first mandate to a hold that waits on."""
    w = one.world
    caller = await w.caller()
    await one.ask(caller, "look", "O-1001", 1, request_id="read")
    await one.ask(caller, "refund", "O-1001", 100, request_id="write")
    await one.ask(caller, "pay", "O-1002", 100, request_id="pay")
    await one.ask(caller, "pay", "O-1002", 100, request_id="pay")  # said twice is asked once
    approved = await one.ask(caller, "refund", "O-1002", LARGE_MINOR, request_id="approved")
    await one.approve(await one.hold_of(approved))
    narrowed = await one.ask(caller, "pay", "O-1003", LARGE_MINOR + 2, request_id="narrowed")
    shown = await one.hold_of(narrowed)
    changes = {"/amount_minor": LARGE_MINOR + 1}
    view = await w.handling.narrow(LEAD, shown.name, etag=shown.etag, changes=changes)
    await one.approve(view.hold)
    rejected = await one.ask(caller, "refund", "O-1004", LARGE_MINOR, request_id="rejected")
    refused = await one.hold_of(rejected)
    await w.reviews.reject(LEAD, refused.name, etag=refused.etag, reason="No.")
    taken = await one.ask(caller, "refund", "O-1005", LARGE_MINOR, request_id="cancelled")
    await w.invocations.cancel(w.agent, taken.name)
    await one.ask(caller, "refund", "O-1006", SHORT_MINOR, request_id="expired")
    w.clock.advance(SHORT.decide_within_s)
    await one.sweep()
    await one.ask(caller, "refund", "O-1007", LARGE_MINOR, request_id="waiting")
    await one.quiet()


async def settle(one: Day) -> None:
    """What a restart brings to an end, until nothing more comes of itself."""
    await one.world.recovery.recover()
    for _ in range(ROUNDS):
        with contextlib.suppress(BrokerError):
            await one.sweep()
        one.world.clock.advance(ROUND_S)
    await one.sweep()


async def go_on(one: Day) -> None:
    """What waited can still be decided: the hold is approved, and runs."""
    for found in await _pending(one.world):
        await one.approve(found)
        after = await one.world.store.find_invocation(found.invocation)
        assert after is not None
        assert after.state is InvocationState.SUCCEEDED, after


async def _pending(world: World) -> list[Hold]:
    found = await world.store.list_holds(HoldQuery(page_size=100))
    return [one for one, _ in found if one.state is HoldState.PENDING]


def _policy(question: Mapping[str, Any]) -> Opinion:
    call = question["call"]
    amount = call["arguments"]["amount_minor"]
    if call["tool"] == "look" or amount < LARGE_MINOR:
        return opinion(allow())
    return opinion(hold("SHORT", SHORT)) if amount == SHORT_MINOR else opinion(hold("LARGE"))


def _tools(ledger: Ledger) -> Callable[[FrozenCall], Outcome]:
    def carry_out(call: FrozenCall) -> Outcome:
        ledger.write(
            invocation=call.invocation.name,
            tool=call.manifest.name,
            attempt=call.invocation.attempt,
            fence=call.fencing_token,
        )
        return Succeeded(result_json=b'{"refund_id":"r-1"}')

    return carry_out


async def _opened(path: Path, now: float, instance: str) -> SqlStore:
    if (url := postgres_url(path)) is None:
        return await open_store(path, clock=lambda: now, instance=instance)
    return await SqlStore.open(
        url,
        state=path / "state",
        instance=instance,
        audit_keys=load_or_create(path / "state"),
        clock=lambda: now,
    )


@contextlib.asynccontextmanager
async def _open(path: Path, now: float, instance: str) -> AsyncGenerator[SqlStore]:
    store = await _opened(path, now, instance)
    try:
        yield store
    finally:
        await store.close()
