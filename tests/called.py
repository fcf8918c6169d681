"""A broker of `tests.world` whose refunds the agent's own process executes, on a permit."""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.core.calls import Caller, Context, Invocation
from broker.core.control_rows import credential_row
from broker.core.credentials import Credential, CredentialClass, secret_digest
from broker.core.lifecycle import InvocationState
from broker.core.reports import KeptReport
from broker.core.scopes import Scope
from broker.events import Events, Topic
from broker.identity import new_token
from broker.mandates import MandateOrder
from broker.permits import Report, Reported
from broker.ports import Succeeded
from broker.tools.caller import CallerHub, Permit
from broker.tools.runners import Runners
from broker.tools.worker import WorkerHub
from tests.fakes.policy_room import FakePolicyRoom
from tests.offices import administration
from tests.served import server_of
from tests.world import AGENT, REFUND, World, build, credential, world

PAID = Succeeded(result_json=b'{"refund_id":"r-1"}')
TAKER = "taker-of-the-first-process"
OTHER_TAKER = "taker-of-the-second-process"
DEADLINE_S = 20.0
KEY = b"that all brokers of a test have."
LOCAL_REFUND: dict[str, Any] = {**REFUND, "runner": "caller"}


@dataclass
class Called:
    """What a test needs beside the world."""

    world: World
    hub: CallerHub
    caller: Caller
    requests: list[str] = field(default_factory=list)

    @property
    def agent(self) -> Credential:
        return self.world.agent

    async def ask(
        self, *, taker: str = TAKER, request_id: str = "", **given: Any
    ) -> tuple[Invocation, Permit | None]:
        """Ask for a refund as the RPC does."""
        request_id = request_id or f"r{len(self.requests)}"
        self.requests.append(request_id)
        with self.world.permits.awaited(self.caller.session.name, request_id, taker):
            invocation = await self.world.refund(self.caller, request_id=request_id, **given)
            return await self.world.permits.taken(invocation, taker)

    async def report(self, invocation: Invocation, permit: Permit, report: Report) -> Reported:
        token = permit.call.fencing_token
        return await self.world.permits.report(self.agent, invocation.name, token, report)

    async def kill(self) -> None:
        """The broker is gone, whatever it was about to do."""
        for task in self.world.own.tasks:
            task.cancel()
        await asyncio.gather(*self.world.own.tasks, return_exceptions=True)

    async def kept(self, invocation: Invocation) -> KeptReport:
        """The word on a call, once there is one."""
        async with asyncio.timeout(DEADLINE_S):
            while (found := await self.world.store.find_report(invocation.name)) is None:
                await asyncio.sleep(0.005)
        return found

    async def beyond(self, invocation: Invocation, state: InvocationState) -> Invocation:
        """The call once it is not in this state any more."""
        async with asyncio.timeout(DEADLINE_S):
            while (found := await self.find(invocation)).state is state:
                await asyncio.sleep(0.005)
        return found

    async def kinds(self, invocation: Invocation) -> Counter[str]:
        """What the log says of a call, by kind."""
        entries = await self.world.store.entries(invocation.name)
        return Counter(str(entry["kind"]) for entry in entries)

    async def find(self, invocation: Invocation) -> Invocation:
        return await self.world.store.find_invocation(invocation.name)

    async def entry(self, invocation: Invocation, kind: str) -> dict[str, Any]:
        """The last entry of a kind."""
        entries = await self.world.store.entries(invocation.name)
        return [entry for entry in entries if entry["kind"] == kind][-1]


@contextlib.asynccontextmanager
async def called(path: Path, *, hub: Any = CallerHub, **changed: Any) -> AsyncGenerator[Called]:
    """`changed` are fields of the manifest."""
    async with world(path) as w:
        made = _with_callers(w, hub)
        await w.put_tool(LOCAL_REFUND, **changed)
        yield Called(world=w, hub=made, caller=await w.caller())


@contextlib.asynccontextmanager
async def beside(
    c: Called, owner: str = "brokers/2", *, is_heard: bool = True
) -> AsyncGenerator[Called]:
    """Another broker over the same database; unless it is heard, no name travels between them."""
    w = await build(c.world.store, c.world.clock, owner=owner)
    hub = _with_callers(w, CallerHub)
    following: list[asyncio.Task[None]] = []
    if is_heard:
        others = c.world.events.relay.to if isinstance(c.world.events.relay, Wire) else []
        c.world.events.relay, w.events.relay = Wire([*others, w.events]), Wire([c.world.events])
        for one in (c.world.permits, w.permits):
            following.append(asyncio.create_task(one.follow_reports()))
            following.append(asyncio.create_task(one.follow_holds()))
    try:
        yield Called(world=w, hub=hub, caller=c.caller)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


def _with_callers(w: World, hub: Any) -> CallerHub:
    made: CallerHub = hub(control=w.room.current, clock=w.clock, key=KEY)
    w.use(runner=Runners({"worker": w.runner, "caller": made}), callers=made)
    return made


@dataclass
class Wire:
    """Implements `events.Relay` within a process."""

    to: list[Events]

    def tell(self, topic: Topic, name: str) -> None:
        for events in self.to:
            events.deliver(topic, name)


@contextlib.asynccontextmanager
async def called_by_wire(path: Path, **changed: Any) -> AsyncGenerator[tuple[Called, str, str]]:
    """The same behind a real server: with its address and a token of the agent's."""
    async with called(path, **changed) as c:
        w = c.world
        workers = WorkerHub(control=w.room.current, store=w.store, clock=w.clock, ids=w.ids)
        office = administration(w.store, w.room, FakePolicyRoom(), clock=w.clock, events=w.events)
        token = new_token(CredentialClass.AGENT)
        made = dataclasses.replace(
            w.agent, name=f"credentials/{w.ids()}", digest=secret_digest(token)
        )
        await w.put(credential_row(made))
        server = server_of(w, workers, office)
        port = server.bind("127.0.0.1:0")
        await server.start()
        try:
            yield c, f"127.0.0.1:{port}", token
        finally:
            await server.stop(grace_s=0.2)
            await office.policies.close()


async def mandate(c: Called) -> str:
    """The secret of one for a session of its own."""
    order = MandateOrder(
        principal=c.caller.principal,
        agent=AGENT,
        context=Context.OPEN,
        parent="",
        words=("My lamp arrived broken.",),
        scopes=(Scope(name="refunds:write"),),
    )
    host = credential(CredentialClass.HOST, "hosts/shop")
    _, secret = await c.world.mandates.create(host, order)
    return secret
