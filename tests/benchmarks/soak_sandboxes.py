"""Many calls while containers, the node and the engine are killed at random; then it counts.

    python -m tests.benchmarks.soak_sandboxes --runs 10000

Needs root, for it starts an engine of its own. Nothing may be left after: no container, volume,
socket, file or process. Exits with 1 where something is. The same seed makes the same choices.
"""

import argparse
import asyncio
import collections
import contextlib
import itertools
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from sandboxes.v1 import sandboxes_pb2 as pb
from tests.attacks.sandbox.programs import OBEYING, orders
from tests.engine import OwnEngine
from tests.engine_api import ContainerEngine, EngineTrouble
from tests.sandbox_images import hostile_image, tool_image
from tests.sandbox_nodes import NodeClient, NodeProcess, Turned

AT_A_TIME = 4
PAUSE_S = 0.2
NODE_EACH = 20  # blows
ENGINE_EACH = 90
ENDED_WITHIN_S = 20.0
HOSTILE = (
    "say(answer(nonce))",
    "os._exit(3)",
    "say(b'x' * 1_000_000)",
    "say(answer(nonce) * 2)",
    "say(answer(nonce))\nfor _ in range(9): os.fork()\nwhile True: pass",
    "time.sleep(600)",
)


@dataclass
class Report:
    """What happened, and what is left.

    Attributes:
        endings: how runs ended, by code; ANSWERED, or the reason of a refusal.
        blows: what was killed, and how often.
        left: what should not be there; empty is the only good.
        engines_own: shims without a container. containerd loses those that it was starting when
            it is killed, and no API shows them; they end with it. Nothing of an image runs there.
    """

    endings: collections.Counter[str] = field(default_factory=collections.Counter)
    blows: collections.Counter[str] = field(default_factory=collections.Counter)
    left: list[str] = field(default_factory=list)
    engines_own: int = 0
    took_s: float = 0.0


@dataclass
class Before:
    """What was there before anything ran."""

    volumes: set[str]
    processes: set[int]


class Soak:
    """One soak over one engine."""

    def __init__(self, engine: ContainerEngine, state: Path, *, runs: int, seed: int) -> None:
        self.engine = engine
        self.node = NodeProcess(engine.url, state, log_level="warning")
        self.runs = runs
        self.report = Report()
        self.choose = random.Random(seed)
        self.honest = tool_image(engine)
        self.hostile = hostile_image(engine, OBEYING)
        self._begun = 0
        self._is_over = False
        self._up = asyncio.Event()

    async def run(self) -> Report:
        """Carry out all of it, and count."""
        started_s = time.monotonic()
        before = self._seen()
        await self._start()
        working = [asyncio.create_task(self._work()) for _ in range(AT_A_TIME)]
        striking = asyncio.create_task(self._strike())
        try:
            await asyncio.gather(*working)
        finally:
            self._is_over = True  # a blow that has begun is mended, not broken off
            await striking
        await self._mended()
        await self.node.stop()
        await self._count(before)
        self.report.took_s = time.monotonic() - started_s
        return self.report

    async def _work(self) -> None:
        while self._begun < self.runs:
            self._begun += 1
            await self._up.wait()
            with contextlib.suppress(TimeoutError):
                async with NodeClient(self.node.address) as client:
                    ended = await self._one(client)
                self.report.endings[ended] += 1
                if ended == "ENGINE_UNAVAILABLE":  # nothing ran: it is asked for again
                    self._begun -= 1
                    await asyncio.sleep(PAUSE_S)

    async def _one(self, client: NodeClient) -> str:
        deadline_s = self.choose.choice((0.3, 2.0, 5.0))
        if self.choose.random() < 0.5:
            profile = self.choose.choice(("strict", "egress", "compute"))
            calling = client.attempt(self.honest, profile=profile, deadline_s=deadline_s)
        else:
            given = orders(self.choose.choice(HOSTILE))
            calling = client.attempt(self.hostile, given, deadline_s=deadline_s)
        running = asyncio.create_task(calling)
        if self.choose.random() < 0.1:
            await asyncio.sleep(self.choose.random())
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            return "HUNG_UP"
        return _named(await running)

    async def _strike(self) -> None:
        for number in itertools.count(1):
            await asyncio.sleep(PAUSE_S * self.choose.random() * 2)
            if self._is_over:
                return
            if number % ENGINE_EACH == 0 and isinstance(self.engine, OwnEngine):
                await self._shake(self.engine)
            elif number % NODE_EACH == 0:
                self._up.clear()
                await self.node.stop(signal.SIGKILL)
                self.report.blows["sandboxd killed"] += 1
                await self._start()
            else:
                await asyncio.to_thread(self._kill_container)

    async def _shake(self, engine: OwnEngine) -> None:
        how = self.choose.choice(("killed", "restarted", "hung"))
        self.report.blows[f"engine {how}"] += 1
        if how == "killed":
            await asyncio.to_thread(engine.kill)
            await asyncio.to_thread(engine.start)
        elif how == "restarted":
            await asyncio.to_thread(engine.restart)
        else:
            await asyncio.to_thread(engine.hang)
            await asyncio.sleep(self.choose.random() * 10)
            await asyncio.to_thread(engine.resume)
        await self._mended()

    def _kill_container(self) -> None:
        with contextlib.suppress(EngineTrouble):
            there = self.engine.containers(self._label())
            if there:
                self.engine.ask("POST", f"/containers/{self.choose.choice(there)}/kill")
                self.report.blows["container killed"] += 1

    async def _start(self) -> None:
        await self.node.start()
        self._up.set()

    async def _mended(self) -> None:
        async with NodeClient(self.node.address) as client:
            await client.until(lambda health: health.healthy and not health.quarantined)

    def _label(self) -> str:
        return f"callbroker.sandboxd={self.node.node_id}"

    def _seen(self) -> Before:
        volumes = self.engine.ask("GET", "/volumes")["Volumes"] or ()
        own = isinstance(self.engine, OwnEngine)
        return Before(
            volumes={each["Name"] for each in volumes},
            processes=set(self.engine.processes()) if own else set(),
        )

    async def _count(self, before: Before) -> None:
        left = self.report.left
        left += [f"container {each}" for each in self.engine.containers(self._label())]
        after = self._seen()
        left += [f"volume {each}" for each in after.volumes - before.volumes]
        expected = {"containers", "egress", "lock", "node_id"}
        left += [
            f"file {each.relative_to(self.node.state)}"
            for each in self.node.state.rglob("*")
            if str(each.relative_to(self.node.state)) not in expected
        ]
        shims = await self._shims_left(before)
        left += [f"process {each}" for shim in shims for each in _at_work_below(shim)]
        if self.report.blows["engine killed"]:
            self.report.engines_own = len(shims)
        else:
            left += [f"process {_command(each)}" for each in shims]

    async def _shims_left(self, before: Before) -> list[int]:
        """Processes beside containers: they end a moment after the engine has said so."""
        until_s = time.monotonic() + ENDED_WITHIN_S
        while True:
            now = self._seen().processes - before.processes
            shims = [pid for pid in now if "containerd-shim" in _command(pid)]
            if not shims or time.monotonic() > until_s:
                return shims
            await asyncio.sleep(PAUSE_S)


async def soak(engine: ContainerEngine, state: Path, *, runs: int, seed: int) -> Report:
    """So many runs on an engine, and what is left after."""
    return await Soak(engine, state, runs=runs, seed=seed).run()


def _named(ended: pb.Result | Turned) -> str:
    if isinstance(ended, Turned):
        return ended.reason or ended.code.name
    return ended.code or "ANSWERED"


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")[:200]
    return ""


def _lines(report: Report) -> Iterator[str]:
    for title, counted in (("ended", report.endings), ("blows", report.blows)):
        for name, count in counted.most_common():
            yield f"{title}  {count:6}  {name}"
    if report.engines_own:
        yield f"the engine, killed, left {report.engines_own} shims of its own without a container"
    yield from (f"left   {each}" for each in report.left or ["nothing"])


def _at_work_below(shim: int) -> Iterator[str]:
    """Commands of what runs in a shim's container; `runc init` has not begun to be one."""
    with contextlib.suppress(OSError):
        for pid in Path(f"/proc/{shim}/task/{shim}/children").read_text("utf-8").split():
            command = _command(int(pid))
            if command.split() != ["runc", "init"]:
                yield command


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    with OwnEngine() as engine, TemporaryDirectory(prefix="cb-") as made:
        state = Path(made) / "state"
        report = asyncio.run(soak(engine, state, runs=given.runs, seed=given.seed))
    sys.stdout.write(f"seed {given.seed}, {given.runs} runs in {report.took_s:.0f} s\n")
    for line in _lines(report):
        sys.stdout.write(f"{line}\n")
    return 1 if report.left else 0


if __name__ == "__main__":
    sys.exit(_main())
