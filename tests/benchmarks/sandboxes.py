"""What a sandboxed call costs, beside what the engine itself costs in the same run.

    make bench BENCH=sandboxes                    three minutes, as root: with an engine of its own
    make bench BENCH=provenance                   what provenance adds to a call; needs no engine
    make bench BENCH="warm cold"                  some rows alone
    CALLBROKER_TEST_ENGINE=unix:///… make bench BENCH=sandboxes   on an engine that runs

A Python tool that returns what it was given is called through a node that is a process of its own.
Rows that are compared are measured in turns, so that whatever else the machine does falls on both.
Nothing here fails a build: a clock says as much about the machine as about the code.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.sdk import Session, Succeeded
from sandboxes import profiles, seccomp, spec
from sandboxes.images.folder import read_folder
from sandboxes.images.store import ImageStore
from sandboxes.images.tools import make_tool
from sandboxes.v1 import sandboxes_pb2 as pb
from tests.benchmarks import engine_costs
from tests.benchmarks.guarded_echo import SANDBOXED, UNSANDBOXED, guarded_echo
from tests.engine import OwnEngine
from tests.engine_api import ContainerEngine, existing
from tests.sandbox_nodes import NodeClient, NodeProcess, ask
from tests.supplied_images import base_of

ECHO = Path(__file__).with_name("echo")
PROFILE = "strict"
WARM_RUNS = 60
PAIRS = 20
BURST = 8
BURSTS = 5
RATE_CLIENTS = 4
RATE_TURNS = 3
RATE_TURN_S = 6.0
IDLE_SLOTS = 8
MB = 1_000_000
REST_S = 0.15
SETTLED_WITHIN_S = 60.0
RUN_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        measured: as shown.
        goal: as shown; empty where there is none.
        met: None where there is no goal.
    """

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


@dataclass(slots=True, kw_only=True)
class Bench:
    """One run on one engine; what later rows need of earlier ones is kept here."""

    engine: ContainerEngine
    image: str
    directory: Path
    containers: list[str] = field(default_factory=list)
    warm_p50_ms: float = 0.0

    @contextlib.asynccontextmanager
    async def node(self, **settings: str) -> AsyncIterator[NodeClient]:
        """A node of its own, as a process."""
        state = Path(tempfile.mkdtemp(dir=self.directory))
        process = NodeProcess(self.engine.url, state, **settings)
        await process.start()
        try:
            async with NodeClient(process.address) as client:
                yield client
        finally:
            await process.stop()

    async def call(self, client: NodeClient) -> tuple[float, float, bool]:
        """One whole run.

        Returns:
            Milliseconds from the request to the result, those from hand-over to the result, and
            whether the container was warm.
        """
        begun_s = time.perf_counter()
        stream = client.stub.Run(timeout=RUN_DEADLINE_S)
        ready = await client.ready(stream, self.image, profile=PROFILE)
        assert isinstance(ready, pb.Ready), ready
        handed_s = time.perf_counter()
        await stream.write(ask(engine_costs.INPUT))
        answered = await stream.read()
        ended_s = time.perf_counter()
        assert isinstance(answered, pb.RunResponse), answered
        assert answered.result.ending == pb.ENDING_ANSWERED, answered
        self.containers.append(ready.run.rpartition(".")[0])  # its name, and which claim of it
        return (ended_s - begun_s) * 1000, (ended_s - handed_s) * 1000, ready.warm

    async def settle(self, client: NodeClient, warm: int) -> None:
        """Returns when this many wait and the machine has had a moment of rest."""
        await client.until(
            lambda health: (
                sum(pool.warm for pool in health.pools) >= warm and health.containers == warm
            ),
            SETTLED_WITHIN_S,
        )
        await asyncio.sleep(REST_S)


async def warm(bench: Bench) -> list[Row]:
    """A call while a container waits, and `docker exec` into a shared one, in turns."""
    whole, handed, entered = [], [], []
    async with bench.node(warm="2") as client:
        await bench.call(client)
        with engine_costs.shared_container(bench.engine, bench.image) as shared:
            for number in range(WARM_RUNS):
                await bench.settle(client, 2)
                call_ms, handed_ms, was_warm = await bench.call(client)
                assert was_warm
                whole.append(call_ms)
                handed.append(handed_ms)
                if number % 3 == 0:
                    exec_ms = await asyncio.to_thread(
                        engine_costs.docker_exec, bench.engine, shared
                    )
                    entered.append(exec_ms)
    bench.warm_p50_ms = statistics.median(handed)
    met = bench.warm_p50_ms <= 5 and _p99(handed) <= 25
    ratio = statistics.median(entered) / statistics.median(whole)
    return [
        Row(what="warm: hand-over to result", measured=_times(handed), goal="5 / 25 ms", met=met),
        Row(what="warm: request to result", measured=_times(whole)),
        Row(
            what="docker exec, shared container", measured=f"{_times(entered)}   {ratio:.0f} x warm"
        ),
    ]


async def cold(bench: Bench) -> list[Row]:
    """A call while none waits, and `docker run` of the same, in turns."""
    ours, theirs = [], []
    async with bench.node(warm="0") as client:
        await bench.call(client)
        for _ in range(PAIRS):
            await bench.settle(client, 0)
            theirs.append(
                await asyncio.to_thread(engine_costs.docker_run, bench.engine, bench.image)
            )
            await asyncio.sleep(REST_S)
            call_ms, _, was_warm = await bench.call(client)
            assert not was_warm
            ours.append(call_ms)
    ratio = statistics.median(ours) / statistics.median(theirs)
    return [
        Row(
            what="cold: request to result",
            measured=f"{_times(ours)}   {ratio:.2f} x docker run",
            goal="1.2 x",
            met=ratio <= 1.2,
        ),
        Row(what="docker run of the same image", measured=_times(theirs)),
    ]


async def burst(bench: Bench) -> list[Row]:
    """Eight calls at once, eight containers waiting."""
    handed: list[float] = []
    async with bench.node(warm=str(BURST), containers_max=str(3 * BURST)) as client:
        await bench.call(client)
        for _ in range(BURSTS):
            await bench.settle(client, BURST)
            found = await asyncio.gather(*(bench.call(client) for _ in range(BURST)))
            assert all(was_warm for *_, was_warm in found)
            handed += [handed_ms for _, handed_ms, _ in found]
    return [
        Row(
            what=f"burst of {BURST}: hand-over to result",
            measured=_times(handed),
            goal="5 / 25 ms",
            met=statistics.median(handed) <= 5 and _p99(handed) <= 25,
        )
    ]


async def rate(bench: Bench) -> list[Row]:
    """Calls a second without a pause, and the engine's own containers a second, in turns."""
    ours, theirs = [], []
    body = spec.body(
        profiles.shipped()[PROFILE],
        image=bench.image,
        uid=655_000,
        seccomp=seccomp.stored(os.uname().machine),
        labels={},
    )
    settings = {"warm": str(RATE_CLIENTS), "containers_max": str(4 * RATE_CLIENTS)}
    for _ in range(RATE_TURNS):
        theirs.append(
            await asyncio.to_thread(
                engine_costs.containers_made,
                bench.engine,
                body,
                clients=RATE_CLIENTS,
                within_s=RATE_TURN_S,
            )
        )
        async with bench.node(**settings) as client:
            ours.append(await _calls_a_second(bench, client))
    ratio = statistics.mean(ours) / statistics.mean(theirs)
    return [
        Row(
            what=f"sustained, {RATE_CLIENTS} callers",
            measured=f"{statistics.mean(ours):.1f} calls/s   {ratio:.2f} x the engine's own",
            goal="0.9 x",
            met=ratio >= 0.9,
        ),
        Row(
            what="the engine's create-start-remove",
            measured=f"{statistics.mean(theirs):.1f} containers/s",
        ),
    ]


async def _calls_a_second(bench: Bench, client: NodeClient) -> float:
    """Without what waited at the start: that was made before the clock ran."""
    for _ in range(RATE_CLIENTS):
        await bench.call(client)
    count = 0
    begun_s = time.monotonic()

    async def work() -> None:
        nonlocal count
        while time.monotonic() < begun_s + RATE_TURN_S:
            await bench.call(client)
            count += 1

    await asyncio.gather(*(work() for _ in range(RATE_CLIENTS)))
    return count / (time.monotonic() - begun_s)


async def idle(bench: Bench) -> list[Row]:
    """What containers weigh that wait."""
    async with bench.node(warm=str(IDLE_SLOTS)) as client:
        await bench.call(client)
        await bench.settle(client, IDLE_SLOTS)
        containers = bench.engine.containers("callbroker.sandboxd")
        weights = [engine_costs.slot_bytes(bench.engine, each) for each in containers]
    cgroup, shim = (statistics.median(part) / MB for part in zip(*weights, strict=True))
    slot, most = statistics.median(map(sum, weights)) / MB, max(map(sum, weights)) / MB
    return [
        Row(
            what=f"idle slot, of {len(weights)}",
            measured=f"{slot:.1f} MB: {cgroup:.1f}, its shim {shim:.1f}; at most {most:.1f}",
            goal="8 MB",
            met=slot <= 8,
        )
    ]


async def brokered(bench: Bench) -> list[Row]:
    """The broker's whole call, sandboxed and not, in turns."""
    inside: list[float] = []
    outside: list[float] = []
    state = Path(tempfile.mkdtemp(dir=bench.directory))
    process = NodeProcess(bench.engine.url, state, warm="2")
    await process.start()
    try:
        directory = Path(tempfile.mkdtemp(dir=bench.directory))
        made = guarded_echo(directory, node=process.address, image=bench.image)
        async with made as session, NodeClient(process.address) as client:
            await _invoke(session, SANDBOXED)
            await _invoke(session, UNSANDBOXED)
            for _ in range(PAIRS):
                await bench.settle(client, 2)
                outside.append(await _invoke(session, UNSANDBOXED))
                inside.append(await _invoke(session, SANDBOXED))
    finally:
        await process.stop()
    allowed = 2 * statistics.median(outside) + bench.warm_p50_ms
    return [
        Row(
            what="broker: a sandboxed call, whole",
            measured=_times(inside),
            goal=f"{allowed:.1f} ms: 2 x + hand-over",
            met=statistics.median(inside) <= allowed,
        ),
        Row(what="broker: the same in a worker", measured=_times(outside)),
    ]


async def _invoke(session: Session, tool: str) -> float:
    begun_s = time.perf_counter()
    outcome = await session.invoke(tool, {"text": "hello"})
    took_ms = (time.perf_counter() - begun_s) * 1000
    assert isinstance(outcome, Succeeded), outcome
    return took_ms


def reuse(bench: Bench, seen: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Whether any container served twice, by what the engine itself saw."""
    started: Counter[str] = Counter()
    entered = 0
    for event in seen:
        attributes = event["Actor"]["Attributes"]
        if "callbroker.sandboxd" in attributes:
            started[attributes["callbroker.run"]] += event["Action"] == "start"
            entered += event["Action"].startswith("exec_")
    again = (
        sum(count > 1 for count in started.values())
        + len(bench.containers)
        - len({*bench.containers})
    )
    unseen = sum(started[run] == 0 for run in {*bench.containers})
    return [
        Row(
            what="containers used again, or entered",
            measured=f"{again + entered + unseen} of {len(bench.containers)} calls",
            goal="0",
            met=again + entered + unseen == 0,
        )
    ]


PARTS: dict[str, Callable[[Bench], Awaitable[list[Row]]]] = {
    "warm": warm,
    "cold": cold,
    "burst": burst,
    "rate": rate,
    "idle": idle,
    "brokered": brokered,
}


async def measure(engine: ContainerEngine, parts: Sequence[str], directory: Path) -> None:
    """Measures and prints."""
    base_of(engine, "python")
    with ImageStore(engine.url) as store:
        image = make_tool(store, read_folder(ECHO), name="bench-echo").digest
    bench = Bench(engine=engine, image=image, directory=directory)
    version = engine.ask("GET", "/version")
    sys.stdout.write(
        f"Docker {version['Version']}, Linux {version['KernelVersion']}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f}; p50 / p99 of each row\n"
    )
    if os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        sys.stdout.write("This machine is busy: times are not those at rest, ratios hold.\n")
    with engine_costs.watching(engine) as seen:
        for part in parts:
            _show(await PARTS[part](bench))
    _show(reuse(bench, seen))


def _show(rows: Sequence[Row]) -> None:
    for row in rows:
        verdict = {None: "", True: "met", False: "MISSED"}[row.met]
        goal = f"goal {row.goal}" if row.goal else ""
        sys.stdout.write(f"{row.what:<36} {row.measured:<46} {goal:<16} {verdict}".rstrip() + "\n")
    sys.stdout.flush()


def _times(values_ms: Sequence[float]) -> str:
    return f"{statistics.median(values_ms):.1f} / {_p99(values_ms):.1f} ms"


def _p99(values: Sequence[float]) -> float:
    """The slowest, where there are fewer than a hundred."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


def main(arguments: Sequence[str]) -> None:
    """Runs the rows that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="ROW")
    parts = parser.parse_args(arguments).parts or list(PARTS)
    with contextlib.ExitStack() as stack:
        engine = existing() or stack.enter_context(OwnEngine())
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cb-")))
        asyncio.run(measure(engine, parts, directory))
