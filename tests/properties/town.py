"""A whole broker that a state machine drives, and the books in which every effect is written.

The store is real and on disk; a crash abandons everything that was under way and opens the store
anew. The tool keeps a ledger: each effect is written into it with what the log had said until then.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from broker.core.audit_verification import verify
from broker.core.calls import Caller, Invocation
from broker.core.control_rows import credential_row, freeze_row, tool_row
from broker.core.credentials import CredentialClass
from broker.core.decision import Effect
from broker.core.errors import BrokerError
from broker.core.freezes import Freeze, FreezeKind
from broker.core.holds import Hold, ReviewEffect, Reviewer
from broker.core.lifecycle import KEY_TAKEN, TERMINAL, HoldState, InvocationState
from broker.core.manifest import ToolManifest, parse
from broker.core.unit import DropControl
from broker.ports import Failed, FrozenCall, HoldQuery, InvocationQuery, Lost, Outcome, Succeeded
from broker.ports import NeverStarted as Never
from broker.store import load_or_create, signature_holds
from tests.fakes.decision_point import allow, deny, hold, opinion
from tests.stores import open_store
from tests.world import (
    AGENT,
    CUSTOMER,
    REFUND,
    FakeClock,
    World,
    build,
    credential,
    policy_in_force,
    reviewer,
)

Reply = Literal["answers", "fails", "is lost", "never starts"]
Point = Literal["before the effect", "after the effect"]

OPINIONS = {"allow": opinion(allow()), "hold": opinion(hold("LARGE")), "deny": opinion(deny())}
ORDERS = tuple(f"O-{number}" for number in range(1_003, 1_013))
PAGE = 500
OVER_S = 40_000.0
"""Longer than any hold may wait, and any lease may last."""

LEADS = (reviewer("lead-1", "reviewers"), reviewer("lead-2", "reviewers"))
OTHERS = (
    reviewer("stranger", "strangers"),
    reviewer("the-customer", "reviewers", person=CUSTOMER),
    reviewer("the-owner", "reviewers", person="agent-owner"),
)
OPERATOR = credential(CredentialClass.OPERATOR, "operators/1", person="operator-1")
OWNER = credential(CredentialClass.OPERATOR, "operators/2", person="agent-owner")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effected:
    """One line of the ledger: what was carried out, and what the log had of it by then."""

    invocation: str
    digest: str
    announced: bool
    state: InvocationState
    at: float


@dataclass(eq=False)
class Ledger:
    """Implements `ports.Runner` and its slots: writes down what takes effect.

    Attributes:
        reply: how the next calls end.
        stops_at: where the next call stays for ever, until a crash.
        reached: set once a call is there.
    """

    reply: Reply = "answers"
    stops_at: Point | None = None
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    lines: list[Effected] = field(default_factory=list)
    world: World | None = None

    async def reserve(self, manifest: ToolManifest, **_asked: object) -> "Ledger":
        del manifest
        return self

    async def run(self, call: FrozenCall) -> Outcome:
        if self.reply == "never starts":
            return Never(why="nobody took it")
        await self._stop("before the effect")
        if self.reply == "fails":
            return Failed(code="NO", message="The shop would not.")
        self.lines.append(await self._line(call))
        await self._stop("after the effect")
        if self.reply == "is lost":
            return Lost(why="the worker has gone")
        return Succeeded(result_json=b'{"refund_id":"r-1"}')

    def release(self) -> None:
        """There is always room."""

    def acknowledge(self) -> None:
        """Nothing is kept."""

    async def _stop(self, point: Point) -> None:
        if self.stops_at == point:
            self.reached.set()
            await asyncio.Event().wait()

    async def _line(self, call: FrozenCall) -> Effected:
        assert self.world is not None
        name = call.invocation.name
        kinds = [entry["kind"] for entry in await self.world.store.entries(name)]
        stored = await self.world.store.find_invocation(name)
        return Effected(
            invocation=name,
            digest=call.invocation.call.digest,
            announced=kinds.count("attempt.started") == 1,
            state=stored.state,
            at=self.world.clock(),
        )


class Town:
    """One broker after another over one database."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._directory = tempfile.TemporaryDirectory(prefix="town-")
        self.path = Path(self._directory.name)
        self.clock = FakeClock()
        self.ledger = Ledger()
        self.callers: list[Caller] = []
        self.requests: list[tuple[Caller, str, int, str]] = []
        self.ended: dict[str, Invocation] = {}
        self.brokers = 0
        self.tools = 0
        self.opinion = "allow"
        self.world: World
        self.run(self._open())
        self.run(self._provide())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it to its end."""
        return self._loop.run_until_complete(work)

    def attempt(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it; an error of the broker's own kind is an answer as well."""
        try:
            return self.run(work)
        except BrokerError as error:
            return error

    def close(self) -> None:
        """Give everything up."""
        try:
            self.run(self._abandon())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
            self._directory.cleanup()

    # What happens

    def open_session(self) -> None:
        """Somebody starts a task."""
        self.callers.append(self.run(self.world.caller()))

    def ask(self, caller: Caller, amount: int, order: str, *, request: str = "") -> Any:
        """The agent calls."""
        request = request or f"q{len(self.requests)}"
        self.requests.append((caller, request, amount, order))
        return self.attempt(self.world.refund(caller, amount, order_id=order, request_id=request))

    def opine(self, what: str) -> None:
        """Policy says something else from now on."""
        self.opinion = what
        self.world.policy.answer = OPINIONS[what]

    def change_tool(self) -> None:
        """Another revision."""
        self.tools += 1
        self.run(self.world.put_tool({**_TOOL, "description": f"Return money, {self.tools}."}))

    def freeze(self) -> None:
        """Nothing of this agent runs."""
        freeze = Freeze(
            name="freezes/1",
            kind=FreezeKind.AGENT,
            subject=AGENT,
            reason="test",
            frozen_by="test",
            created_at=self.clock(),
        )
        self.run(self.world.put(freeze_row(freeze)))

    def thaw(self) -> None:
        """It may again."""
        self.run(self.world.put(DropControl(kind="freeze", key="freezes/1")))

    def review(self, who: Reviewer, held: Hold, *, says_yes: bool, etag: int) -> Any:
        """Somebody says yes or no; what then runs has its time."""
        reviews = self.world.reviews
        said = self.attempt(
            reviews.approve(who, held.name, etag=etag)
            if says_yes
            else reviews.reject(who, held.name, etag=etag, reason="No.")
        )
        self.run(self._settle())
        return said

    def sweep(self) -> None:
        """A second has passed for the broker."""
        self.attempt(self.world.recovery.sweep_once())
        self.run(self._settle())

    def crash(self) -> None:
        """The process dies; another one opens what is there."""
        self.run(self._abandon())
        self.run(self._open())
        self.run(self.world.recovery.recover())

    def crash_in(self, caller: Caller, amount: int, order: str, point: Point) -> None:
        """It dies while a tool is at work, if one comes to be."""
        self.run(self._ask_and_stop(caller, amount, order, point))
        self.crash()

    # What there is

    def invocations(self) -> list[Invocation]:
        """All of them."""
        return list(self.run(self.world.store.list_invocations(InvocationQuery(page_size=PAGE))))

    def holds(self, *states: HoldState) -> list[Hold]:
        """All holds, in these states where any are given."""
        query = HoldQuery(include_decided=True, page_size=PAGE)
        found = [one for one, _ in self.run(self.world.store.list_holds(query))]
        return [one for one in found if not states or one.state in states]

    # What must hold, whatever has happened

    def check(self) -> None:
        """Compare books, log and rows."""
        there = {one.name: one for one in self.invocations()}
        self._check_effects(there)
        self._check_keys(there)
        self._check_ended(there)
        self._check_reviews()

    def check_log(self) -> None:
        """The whole log verifies, and every call has as many decisions as it was decided."""
        lines = self.run(self._exported())
        public = load_or_create(self.path / "state").public_key
        report = verify(lines, public, signature_holds=signature_holds)
        assert report.ok, report

    def check_everything_ends(self) -> None:
        """With no more faults, nothing waits for ever and nobody is left RUNNING."""
        self.ledger.stops_at, self.ledger.reply = None, "answers"
        self.clock.advance(OVER_S)
        self.sweep()
        self.sweep()
        left = [
            o for o in self.invocations() if o.state not in {*TERMINAL, InvocationState.UNKNOWN}
        ]
        assert not left, left
        assert not self.holds(HoldState.PENDING, HoldState.APPROVED)

    def _check_effects(self, there: dict[str, Invocation]) -> None:
        names = [line.invocation for line in self.ledger.lines]
        assert len(names) == len(set(names)), "an effect happened twice"
        for line in self.ledger.lines:
            one = there[line.invocation]
            assert line.announced, "an effect of which the log did not know"
            assert line.state is InvocationState.RUNNING
            assert line.digest == one.call.digest, "other bytes than were decided on"
            may = {InvocationState.RUNNING, InvocationState.SUCCEEDED, InvocationState.UNKNOWN}
            settled = one.code == "RECONCILED"
            assert one.state in may or settled, f"{one.state} took effect"
            assert one.decision is not None
            if one.decision.effect is not Effect.ALLOW:
                claimed = self.run(self.world.store.find_hold(one.hold))
                assert claimed is not None
                assert claimed[0].state is HoldState.CLAIMED, "nobody released it"
                assert claimed[0].call_digest == one.call.digest
                assert line.at < claimed[0].run_by, "it was released for a time that was over"

    def _check_keys(self, there: dict[str, Invocation]) -> None:
        at_work = [
            str(one.call.arguments["order_id"]) for one in there.values() if one.state in KEY_TAKEN
        ]
        assert len(at_work) == len(set(at_work)), "two effects of one order under way"

    def _check_ended(self, there: dict[str, Invocation]) -> None:
        for name, before in self.ended.items():
            assert there[name] == before, "what has ended has moved"
        self.ended = {n: one for n, one in there.items() if one.state in TERMINAL}

    def _check_reviews(self) -> None:
        query = HoldQuery(include_decided=True, page_size=PAGE)
        for held, reviews in self.run(self.world.store.list_holds(query)):
            yes = [r for r in reviews if r.counted and r.effect is ReviewEffect.APPROVE]
            persons = {(r.reviewer.person.issuer, r.reviewer.person.subject) for r in yes}
            assert len(persons) == len(yes), "one Person counted twice"
            assert not {subject for _, subject in persons} & {CUSTOMER, "agent-owner"}
            if held.state is HoldState.CLAIMED:
                assert yes, "claimed without an approval"

    async def _exported(self) -> list[bytes]:
        store = self.world.store
        chunks = [c async for c in store.export(since=0.0, include_contents=True)]
        return b"".join(chunks).splitlines(keepends=True)

    async def _ask_and_stop(self, caller: Caller, amount: int, order: str, point: Point) -> None:
        self.ledger.stops_at, self.ledger.reached = point, asyncio.Event()
        request = f"q{len(self.requests)}"
        self.requests.append((caller, request, amount, order))
        asked = asyncio.ensure_future(
            self.world.refund(caller, amount, order_id=order, request_id=request)
        )
        reached = asyncio.ensure_future(self.ledger.reached.wait())
        await asyncio.wait({asked, reached}, return_when=asyncio.FIRST_COMPLETED)
        for task in (asked, reached):
            task.cancel()
        await asyncio.gather(asked, reached, return_exceptions=True)
        self.ledger.stops_at = None

    async def _settle(self) -> None:
        while self.world.own.tasks:
            await asyncio.wait(self.world.own.tasks)

    async def _abandon(self) -> None:
        tasks = self.world.own.tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.world.store.close()

    async def _open(self) -> None:
        self.brokers += 1
        owner = f"brokers/{self.brokers}"
        store = await open_store(self.path, clock=self.clock, instance=owner)
        self.world = await build(store, self.clock, owner=owner)
        self.world.use(exclusive_wait_s=0.01)
        self.world.policy.answer = OPINIONS[self.opinion]
        self.world.runner.instead = self.ledger
        self.world.shop.orders |= {order: dict(_ORDER) for order in ORDERS}
        self.ledger.world = self.world

    async def _provide(self) -> None:
        await self.world.put(
            policy_in_force(), credential_row(self.world.agent), tool_row(parse(_TOOL))
        )
        await self.world.grant("groups/customers", "refunds:write")
        await self.world.grant(AGENT, "refunds:write")


_ORDER = {"customer_id": CUSTOMER, "captured_minor": 50_000, "refunded_minor": 0}
_TOOL = {**REFUND, "behaviour": {**REFUND["behaviour"], "idempotent": False}}
