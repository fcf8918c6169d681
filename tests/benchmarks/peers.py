"""Calls a second of ours and of the nearest peers, each doing the part of the work that it can.

    make bench BENCH=peers     minutes; the peers get an environment of their own in .cache/peers

* A permit: the broker authenticates, checks the schema, decides by OPA under the shipped rules and
  records; the agent's own process executes and reports, and the outcome is recorded too. Two
  questions, two commits that are on disk.
* AGT: the policy server of agent-governance-toolkit answers allow or deny by three rules of its
  own; the agent's process executes. One question, nothing is kept.
* FastMCP: a server whose middleware looks the tool up in a table, and then executes it. One
  question, nothing is kept.

Each server has the same one processor to itself, whoever calls has the other, and so has our OPA;
a row more has OPA beside the broker on the one. Each is asked over as many connections as calls are
in flight, ours over four. The peers are asked by a client that does the least (bytes made ahead),
ours by gRPC for Python as anybody would.
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import yaml

from broker.v1 import broker_pb2, broker_pb2_grpc, types_pb2
from tests.benchmarks import processors
from tests.benchmarks.guarded_echo import MANIFEST, free_port, listens, until
from tests.benchmarks.plain_desk import ARGUMENTS, CALL_DEADLINE_S, TEXT, Desk, plain_desk
from tests.benchmarks.reckoning import Row, interval, medians, show

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".cache" / "peers" / "bin" / "python"
FLIGHTS = (1, 32)
FLIGHT_S = 1.5
PAIRS = 10
WARM_CALLS = 200
RATIO_MIN = 2.0
BY_CALLER = "echo_by_caller"
AGT_POLICY = """\
apiVersion: governance.toolkit/v1
version: "1.0"
name: bench
agents: ["*"]
default_action: deny
rules:
  - {name: nothing-is-deleted, condition: "action == 'delete'", action: deny}
  - {name: no-strangers, condition: "principal == 'customers/stranger'", action: deny}
  - {name: echo-is-allowed, condition: "action == 'echo'", action: allow}
"""
_TAKERS = itertools.count()
_Call = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One that is measured.

    Attributes:
        call: one call by the connection of this number.
        servers: processes that answer it.
        settle: makes it ready for its turn.
    """

    name: str
    call: _Call
    servers: Sequence[int]
    settle: Callable[[], None] = field(default=lambda: None)


async def measure(directory: Path) -> list[Row]:
    """Rows for each number of calls in flight."""
    async with contextlib.AsyncExitStack() as stack:
        desk = await stack.enter_async_context(plain_desk(directory, sessions=max(FLIGHTS)))
        contestants = [
            *await _ours(desk, stack),
            await stack.enter_async_context(_agt(directory)),
            await stack.enter_async_context(_fastmcp()),
        ]
        for contestant in contestants:
            contestant.settle()
            for number in range(WARM_CALLS):
                await contestant.call(number)
        rows: list[Row] = []
        for flight in FLIGHTS:
            rows += await _compared(contestants, flight)
    return rows


async def _compared(contestants: Sequence[Contestant], flight: int) -> list[Row]:
    rounds: list[Mapping[str, Sequence[float]]] = []
    for number in range(PAIRS):
        taken: dict[str, Sequence[float]] = {}
        turn = number % len(contestants)
        for one in (*contestants[turn:], *contestants[:turn]):
            one.settle()
            before = sum(map(processors.used_s, one.servers))
            count, took_s = await _flown(one.call, flight)
            used_s = sum(map(processors.used_s, one.servers)) - before
            taken[one.name] = [count / took_s]
            taken[f"{one.name} used"] = [used_s / count * 1e6]
        rounds.append(taken)
    middle = medians(rounds)
    ours, *others = contestants
    rows = [
        Row(
            what=f"{one.name}, {flight} in flight",
            measured=f"{middle[one.name]:.0f} a second, "
            f"processor {middle[f'{one.name} used']:.0f} us a call",
            values={
                "per_second": middle[one.name],
                "processor_us": middle[f"{one.name} used"],
            },
        )
        for one in contestants
    ]
    for other in others:
        if other.servers == ours.servers:
            continue
        ratio, low, high = interval(rounds, _Quotient(ours.name, other.name))
        rows.append(
            Row(
                what=f"  ours of {other.name}'s",
                measured=f"{ratio:.2f} x ({low:.2f} to {high:.2f})",
                goal=f"{RATIO_MIN} x",
                met=ratio >= RATIO_MIN,
                values={"ratio": ratio, "low": low, "high": high},
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class _Quotient:
    above: str
    below: str

    def __call__(self, middle: Mapping[str, float]) -> float:
        return middle[self.above] / middle[self.below]


async def _flown(call: _Call, flight: int) -> tuple[int, float]:
    """So many at once for a while; how many were answered, and in which time."""
    begun_s = time.perf_counter()

    async def one(number: int) -> int:
        count = 0
        while time.perf_counter() < begun_s + FLIGHT_S:
            await call(number)
            count += 1
        return count

    counts = await asyncio.gather(*(one(number) for number in range(flight)))
    return sum(counts), time.perf_counter() - begun_s


async def _ours(desk: Desk, stack: contextlib.AsyncExitStack) -> list[Contestant]:
    """A tool that the agent's own process executes; OPA beside the callers, and beside the broker.

    The engine is moved before each turn.
    """
    document: dict[str, Any] = yaml.safe_load(MANIFEST.read_text("utf-8"))
    document = {name: value for name, value in document.items() if name != "sandbox"}
    document |= {"name": BY_CALLER, "runner": "caller"}
    await asyncio.to_thread(desk.operator.put_tools, [document])
    stubs = []
    for _ in range(4):
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.aio.insecure_channel(desk.address, options)
        await stack.enter_async_context(channel)
        stubs.append(broker_pb2_grpc.BrokerServiceStub(channel))

    async def call(number: int) -> None:
        caller = desk.callers[number % len(desk.callers)]
        stub = stubs[number % len(stubs)]
        request = caller.request()
        request.tool = BY_CALLER
        request.permit_taker = f"taker-of-the-benchmark-{next(_TAKERS):012}"
        answer = await stub.Invoke(request, metadata=caller.metadata, timeout=CALL_DEADLINE_S)
        result = _echo(**json.loads(answer.invocation.arguments_json))
        told = await stub.ReportOutcome(
            broker_pb2.ReportOutcomeRequest(
                name=answer.invocation.name,
                permit_token=answer.permit.token,
                result_json=json.dumps(result).encode(),
            ),
            metadata=caller.metadata,
            timeout=CALL_DEADLINE_S,
        )
        assert told.invocation.state == types_pb2.Invocation.STATE_SUCCEEDED, told

    servers = (desk.broker, desk.engine)
    return [
        Contestant(
            name="a permit",
            call=call,
            servers=servers,
            settle=lambda: processors.pin(desk.engine, processors.OTHERS),
        ),
        Contestant(
            name="a permit, OPA on the one as well",
            call=call,
            servers=servers,
            settle=lambda: processors.pin(desk.engine, processors.SERVER),
        ),
    ]


def _echo(text: str) -> dict[str, str]:
    return {"text": text}


@contextlib.asynccontextmanager
async def _agt(directory: Path) -> AsyncIterator[Contestant]:
    policies = directory / "agt"
    await asyncio.to_thread(policies.mkdir)
    await asyncio.to_thread((policies / "bench.yaml").write_text, AGT_POLICY, "utf-8")
    context = {"principal": "customers/bench", "arguments": {"text": TEXT}}
    question = {"agent_did": "did:mesh:bench", "action": "echo", "context": context}
    async with _server(
        ("-m", "agentmesh.server.policy_server"),
        HOST="127.0.0.1",
        LOG_LEVEL="warning",
        AGENTMESH_POLICY_DIR=str(policies),
    ) as (process_id, port):
        ask, leave = _asking(port, "/api/v1/policy/evaluate", question)

        async def call(number: int) -> None:
            answer = json.loads(await ask(number))
            assert answer["decision"] == "allow", answer
            json.dumps(_echo(**json.loads(ARGUMENTS)))

        yield Contestant(name="AGT", call=call, servers=(process_id,), settle=leave)


@contextlib.asynccontextmanager
async def _fastmcp() -> AsyncIterator[Contestant]:
    parameters = {"name": "echo", "arguments": {"text": TEXT}}
    question = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}
    program = str(Path(__file__).with_name("peers_mcp.py"))
    async with _server((program,)) as (process_id, port):
        ask, leave = _asking(port, "/mcp", question)

        async def call(number: int) -> None:
            answer = json.loads(await ask(number))
            assert answer["result"]["structuredContent"] == {"text": TEXT}, answer

        yield Contestant(name="FastMCP", call=call, servers=(process_id,), settle=leave)


@contextlib.asynccontextmanager
async def _server(arguments: Sequence[str], **variables: str) -> AsyncIterator[tuple[int, int]]:
    """A peer's process, pinned, and the port that it listens at."""
    port = free_port()
    started = await asyncio.create_subprocess_exec(
        *(str(PYTHON), *arguments),
        cwd=ROOT / ".cache" / "peers",
        env={"PATH": os.environ["PATH"], "PORT": str(port), **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: listens(f"127.0.0.1:{port}"))
        processors.pin(started.pid, processors.SERVER)
        yield started.pid, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            started.terminate()
        await started.wait()


def _asking(
    port: int, path: str, question: Mapping[str, Any]
) -> tuple[Callable[[int], Awaitable[bytes]], Callable[[], None]]:
    """Asks by HTTP/1.1, always the same, on a kept connection for each number in flight.

    Returns:
        What asks; and what leaves the connections, since these servers hang up on whoever is idle.
    """
    body = json.dumps(question).encode()
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    kept: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def ask(number: int) -> bytes:
        place = number % max(FLIGHTS)
        if place not in kept:
            kept[place] = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = kept[place]
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in head.partition(b"\r\n")[0], head
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(length))

    def leave() -> None:
        for _, writer in kept.values():
            writer.close()
        kept.clear()

    return ask, leave


def main() -> None:
    """Sets the peers up, measures and prints."""
    subprocess.run([sys.executable, ROOT / "requirements" / "install.py", "peers"], check=True)
    os.sched_setaffinity(0, processors.OTHERS)
    rows: list[Row] = []

    async def collect(directory: Path) -> None:
        rows.extend(await measure(directory))

    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cb-") as directory:
        processors.run(collect(Path(directory)))
    show(rows)
    load = f"{os.getloadavg()[0]:.1f}"
    sys.stdout.write(f"{time.monotonic() - begun_s:.0f} s, load {load}\n")
