"""A broker with OPA and SQLite, a worker, and sessions of as many agents, as processes."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml

from broker import bootstrap, config
from broker.sdk import connect
from broker.v1 import broker_pb2, broker_pb2_grpc, types_pb2
from examples.support_desk.operating import Operator
from tests.benchmarks import processors
from tests.benchmarks.guarded_echo import (
    AGENT,
    CUSTOMER,
    MANIFEST,
    SCOPE,
    SETTINGS,
    UNSANDBOXED,
    free_port,
    listens,
    process,
    until,
)
from tests.fakes.policy_trees import opa

TEXT = "Hello, this is what a person might have written in a line or so."
ARGUMENTS = json.dumps({"text": TEXT}).encode()
CALL_DEADLINE_S = 30.0
_IDS = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """One session of an agent, and its credential."""

    session: str
    secret: str
    metadata: Sequence[tuple[str, str]]

    def request(self) -> broker_pb2.InvokeRequest:
        """A call that was never asked before."""
        return broker_pb2.InvokeRequest(
            session=self.session,
            session_secret=self.secret,
            request_id=f"bench-{next(_IDS):012}",
            tool=UNSANDBOXED,
            arguments_json=ARGUMENTS,
        )


@dataclass(slots=True, kw_only=True)
class Desk:
    """What runs.

    Attributes:
        broker, engine, worker: their process ids.
        database: the broker's SQLite file.
        callers: one session each.
        invokes: the method, on each of the connections.
    """

    address: str
    broker: int
    engine: int
    worker: int
    database: Path
    operator: Operator
    callers: list[Caller] = field(default_factory=list)
    invokes: list[Any] = field(default_factory=list)

    async def call(self, number: int = 0) -> broker_pb2.InvokeResponse:
        """One whole call of one of the sessions."""
        caller = self.callers[number % len(self.callers)]
        invoke = self.invokes[number % len(self.invokes)]
        answer: broker_pb2.InvokeResponse = await invoke(
            caller.request(), metadata=caller.metadata, timeout=CALL_DEADLINE_S
        )
        state = answer.invocation.state
        assert state == types_pb2.Invocation.STATE_SUCCEEDED, answer
        return answer


@contextlib.asynccontextmanager
async def plain_desk(
    directory: Path, *, sessions: int, pinned: bool = True, preset: str = ""
) -> AsyncIterator[Desk]:
    """A desk at which so many sessions may call.

    Args:
        directory: an empty one.
        sessions: of agents of their own, one each.
        pinned: the broker has a processor to itself, and the others share the rest.
        preset: of the policy; the balanced one where empty.
    """
    address = f"127.0.0.1:{free_port()}"
    state = directory / "state"
    path = directory / "callbroker.toml"
    path.write_text(SETTINGS.format(address=address, state=state, opa=opa()), "utf-8")
    database = state / "callbroker.db"
    token = await asyncio.to_thread(  # it has a loop of its own
        bootstrap.operator_token, config.Settings(state=state, database=f"sqlite:///{database}")
    )
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(
            process("broker.command", "serve", CALLBROKER_CONFIG=str(path))
        )
        await until(lambda: listens(address))
        operator = stack.enter_context(Operator(address, token))
        tokens = await asyncio.to_thread(_provide, operator, sessions, preset)
        worker = await stack.enter_async_context(
            process(
                "tests.benchmarks.plain_worker",
                CALLBROKER_ADDRESS=address,
                CALLBROKER_WORKER_TOKEN=tokens.worker,
            )
        )
        await until(lambda: operator.workers() > 0)
        (engine,) = processors.children(broker, "opa")
        desk = Desk(
            address=address,
            broker=broker,
            engine=engine,
            worker=worker,
            database=database,
            operator=operator,
        )
        if pinned:
            desk_pinned(desk)
        for agent, agent_token in tokens.agents.items():
            await _open_session(desk, tokens.host, agent, agent_token)
        for _ in range(4):
            channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            await stack.enter_async_context(channel)
            desk.invokes.append(broker_pb2_grpc.BrokerServiceStub(channel).Invoke)
        yield desk


def desk_pinned(desk: Desk) -> None:
    """The broker on one processor, its worker and its engine on the other."""
    processors.pin(desk.broker, processors.SERVER)
    processors.pin(desk.worker, processors.OTHERS)
    processors.pin(desk.engine, processors.OTHERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokens:
    worker: str
    host: str
    agents: dict[str, str]


def _provide(operator: Operator, sessions: int, preset: str) -> _Tokens:
    document: dict[str, Any] = yaml.safe_load(MANIFEST.read_text("utf-8"))
    document = {name: value for name, value in document.items() if name != "sandbox"}
    operator.put_tools([document | {"name": UNSANDBOXED, "runner": "worker"}])
    operator.activate_policy(preset=preset)
    agents = [f"{AGENT}-{number}" for number in range(sessions)]
    for subject in (CUSTOMER, *agents):
        operator.grant(subject, SCOPE)
    return _Tokens(
        worker=operator.create_token("worker", "workers/bench", tools=[UNSANDBOXED]),
        host=operator.create_token("host", "hosts/bench"),
        agents={
            agent: operator.create_token("agent", agent, person="bench-engineer")
            for agent in agents
        },
    )


async def _open_session(desk: Desk, host: str, agent: str, token: str) -> None:
    async with connect(desk.address, host_token=host, agent_token=token) as hosts:
        mandate = await hosts.create_mandate(
            principal=CUSTOMER, agent=agent, context="mediated", words=TEXT, scopes=[SCOPE]
        )
        session = await hosts.open_session(mandate)
    desk.callers.append(
        Caller(
            session=session.name,
            secret=session.secret,
            metadata=(("authorization", f"Bearer {token}"),),
        )
    )
